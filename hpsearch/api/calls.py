"""The calls that many make at once, each made together with the others that wait."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from hpsearch.api.combined import Combined, flattened
from hpsearch.errors import HpsearchError, StudyNotFound
from hpsearch.gateway import Assignment
from hpsearch.service import Claim, Marker, Service
from hpsearch.trials import Decision, Lease, Receipt, Release, Report, Result


class Calls:
    """What a server's callers share."""

    def __init__(self, service: Service) -> None:
        self._service = service
        executor = ThreadPoolExecutor(max_workers=8, thread_name_prefix="call")
        self.claim: Combined[Claim, list[Assignment]] = Combined(executor, service.claim_all)
        self.renew: Combined[list[Lease], list[Decision]] = Combined(executor, flattened(service.renew))
        self.report: Combined[list[Report], list[Decision]] = Combined(executor, flattened(service.report))
        self.tell: Combined[list[Result], list[Receipt]] = Combined(executor, flattened(service.tell))
        self.release: Combined[list[Release], list[Receipt]] = Combined(executor, flattened(service.release))
        self._markers: Combined[str, Marker] = Combined(executor, partial(_found, service))

    async def marker(self, study: str) -> Marker:
        """Where a study stands. Raises `StudyNotFound`."""
        try:
            return await self._markers(study)
        except StudyNotFound:
            self._service.get_study(study)  # finds the near name
            raise


def _found(service: Service, names: list[str]) -> list[Marker | HpsearchError]:
    return [
        marker if marker is not None else StudyNotFound(f"there is no study {name!r}")
        for name, marker in zip(names, service.markers(names), strict=True)
    ]
