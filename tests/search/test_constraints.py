"""Constraints and samplers: what parameters alone violate is never suggested, what violated is known."""

from typing import Any

import numpy as np
import optuna
import pytest

from hpsearch.errors import InvalidInput, InvalidSpec
from hpsearch.sampler_spec import TPESampler
from hpsearch.search import tpe
from hpsearch.search.feasible import check_satisfiable
from hpsearch.search.history import WORST, History
from hpsearch.search.samplers import suggest
from hpsearch.spec import StudySpec, parse_study
from hpsearch.trials import Observation, TrialState
from tests.conftest import loop_study

SPACE: dict[str, Any] = {
    "units": {"type": "int", "low": 8, "high": 512, "log": True},
    "layers": {"type": "int", "low": 1, "high": 6},
    "rate": {"type": "float", "low": 0, "high": 1},
    "batch": {"type": "categorical", "choices": [16, 32, 64]},
    "extra": {"type": "float", "low": 0, "high": 1, "when": {"layers": {"min": 3}}},
}
LIMITS = ["units * layers <= 200", "extra <= rate", "batch < 20 + units"]
SAMPLERS: list[dict[str, Any]] = [
    {"name": "random"},
    {"name": "tpe", "startup_trials": 4},
    {"name": "tpe", "startup_trials": 4, "multivariate": False},
    {"name": "cmaes", "population": 4},
    {"name": "qmc"},
    {"name": "gp", "startup_trials": 20},
    {"name": "nsga2", "population": 4},
]


def study(space: Any = None, constraints: Any = LIMITS, **changes: Any) -> StudySpec:
    raw = loop_study(space=space or SPACE, budget={"trials": 10_000}, **changes)
    return parse_study(raw | {"constraints": constraints})


def observed(number: int, parameters: Any, value: float, state: TrialState = TrialState.COMPLETE,
             attributes: Any = None, violations: Any = None) -> Observation:  # fmt: skip
    return Observation(
        number, state, parameters, [value], 1, value, attributes or {}, number + 1, violations=violations or {}
    )


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_no_suggestion_violates_a_constraint_over_parameters(sampler: Any) -> None:
    history = History(study(sampler=sampler))
    for number in range(24):
        (suggestion,) = suggest(history, [{}])
        p: Any = suggestion.parameters
        assert p["units"] * p["layers"] <= 200
        assert p.get("extra", 0) <= p["rate"]
        assert p["batch"] < 20 + p["units"]
        # the best lies beyond the first limit: samplers are drawn there
        value = -float(p["units"] * p["layers"])
        history.update([observed(number, p, value, attributes=suggestion.sampler_attributes)])
    for suggestion in suggest(history, [{}] * 5):
        assert history.spec.limits.broken_by(suggestion.parameters) == {}


def test_tpe_comes_close_to_a_limit_behind_which_it_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """It passes over candidates that violate the limit, rather than lose its best one to chance."""

    def best_of(seed: int) -> float:
        history = History(study(sampler={"name": "tpe"}, seed=seed))
        for number in range(40):
            (suggestion,) = suggest(history, [{}])
            p: Any = suggestion.parameters
            far = 20 * abs(p["rate"] - 0.3)
            history.update([observed(number, p, far - float(p["units"] * p["layers"]))])
        return float(history.losses.min())

    seeds = range(8)
    passed_over = [best_of(seed) for seed in seeds]
    monkeypatch.setattr(tpe, "is_feasible", lambda _history, points, _known: np.ones(len(points), dtype=bool))
    lost = [best_of(seed) for seed in seeds]
    assert np.median(passed_over) < -185
    assert np.mean(passed_over) < np.mean(lost)


def test_a_narrow_limit_is_met_by_moving_towards_what_is_feasible() -> None:
    space = {name: {"type": "float", "low": 0, "high": 1} for name in "abcd"}
    spec = study(space, ["a + b + c + d <= 0.02"], sampler={"name": "random"})
    check_satisfiable(spec)
    history = History(spec)
    for suggestion in suggest(history, [{}] * 3):
        assert sum(suggestion.parameters.values()) <= 0.02  # type: ignore[arg-type]


def test_what_no_configuration_satisfies_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="no configuration was found that satisfies units >= 1000"):
        check_satisfiable(study(constraints=["units >= 1000"]))
    with pytest.raises(InvalidSpec, match="leave no point of the grid"):
        study({"a": {"type": "int", "low": 1, "high": 3}}, ["a > 3"], sampler={"name": "grid"})
    with pytest.raises(InvalidInput, match="no configuration was found that has these") as caught:
        suggest(History(study()), [{}, {"units": 32}, {"units": 512}])
    assert [fault.path for fault in caught.value.faults] == ["configurations.2"]


def test_a_grid_holds_what_satisfies_the_constraints_alone() -> None:
    space = {"a": {"type": "int", "low": 1, "high": 9}, "b": {"type": "int", "low": 1, "high": 9}}
    spec = study(space, ["a * b <= 12", "a > b"], sampler={"name": "grid"})
    expected = {(a, b) for a in range(1, 10) for b in range(1, 10) if a * b <= 12 and a > b}
    assert spec.budget_trials == len(expected)
    suggestions = suggest(History(spec), [{}] * 100)
    assert {tuple(item.parameters.values()) for item in suggestions} == expected


@pytest.mark.parametrize(
    ("constraint", "problem"),
    [
        ("units * <= 3", "constraints.0: at 9: expected a number"),
        ("1 <= 3", "names no parameter"),
        ("cell <= 3", "cannot compute with cell: not all of its values are numbers"),
        ("dataset <= 3", "cannot compute with dataset: it is fixed to 'digits'"),
    ],
)
def test_a_wrong_constraint_is_refused_at_its_place(constraint: str, problem: str) -> None:
    raw = loop_study(space=SPACE | {"cell": {"type": "categorical", "choices": ["lstm", 1]}})
    raw["objective"] = raw["objective"] | {"settings": {"dataset": "digits"}}
    with pytest.raises(InvalidSpec) as caught:
        parse_study(raw | {"constraints": [constraint, "units <= 3", "units <= 3"]})
    faults = {fault.path: str(fault) for fault in caught.value.faults}
    assert set(faults) == {"constraints.0", "constraints.2"}
    assert problem in faults["constraints.0"]


def test_tpe_puts_infeasible_trials_behind_all_others_by_their_violations_as_optunas_does() -> None:
    space = {"x": {"type": "float", "low": 0, "high": 1}}
    for feasible in (0, 1, 3, 30):
        history = History(study(space, ["memory <= 1"]))
        whole = optuna.create_study()
        kinds = {"x": optuna.distributions.FloatDistribution(0, 1)}
        rng = np.random.default_rng(feasible)
        for number in range(40):
            x, value, memory = float(rng.random()), float(rng.random()), float(rng.random())
            by = -memory if number % 40 < feasible else memory
            pruned = number % 7 == 3
            state = TrialState.PRUNED if pruned else TrialState.COMPLETE
            violations = {"memory <= 1": by} if by > 0 else {}
            history.update([observed(number, {"x": x}, value, state, violations=violations)])
            whole.add_trial(optuna.trial.create_trial(
                state=optuna.trial.TrialState.PRUNED if pruned else optuna.trial.TrialState.COMPLETE,
                value=None if pruned else value, params={"x": x}, distributions=kinds, constraints={"memory": by},
                intermediate_values={1: value}))  # fmt: skip
        good, bad, _ = tpe._split(history, TPESampler())
        below, above = optuna.samplers._tpe.sampler._split_trials(whole, whole.trials, 4)
        assert list(good) == [trial.number for trial in below]
        assert list(bad) == [trial.number for trial in above]


def test_one_constraint_of_large_numbers_does_not_decide_alone() -> None:
    history = History(study(constraints=["weights <= 1", "loss <= 1"]))
    broken = [{"weights <= 1": 1e6}, {"weights <= 1": 1e5, "loss <= 1": 2.0}, {"loss <= 1": 1.0},
              {"loss <= 1": float("inf")}, {}, {"loss <= 1": 0.0}]  # fmt: skip
    history.update([observed(number, {}, 0.0, violations=item) for number, item in enumerate(broken)])
    assert list(history.infeasible()) == [5, 2, 0, 1, 3]
    assert history.violations.max() == WORST


def test_cma_es_and_nsga2_learn_to_keep_a_metric_in_its_limit() -> None:
    space = {name: {"type": "float", "low": 0, "high": 1} for name in "ab"}
    for name in ("cmaes", "nsga2"):
        sampler = {"name": name, "population": 6}
        history = History(study(space, ["cost <= 0.5"], sampler=sampler))
        for number in range(90):
            (suggestion,) = suggest(history, [{}])
            p: Any = suggestion.parameters
            cost = p["a"] + p["b"]
            violations = {"cost <= 0.5": cost - 0.5} if cost > 0.5 else {}
            history.update([observed(number, p, -cost, attributes=suggestion.sampler_attributes,
                                     violations=violations)])  # fmt: skip
        late = history.points[60:].sum(axis=1)
        assert np.mean(late <= 0.6) > 0.3, name  # of random points 0.18
