"""What ends a search, with the reason on record; how many trials run at a time, and whose turn it is."""

from collections import Counter
from typing import Any

import pytest

from hpsearch.errors import BudgetExceeded, InvalidSpec
from hpsearch.service import Service
from hpsearch.spec import parse_study
from hpsearch.studies import EndReason, StudyState
from hpsearch.trials import Receipt, Result, TrialState
from tests.conftest import Clock, ServiceFactory, loop_study, toy_study
from tests.service.conftest import Worker
from tests.service.test_races import together

PARTIES = 4


def ended(service: Service, name: str = "bowl") -> tuple[StudyState, EndReason | None]:
    study = service.get_study(name)
    return study.state, study.ended_because


def test_compute_is_summed_over_workers_and_ends_the_search(service: Service, clock: Clock) -> None:
    service.create_study(loop_study(budget={"compute_seconds": "100s"}))
    first, second = service.ask("bowl", 2)
    clock.advance(40)
    service.tell_one(Result(lease=first.lease, state=TrialState.COMPLETE, values=(1.0,)))
    assert service.get_study("bowl").compute_seconds == 40.0
    clock.advance(19)
    assert service.reap() == 0  # 40 and 59 so far
    clock.advance(2)
    assert service.reap() == 1
    study = service.get_study("bowl")
    assert ended(service) == (StudyState.COMPLETE, EndReason.COMPUTE)
    assert study.reason == "its 100 s of compute are spent"
    assert (study.compute_seconds, study.counts.cancelled) == (101.0, 1)
    told = Result(lease=second.lease, state=TrialState.COMPLETE, values=(0.0,))
    assert service.tell([told]) == [Receipt.LOST]


def test_a_result_that_spends_the_compute_ends_the_search_at_once(service: Service, clock: Clock) -> None:
    service.create_study(loop_study(budget={"trials": 9, "compute_seconds": 10}))
    (trial,) = service.ask("bowl")
    clock.advance(10)
    service.tell_one(Result(lease=trial.lease, state=TrialState.COMPLETE, values=(1.0,)))
    assert ended(service) == (StudyState.COMPLETE, EndReason.COMPUTE)


def test_a_dead_worker_is_charged_to_the_end_of_its_lease(service: Service, worker: Worker, clock: Clock) -> None:
    service.create_study(toy_study(confirm={"top": 1, "seeds": 2}, budget={"trials": 1}))
    worker.claim()
    clock.advance(1000)
    service.reap()
    assert service.get_study("bowl").compute_seconds == 30.0
    (again,) = worker.claim()
    clock.advance(5)
    worker.complete(again, 1.0)
    (run,) = worker.claim()
    clock.advance(7)
    worker.release(run)
    study = service.get_study("bowl")
    assert (study.compute_seconds, study.confirm_seconds) == (35.0, 7.0)


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED])
def test_a_search_without_improvement_ends(service: Service, worker: Worker, state: TrialState) -> None:
    service.create_study(toy_study(budget={"no_improvement": 3}, max_attempts=1))
    for value in (3.0, 4.0, 5.0, 2.0, 2.0):
        worker.complete(worker.claim()[0], value)
    assert ended(service) == (StudyState.RUNNING, None)
    *waste, late = worker.claim(3)
    for assignment in waste:
        assert ended(service) == (StudyState.RUNNING, None)
        worker.complete(assignment, 9.0) if state is TrialState.COMPLETE else worker.end(assignment, state)
    assert ended(service) == (StudyState.COMPLETE, EndReason.NO_IMPROVEMENT)
    assert service.get_study("bowl").reason == "the last 3 trials brought nothing better"
    assert worker.complete(late, 0.0) is Receipt.LOST


def test_every_end_has_its_reason(service: Service, worker: Worker, clock: Clock) -> None:
    grid = {"x": {"type": "categorical", "choices": [1.0, 2.0]}}
    studies: dict[EndReason, dict[str, Any]] = {
        EndReason.TRIALS: {"budget": {"trials": 2}},
        EndReason.GRID: {"budget": {}, "sampler": {"name": "grid"}, "space": grid},
        EndReason.TARGET: {"budget": {"trials": 9, "target": 1.5}},
        EndReason.WALL_CLOCK: {"budget": {"wall_clock": 60}},
        EndReason.STOPPED: {},
    }
    for reason, changes in studies.items():
        service.create_study(toy_study(name=reason.value, **changes))
        for assignment in worker.claim(2):
            assert assignment.lease.study == reason.value
            worker.complete(assignment, 1.0)
        if reason is EndReason.WALL_CLOCK:
            clock.advance(61)
            service.reap()
        if reason is EndReason.STOPPED:
            service.stop_study(reason.value)
        state = StudyState.STOPPED if reason is EndReason.STOPPED else StudyState.COMPLETE
        assert ended(service, reason.value) == (state, reason)


def test_a_study_that_pauses_itself_says_so_until_it_is_resumed(service: Service, worker: Worker) -> None:
    service.create_study(toy_study())
    for _ in range(5):
        worker.end(worker.claim()[0], TrialState.FAILED, "the same")
    assert ended(service) == (StudyState.PAUSED, EndReason.FAILURES)
    service.resume_study("bowl")
    assert ended(service) == (StudyState.RUNNING, None)


# --- a limit of trials at a time -------------------------------------------------------------------------------------


def test_no_more_trials_run_than_may(service: Service, worker: Worker) -> None:
    service.create_study(toy_study(max_parallel=2, confirm={"top": 1, "seeds": 4}, budget={"trials": 4}))
    service.enqueue("bowl", [{"x": 1.0}, {"x": 2.0}, {"x": 3.0}])
    first, second = worker.claim(5)
    assert Worker(service, "w2").claim(5) == []
    assert service.ask("bowl") == []
    worker.release(first)
    (third,) = worker.claim(5, holding=[second])
    assert third.lease.number == 0
    for assignment in (second, third):
        worker.complete(assignment, 1.0)
    fresh = worker.claim(5)
    assert [item.lease.number for item in fresh] == [2, 3]
    for assignment in fresh:
        worker.complete(assignment, 1.0)
    assert ended(service) == (StudyState.CONFIRMING, EndReason.TRIALS)
    assert len(worker.claim(5)) == 2
    reborn = Worker(service, worker.name, session="s2")
    assert [item.lease.attempt for item in reborn.claim(5)] == [2, 2]  # its own, as new attempts


def test_the_limit_holds_on_several_servers(make_service: ServiceFactory) -> None:
    services = [make_service() for _ in range(PARTIES)]
    services[0].create_study(toy_study(max_parallel=3, budget={"trials": 40}, confirm="none"))
    workers = [Worker(service, f"w{number}") for number, service in enumerate(services)]

    def work(party: int) -> list[int]:
        seen, held = [], []
        for _ in range(12):
            held += workers[party].claim(2, holding=held)
            seen.append(services[party].get_study("bowl").counts.running)
            if held:
                workers[party].complete(held.pop(0), 1.0)
        return seen

    seen = [count for counts in together(work) for count in counts]
    assert max(seen) == 3


def test_a_script_of_optunas_keeps_to_the_limit(service: Service) -> None:
    study, _ = service.create_study(loop_study(max_parallel=1))
    (taken,) = service.optuna.create_trials(study.id, [None], "a")
    with pytest.raises(BudgetExceeded, match="at most 1 trials at a time"):
        service.optuna.create_trials(study.id, [None], "b")
    service.optuna.end_trial(study.id, taken.number, taken.token, "complete", "[1.0]")
    service.optuna.create_trials(study.id, [None], "c")


# --- whose turn it is ------------------------------------------------------------------------------------------------


def served(worker: Worker, turns: int) -> Counter[str]:
    held: list[Any] = []
    for _ in range(turns):
        held += worker.claim(1, holding=held)
    return Counter(item.lease.study for item in held)


@pytest.mark.parametrize("at_once", [False, True])
def test_studies_are_served_by_priority_and_then_by_weight(service: Service, worker: Worker, at_once: bool) -> None:
    service.create_study(toy_study(name="light", weight=1.0))
    service.create_study(toy_study(name="heavy", weight=3.0))
    service.create_study(toy_study(name="urgent", priority=1, max_parallel=2))
    service.create_study(toy_study(name="late", priority=-1))
    found = Counter(item.lease.study for item in worker.claim(10)) if at_once else served(worker, 10)
    assert found == {"urgent": 2, "heavy": 6, "light": 2}


def worked(worker: Worker, turns: int) -> Counter[str]:
    """Whose trials one slot is given, which runs each to its end before it asks again."""
    found: Counter[str] = Counter()
    for _ in range(turns):
        (assignment,) = worker.claim(1)
        worker.complete(assignment, 1.0)
        found[assignment.lease.study] += 1
    return found


def test_studies_take_turns_at_one_slot(service: Service, worker: Worker) -> None:
    """Whenever it falls free, nothing of either runs."""
    for name in ("first", "second"):
        service.create_study(toy_study(name=name, budget={"trials": 20}, confirm="none"))
    assert worked(worker, 8) == {"first": 4, "second": 4}
    service.create_study(toy_study(name="third", budget={"trials": 20}, confirm="none"))
    assert worked(worker, 9) == {"first": 3, "second": 3, "third": 3}  # what came later makes up for nothing


def test_one_slot_is_shared_by_weight(service: Service, worker: Worker) -> None:
    for name, weight in (("light", 0.5), ("middling", 1.0), ("heavy", 2.5)):
        service.create_study(toy_study(name=name, budget={"trials": 100}, confirm="none", weight=weight))
    for _ in range(3):
        found = worked(worker, 40)
        assert found["light"] in (4, 5, 6)
        assert found["middling"] in (9, 10, 11)


def test_slots_are_shared_by_weight_however_long_trials_take(service: Service, worker: Worker) -> None:
    """Of eight slots the slow study keeps half, though it is given a tenth as many trials."""
    for name in ("slow", "quick"):
        service.create_study(toy_study(name=name, budget={"trials": 1000}, confirm="none"))
    held = [(item, 0) for item in worker.claim(8)]
    shares = []
    for turn in range(1, 100):
        ended = [item for item, since in held if turn - since >= {"slow": 10, "quick": 1}[item.lease.study]]
        held = [(item, since) for item, since in held if item not in ended]
        for item in ended:
            worker.complete(item, 1.0)
        held += [(item, turn) for item in worker.claim(len(ended), holding=[item for item, _ in held])]
        shares.append(Counter(item.lease.study for item, _ in held)["slow"])
    assert all(3 <= share <= 5 for share in shares)


def test_what_waits_comes_first_in_its_study_alone(service: Service, worker: Worker) -> None:
    service.create_study(toy_study(name="idle", priority=-1))
    service.enqueue("idle", [{"x": 1.0}])
    service.create_study(toy_study(name="busy", max_parallel=2))
    service.enqueue("busy", [{"x": 2.0}])
    held = worker.claim(4)
    assert [(item.lease.study, item.lease.number) for item in sorted(held, key=lambda item: item.lease.study)] == [
        ("busy", 0), ("busy", 1), ("idle", 0), ("idle", 1)
    ]  # fmt: skip
    assert {item.parameters["x"] for item in held if item.lease.number == 0} == {1.0, 2.0}


def test_a_worker_is_given_turns_of_its_own_objectives(service: Service) -> None:
    service.create_study(toy_study(name="urgent", priority=1))
    assert Worker(service, objectives=["other"]).claim(3) == []


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"budget": {"compute_seconds": 0}}, "budget.compute_seconds"),
        ({"budget": {"compute_seconds": "ten"}}, "budget.compute_seconds"),
        ({"budget": {"compute_seconds": float("nan")}}, "budget.compute_seconds"),
        ({"budget": {"no_improvement": 0}}, "budget.no_improvement"),
        ({"budget": {"no_improvement": 2.5}}, "budget.no_improvement"),
        ({"budget": {"target": 1.0}}, "budget.trials"),
        ({"max_parallel": 0}, "max_parallel"),
        ({"max_parallel": True}, "max_parallel"),
        ({"priority": 1001}, "priority"),
        ({"priority": 0.5}, "priority"),
        ({"weight": 0.0}, "weight"),
        ({"weight": float("inf")}, "weight"),
        ({"wieght": 2.0}, "wieght"),
    ],
)
def test_wrong_limits_are_refused_at_their_field(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidSpec) as error:
        parse_study(toy_study(**changes))
    assert [fault.path for fault in error.value.faults] == [path]
