"""Ask, report, tell: exact budgets, idempotent answers, the best."""

import math
from typing import Any

import pytest

from hpsearch.errors import BudgetExceeded, InvalidInput, LeaseLost, StudyEnded, TrialFinished, TrialNotFound
from hpsearch.service import Service
from hpsearch.studies import StudyState
from hpsearch.trials import Decision, Lease, Receipt, Report, Result, TrialState
from tests.conftest import loop_study, toy_study
from tests.service.conftest import Worker


def test_a_budget_is_exact(service: Service, worker: Worker) -> None:
    service.create_study(toy_study(budget={"trials": 3}))
    claimed = worker.claim(10)
    assert len(claimed) == 3
    worker.complete(claimed[0], 1.0)
    worker.end(claimed[1], TrialState.FAILED, "diverged")
    assert service.get_study("bowl").state is StudyState.RUNNING
    worker.end(claimed[2], TrialState.PRUNED)
    study = service.get_study("bowl")
    assert (study.state, study.reason) == (StudyState.COMPLETE, "all 3 trials are finished")
    assert (study.counts.complete, study.counts.failed, study.counts.pruned, study.counts.finished) == (1, 1, 1, 3)
    assert worker.claim() == []


def test_enqueueing_stays_within_the_budget(service: Service) -> None:
    service.create_study(loop_study(budget={"trials": 2}))
    service.enqueue("bowl", [{"x": 1.0}])
    with pytest.raises(BudgetExceeded, match="room for 1 more"):
        service.enqueue("bowl", [{"x": 1.0}, {"x": 2.0}])
    assert service.get_study("bowl").counts.waiting == 1


def test_the_same_tell_again_is_answered_as_the_first_was(service: Service, worker: Worker) -> None:
    service.create_study(toy_study())
    (assignment,) = worker.claim()
    assert worker.complete(assignment, 1.0) is Receipt.ACCEPTED
    before = service.get_study("bowl")
    assert worker.complete(assignment, 1.0) is Receipt.ACCEPTED
    assert service.get_study("bowl") == before
    assert worker.complete(assignment, 2.0) is Receipt.CONFLICT
    assert worker.end(assignment, TrialState.FAILED) is Receipt.CONFLICT
    assert service.get_trial("bowl", 0).values == (1.0,)


def test_the_best_is_kept_and_the_first_of_equals_stays(service: Service, worker: Worker) -> None:
    service.create_study(toy_study())
    assert service.best("bowl").trial is None
    for value, best in ((3.0, 0), (1.0, 1), (1.0, 1), (2.0, 1)):
        (assignment,) = worker.claim()
        worker.complete(assignment, value)
        found = service.best("bowl").trial
        assert found is not None
        assert found.number == best


def test_the_best_of_a_maximised_study_is_the_largest(service: Service) -> None:
    service.create_study(toy_study(objective={"metric": "depth", "direction": "maximize"}))
    for value in (1.0, 3.0, 2.0):
        (assignment,) = service.ask("bowl")
        service.tell_one(Result(lease=assignment.lease, state=TrialState.COMPLETE, values=(value,)))
    assert service.get_study("bowl").best_value == 3.0


def test_an_ask_repeated_with_its_id_gives_the_same_trials(service: Service) -> None:
    service.create_study(loop_study())
    assert service.ask("bowl", 2, request_id="a") == service.ask("bowl", 2, request_id="a")
    assert service.ask("bowl", 1, request_id="b")[0].lease.number == 2


def test_asking_an_ended_study_says_so_and_a_full_one_gives_nothing(service: Service) -> None:
    service.create_study(loop_study(budget={"trials": 1}))
    (assignment,) = service.ask("bowl")
    assert service.ask("bowl") == []
    service.tell_one(Result(lease=assignment.lease, state=TrialState.COMPLETE, values=(1.0,)))
    with pytest.raises(StudyEnded):
        service.ask("bowl")


def test_an_outside_loop_is_told_what_became_of_its_lease(service: Service) -> None:
    service.create_study(loop_study())
    (assignment,) = service.ask("bowl")
    lease = assignment.lease
    stranger = Lease(study="bowl", number=0, token="guess", attempt=1)
    with pytest.raises(LeaseLost):
        service.tell_one(Result(lease=stranger, state=TrialState.COMPLETE, values=(0.0,)))
    service.tell_one(Result(lease=lease, state=TrialState.COMPLETE, values=(1.0,)))
    with pytest.raises(TrialFinished):
        service.tell_one(Result(lease=lease, state=TrialState.COMPLETE, values=(2.0,)))
    with pytest.raises(LeaseLost, match="it is complete"):
        service.report_one(Report(lease=lease, step=1, value=0.0))
    with pytest.raises(TrialNotFound):
        service.report_one(Report(lease=Lease(study="bowl", number=9, token="", attempt=1), step=1, value=0.0))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused_and_nothing_is_written(service: Service, value: float) -> None:
    service.create_study(loop_study())
    good, bad = service.ask("bowl", 2)
    with pytest.raises(InvalidInput):
        service.report_one(Report(lease=bad.lease, step=1, value=value))
    with pytest.raises(InvalidInput):
        service.tell(
            [
                Result(lease=good.lease, state=TrialState.COMPLETE, values=(1.0,)),
                Result(lease=bad.lease, state=TrialState.COMPLETE, values=(value,)),
            ]
        )
    assert service.get_study("bowl").counts.finished == 0


@pytest.mark.parametrize(
    "result",
    [
        {"state": TrialState.COMPLETE},
        {"state": TrialState.COMPLETE, "values": (1.0, 2.0)},
        {"state": TrialState.FAILED, "values": (1.0,)},
        {"state": TrialState.RUNNING},
        {"state": TrialState.CANCELLED},
    ],
)
def test_results_that_make_no_sense_are_refused(service: Service, result: dict[str, Any]) -> None:
    service.create_study(loop_study())
    (assignment,) = service.ask("bowl")
    with pytest.raises(InvalidInput):
        service.tell_one(Result(lease=assignment.lease, **result))


def test_metrics_that_are_not_finite_become_null(service: Service) -> None:
    service.create_study(loop_study())
    (assignment,) = service.ask("bowl")
    metrics = {"train_loss": math.nan, "accuracy": 0.5, "none": None}
    told = Result(lease=assignment.lease, state=TrialState.FAILED, metrics=metrics, reason="nul\0 \ud800")
    trial = service.tell_one(told)
    assert trial.metrics == {"train_loss": None, "accuracy": 0.5, "none": None}
    assert trial.reason == "nul ?"
    assert service.tell_one(told) == trial


def test_a_report_repeated_is_answered_as_the_first_was(service: Service, worker: Worker) -> None:
    service.create_study(toy_study(pruner={"name": "asha", "min_resource": 1, "reduction_factor": 2}))
    good, bad = worker.claim(2)
    assert worker.report(good, 1, 1.0) is Decision.CONTINUE
    assert worker.report(bad, 1, 2.0) is Decision.PRUNE
    assert worker.report(bad, 1, 2.0) is Decision.PRUNE
    assert worker.report(good, 1, 1.0) is Decision.CONTINUE
    assert len(service.list_reports("bowl", 1)) == 1


def test_a_pruned_trial_keeps_why_and_its_last_value(service: Service, worker: Worker) -> None:
    service.create_study(toy_study(pruner={"name": "median", "startup_trials": 2}))
    for value in (1.0, 2.0):
        (assignment,) = worker.claim()
        worker.report(assignment, 1, value)
        worker.complete(assignment, value)
    (assignment,) = worker.claim()
    assert worker.report(assignment, 1, 9.0) is Decision.PRUNE
    worker.end(assignment, TrialState.PRUNED)
    trial = service.get_trial("bowl", 2)
    assert trial.values == (9.0,)
    assert trial.reason == "median: at step 1 its best, 9, is worse than 1.5, the median of 2 complete trials"


def test_a_batch_answers_in_the_order_of_what_was_sent(service: Service, worker: Worker) -> None:
    service.create_study(toy_study(name="z"))
    service.create_study(toy_study(name="a"))
    claimed = worker.claim(4)
    stranger = Lease(study="none", number=0, token="", attempt=1)
    order = [claimed[2], claimed[0]]
    reports = [Report(lease=item.lease, step=1, value=1.0) for item in order]
    reports.insert(1, Report(lease=stranger, step=1, value=1.0))
    assert service.report(reports) == [Decision.CONTINUE, Decision.LOST, Decision.CONTINUE]
    results = [Result(lease=report.lease, state=TrialState.COMPLETE, values=(1.0,)) for report in reports]
    assert service.tell(results) == [Receipt.ACCEPTED, Receipt.LOST, Receipt.ACCEPTED]


def test_suggestions_are_the_same_for_the_same_study_after_a_restart(make_service: Any) -> None:
    """One worker, a new server for every trial: what is suggested depends on the study alone."""
    parameters: dict[str, list[Any]] = {"a": [], "b": []}
    for name in parameters:
        service = make_service()
        service.create_study(loop_study(name=name, sampler={"name": "tpe", "startup_trials": 3}, seed=5))
        for _ in range(8):
            if name == "b":
                service = make_service()
            (assignment,) = service.ask(name)
            x = float(assignment.parameters["x"])  # type: ignore[arg-type]
            parameters[name].append(x)
            service.tell_one(Result(lease=assignment.lease, state=TrialState.COMPLETE, values=(x * x,)))
    assert parameters["a"] == parameters["b"]
    assert len(set(parameters["a"])) == 8
