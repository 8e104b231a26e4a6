"""Routes of workers: the gateway over HTTP, in batches."""

from fastapi import APIRouter

from hpsearch.api.bodies import ClaimBody, RegisterBody
from hpsearch.api.dependencies import DOCUMENTED, CallsOf, Cursor, Limit, ServiceOf
from hpsearch.gateway import Assignment, Registration, Terms, WorkerStatus
from hpsearch.service import Claim
from hpsearch.studies import Page
from hpsearch.trials import Decision, Lease, Receipt, Release, Report, Result

router = APIRouter(prefix="/api/v1", tags=["workers"], dependencies=DOCUMENTED)


@router.get("/workers")
def list_workers(service: ServiceOf, cursor: Cursor = None, limit: Limit = 100) -> Page[WorkerStatus]:
    """Workers by name."""
    return service.list_workers(cursor, limit)


@router.post("/workers")
def register(service: ServiceOf, body: RegisterBody) -> Terms:
    """Introduce a worker process; the last one under a name holds it."""
    registration = body.model_dump(exclude={"published"}) | {"objectives": tuple(body.objectives)}
    return service.register(Registration(**registration, published=tuple(body.published)))


@router.post("/workers/{name}/claim")
async def claim(calls: CallsOf, name: str, body: ClaimBody) -> list[Assignment]:
    """Trials to run: the worker's own live ones that it does not know of, waiting ones, new ones."""
    return await calls.claim(Claim(name, body.session, body.holding, body.limit))


@router.post("/leases/renew")
async def renew(calls: CallsOf, body: list[Lease]) -> list[Decision]:
    """Extend leases."""
    return await calls.renew(body)


@router.post("/reports")
async def report(calls: CallsOf, body: list[Report]) -> list[Decision]:
    """Record measurements; a lost lease is an answer here, `lost`."""
    return await calls.report(body)


@router.post("/results")
async def tell(calls: CallsOf, body: list[Result]) -> list[Receipt]:
    """Finish trials."""
    return await calls.tell(body)


@router.post("/releases")
async def release(calls: CallsOf, body: list[Release]) -> list[Receipt]:
    """Hand trials back."""
    return await calls.release(body)
