"""Short ways to say what a worker does."""

from collections.abc import Sequence

import pytest

from hpsearch.gateway import Assignment, Registration
from hpsearch.service import Service
from hpsearch.trials import Decision, Receipt, Release, Report, Result, TrialState


class Worker:
    """A worker's side of the gateway."""

    def __init__(self, service: Service, name: str = "w1", session: str = "s1", objectives: Sequence[str] = ("toy",)):
        self.service = service
        self.name = name
        self.session = session
        self.objectives = tuple(objectives)
        service.register(
            Registration(name=name, session=session, host="here", pid=1, slots=1, objectives=self.objectives)
        )

    def claim(self, limit: int = 1, holding: Sequence[Assignment] = ()) -> list[Assignment]:
        return self.service.claim(self.name, self.session, [item.lease.token for item in holding], limit)

    def report(self, assignment: Assignment, step: int, value: float) -> Decision:
        return self.service.report([Report(lease=assignment.lease, step=step, value=value)])[0]

    def complete(self, assignment: Assignment, value: float) -> Receipt:
        return self.service.tell([Result(lease=assignment.lease, state=TrialState.COMPLETE, values=(value,))])[0]

    def end(self, assignment: Assignment, state: TrialState, reason: str | None = None) -> Receipt:
        return self.service.tell([Result(lease=assignment.lease, state=state, reason=reason)])[0]

    def release(self, assignment: Assignment, *, crashed: bool = False) -> Receipt:
        return self.service.release([Release(lease=assignment.lease, reason="because", crashed=crashed)])[0]


@pytest.fixture
def worker(service: Service) -> Worker:
    return Worker(service)
