"""asha with promotion: who is not among the best at a rung pauses, and goes on when it is."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hpsearch.errors import LeaseLost
from hpsearch.gateway import Assignment
from hpsearch.service import Service
from hpsearch.studies import StudyState
from hpsearch.trials import Decision, Receipt, Release, Report, Result, TrialState
from tests.conftest import Clock, ServiceFactory, loop_study, toy_study
from tests.service.conftest import Worker
from tests.service.test_races import PARTIES, together

ASHA = {"name": "asha", "min_resource": 1, "reduction_factor": 2, "max_resource": 4, "promote": True}


def study(trials: int = 8, **changes: Any) -> dict[str, Any]:
    return toy_study(**({"pruner": ASHA, "budget": {"trials": trials}} | changes))


def paused(service: Service, value: float) -> Assignment:
    """A new trial, which pauses at the first rung with this value."""
    worker = Worker(service, "w9")
    (assignment,) = worker.claim()
    assert worker.report(assignment, 1, value) is Decision.PAUSE
    assert worker.release(assignment) is Receipt.ACCEPTED
    assert service.get_trial("bowl", assignment.lease.number).state is TrialState.PAUSED
    return assignment


def test_who_is_not_among_the_best_pauses_and_its_slot_takes_other_work(service: Service, worker: Worker) -> None:
    service.create_study(study())
    (first,) = worker.claim()
    assert worker.report(first, 1, 5.0) is Decision.CONTINUE  # the best of one
    second = paused(service, 6.0)
    trial = service.get_trial("bowl", 1)
    assert (trial.reason, trial.finished_at) == (
        "asha: on the rung at step 1 6 is number 2 of 2, 1 go on (cut at 5)",
        None,
    )
    assert trial.pruning is not None
    assert (trial.pruning.rank, trial.pruning.of, trial.pruning.held_against) == (2, 2, 5.0)
    counts = service.get_study("bowl").counts
    assert (counts.running, counts.paused, counts.created, counts.finished) == (1, 1, 2, 0)
    assert service.list_trials("bowl", [TrialState.PAUSED]).items == (trial,)
    (third,) = worker.claim(holding=[first])  # 1 of 2 may go on, and that is the other one
    assert third.lease.number == 2
    assert worker.report(second, 2, 0.0) is Decision.LOST
    assert worker.complete(second, 0.0) is Receipt.LOST


def test_a_trial_goes_on_when_new_results_put_it_among_the_best(
    service: Service, worker: Worker, tmp_path: Path
) -> None:
    """2 of 4 may go on, and number 1 is the second best: whoever asks next is given it, with its checkpoint."""
    service.create_study(study())
    (first,) = worker.claim()
    worker.report(first, 1, 5.0)
    (second,) = worker.claim(holding=[first])
    assert worker.report(second, 1, 6.0) is Decision.PAUSE
    (tmp_path / "file").write_bytes(b"weights")
    record = service.put_artifact(second.lease, "checkpoint.safetensors", tmp_path / "file")
    worker.release(second)
    other = Worker(service, "w2")
    for value in (7.0, 8.0):
        assert paused(service, value).checkpoint is None
    (again,) = other.claim()
    assert (again.lease.number, again.lease.attempt, again.parameters) == (1, 2, second.parameters)
    assert again.checkpoint == record
    trial = service.get_trial("bowl", 1)
    assert (trial.state, trial.worker, trial.reason, trial.pruning) == (TrialState.RUNNING, "w2", None, None)
    assert other.claim() == [again]  # the answer was lost
    assert other.report(again, 2, 4.0) is Decision.CONTINUE
    assert [report.step for report in service.list_reports("bowl", 1)] == [1, 2]
    assert [event.state for event in service.events("bowl") if event.number == 1] == ["running", "paused", "running"]


def test_the_furthest_rung_goes_first(service: Service, worker: Worker) -> None:
    service.create_study(study(20))
    held = worker.claim(6)
    steps = {0: (1.0, 1.0), 1: (0.9, 2.0)}
    for number, values in steps.items():
        assert worker.report(held[number], 1, values[0]) is Decision.CONTINUE
    assert worker.report(held[0], 2, 1.0) is Decision.CONTINUE
    assert worker.report(held[1], 2, 2.0) is Decision.PAUSE
    worker.release(held[1])
    for number in (2, 3):
        assert worker.report(held[number], 1, 3.0 + number) is Decision.PAUSE
        worker.release(held[number])
    for number in (4, 5):  # three have reached the first rung at 0.5, and the second one's cut falls to the paused one
        assert worker.report(held[number], 1, 0.5) is Decision.CONTINUE
        assert worker.report(held[number], 2, 5.0) is Decision.PAUSE
        worker.release(held[number])
    (again,) = worker.claim(holding=[held[0]])
    assert again.lease.number == 1
    assert worker.report(again, 3, 1.5) is Decision.CONTINUE


def drive(service: Service, worker: Worker, losses: dict[int, float]) -> list[int]:
    """One worker until the search's end; the numbers that it was given, in their order."""
    order = []
    while claimed := worker.claim():
        (assignment,) = claimed
        number = assignment.lease.number
        if number not in losses:
            break
        order.append(number)
        start = len(service.list_reports("bowl", number))
        for step in range(start + 1, 6):
            decision = worker.report(assignment, step, losses[number] + 1 / step)
            if decision is Decision.PAUSE:
                worker.release(assignment)
                break
        else:
            worker.complete(assignment, losses[number])
    return order


def test_a_budget_is_exact_and_what_pauses_at_the_end_is_pruned(service: Service, worker: Worker) -> None:
    service.create_study(study(8))
    losses = dict(enumerate([0.0, 1.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0]))
    order = drive(service, worker, losses)
    found = service.get_study("bowl")
    assert (found.state, found.reason) == (StudyState.COMPLETE, "all 8 trials are finished")
    assert (found.counts.finished, found.counts.paused, found.counts.failed) == (8, 0, 0)
    # of 8 at step 1 the best 4 are to go on, of those at step 2 the best 2; steps from 4 on are no rungs
    trials = list(service.export("bowl"))
    reached = {losses[trial.number]: trial.last_step for trial in trials}
    assert all(reached[loss] >= 2 for loss in (0.0, 1.0, 2.0, 3.0))  # type: ignore[operator]
    assert [losses[trial.number] for trial in trials if trial.state is TrialState.COMPLETE] == [0.0, 1.0]
    assert found.best_value == 0.0
    assert order == [0, 1, 2, 3, 1, 4, 5, 6, 1, 7]  # the second best went on twice, as others came
    for trial in trials:
        reports = service.list_reports("bowl", trial.number)
        assert [report.step for report in reports] == list(range(1, len(reports) + 1))  # no step twice
        if trial.state is TrialState.PRUNED:
            assert trial.pruning is not None
            assert (trial.pruning.step, trial.values) == (trial.last_step, (trial.last_value,))
            assert trial.reason is not None
            assert trial.reason.startswith("asha: on the rung at step")
            assert trial.finished_at is not None


def test_what_pauses_is_pruned_before_the_best_are_confirmed(service: Service, worker: Worker) -> None:
    """Runs that confirm go through every rung, and nobody is held against them when the search goes on."""
    service.create_study(study(4, confirm={"top": 1, "seeds": 2}))
    drive(service, worker, dict(enumerate([0.0, 1.0, 2.0, 3.0])))
    found = service.get_study("bowl")
    assert (found.state, found.counts.finished, found.counts.paused) == (StudyState.CONFIRMING, 4, 0)
    for assignment in worker.claim(2):
        for step in (1, 2):
            assert worker.report(assignment, step, -100.0 - assignment.lease.number) is Decision.CONTINUE
        worker.complete(assignment, 0.0)
    assert service.get_study("bowl").state is StudyState.COMPLETE
    service.extend_study("bowl", 5)
    (fresh,) = worker.claim()
    assert worker.report(fresh, 1, -1.0) is Decision.CONTINUE  # the best of the five of the search
    trial = service.get_trial("bowl", fresh.lease.number)
    assert trial.number == 6


def test_no_more_are_promoted_than_may_run(service: Service, worker: Worker) -> None:
    service.create_study(study(20, max_parallel=2))
    (first,) = worker.claim()
    worker.report(first, 1, 5.0)
    for value in (6.0, 7.0, 8.0):  # of four 2 may go on
        paused(service, value)
    (promoted,) = worker.claim(5, holding=[first])
    assert promoted.lease.number == 1
    assert worker.claim(5, holding=[first, promoted]) == service.ask("bowl", 3) == []
    worker.release(promoted)
    assert [item.lease.number for item in service.ask("bowl", 3)] == [1]


def test_studies_with_promoted_trials_wait_for_their_turn(service: Service, worker: Worker) -> None:
    """What is promoted in one study does not come before another of a higher priority, or that is served less."""
    service.create_study(study())
    (first,) = worker.claim()
    worker.report(first, 1, 5.0)
    for value in (6.0, 7.0, 8.0):
        paused(service, value)
    service.create_study(toy_study(name="urgent", priority=1, budget={"trials": 1}))
    service.create_study(toy_study(name="equal", budget={"trials": 1}))
    held = [first]
    for _ in range(4):
        held += worker.claim(holding=held)
    given = [(item.lease.study, item.lease.number) for item in held[1:]]
    assert given == [("urgent", 0), ("equal", 0), ("bowl", 1), ("bowl", 4)]


def test_whoever_ends_the_study_prunes_what_pauses(service: Service, clock: Clock) -> None:
    worker = Worker(service)
    for name, budget, end in (
        ("stopped", {"trials": 9}, lambda: service.stop_study("bowl")),
        ("time", {"wall_clock": 60.0}, lambda: (clock.advance(61), service.reap())),
        ("target", {"trials": 9, "target": 1.0}, None),
    ):
        service.create_study(study(budget=budget))
        (first,) = worker.claim()
        worker.report(first, 1, 5.0)
        paused(service, 6.0)
        if end is None:
            worker.complete(first, 0.5)
        else:
            end()
        states = [trial.state for trial in service.export("bowl")]
        assert states == [TrialState.COMPLETE if end is None else TrialState.CANCELLED, TrialState.PRUNED], name
        assert service.get_study("bowl").counts.paused == 0
        service.delete_study("bowl")


def test_a_worker_that_dies_at_the_rung_loses_no_work_and_earns_no_promotion(
    service: Service, worker: Worker, clock: Clock, tmp_path: Path
) -> None:
    """With its checkpoint saved the trial pauses; without, it comes to the rung again."""
    service.create_study(study(max_attempts=9))
    (first,) = worker.claim()
    worker.report(first, 1, 5.0)
    doomed = Worker(service, "doomed")
    (without,) = doomed.claim()
    doomed.report(without, 1, 6.0)
    clock.advance(20)
    service.renew([first.lease])
    clock.advance(20)
    service.reap()
    trial = service.get_trial("bowl", 1)
    assert (trial.state, trial.reason, trial.pruning) == (TrialState.WAITING, "worker doomed fell silent", None)
    (again,) = doomed.claim()
    assert (again.lease.number, again.checkpoint) == (1, None)
    clock.advance(1)
    assert doomed.report(again, 1, 6.0) is Decision.PAUSE
    clock.advance(1)
    (tmp_path / "file").write_bytes(b"weights")
    service.put_artifact(again.lease, "checkpoint.safetensors", tmp_path / "file")
    service.renew([first.lease])
    reborn = Worker(service, "doomed", session="s2")
    assert reborn.claim() == []  # not the one that it held: that pauses
    (other,) = reborn.claim()
    assert other.lease.number == 2
    trial = service.get_trial("bowl", 1)
    assert (trial.state, trial.attempt) == (TrialState.PAUSED, 2)
    assert trial.reason is not None
    assert trial.reason.startswith("asha: ")


def test_a_promoted_trial_whose_worker_dies_stays_promoted(service: Service, worker: Worker, clock: Clock) -> None:
    service.create_study(study())
    (first,) = worker.claim()
    worker.report(first, 1, 5.0)
    for value in (6.0, 7.0, 8.0):
        paused(service, value)
    (promoted,) = Worker(service, "doomed").claim()
    assert promoted.lease.number == 1
    clock.advance(20)
    service.renew([first.lease])
    clock.advance(20)
    service.reap()
    assert service.get_trial("bowl", 1).state is TrialState.WAITING
    (again,) = Worker(service, "w2").claim()
    assert (again.lease.number, again.lease.attempt) == (1, 3)


def test_a_paused_study_promotes_nobody(service: Service, worker: Worker) -> None:
    service.create_study(study())
    (first,) = worker.claim()
    worker.report(first, 1, 5.0)
    for value in (6.0, 7.0, 8.0):
        paused(service, value)
    service.pause_study("bowl")
    assert worker.claim(holding=[first]) == []
    service.resume_study("bowl")
    assert worker.claim(holding=[first])[0].lease.number == 1


def test_several_servers_promote_a_trial_once_and_keep_the_budget(make_service: ServiceFactory) -> None:
    services = [make_service() for _ in range(PARTIES)]
    services[0].create_study(study(30))
    workers = [Worker(service, f"w{number}") for number, service in enumerate(services)]

    def work(party: int) -> list[tuple[int, int]]:
        service, worker, done = services[party], workers[party], []
        while not service.get_study("bowl").state.has_ended:
            for assignment in worker.claim():
                lease = assignment.lease
                done.append((lease.number, lease.attempt))
                for step in range(len(service.list_reports("bowl", lease.number)) + 1, 6):
                    if worker.report(assignment, step, (7 * lease.number) % 30 + 1 / step) is Decision.PAUSE:
                        assert worker.release(assignment) is Receipt.ACCEPTED
                        break
                else:
                    assert worker.complete(assignment, 1.0) is Receipt.ACCEPTED
        return done

    given = [item for done in together(work) for item in done]
    assert max(Counter(given).values()) == 1  # each attempt has one holder
    found = services[0].get_study("bowl")
    assert (found.counts.finished, found.counts.created, found.counts.paused) == (30, 30, 0)
    assert found.counts.pruned
    assert any(attempt > 1 for _, attempt in given)
    for trial in services[0].export("bowl"):
        reports = services[0].list_reports("bowl", trial.number)
        assert [report.step for report in reports] == list(range(1, len(reports) + 1))


def test_loops_that_ask_are_given_promoted_trials(service: Service) -> None:
    service.create_study(loop_study(pruner=ASHA, budget={"trials": 4}))
    leases = [item.lease for item in service.ask("bowl", 4)]
    decisions = [service.report_one(Report(lease=lease, step=1, value=float(lease.number))) for lease in leases]
    assert decisions == [Decision.CONTINUE, Decision.PAUSE, Decision.PAUSE, Decision.PAUSE]
    for lease in leases[1:]:
        assert service.release([Release(lease=lease, reason="")]) == [Receipt.ACCEPTED]
    (again,) = service.ask("bowl", 4)
    assert (again.lease.number, again.lease.attempt) == (1, 2)
    with pytest.raises(LeaseLost):
        service.report_one(Report(lease=leases[1], step=2, value=0.0))
    for lease in (leases[0], again.lease):
        service.tell_one(Result(lease=lease, state=TrialState.COMPLETE, values=(1.0,)))
    assert service.get_study("bowl").counts.pruned == 2
    assert service.get_study("bowl").state is StudyState.COMPLETE
