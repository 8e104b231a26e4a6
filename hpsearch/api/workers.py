"""Routes of workers: the gateway over HTTP, in batches."""

from fastapi import APIRouter

from hpsearch.api.bodies import ClaimBody, RegisterBody
from hpsearch.api.dependencies import Cursor, Limit, ServiceOf
from hpsearch.gateway import Assignment, Registration, Terms, WorkerStatus
from hpsearch.studies import Page
from hpsearch.trials import Decision, Lease, Receipt, Release, Report, Result

router = APIRouter(prefix="/api/v1", tags=["workers"])


@router.get("/workers")
def list_workers(service: ServiceOf, cursor: Cursor = None, limit: Limit = 100) -> Page[WorkerStatus]:
    """Workers by name."""
    return service.list_workers(cursor, limit)


@router.post("/workers")
def register(service: ServiceOf, body: RegisterBody) -> Terms:
    """Introduce a worker process; the last one under a name holds it."""
    registration = body.model_dump() | {"objectives": tuple(body.objectives)}
    return service.register(Registration(**registration))


@router.post("/workers/{name}/claim")
def claim(service: ServiceOf, name: str, body: ClaimBody) -> list[Assignment]:
    """Trials to run: the worker's own live ones that it does not know of, waiting ones, new ones."""
    return service.claim(name, body.session, body.holding, body.limit)


@router.post("/leases/renew")
def renew(service: ServiceOf, body: list[Lease]) -> list[Decision]:
    """Extend leases."""
    return service.renew(body)


@router.post("/reports")
def report(service: ServiceOf, body: list[Report]) -> list[Decision]:
    """Record measurements; a lost lease is an answer here, `lost`."""
    return service.report(body)


@router.post("/results")
def tell(service: ServiceOf, body: list[Result]) -> list[Receipt]:
    """Finish trials."""
    return service.tell(body)


@router.post("/releases")
def release(service: ServiceOf, body: list[Release]) -> list[Receipt]:
    """Hand trials back."""
    return service.release(body)
