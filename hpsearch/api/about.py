"""Routes about the server itself."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, status
from fastapi.responses import RedirectResponse

from hpsearch import __version__
from hpsearch.api.dependencies import DOCUMENTED, ServiceOf
from hpsearch.objectives.objective import ObjectiveInfo
from hpsearch.spec import study_schema

router = APIRouter(dependencies=DOCUMENTED)


@router.get("/", include_in_schema=False)
def root() -> RedirectResponse:
    """People who open the address in a browser want the documentation."""
    return RedirectResponse("/docs")


@router.get("/healthz", tags=["server"])
def healthz() -> dict[str, str]:
    """The process is alive."""
    return {"status": "ok", "version": __version__}


@router.get("/readyz", tags=["server"])
def readyz(service: ServiceOf) -> dict[str, str]:
    """The database can be asked (200), or not (503)."""
    service.check_ready()
    return {"status": "ok"}


@router.get("/api/v1/objectives", tags=["objectives"])
def list_objectives(service: ServiceOf) -> list[ObjectiveInfo]:
    """What studies can make workers train."""
    return list(service.objectives())


@router.get("/api/v1/objectives/{name}", tags=["objectives"])
def get_objective(service: ServiceOf, name: str) -> ObjectiveInfo:
    """An objective's parameters (name, type, range, default, meaning) and metrics."""
    return service.objective(name)


@router.put("/api/v1/objectives/{name}", tags=["objectives"], status_code=status.HTTP_204_NO_CONTENT)
def publish_objective(service: ServiceOf, name: str, body: ObjectiveInfo) -> None:
    """Make an objective of one's own known, so that studies can name it before a worker does. Workers that run it say
    the same when they start."""
    service.publish_objectives([replace(body, name=name)])


@router.get("/api/v1/schema", tags=["studies"])
def schema() -> Mapping[str, Any]:
    """The JSON Schema of a study."""
    return study_schema()
