"""Routes of trials: seen, enqueued, and run by loops that are not ours (ask, report, tell)."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, status
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from hpsearch.api.bodies import Ask, Enqueue, ReportBody, Retry, TellBody, WarmStart
from hpsearch.api.calls import INTERNAL
from hpsearch.api.dependencies import DOCUMENTED, Cursor, Limit, ServiceOf, StudyName, TrialNumber
from hpsearch.errors import Fault, InvalidInput, StoreUnavailable
from hpsearch.gateway import Assignment
from hpsearch.service import Service
from hpsearch.studies import Page
from hpsearch.trials import Artifact, Decision, Intermediate, Lease, Report, Result, Trial, TrialKind, TrialState

router = APIRouter(prefix="/api/v1/studies/{study}", tags=["trials"], dependencies=DOCUMENTED)


@router.get("/trials", response_model_exclude={"items": {"__all__": INTERNAL}})
def list_trials(
    service: ServiceOf,
    study: StudyName,
    state: Annotated[list[TrialState] | None, Query(description="Only trials in these states.")] = None,
    kind: Annotated[TrialKind, Query(description="Those of the search, the runs that confirm, or all.")] = (
        TrialKind.SEARCH
    ),
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[Trial]:
    """Trials by number."""
    return service.list_trials(study, state or (), cursor, limit, kind)


@router.post("/trials", status_code=status.HTTP_201_CREATED, response_model_exclude={"__all__": INTERNAL})
def enqueue(service: ServiceOf, study: StudyName, body: Enqueue) -> list[Trial]:
    """Enqueue given configurations, ahead of new suggestions and within the budget."""
    return service.enqueue(study, body.configurations, request_id=body.request_id)


@router.post("/warm-start", status_code=status.HTTP_201_CREATED, response_model_exclude={"__all__": INTERNAL})
def warm_start(service: ServiceOf, study: StudyName, body: WarmStart) -> list[Trial]:
    """Enqueue the best configurations of another study, as far as they are of this one's space."""
    return service.enqueue_best(study, body.source, body.best, request_id=body.request_id)


@router.post("/retry", response_model_exclude={"__all__": INTERNAL})
def retry(service: ServiceOf, study: StudyName, body: Retry) -> list[Trial]:
    """Let failed trials run again, under their numbers."""
    return service.retry_failed(study, body.numbers)


@router.get("/trials/{number}", response_model_exclude=INTERNAL)
def get_trial(service: ServiceOf, study: StudyName, number: TrialNumber) -> Trial:
    """One trial."""
    return service.get_trial(study, number)


@router.get("/trials/{number}/reports")
def list_reports(service: ServiceOf, study: StudyName, number: TrialNumber) -> list[Intermediate]:
    """What the trial reported, by step."""
    return service.list_reports(study, number)


@router.post("/ask")
def ask(service: ServiceOf, study: StudyName, body: Ask) -> list[Assignment]:
    """Up to `count` trials to run, each with a lease. Empty where nothing can be handed out now; 409 `study-ended`
    where nothing will come any more."""
    return service.ask(
        study, body.count, request_id=body.request_id, worker=body.worker, lease_seconds=body.lease_seconds
    )


@router.post("/trials/{number}/report")
def report(service: ServiceOf, study: StudyName, number: TrialNumber, body: ReportBody) -> dict[str, Decision]:
    """Record a measurement; the answer says whether to go on. 409 `lease-lost` where the trial is no longer yours."""
    return {"decision": service.report_one(report_of(study, number, body))}


@router.post("/trials/{number}/tell", response_model_exclude=INTERNAL)
def tell(service: ServiceOf, study: StudyName, number: TrialNumber, body: TellBody) -> Trial:
    """End a trial. The same again is answered as the first was."""
    return service.tell_one(result_of(study, number, body))


def report_of(study: str, number: int, body: ReportBody) -> Report:
    """What a body reports."""
    lease = Lease(study=study, number=number, token=body.token, attempt=body.attempt)
    return Report(lease=lease, step=body.step, value=body.value, metrics=body.metrics)


def result_of(study: str, number: int, body: TellBody) -> Result:
    """What a body tells. Raises `InvalidInput`."""
    lease = Lease(study=study, number=number, token=body.token, attempt=body.attempt)
    return Result(
        lease=lease, state=TrialState(body.state), values=_values(body), metrics=body.metrics, reason=body.reason
    )


def _values(body: TellBody) -> tuple[float, ...] | None:
    if body.value is not None and body.values is not None and body.values != [body.value]:
        raise InvalidInput(faults=[Fault("values", "says another value than `value`; give one of the two")])
    if body.values is not None:
        return tuple(body.values)
    return None if body.value is None else (body.value,)


@router.get("/trials/{number}/artifacts", tags=["artifacts"])
def list_artifacts(service: ServiceOf, study: StudyName, number: TrialNumber) -> list[Artifact]:
    """The trial's files."""
    return service.list_artifacts(study, number)


@router.get("/trials/{number}/artifacts/{name}", tags=["artifacts"], response_class=FileResponse)
def get_artifact(service: ServiceOf, study: StudyName, number: TrialNumber, name: str) -> FileResponse:
    """A file's bytes; the `ETag` is their SHA-256."""
    record, path = service.open_artifact(study, number, name)
    headers = {"ETag": f'"{record.sha256}"', "X-Content-Type-Options": "nosniff"}
    return FileResponse(path, media_type="application/octet-stream", filename=name, headers=headers)


@router.put("/trials/{number}/artifacts/{name}", tags=["artifacts"])
async def put_artifact(
    request: Request,
    service: ServiceOf,
    study: StudyName,
    number: TrialNumber,
    name: str,
    lease_token: Annotated[str, Header(alias="Hpsearch-Lease")],
    attempt: Annotated[int, Header(alias="Hpsearch-Attempt", ge=1)] = 1,
    sha256: Annotated[str | None, Header(alias="Hpsearch-SHA256", description="Checked where given.")] = None,
) -> Artifact:
    """Keep a file with a running trial, under its lease."""
    lease = Lease(study=study, number=number, token=lease_token, attempt=attempt)
    async with _received(service, request, sha256) as path:
        return await run_in_threadpool(service.put_artifact, lease, name, path)


@asynccontextmanager
async def _received(service: Service, request: Request, sha256: str | None) -> AsyncIterator[Path]:
    """The body as a file, there within the block. Raises `InvalidInput` where it is not what its digest says,
    `StoreUnavailable` where there is no room for it."""
    digest = hashlib.sha256()
    with service.uploading() as path:
        try:
            with path.open("wb") as file:
                async for chunk in request.stream():
                    digest.update(chunk)
                    await run_in_threadpool(file.write, chunk)
        except OSError as error:
            raise StoreUnavailable(f"the artifact could not be written: {error.strerror}") from error
        if sha256 is not None and digest.hexdigest() != sha256.lower():
            raise InvalidInput(faults=[Fault("Hpsearch-SHA256", "is not the digest of the bytes that arrived")])
        yield path
