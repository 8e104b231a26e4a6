"""Routes of Optuna's storage interface: what `hpsearch.optuna.Storage` says. For scripts of Optuna's; loops of other
kinds ask and tell."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, status
from pydantic import Field

from hpsearch.api.bodies import Body
from hpsearch.api.dependencies import DOCUMENTED, Limit, TrialNumber
from hpsearch.names import NO_NUL
from hpsearch.optuna_port import OptunaPort, OptunaStudy, OptunaTrial, Taken

router = APIRouter(prefix="/api/v1/optuna/studies", tags=["optuna"], dependencies=DOCUMENTED)

# attributes may be large; what a database cannot hold is kept out by JSON's own escapes
JsonText = Annotated[str, Field(strict=True, max_length=16 * 2**20, pattern=NO_NUL)]
Key = Annotated[str, Field(strict=True, max_length=10_000)]
RequestId = Annotated[str, Field(strict=True, min_length=1, max_length=200, pattern=NO_NUL)]
StudyId = Annotated[int, Path(ge=0, le=2**53, description="The study's id.")]
Revision = Annotated[int, Query(ge=0, le=2**53, description="Only what changed after this revision.")]


class NewStudy(Body):
    """A study whose space its scripts define as they run."""

    name: Key
    directions: Annotated[list[Literal["minimize", "maximize"]], Field(min_length=1, max_length=100)]
    request_id: RequestId


class NewTrials(Body):
    """Trials: null for one that begins now, a document for one that is there already."""

    documents: Annotated[list[JsonText | None], Field(min_length=1, max_length=1000)]
    request_id: RequestId


class Take(Body):
    """A wish for a waiting trial."""

    request_id: RequestId


class StudyAttribute(Body):
    """An attribute; `value` is JSON text."""

    kind: Literal["user", "system"]
    key: Key
    value: JsonText


class Held(Body):
    """A write by the holder of a trial."""

    token: str | None = None


class TrialPart(Held):
    """A parameter, an intermediate value (`key` is its step) or an attribute; `value` is JSON text."""

    kind: Literal["parameter", "intermediate", "user", "system"]
    key: Key
    value: JsonText


class End(Held):
    """A trial's end; `values` is a JSON list or null."""

    state: Literal["complete", "pruned", "fail", "waiting"]
    values: JsonText = "null"


async def _port(request: Request) -> OptunaPort:
    port: OptunaPort = request.app.state.service.optuna
    return port


PortOf = Annotated[OptunaPort, Depends(_port)]


@router.post("")
def create_study(port: PortOf, body: NewStudy) -> int:
    """Create a study; its id."""
    return port.create_study(body.name, body.directions, body.request_id)


@router.get("")
def list_studies(port: PortOf) -> list[OptunaStudy]:
    """Every study."""
    return port.list_studies()


@router.get("/id")
def find_study(port: PortOf, name: str) -> int:
    """A study's id by its name, which may be any text here."""
    return port.find_study(name)


@router.get("/{study_id}")
def get_study(port: PortOf, study_id: StudyId) -> OptunaStudy:
    """A study with its attributes."""
    return port.get_study(study_id)


@router.delete("/{study_id}", status_code=status.HTTP_204_NO_CONTENT)
def delete_study(port: PortOf, study_id: StudyId) -> None:
    """Remove a study with all that belongs to it."""
    port.delete_study(study_id)


@router.post("/{study_id}/set", status_code=status.HTTP_204_NO_CONTENT)
def set_study(port: PortOf, study_id: StudyId, body: StudyAttribute) -> None:
    """Set an attribute."""
    port.set_study(study_id, body.kind, body.key, body.value)


@router.post("/{study_id}/trials")
def create_trials(port: PortOf, study_id: StudyId, body: NewTrials) -> list[Taken]:
    """Create trials, within the budget."""
    return port.create_trials(study_id, body.documents, body.request_id)


@router.get("/{study_id}/trials")
def list_trials(port: PortOf, study_id: StudyId, revision: Revision = 0, limit: Limit = 500) -> list[OptunaTrial]:
    """Trials that changed after a revision, in the order of their changes."""
    return port.list_trials(study_id, revision, limit)


@router.get("/{study_id}/trials/{number}")
def get_trial(port: PortOf, study_id: StudyId, number: TrialNumber) -> OptunaTrial:
    """One trial."""
    return port.get_trial(study_id, number)


@router.post("/{study_id}/trials/{number}/take")
def take_trial(port: PortOf, study_id: StudyId, number: TrialNumber, body: Take) -> Taken | None:
    """Hold a waiting trial; null where it does not wait."""
    return port.take_trial(study_id, number, body.request_id)


@router.post("/{study_id}/trials/{number}/set", status_code=status.HTTP_204_NO_CONTENT)
def set_trial(port: PortOf, study_id: StudyId, number: TrialNumber, body: TrialPart) -> None:
    """Set a parameter, an intermediate value or an attribute."""
    port.set_trial(study_id, number, body.token, body.kind, body.key, body.value)


@router.post("/{study_id}/trials/{number}/end", status_code=status.HTTP_204_NO_CONTENT)
def end_trial(port: PortOf, study_id: StudyId, number: TrialNumber, body: End) -> None:
    """End a trial, or hand it back."""
    port.end_trial(study_id, number, body.token, body.state, body.values)


@router.post("/{study_id}/trials/{number}/beat", status_code=status.HTTP_204_NO_CONTENT)
def beat(port: PortOf, study_id: StudyId, number: TrialNumber, body: Held) -> None:
    """A sign of life."""
    port.beat(study_id, number, body.token)
