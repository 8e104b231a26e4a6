"""A client of one server: typed results, the service's own errors, and the gateway that workers need."""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from pydantic import TypeAdapter

from hpsearch.client.studies import StudyHandle
from hpsearch.client.transport import Transport, part_of_path, study_path
from hpsearch.errors import ArtifactNotFound, InvalidInput, InvalidSpec, ServerUnreachable, TrialNotFound
from hpsearch.gateway import Assignment, Registration, Terms, WorkerStatus
from hpsearch.objectives.objective import ObjectiveInfo
from hpsearch.plain import plain
from hpsearch.spec import StudySpec, load_study_file
from hpsearch.studies import Best, Page, Study
from hpsearch.trials import Artifact, Decision, Lease, Receipt, Release, Report, Result

T = TypeVar("T")

_STUDY: TypeAdapter[Study] = TypeAdapter(Study)
_BEST: TypeAdapter[Best] = TypeAdapter(Best)
_STUDIES: TypeAdapter[Page[Study]] = TypeAdapter(Page[Study])
_WORKERS: TypeAdapter[Page[WorkerStatus]] = TypeAdapter(Page[WorkerStatus])
_OBJECTIVES: TypeAdapter[list[ObjectiveInfo]] = TypeAdapter(list[ObjectiveInfo])
_TERMS: TypeAdapter[Terms] = TypeAdapter(Terms)
_ASSIGNMENTS: TypeAdapter[list[Assignment]] = TypeAdapter(list[Assignment])
_DECISIONS: TypeAdapter[list[Decision]] = TypeAdapter(list[Decision])
_RECEIPTS: TypeAdapter[list[Receipt]] = TypeAdapter(list[Receipt])
_ARTIFACT: TypeAdapter[Artifact] = TypeAdapter(Artifact)
_REPORTS: TypeAdapter[Sequence[Report]] = TypeAdapter(Sequence[Report])
_RESULTS: TypeAdapter[Sequence[Result]] = TypeAdapter(Sequence[Result])
_RELEASES: TypeAdapter[Sequence[Release]] = TypeAdapter(Sequence[Release])
_LEASES: TypeAdapter[Sequence[Lease]] = TypeAdapter(Sequence[Lease])

JSON_HEADERS = {"Content-Type": "application/json"}


class Client:
    """Talks to the server at `url`; implements `Gateway`. Thread-safe; close it, or use it in a `with` block.

    `timeout` is in seconds, for each call; `retries` is how often a call is repeated while the server is away. Every
    method raises `ServerUnreachable`, `Unauthorized`, and what the service raises.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout: float = 30.0, retries: int = 4) -> None:
        self._transport = Transport(url, token, timeout, retries)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connections."""
        self._transport.close()

    # --- studies -----------------------------------------------------------------------------------------------------

    def create_study(self, spec: StudySpec | Mapping[str, Any] | str | Path) -> StudyHandle:
        """Create a study from its description or its file; the same description again gives the study that exists.

        Raises `InvalidSpec` with every fault, `StudyExists`.
        """
        if isinstance(spec, str | Path):
            spec = load_study_file(Path(spec))
        try:
            content = json.dumps(plain(spec))
        except InvalidInput as error:
            raise InvalidSpec(faults=error.faults) from error
        response = self._transport.request("POST", "api/v1/studies", content=content, headers=JSON_HEADERS)
        return StudyHandle(self._transport, _STUDY.validate_json(response.content))

    def study(self, name: str) -> StudyHandle:
        """Raises `StudyNotFound`, and `InvalidInput` for no name at all."""
        response = self._transport.request("GET", study_path(name))
        return StudyHandle(self._transport, _STUDY.validate_json(response.content))

    def studies(self) -> Iterator[Study]:
        """Every study, in the order of creation."""
        return self._pages("api/v1/studies", _STUDIES)

    def workers(self) -> Iterator[WorkerStatus]:
        """Every worker of the last days, by name."""
        return self._pages("api/v1/workers", _WORKERS)

    def objectives(self) -> list[ObjectiveInfo]:
        """What studies can make workers train."""
        return _OBJECTIVES.validate_json(self._transport.request("GET", "api/v1/objectives").content)

    def objective(self, name: str) -> ObjectiveInfo:
        """One of them. Raises `ObjectiveNotFound`."""
        response = self._transport.request("GET", f"api/v1/objectives/{part_of_path(name, 'objective')}")
        return TypeAdapter(ObjectiveInfo).validate_json(response.content)

    def publish_objective(self, info: ObjectiveInfo) -> None:
        """Make one of the user's own known, before a worker does. Raises `InvalidInput`."""
        content = TypeAdapter(ObjectiveInfo).dump_json(info)
        path = f"api/v1/objectives/{part_of_path(info.name, 'name')}"
        self._transport.request("PUT", path, content=content, headers=JSON_HEADERS)

    def get_json(self, path: str, **query: Any) -> Any:
        """The server's JSON at a path below `/api/v1/`, as it is."""
        return self._transport.request("GET", f"api/v1/{path}", params=query).json()

    def _pages(self, path: str, adapter: TypeAdapter[Page[T]]) -> Iterator[T]:
        cursor: dict[str, str] = {}
        while True:
            page = adapter.validate_json(self._transport.request("GET", path, params=cursor | {"limit": 1000}).content)
            yield from page.items
            if page.next is None:
                return
            cursor = {"cursor": page.next}

    # --- the gateway -------------------------------------------------------------------------------------------------

    def register(self, worker: Registration) -> Terms:
        """See `Gateway.register`."""
        body = asdict(worker)
        if not worker.published:  # servers before 0.2 know nothing of it
            del body["published"]
        return _TERMS.validate_json(self._post("workers", body))

    def claim(self, worker: str, session: str, holding: Sequence[str], limit: int) -> list[Assignment]:
        """See `Gateway.claim`."""
        body = {"session": session, "holding": list(holding), "limit": limit}
        return _ASSIGNMENTS.validate_json(self._post(f"workers/{part_of_path(worker, 'worker')}/claim", body))

    def renew(self, leases: Sequence[Lease]) -> list[Decision]:
        """See `Gateway.renew`."""
        return _DECISIONS.validate_json(self._post("leases/renew", _LEASES.dump_python(leases)))

    def report(self, reports: Sequence[Report]) -> list[Decision]:
        """See `Gateway.report`."""
        return _DECISIONS.validate_json(self._post("reports", _REPORTS.dump_python(reports)))

    def tell(self, results: Sequence[Result]) -> list[Receipt]:
        """See `Gateway.tell`."""
        return _RECEIPTS.validate_json(self._post("results", _RESULTS.dump_python(results)))

    def release(self, releases: Sequence[Release]) -> list[Receipt]:
        """See `Gateway.release`."""
        return _RECEIPTS.validate_json(self._post("releases", _RELEASES.dump_python(releases)))

    def put_artifact(self, lease: Lease, name: str, path: Path) -> Artifact:
        """See `Gateway.put_artifact`."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            headers = {
                "Hpsearch-Lease": lease.token,
                "Hpsearch-Attempt": str(lease.attempt),
                "Hpsearch-SHA256": digest,
                "Content-Length": str(path.stat().st_size),
            }
            content = iter(
                lambda: file.read(1 << 20), b""
            )  # can be read only once, so sent once: the caller tries again
            url = _artifact_path(lease.study, lease.number, name)
            response = self._transport.request("PUT", url, repeatable=False, content=content, headers=headers)
        return _ARTIFACT.validate_json(response.content)

    def get_artifact(self, study: str, number: int | None, name: str, path: Path) -> Artifact:
        """See `Gateway.get_artifact`."""
        if number is None:
            number = self._best_number(study)
        listed = self._transport.request("GET", study_path(study, f"/trials/{number}/artifacts"))
        records = TypeAdapter(list[Artifact]).validate_json(listed.content)
        record = next((record for record in records if record.name == name), None)
        if record is None:
            raise ArtifactNotFound(f"trial {number} of study {study!r} has no artifact {name!r}")
        self._download(_artifact_path(study, number, name), record, path)
        return record

    def _best_number(self, study: str) -> int:
        """Raises `StudyNotFound`, `TrialNotFound`."""
        response = self._transport.request("GET", study_path(study, "/best"))
        best = _BEST.validate_json(response.content).trial
        if best is None:
            raise TrialNotFound(f"study {study!r} has no best trial yet")
        return best.number

    def _download(self, url: str, record: Artifact, path: Path) -> None:
        """Write the bytes to `path`, whole and checked, or not at all."""
        partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        digest = hashlib.sha256()
        try:
            with self._transport.stream(url) as response, partial.open("wb") as file:
                for chunk in response.iter_bytes():
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            if digest.hexdigest() != record.sha256:
                if response.headers.get("ETag") == f'"{record.sha256}"':  # not replaced meanwhile: it lies there so
                    raise ArtifactNotFound(f"artifact {record.name!r} is damaged: its bytes do not match its digest")
                raise ServerUnreachable(f"artifact {record.name!r} changed or broke on its way; try again")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def _post(self, path: str, body: Any) -> bytes:
        content = TypeAdapter(Any).dump_json(body)
        return self._transport.request("POST", f"api/v1/{path}", content=content, headers=JSON_HEADERS).content


def _artifact_path(study: str, number: int, name: str) -> str:
    return study_path(study, f"/trials/{number}/artifacts/{part_of_path(name, 'artifact')}")
