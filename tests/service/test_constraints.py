"""Constraints over metrics in a running study: which trials are infeasible, and which is the best."""

from typing import Any

import pytest

from hpsearch.errors import InvalidInput, InvalidSpec
from hpsearch.service import Service
from hpsearch.trials import Decision, Lease, Release, Report, Result, TrialKind, TrialState
from tests.conftest import ServiceFactory, loop_study

LIMITS = ["x <= 5", "weights <= 100", "depth > -9"]


def study(**changes: Any) -> dict[str, Any]:
    return loop_study(constraints=LIMITS, budget={"trials": 10}, **changes)


def tell(service: Service, value: float, state: TrialState = TrialState.COMPLETE, **metrics: float) -> int:
    (assignment,) = service.ask("bowl")
    values = (value,) if state is TrialState.COMPLETE else None
    service.tell([Result(lease=assignment.lease, state=state, values=values, metrics=metrics)])
    return assignment.lease.number


def test_the_best_is_among_the_feasible_trials(service: Service, make_service: ServiceFactory) -> None:
    service.create_study(study())
    heavy = tell(service, -5.0, weights=130.0)
    assert service.best("bowl").trial is None
    unmeasured = tell(service, -6.0)
    light = tell(service, -1.0, weights=100.0)
    edge = tell(service, -9.0, weights=99.0)
    pruned = tell(service, 0.0, TrialState.PRUNED)
    failed = tell(service, 0.0, TrialState.FAILED, weights=1e9)
    best = service.best("bowl").trial
    assert best is not None
    assert best.number == light
    found = {trial.number: dict(trial.violations) for trial in service.list_trials("bowl").items}
    assert found == {
        heavy: {"weights <= 100": 30.0},
        unmeasured: {"weights <= 100": None},
        light: {},
        edge: {"depth > -9": 0.0},
        pruned: {},
        failed: {},
    }
    assert make_service().get_trial("bowl", heavy).violations == {"weights <= 100": 30.0}


def test_what_is_confirmed_is_feasible(service: Service) -> None:
    service.create_study(study() | {"budget": {"trials": 3}, "confirm": {"top": 2, "seeds": 2}})
    tell(service, -5.0, weights=130.0)
    light, edge = tell(service, -1.0, weights=100.0), tell(service, 9.0, weights=99.0)
    assert {run.confirms for run in service.export("bowl", TrialKind.CONFIRM)} == {light, edge}


def test_another_server_suggests_the_same_after_infeasible_trials(
    service: Service, make_service: ServiceFactory
) -> None:
    service.create_study(study(sampler={"name": "tpe", "startup_trials": 3}))
    for number in range(6):
        tell(service, float(number), weights=80.0 + 10 * number)
    study_of = service.get_study("bowl")
    other = make_service()
    with service._histories.drawing(study_of) as mine, other._histories.drawing(study_of) as theirs:
        assert mine._history.violations.tolist() == theirs._history.violations.tolist()
        assert (mine._history.violations > 0).any()
        assert mine.suggest([{}]) == theirs.suggest([{}])


def test_what_violates_is_neither_enqueued_nor_created(service: Service) -> None:
    service.create_study(study())
    with pytest.raises(InvalidInput) as caught:
        service.enqueue("bowl", [{"x": 1.0}, {"x": 6.5}])
    (fault,) = caught.value.faults
    assert (fault.path, fault.problem) == ("configurations.1", "violates 'x <= 5' by 1.5")
    with pytest.raises(InvalidSpec, match="no configuration was found that satisfies x > 10"):
        service.create_study(loop_study(name="none", constraints=["x > 10"]))


def test_a_target_is_reached_by_a_feasible_trial_alone(service: Service) -> None:
    service.create_study(study() | {"budget": {"trials": 10, "target": -3}})
    tell(service, -4.0, weights=1000.0)
    assert not service.get_study("bowl").state.has_ended
    tell(service, -4.0, weights=10.0)
    assert service.get_study("bowl").state.has_ended


# --- at rungs --------------------------------------------------------------------------------------------------------

ASHA = {"name": "asha", "min_resource": 1, "reduction_factor": 3, "max_resource": 4}


def at_rung(service: Service, value: float, **metrics: float) -> tuple[Lease, Decision]:
    """A new trial reports at the first rung; what is to pause there does."""
    (assignment,) = service.ask("bowl")
    lease = assignment.lease
    decision = service.report_one(Report(lease=lease, step=1, value=value, metrics=metrics))
    if decision is Decision.PAUSE:
        service.release([Release(lease=lease, reason="paused")])
    return lease, decision


def test_what_violates_a_constraint_does_not_crowd_the_others_out(service: Service) -> None:
    """However good it is: what keeps the constraints goes on before it, and the reason says so."""
    service.create_study(study(pruner=ASHA))
    assert at_rung(service, 1.0, weights=130.0)[1] is Decision.CONTINUE  # the first of all
    for value in (2.0, 3.0):
        assert at_rung(service, value, weights=130.0)[1] is Decision.PRUNE  # by their values, among their like
    assert at_rung(service, 8.0, weights=90.0)[1] is Decision.CONTINUE
    assert at_rung(service, 7.0)[1] is Decision.CONTINUE  # nothing measured, nothing violated
    heavy, decision = at_rung(service, -8.0, weights=1e6)
    assert decision is Decision.PRUNE
    trial = service.get_trial("bowl", heavy.number)
    assert trial.pruning is not None
    assert (trial.pruning.rank, trial.pruning.of, trial.pruning.held_against) == (3, 6, 8.0)
    assert "-8 is number 3 of 6, as it violates a constraint, 2 go on (cut at 8)" in (trial.reason or "")
    assert at_rung(service, 6.0, weights=1.0)[1] is Decision.CONTINUE
    deep, decision = at_rung(service, -9.5, weights=1.0)  # the searched metric may be limited, too
    assert decision is Decision.PRUNE
    assert "as it violates a constraint" in (service.get_trial("bowl", deep.number).reason or "")


def test_without_constraints_over_metrics_the_best_goes_on(service: Service) -> None:
    service.create_study(study(pruner=ASHA) | {"constraints": LIMITS[:1]})
    for value in (8.0, 7.0, -9.0):
        assert at_rung(service, value, weights=1e6)[1] is Decision.CONTINUE


def test_what_keeps_the_constraints_is_promoted_first(service: Service) -> None:
    service.create_study(study(pruner=ASHA | {"promote": True}))
    assert at_rung(service, 5.0, weights=1.0)[1] is Decision.CONTINUE
    assert at_rung(service, 6.0, weights=1.0)[1] is Decision.PAUSE
    for value in (-1.0, -2.0, -3.0):
        assert at_rung(service, value, weights=500.0)[1] is Decision.PAUSE
    assert at_rung(service, 9.0, weights=1.0)[1] is Decision.PAUSE  # 2 of 6 may go on by now
    (promoted,) = service.ask("bowl")
    assert (promoted.lease.number, promoted.lease.attempt) == (1, 2)
    (new,) = service.ask("bowl")
    assert new.lease.attempt == 1
