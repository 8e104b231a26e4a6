"""After the search its best configurations are trained again on fresh seeds, by ordinary leases, counted apart."""

import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hpsearch.errors import BudgetExceeded, IllegalTransition, StudyEnded, TrialNotFound
from hpsearch.gateway import Assignment
from hpsearch.service import Service
from hpsearch.settings import Settings
from hpsearch.store import studies
from hpsearch.studies import EndReason, StudyState
from hpsearch.trials import (
    Decision,
    Receipt,
    Result,
    TrialKind,
    TrialState,
    confirm_seed,
    trial_seed,
)
from tests.conftest import TOY, Clock, ServiceFactory, loop_study, new_sqlite_database, toy_study
from tests.service.conftest import Worker
from tests.service.test_races import together

PARTIES = 4
GRID = {"x": {"type": "categorical", "choices": [0.0, 1.0, 2.0]}}


def confirming_study(**changes: Any) -> dict[str, Any]:
    return toy_study(**{"budget": {"trials": 4}, "confirm": {"top": 2, "seeds": 3}} | changes)


def search(service: Service, worker: Worker, values: list[float]) -> None:
    """Run a search to its end, a value a trial."""
    for value in values:
        (assignment,) = worker.claim()
        worker.complete(assignment, value)


def confirm(worker: Worker, values: dict[tuple[float, int], float] | None = None) -> list[Assignment]:
    """Run what confirms to its end."""
    done = []
    while held := worker.claim():
        worker.complete(held[0], (values or {}).get((held[0].parameters["x"], held[0].seed), 1.0))  # type: ignore[index]
        done += held
    return done


def test_the_best_configurations_are_trained_again_on_fresh_seeds(service: Service, worker: Worker) -> None:
    service.create_study(confirming_study(seed=7))
    search(service, worker, [3.0, 1.0, 4.0, 2.0])
    study = service.get_study("bowl")
    assert (study.state, study.reason) == (StudyState.CONFIRMING, "all 4 trials are finished")
    assert (study.ended_because, study.searched_at is not None, study.ended_at) == (EndReason.TRIALS, True, None)
    assert (study.counts.complete, study.counts.created, study.confirm_counts.waiting) == (4, 4, 6)
    chosen = {number: service.get_trial("bowl", number).parameters for number in (1, 3)}
    assignments = confirm(worker)
    seeds = [confirm_seed(7, run) for run in range(3)]
    assert [item.lease.number for item in assignments] == list(range(4, 10))
    assert [(item.parameters, item.seed) for item in assignments] == [
        (chosen[number], seed) for seed in seeds for number in (1, 3)
    ]
    assert not set(seeds) & {trial_seed(7, number) for number in range(100)}
    study = service.get_study("bowl")
    assert (study.state, study.reason) == (StudyState.COMPLETE, "all 4 trials are finished")
    assert (study.counts.finished, study.confirm_counts.complete, study.best_number) == (4, 6, 1)
    runs = list(service.export("bowl", TrialKind.CONFIRM))
    assert [(run.confirms, run.seed) for run in runs] == [(number, seed) for seed in seeds for number in (1, 3)]
    assert [trial.number for trial in service.export("bowl")] == [0, 1, 2, 3]
    assert [trial.number for trial in service.list_trials("bowl", kind=TrialKind.ALL).items] == list(range(10))
    assert {event.number for event in service.events("bowl")} >= set(range(10))


def test_both_bests_are_told_apart(service: Service, worker: Worker) -> None:
    """The search's best was lucky: on fresh seeds another configuration is better, and the curse is shown."""
    service.create_study(confirming_study())
    search(service, worker, [3.0, 1.0, 4.0, 2.0])
    lucky, steady = (service.get_trial("bowl", number).parameters["x"] for number in (1, 3))
    assert service.best("bowl").confirmed is None
    runs = [confirm_seed(0, run) for run in range(3)]
    truth = {(lucky, seed): 5.0 + run for run, seed in enumerate(runs)}
    truth |= {(steady, seed): 2.0 + 1.5 * run for run, seed in enumerate(runs)}
    confirm(worker, truth)  # type: ignore[arg-type]
    best = service.best("bowl")
    assert best.trial
    assert (best.trial.number, best.trial.value) == (1, 1.0)
    first, second = service.confirmation("bowl").configurations
    assert best.confirmed == first
    assert (first.trial, first.rank, first.n, first.mean, first.deviation) == (3, 1, 3, 3.5, 1.5)
    assert (first.searched_value, first.searched_rank, first.optimism) == (2.0, 2, 1.5)
    assert (second.trial, second.mean, second.deviation, second.optimism) == (1, 6.0, 1.0, 5.0)
    assert (second.difference, first.difference, first.p_value) == (2.5, None, None)
    assert second.p_value == pytest.approx(0.0131, abs=1e-3)  # differences 3, 2.5, 2
    assert (first.runs, first.best_run) == ((5, 7, 9), 5)


def test_a_configuration_that_violates_a_constraint_on_fresh_seeds_is_not_confirmed(
    service: Service, worker: Worker
) -> None:
    service.create_study(confirming_study(constraints=["weights <= 100"]))

    def tell(assignment: Assignment, value: float, weights: float) -> None:
        lease, state = assignment.lease, TrialState.COMPLETE
        service.tell([Result(lease=lease, state=state, values=(value,), metrics={"weights": weights})])

    for value in (3.0, 1.0, 4.0, 2.0):
        tell(worker.claim()[0], value, 90.0)
    lucky, steady = (service.get_trial("bowl", number).parameters["x"] for number in (1, 3))
    for run in range(6):
        (assignment,) = worker.claim()
        is_lucky = assignment.parameters["x"] == lucky
        tell(assignment, 1.0 if is_lucky else 2.0, 110.0 if is_lucky and run > 3 else 90.0)
    found = service.confirmation("bowl")
    assert [(item.parameters["x"], item.mean, item.violating) for item in found.configurations] == [
        (steady, 2.0, 0),
        (lucky, 1.0, 1),
    ]
    assert service.best("bowl").confirmed == found.best == found.configurations[0]


def test_nothing_of_it_is_seen_by_the_search(service: Service, worker: Worker) -> None:
    """Better values than the search's change neither its best nor its counts, and nothing is pruned against them."""
    study = confirming_study(pruner={"name": "asha", "min_resource": 1, "reduction_factor": 2})
    service.create_study(study)
    search(service, worker, [3.0, 1.0, 4.0])
    (failing,) = worker.claim()
    worker.end(failing, TrialState.FAILED, "the node broke")
    for assignment in worker.claim(2):
        for step in (1, 2, 4):  # the second would be pruned on every rung
            assert worker.report(assignment, step, float(assignment.lease.number)) is Decision.CONTINUE
        worker.complete(assignment, -100.0)
    found = service.get_study("bowl")
    assert (found.best_number, found.best_value, found.counts.complete, found.counts.finished) == (1, 1.0, 3, 4)
    # the search goes on with the failed one: held against no run that confirms
    service.retry_failed("bowl")
    again = next(item for item in worker.claim(9) if item.lease.number == 3)
    assert worker.report(again, 1, 50.0) is Decision.CONTINUE


def test_the_same_parameters_are_confirmed_once(service: Service, worker: Worker) -> None:
    service.create_study(confirming_study(space=GRID, budget={"trials": 4}, confirm={"top": 3, "seeds": 2}))
    service.enqueue("bowl", [{"x": 1.0}, {"x": 1.0}, {"x": 2.0}, {"x": 1.0}])
    search(service, worker, [1.0, 2.0, 5.0, 1.0])
    assert {run.confirms for run in service.export("bowl", TrialKind.CONFIRM)} == {0, 2}
    assert len(confirm(worker)) == 4
    assert service.get_study("bowl").state is StudyState.COMPLETE


@pytest.mark.parametrize(
    ("changes", "planned"),
    [
        ({"budget": {"trials": 19}}, 0),
        ({"budget": {"trials": 20}}, 5),
        ({"budget": {"trials": 40, "target": 0.0}}, 10),
        ({"budget": {"trials": 100}}, 15),
        ({"budget": {"trials": 20}, "confirm": "none"}, 0),
        ({"budget": {"trials": 1}, "confirm": {"top": 3}}, 15),
        ({"budget": {"wall_clock": 60}}, 0),
    ],
)
def test_by_default_it_costs_a_quarter_of_the_search_at_most(
    service: Service, worker: Worker, changes: dict[str, Any], planned: int
) -> None:
    study, _ = service.create_study(toy_study(**changes))
    confirmed = study.spec.confirmation
    assert (confirmed.top * confirmed.seeds if confirmed else 0) == planned
    unnamed, _ = service.create_study(loop_study(name="loop", **changes))
    assert (unnamed.spec.confirmation is None) == ("top" not in str(changes))


def test_a_search_that_ran_out_of_time_confirms_what_was_asked_for_alone(service: Service, clock: Clock) -> None:
    budget = {"trials": 20, "wall_clock": 60}
    for name, more in (("default", {}), ("asked", {"confirm": {"top": 1, "seeds": 2}})):
        service.create_study(toy_study(name=name, budget=budget, **more))
    for name in ("default", "asked"):
        (first, _) = service.ask(name, 2)
        service.tell_one(Result(lease=first.lease, state=TrialState.COMPLETE, values=(1.0,)))
    clock.advance(61)
    assert service.reap() == 2
    assert service.reap() == 0
    default, asked = service.get_study("default"), service.get_study("asked")
    assert (default.state, default.confirm_counts.created) == (StudyState.COMPLETE, 0)
    assert (asked.state, asked.confirm_counts.waiting) == (StudyState.CONFIRMING, 2)
    assert {default.ended_because, asked.ended_because} == {EndReason.WALL_CLOCK}
    assert default.counts.cancelled == asked.counts.cancelled == 1
    for _ in range(2):
        (run,) = service.ask("asked")
        service.tell_one(Result(lease=run.lease, state=TrialState.COMPLETE, values=(2.0,)))
    assert service.get_study("asked").state is StudyState.COMPLETE
    with pytest.raises(StudyEnded):
        service.ask("asked")


def test_a_dead_workers_run_is_done_again_with_its_seed(service: Service, worker: Worker, clock: Clock) -> None:
    service.create_study(confirming_study(max_attempts=2))
    search(service, worker, [3.0, 1.0, 4.0, 2.0])
    (lost,) = worker.claim()
    clock.advance(31)
    assert service.reap() == 1
    other = Worker(service, "w2")
    (again,) = other.claim()
    assert (again.lease.number, again.lease.attempt) == (lost.lease.number, 2)
    assert (again.parameters, again.seed) == (lost.parameters, lost.seed)
    assert worker.complete(lost, 0.0) is Receipt.LOST
    clock.advance(31)
    service.reap()
    failed = service.get_trial("bowl", lost.lease.number)
    assert (failed.state, failed.attempt) == (TrialState.FAILED, 2)
    confirm(other)
    study = service.get_study("bowl")
    assert (study.state, study.confirm_counts.failed, study.confirm_counts.complete) == (StudyState.COMPLETE, 1, 5)
    confirmed = {item.trial: (item.n, item.failed) for item in service.confirmation("bowl").configurations}
    assert confirmed == {1: (2, 1), 3: (3, 0)}
    (retried,) = service.retry_failed("bowl")
    assert retried.confirms == 1
    assert service.get_study("bowl").state is StudyState.CONFIRMING
    confirm(other)
    assert {item.n for item in service.confirmation("bowl").configurations} == {3}
    assert service.get_study("bowl").state is StudyState.COMPLETE


def test_pause_resume_and_stop_while_it_confirms(service: Service, worker: Worker) -> None:
    service.create_study(confirming_study())
    search(service, worker, [3.0, 1.0, 4.0, 2.0])
    (running,) = worker.claim()
    service.pause_study("bowl")
    assert worker.claim(holding=[running]) == []
    assert worker.report(running, 1, 1.0) is Decision.PAUSE
    worker.release(running)
    study = service.resume_study("bowl")
    assert (study.state, study.reason) == (StudyState.CONFIRMING, "all 4 trials are finished")
    (running,) = worker.claim()
    worker.complete(running, 1.0)
    held = worker.claim(2)
    study = service.stop_study("bowl")
    assert (study.state, study.reason) == (StudyState.STOPPED, "stopped by a user while it confirmed")
    assert (study.ended_because, study.counts.finished, study.counts.cancelled) == (EndReason.TRIALS, 4, 0)
    assert (study.confirm_counts.complete, study.confirm_counts.cancelled) == (1, 5)
    assert worker.complete(held[0], 1.0) is Receipt.LOST
    for move in (service.resume_study, service.pause_study):
        with pytest.raises(IllegalTransition):
            move("bowl")
    assert service.confirmation("bowl").configurations[0].n == 1


def test_a_search_that_ends_while_it_is_paused_waits_with_confirming(service: Service, worker: Worker) -> None:
    service.create_study(confirming_study(budget={"trials": 1}))
    (last,) = worker.claim()
    service.pause_study("bowl")
    worker.complete(last, 1.0)
    study = service.get_study("bowl")
    assert (study.state, study.confirm_counts.waiting, study.ended_because) == (StudyState.PAUSED, 3, EndReason.TRIALS)
    assert worker.claim() == []
    assert service.resume_study("bowl").state is StudyState.CONFIRMING
    assert len(confirm(worker)) == 3


def test_deleting_reaches_what_confirms(service: Service, worker: Worker) -> None:
    service.create_study(confirming_study())
    search(service, worker, [3.0, 1.0, 4.0, 2.0])
    (running,) = worker.claim()
    service.delete_study("bowl")
    assert worker.report(running, 1, 1.0) is Decision.LOST
    assert worker.claim() == []


def test_a_search_that_goes_on_is_confirmed_anew_and_only_for_what_is_missing(service: Service, worker: Worker) -> None:
    service.create_study(confirming_study())
    search(service, worker, [3.0, 1.0, 4.0])
    worker.end(worker.claim()[0], TrialState.FAILED, "the node broke")
    confirm(worker)
    assert {run.confirms for run in service.export("bowl", TrialKind.CONFIRM)} == {0, 1}
    tag = service.markers.read(["bowl"])[0]
    service.retry_failed("bowl")
    assert service.get_study("bowl").state is StudyState.RUNNING
    with pytest.raises(BudgetExceeded):
        service.enqueue("bowl", [{"x": 0.0}])
    (again,) = worker.claim(9)
    worker.complete(again, 0.5)
    assert service.get_study("bowl").state is StudyState.CONFIRMING
    assert {item.parameters["x"] for item in confirm(worker)} == {again.parameters["x"]}
    runs = Counter(run.confirms for run in service.export("bowl", TrialKind.CONFIRM))
    assert runs == {0: 3, 1: 3, 3: 3}
    assert service.markers.read(["bowl"])[0] != tag
    assert len(service.confirmation("bowl").configurations) == 3


def test_a_search_without_a_complete_trial_has_nothing_to_confirm(service: Service, worker: Worker) -> None:
    service.create_study(confirming_study(budget={"trials": 1}))
    worker.end(worker.claim()[0], TrialState.FAILED, "no")
    study = service.get_study("bowl")
    assert (study.state, study.confirm_counts.created) == (StudyState.COMPLETE, 0)
    assert service.confirmation("bowl").configurations == ()


def test_optunas_interface_sees_the_search_alone(service: Service, worker: Worker) -> None:
    service.create_study(confirming_study())
    search(service, worker, [3.0, 1.0, 4.0, 2.0])
    confirm(worker)
    study_id = service.get_study("bowl").id
    assert [trial.number for trial in service.optuna.list_trials(study_id, 0, 100)] == [0, 1, 2, 3]
    with pytest.raises(TrialNotFound):
        service.optuna.get_trial(study_id, 4)
    with pytest.raises(TrialNotFound):
        service.optuna.set_trial(study_id, 4, None, "user", "a", "1")


def test_servers_that_race_for_the_last_trial_plan_once(make_service: ServiceFactory) -> None:
    services = [make_service() for _ in range(PARTIES)]
    services[0].create_study(confirming_study(budget={"trials": PARTIES}))
    workers = [Worker(service, f"w{number}") for number, service in enumerate(services)]
    held = [worker.claim()[0] for worker in workers]
    together(lambda party: workers[party].complete(held[party], float(party)))
    assert services[0].get_study("bowl").confirm_counts.waiting == 6
    done = [number for numbers in together(lambda party: _numbers(workers[party])) for number in numbers]
    left = [item.lease.number for worker in workers for item in confirm(worker)]  # of those that lost every race
    assert sorted(done + left) == list(range(PARTIES, PARTIES + 6))
    assert services[0].get_study("bowl").state is StudyState.COMPLETE


def _numbers(worker: Worker) -> list[int]:
    return [item.lease.number for item in confirm(worker)]


BUDGET, PLANNED = 3, 4


class Confirming(RuleBasedStateMachine):
    """A search and what confirms it, on two workers, in whatever order: the two are never mixed up."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.service = Service(Settings(home=new_sqlite_database(Path(self.home.name))), [TOY], self.clock)
        self.service.open(reaper=False)
        self.workers: list[Worker] = []
        self.leases: list[tuple[Worker, Assignment]] = []

    def teardown(self) -> None:
        self.service.close()
        self.home.cleanup()

    @initialize()
    def begin(self) -> None:
        study = toy_study(budget={"trials": BUDGET}, confirm={"top": 2, "seeds": 2}, max_attempts=2)
        self.service.create_study(study)
        self.workers = [Worker(self.service, f"w{number}") for number in range(2)]

    @rule(number=st.integers(0, 1), limit=st.integers(1, 4))
    def claim(self, number: int, limit: int) -> None:
        worker = self.workers[number]
        holding = [assignment for owner, assignment in self.leases if owner is worker]
        self.leases += [(worker, assignment) for assignment in worker.claim(limit, holding)]

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), value=st.floats(-9, 9), state=st.sampled_from(["complete", "complete", "pruned", "failed"]))
    def tell(self, data: st.DataObject, value: float, state: str) -> None:
        worker, assignment = data.draw(st.sampled_from(self.leases))
        to = TrialState(state)
        worker.complete(assignment, value) if to is TrialState.COMPLETE else worker.end(assignment, to, "why not")

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), crashed=st.booleans())
    def release(self, data: st.DataObject, crashed: bool) -> None:
        worker, assignment = data.draw(st.sampled_from(self.leases))
        worker.release(assignment, crashed=crashed)

    @rule(seconds=st.sampled_from([1.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.service.reap()

    @rule()
    def retry_failed(self) -> None:
        with suppress(StudyEnded):
            self.service.retry_failed("bowl")

    @rule(what=st.sampled_from(["pause_study", "resume_study", "resume_study"]))
    def steer(self, what: str) -> None:
        try:
            getattr(self.service, what)("bowl")
        except IllegalTransition:
            assert self.service.get_study("bowl").state.has_ended

    @precondition(lambda self: self.workers and self.service.get_study("bowl").state is StudyState.CONFIRMING)
    @rule(do=st.sampled_from([False, False, False, True]))
    def stop(self, do: bool) -> None:
        if do:
            self.service.stop_study("bowl")

    @invariant()
    def the_books_balance(self) -> None:
        if not self.workers:
            return
        study, found = self.service.get_study("bowl"), list(self.service.export("bowl", TrialKind.ALL))
        assert [trial.number for trial in found] == list(range(len(found)))
        kinds = [trial.confirms is not None for trial in found]
        assert kinds == sorted(kinds)  # the search's first, without gaps
        for counts, confirms in ((study.counts, False), (study.confirm_counts, True)):
            states = Counter(trial.state for trial in found if (trial.confirms is not None) is confirms)
            assert all(getattr(counts, state.value) == states[state] for state in TrialState)
        assert study.counts.created <= BUDGET
        searched = study.counts.finished == BUDGET
        assert searched == (study.searched_at is not None)
        is_confirming = bool(study.confirm_counts.waiting + study.confirm_counts.running)
        if study.state is not StudyState.STOPPED:
            assert (searched and not is_confirming) == (study.state is StudyState.COMPLETE)
        values = [trial.value for trial in found if trial.confirms is None and trial.state is TrialState.COMPLETE]
        assert study.best_value == min(values, default=None)  # type: ignore[type-var]

    @invariant()
    def the_compute_is_what_was_held(self) -> None:
        """By the events: from each claim to what came after it, or to the end of its lease."""
        if not self.workers:
            return
        confirms = {trial.number: trial.confirms for trial in self.service.export("bowl", TrialKind.ALL)}
        began: dict[int, float] = {}
        held = {False: 0.0, True: 0.0}
        for event in self.service.events("bowl"):
            if event.number is not None:
                moment = event.happened_at.timestamp()
                if event.number in began:
                    held[confirms[event.number] is not None] += min(30.0, moment - began.pop(event.number))
                if event.state == "running":
                    began[event.number] = moment
        study = self.service.get_study("bowl")
        assert study.compute_seconds == pytest.approx(held[False], abs=1e-3)
        assert study.confirm_seconds == pytest.approx(held[True], abs=1e-3)
        with self.service._database.read() as tx:
            locked = studies.lock(tx, "bowl")
            now = sum(self.clock.now - moment for number, moment in began.items() if confirms[number] is None)
            assert locked.spent_seconds == pytest.approx(held[False] + now, abs=1e-3)

    @invariant()
    def what_is_best_is_confirmed_on_the_same_seeds(self) -> None:
        study = self.service.get_study("bowl") if self.workers else None
        if study is None or study.searched_at is None:
            return
        trials = list(self.service.export("bowl"))
        complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
        best = {trial.value for trial in sorted(complete, key=lambda trial: trial.value or 0.0)[:2]}
        runs = Counter((run.confirms, run.seed) for run in self.service.export("bowl", TrialKind.CONFIRM))
        assert max(runs.values(), default=1) == 1
        assert {seed for _, seed in runs} <= {confirm_seed(0, 0), confirm_seed(0, 1)}
        assert best <= {trials[number].value for number, _ in runs if number is not None}


TestConfirming = Confirming.TestCase
TestConfirming.settings = hypothesis_settings(max_examples=12, stateful_step_count=25, deadline=None)
