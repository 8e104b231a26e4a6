"""The trial's life as a state machine: whatever workers do in whatever order, the books balance."""

import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hpsearch.errors import BudgetExceeded, IllegalTransition, StudyEnded, WorkerReplaced
from hpsearch.gateway import Assignment
from hpsearch.service import Service
from hpsearch.settings import Settings
from hpsearch.studies import StudyState
from hpsearch.trials import TRANSITIONS, Decision, Receipt, TrialState, check_transition
from tests.conftest import TOY, Clock, new_sqlite_database, toy_study
from tests.service.conftest import Worker

BUDGET = 6


@pytest.mark.parametrize("present", TrialState)
@pytest.mark.parametrize("to", TrialState)
def test_only_legal_transitions_pass(present: TrialState, to: TrialState) -> None:
    if to in TRANSITIONS[present]:
        check_transition(present, to)
    else:
        with pytest.raises(IllegalTransition):
            check_transition(present, to)


class Life(RuleBasedStateMachine):
    """Three workers, some of whose leases are dead, on one study."""

    promote = False

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.service = Service(Settings(home=new_sqlite_database(Path(self.home.name))), [TOY], self.clock)
        self.service.open(reaper=False)
        self.workers: list[Worker] = []
        self.leases: list[tuple[Worker, Assignment]] = []
        self.told: dict[int, float] = {}
        self.finished: dict[int, Any] = {}

    def teardown(self) -> None:
        self.service.close()
        self.home.cleanup()

    @initialize()
    def begin(self) -> None:
        pruner = {"name": "asha", "min_resource": 1, "reduction_factor": 2, "promote": self.promote}
        self.service.create_study(toy_study(budget={"trials": BUDGET}, max_attempts=2, pruner=pruner))
        self.workers = [Worker(self.service, f"w{number}") for number in range(3)]

    @rule(number=st.integers(0, 2), limit=st.integers(1, 3), knows=st.booleans())
    def claim(self, number: int, limit: int, knows: bool) -> None:
        worker = self.workers[number]
        holding = [assignment for owner, assignment in self.leases if owner is worker and knows]
        try:
            self.leases += [(worker, assignment) for assignment in worker.claim(limit, holding)]
        except WorkerReplaced:
            self.workers[number] = Worker(self.service, worker.name, worker.session)

    @rule(number=st.integers(0, 2))
    def restart_worker(self, number: int) -> None:
        old = self.workers[number]
        self.workers[number] = Worker(self.service, old.name, old.session + "'")

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), step=st.integers(1, 5), value=st.floats(-9, 9))
    def report(self, data: st.DataObject, step: int, value: float) -> None:
        worker, assignment = data.draw(st.sampled_from(self.leases))
        if assignment.lease.number in self.finished:
            assert worker.report(assignment, step, value) is Decision.LOST
        else:
            worker.report(assignment, step, value)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), value=st.floats(-9, 9), state=st.sampled_from(["complete", "pruned", "failed"]))
    def tell(self, data: st.DataObject, value: float, state: str) -> None:
        worker, assignment = data.draw(st.sampled_from(self.leases))
        to = TrialState(state)
        receipt = worker.complete(assignment, value) if to is TrialState.COMPLETE else worker.end(assignment, to)
        number = assignment.lease.number
        if receipt is Receipt.ACCEPTED and to is TrialState.COMPLETE:
            assert self.told.setdefault(number, value) == value

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), crashed=st.booleans())
    def release(self, data: st.DataObject, crashed: bool) -> None:
        worker, assignment = data.draw(st.sampled_from(self.leases))
        worker.release(assignment, crashed=crashed)

    @rule(seconds=st.sampled_from([1.0, 29.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.service.reap()

    @rule(x=st.floats(-10, 10))
    def enqueue(self, x: float) -> None:
        with suppress(BudgetExceeded, StudyEnded):
            self.service.enqueue("bowl", [{"x": x}])

    @rule()
    def retry_failed(self) -> None:
        for trial in self.service.retry_failed("bowl"):
            self.finished.pop(trial.number)

    @rule(pause=st.booleans())
    def pause_or_resume(self, pause: bool) -> None:
        try:
            (self.service.pause_study if pause else self.service.resume_study)("bowl")
        except IllegalTransition:
            assert self.service.get_study("bowl").state.has_ended

    @invariant()
    def the_books_balance(self) -> None:
        if not self.workers:
            return
        study, found = self.service.get_study("bowl"), list(self.service.export("bowl"))
        assert [trial.number for trial in found] == list(range(len(found)))
        assert len({trial.revision for trial in found}) == len(found)
        states = Counter(trial.state for trial in found)
        assert all(getattr(study.counts, state.value) == states[state] for state in TrialState)
        assert study.counts.created <= BUDGET
        assert (study.counts.finished == BUDGET) == (study.state is StudyState.COMPLETE)
        assert study.counts.paused == 0 or (self.promote and not study.state.has_ended)

    @invariant()
    def what_is_finished_stays_as_it_is(self) -> None:
        if not self.workers:
            return
        now = {trial.number: trial for trial in self.service.export("bowl") if trial.state.is_finished}
        assert {number: now.get(number) for number in self.finished} == self.finished
        self.finished = now
        assert all(now[number].values == (value,) for number, value in self.told.items())

    @invariant()
    def the_best_is_the_best(self) -> None:
        if self.told:
            assert self.service.get_study("bowl").best_value == min(self.told.values())


TestLife = Life.TestCase
TestLife.settings = hypothesis_settings(max_examples=30, stateful_step_count=25, deadline=None)


class LifeWithPromotion(Life):
    """The same where trials pause at rungs and go on when they are promoted."""

    promote = True


TestLifeWithPromotion = LifeWithPromotion.TestCase
TestLifeWithPromotion.settings = hypothesis_settings(max_examples=30, stateful_step_count=25, deadline=None)
