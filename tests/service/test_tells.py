"""Ask, report, tell: exact budgets, idempotent answers, the best."""

import math
from dataclasses import asdict
from typing import Any

import pytest

from hpsearch.errors import BudgetExceeded, InvalidInput, LeaseLost, StudyEnded, TrialFinished, TrialNotFound
from hpsearch.pruner_spec import HyperbandPruner
from hpsearch.search.pruners import bracket_of
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


def test_a_trial_that_went_on_to_its_end_though_told_not_to_has_no_reason(service: Service, worker: Worker) -> None:
    service.create_study(toy_study(pruner={"name": "asha", "min_resource": 1, "reduction_factor": 2}))
    good, bad = worker.claim(2)
    worker.report(good, 1, 1.0)
    assert worker.report(bad, 1, 2.0) is Decision.PRUNE
    worker.complete(bad, 0.5)
    trial = service.get_trial("bowl", 1)
    assert (trial.state, trial.value, trial.reason, trial.pruning) == (TrialState.COMPLETE, 0.5, None, None)


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


def test_a_trial_that_diverged_is_on_record_and_taught(make_service: Any) -> None:
    """By this server and by one that reads it; any other failure teaches nothing."""
    service, other = make_service(), make_service()
    service.create_study(loop_study(sampler={"name": "tpe", "startup_trials": 1}))
    for reason in ("diverged", "diverged: train_loss is nan in epoch 3", "divergedly", "out of memory", None):
        (assignment,) = service.ask("bowl")
        trial = service.tell_one(Result(lease=assignment.lease, state=TrialState.FAILED, reason=reason))
        assert trial.diverged is (reason is not None and reason.split(":")[0] == "diverged")
        assert service.get_trial("bowl", trial.number) == trial
    for each in (service, other):
        with each._histories.drawing(each.get_study("bowl")) as kept:
            assert kept._history.diverged().tolist() == [0, 1]
            assert kept._history.lessons == [0, 1]
    service.retry_failed("bowl", [0])
    with other._histories.drawing(other.get_study("bowl")) as kept:
        assert kept._history.diverged().tolist() == [1]


def test_a_study_whose_trials_diverge_goes_on_for_longer(service: Service, worker: Worker) -> None:
    service.create_study(toy_study(budget={"trials": 30}))
    for number in range(20):
        assert service.get_study("bowl").state is StudyState.RUNNING, number
        worker.end(worker.claim()[0], TrialState.FAILED, "diverged")
    assert service.get_study("bowl").reason == "its first 20 trials all failed alike: diverged"


PRUNERS: list[tuple[dict[str, Any], list[float], dict[str, Any]]] = [
    ({"name": "asha", "reduction_factor": 2}, [0.3, 0.9], {"held_against": 0.3, "rank": 2, "of": 2}),
    ({"name": "median", "startup_trials": 1}, [0.3, 0.9], {"held_against": 0.3, "rank": 2, "of": 2}),
    ({"name": "percentile", "percentile": 50, "startup_trials": 1}, [0.3, 0.9], {"held_against": 0.3}),
    ({"name": "hyperband", "max_resource": 2, "reduction_factor": 2}, [0.3, 0.9], {"bracket": 0, "rank": 2}),
    ({"name": "threshold", "upper": 0.5}, [0.3, 0.9], {"held_against": 0.5}),
    ({"name": "patient", "patience": 0}, [0.3, 0.9, 0.95], {"held_against": 0.9, "step": 2}),
    ({"name": "wilcoxon", "p_threshold": 0.3}, [0.3, 0.9, 0.9], {"held_against": 0.25, "step": 2, "p_value": 0.25}),
]


@pytest.mark.parametrize(("pruner", "values", "figures"), PRUNERS, ids=lambda item: str(item)[:20])
def test_each_pruner_judges_what_is_on_record(
    service: Service, worker: Worker, pruner: dict[str, Any], values: list[float], figures: dict[str, Any]
) -> None:
    """A good trial that ends complete, then one that reports the rest of the values and is pruned at its last."""
    service.create_study(toy_study(pruner=pruner, budget={"trials": 40}))
    good, *rest = values
    (first,) = worker.claim()
    for step in (1, 2):
        assert worker.report(first, step, good - 0.1 * (step - 1)) is Decision.CONTINUE
    worker.complete(first, good)
    (second,) = worker.claim()
    while pruner["name"] == "hyperband" and bracket_of(HyperbandPruner(**pruner), second.lease.number):
        worker.end(second, TrialState.FAILED, f"of the other bracket {second.lease.number}")
        (second,) = worker.claim()
    decisions = [worker.report(second, step, value) for step, value in enumerate(rest, 1)]
    assert decisions == [Decision.CONTINUE] * (len(rest) - 1) + [Decision.PRUNE]
    assert worker.report(second, len(rest), rest[-1]) is Decision.PRUNE  # the answer was lost
    worker.end(second, TrialState.PRUNED)
    trial = service.get_trial("bowl", second.lease.number)
    assert trial.pruning is not None
    found = asdict(trial.pruning)
    assert {name: found[name] for name in figures} == pytest.approx(figures)
    assert (trial.pruning.pruner, trial.pruning.step) == (pruner["name"], len(rest))
    assert trial.reason is not None
    assert trial.reason.startswith(f"{pruner['name']}: ")


def test_a_trial_that_goes_on_to_its_end_for_all_that_keeps_no_verdict(service: Service, worker: Worker) -> None:
    service.create_study(toy_study(pruner={"name": "asha", "reduction_factor": 2}))
    first, deaf = worker.claim(2)
    worker.report(first, 1, 1.0)
    assert worker.report(deaf, 1, 2.0) is Decision.PRUNE
    worker.complete(deaf, 2.0)
    trial = service.get_trial("bowl", 1)
    assert (trial.state, trial.pruning, trial.reason) == (TrialState.COMPLETE, None, None)


def test_infinities_that_a_script_of_optunas_reported_can_be_held_against_a_trial(service: Service) -> None:
    service.create_study(loop_study(pruner={"name": "median", "startup_trials": 1}))
    study_id = service.get_study("bowl").id
    (taken,) = service.optuna.create_trials(study_id, [None], "a")
    service.optuna.set_trial(study_id, 0, taken.token, "intermediate", "1", "-Infinity")
    service.optuna.end_trial(study_id, 0, taken.token, "complete", "[1.0]")
    (assignment,) = service.ask("bowl")
    assert service.report_one(Report(lease=assignment.lease, step=1, value=0.0)) is Decision.PRUNE
    pruning = service.get_trial("bowl", 1).pruning
    assert pruning is not None
    assert (pruning.value, pruning.held_against, pruning.rank) == (0.0, None, 2)
