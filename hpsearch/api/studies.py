"""Routes of studies."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response, status
from fastapi.responses import StreamingResponse

from hpsearch.api.bodies import CloneBody, Extend
from hpsearch.api.calls import INTERNAL
from hpsearch.api.dependencies import DOCUMENTED, CallsOf, Cursor, Limit, ServiceOf, StudyName
from hpsearch.api.exports import FORMATS, export_lines
from hpsearch.api.guards import json_body
from hpsearch.api.waiting import wait_for_change
from hpsearch.confirmation import Confirmation
from hpsearch.studies import Best, Clone, Page, Study
from hpsearch.trials import TrialKind

router = APIRouter(prefix="/api/v1/studies", tags=["studies"], dependencies=DOCUMENTED)

MAX_WAIT_SECONDS = 60
EXAMPLE: dict[str, Any] = {
    "name": "digits",
    "objective": {
        "name": "rnn",
        "metric": "validation_accuracy",
        "direction": "maximize",
        "settings": {"dataset": "digits", "max_epochs": 20},
    },
    "space": {
        "learning_rate": {"type": "float", "low": 0.0003, "high": 0.03, "log": True},
        "hidden_units": {"type": "int", "low": 16, "high": 128, "log": True},
        "cell": {"type": "categorical", "choices": ["lstm", "gru"]},
    },
    "sampler": {"name": "tpe"},
    "pruner": {"name": "median"},
    "budget": {"trials": 40},
}

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/StudySpec"}, "example": EXAMPLE},
        },
    }
}


@router.post("", status_code=status.HTTP_201_CREATED, openapi_extra=_BODY)
def create_study(service: ServiceOf, response: Response, raw: Annotated[Any, Depends(json_body)]) -> Study:
    """Create a study (201). The same description again answers with the study that exists (200); another one under
    its name is a conflict (409)."""
    study, is_new = service.create_study(raw)
    response.status_code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
    response.headers["Location"] = f"/api/v1/studies/{study.name}"
    return study


@router.get("")
def list_studies(service: ServiceOf, cursor: Cursor = None, limit: Limit = 100) -> Page[Study]:
    """Studies in the order of creation."""
    return service.list_studies(cursor, limit)


@router.get("/{study}")
def get_study(service: ServiceOf, study: StudyName) -> Study:
    """A study and its progress."""
    return service.get_study(study)


@router.delete("/{study}", status_code=status.HTTP_204_NO_CONTENT)
def delete_study(service: ServiceOf, study: StudyName) -> None:
    """Remove a study with all that belongs to it; what runs is told with its next report."""
    service.delete_study(study)


@router.post("/{study}/pause")
def pause_study(service: ServiceOf, study: StudyName) -> Study:
    """Hand out nothing more; running trials are handed back with their next report."""
    return service.pause_study(study)


@router.post("/{study}/resume")
def resume_study(service: ServiceOf, study: StudyName) -> Study:
    """Open a paused study again."""
    return service.resume_study(study)


@router.post("/{study}/stop")
def stop_study(service: ServiceOf, study: StudyName) -> Study:
    """End a study for good; what runs or waits is cancelled."""
    return service.stop_study(study)


@router.post("/{study}/extend")
def extend_study(service: ServiceOf, study: StudyName, body: Extend) -> Study:
    """Raise the budget to so many trials in all; a study that its budget had ended goes on."""
    return service.extend_study(study, body.trials)


@router.post("/{study}/clone", status_code=status.HTTP_201_CREATED)
def clone_study(service: ServiceOf, study: StudyName, body: CloneBody) -> Clone:
    """Make a study of this one, with another space perhaps: what its trials found is copied where it is of that
    space. The same again answers with the study that was made."""
    return service.clone_study(study, body.name, body.description, counted=body.counted)


@router.get("/{study}/best", response_model=Best, response_model_exclude={"trial": INTERNAL})
async def best(
    request: Request,
    calls: CallsOf,
    study: StudyName,
    wait: Annotated[
        float, Query(ge=0, le=MAX_WAIT_SECONDS, description="Seconds to wait for a change, or for the end.")
    ] = 0,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The best trial so far, and once the study has ended the best configuration on fresh seeds (`confirmed`), with an
    `ETag`. With `wait` it answers as soon as the best is another than the one in
    `If-None-Match` (or than now), or the study ends; 304 where it is still the same."""
    tag = await wait_for_change(calls, study, wait, if_none_match, request.app.state.closing)
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if if_none_match == tag:
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(await calls.best(study), media_type="application/json", headers=headers)


@router.get("/{study}/confirmation")
def confirmation(service: ServiceOf, study: StudyName) -> Confirmation:
    """The best configurations, trained again on fresh seeds: mean, deviation and rank of each, a paired test against
    the first, and what the search had seen; while they are trained, as far as that has come."""
    return service.confirmation(study)


@router.get("/{study}/export")
def export(
    service: ServiceOf,
    study: StudyName,
    form: Annotated[Literal["jsonl", "csv"], Query(alias="format", description="jsonl or csv.")] = "jsonl",
    kind: Annotated[TrialKind, Query(description="Those of the search, the runs that confirm, or all.")] = (
        TrialKind.SEARCH
    ),
) -> StreamingResponse:
    """Every trial by number, streamed: a JSON object or a CSV row each."""
    return StreamingResponse(export_lines(service, study, form, kind), media_type=FORMATS[form])
