"""The calls that many make at once, each made together with the others that wait."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from pydantic import TypeAdapter

from hpsearch.api.bodies import Ask
from hpsearch.api.combined import Combined, flattened
from hpsearch.errors import HpsearchError, StudyNotFound
from hpsearch.gateway import Assignment
from hpsearch.service import PATIENCE, Claim, Later, Marker, Service, of_one
from hpsearch.studies import Best
from hpsearch.trials import Decision, Lease, Receipt, Release, Report, Result, Trial

T = TypeVar("T")

INTERNAL = {"sampler_attributes"}
"""A trial's fields that are nobody's business outside."""
BEST: TypeAdapter[Best] = TypeAdapter(Best)


class Calls:
    """What a server's callers share."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._executor = executor = ThreadPoolExecutor(max_workers=4, thread_name_prefix="call")
        self._claim: Combined[Claim, list[Assignment]] = Combined(executor, service.claim_all)
        self.renew: Combined[list[Lease], list[Decision]] = Combined(executor, flattened(service.renew))
        self.report: Combined[list[Report], list[Decision]] = Combined(executor, flattened(service.report))
        self.tell: Combined[list[Result], list[Receipt]] = Combined(executor, flattened(service.tell))
        self.release: Combined[list[Release], list[Receipt]] = Combined(executor, flattened(service.release))
        # threads of their own, few: what takes a second keeps nobody else waiting
        self._thinkers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="understand")
        self._markers: Combined[str, Marker] = Combined(executor, partial(_markers, service))
        self._bests: Combined[str, bytes] = Combined(executor, partial(_bests, service))

    async def marker(self, study: str) -> Marker:
        """Where a study stands. Raises `StudyNotFound`."""
        marker = self._service.markers.fresh(study)
        if marker is not None:
            return marker
        try:
            return await self._markers(study)
        except StudyNotFound:
            self._service.get_study(study)  # finds the near name
            raise

    async def claim(self, claim: Claim) -> list[Assignment]:
        """See `Service.claim`. No thread waits for what is being drawn."""
        return await self._patiently(lambda: self._claim(claim))

    async def ask(self, study: str, body: Ask) -> list[Assignment]:
        """See `Service.ask`."""
        call = partial(
            self._service.ask_once,
            study,
            body.count,
            request_id=body.request_id,
            worker=body.worker,
            lease_seconds=body.lease_seconds,
        )
        return await self._patiently(lambda: self._alone(call))

    async def _patiently(self, call: Callable[[], Awaitable[list[Assignment]]]) -> list[Assignment]:
        """The call's answer; where it says `Later`, what it says a little later."""
        deadline = time.monotonic() + PATIENCE
        while isinstance(answer := await call(), Later) and (left := deadline - time.monotonic()) > 0:
            if (soon := self._service.soon()) is not None:
                await asyncio.wait([asyncio.wrap_future(soon)], timeout=left)
        return answer

    async def report_one(self, report: Report) -> dict[str, Decision]:
        """See `Service.report_one`."""
        with of_one():
            (decision,) = await self.report([report])
        if decision is Decision.LOST:
            await self._alone(partial(self._service.check_kept, report.lease, decision))
        return {"decision": decision}

    async def tell_one(self, result: Result) -> Trial:
        """See `Service.tell_one`."""
        with of_one():
            (receipt,) = await self.tell([result])
        return await self._alone(partial(self._service.trial_told, result.lease, receipt))

    async def _alone(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    async def understand(self, find: Callable[[], T]) -> T:
        """What `find` finds; it may take a while."""
        return await asyncio.get_running_loop().run_in_executor(self._thinkers, find)

    async def best(self, study: str) -> bytes:
        """The best trial so far, as JSON. Raises `StudyNotFound`."""
        return await self._bests(study)


def _markers(service: Service, names: list[str]) -> list[Marker | HpsearchError]:
    return [
        marker if marker is not None else StudyNotFound(f"there is no study {name!r}")
        for name, marker in zip(names, service.markers.read(names), strict=True)
    ]


def _bests(service: Service, names: list[str]) -> list[bytes | HpsearchError]:
    found: dict[str, bytes | HpsearchError] = {}
    for name in set(names):
        try:
            found[name] = BEST.dump_json(service.best(name), exclude={"trial": INTERNAL})
        except StudyNotFound as error:
            found[name] = error
    return [found[name] for name in names]
