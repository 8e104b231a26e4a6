"""Samplers over conditional spaces: they draw what is active, and learn of a parameter from the trials that had it."""

from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hpsearch.errors import InvalidSpec
from hpsearch.sampler_spec import TPESampler
from hpsearch.search import tpe
from hpsearch.search.distributions import configuration_faults, distributions_of
from hpsearch.search.history import History
from hpsearch.search.samplers import suggest
from hpsearch.spec import StudySpec, parse_study
from hpsearch.trials import Observation, Suggestion, TrialState
from tests.conftest import loop_study
from tests.spaces import LAYERED, conditional_spaces, present

SAMPLERS: list[dict[str, Any]] = [
    {"name": "random"},
    {"name": "tpe", "startup_trials": 4},
    {"name": "tpe", "startup_trials": 4, "multivariate": False},
    {"name": "cmaes", "population": 4},
    {"name": "qmc"},
    {"name": "gp", "startup_trials": 20},
    {"name": "nsga2", "population": 4},
]


def study(space: Any = None, **changes: Any) -> StudySpec:
    return parse_study(loop_study(space=space or LAYERED, budget={"trials": 10_000}, **changes))


def value_of(parameters: Any) -> float:
    far = abs(np.log10(parameters["rate"]) + 2) + (parameters["cell"] != "lstm") + parameters.get("units[1]", 40) / 64
    return float(far + abs(parameters.get("forget", 2.0) - 1))


def told(number: int, suggestion: Suggestion, value: float, state: TrialState = TrialState.COMPLETE) -> Observation:
    values = [value] if state is TrialState.COMPLETE else None
    return Observation(number, state, suggestion.parameters, values, None, None, suggestion.sampler_attributes,
                       number + 1)  # fmt: skip


def expected_names(space: Any, parameters: Any) -> list[str]:
    """The names that should be there: what is missing is given any value, as only what is there can matter."""
    whole = {name: parameters.get(name, _any(item)) for name, item in space.items()}
    return [name for name in space if present(space, whole, name)]


def _any(parameter: Any) -> Any:
    return next(
        (parameter[field][0] for field in ("choices", "values") if field in parameter),
        parameter.get("value", parameter.get("low")),
    )


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_suggestions_hold_the_active_parameters_and_no_others(sampler: Any) -> None:
    history = History(study(sampler=sampler))
    seen = set()
    for number in range(40):
        (suggestion,) = suggest(history, [{}])
        assert list(suggestion.parameters) == expected_names(LAYERED, suggestion.parameters)
        assert configuration_faults(history.spec, suggestion.parameters, "") == []
        state = TrialState.RUNNING if number % 5 == 4 else TrialState.COMPLETE
        history.update([told(number, suggestion, value_of(suggestion.parameters), state)])
        seen |= suggestion.parameters.keys()
    assert seen == LAYERED.keys()
    for suggestion in suggest(history, [{}] * 9):
        assert list(suggestion.parameters) == expected_names(LAYERED, suggestion.parameters)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_a_restart_in_a_conditional_study_changes_nothing(sampler: Any) -> None:
    spec = study(sampler=sampler)
    kept, seen = History(spec), []
    for number in range(16):
        fresh = History(spec)
        fresh.update(seen)
        suggestions = suggest(kept, [{}])
        assert suggest(fresh, [{}]) == suggestions
        seen.append(told(number, suggestions[0], value_of(suggestions[0].parameters)))
        kept.update(seen[-1:])


@settings(max_examples=30, deadline=None)
@given(conditional_spaces(), st.sampled_from([*SAMPLERS[:3], *SAMPLERS[4:], {"name": "grid"}]), st.integers(0, 99))
def test_any_conditional_space_is_sampled_rightly(space: Any, sampler: Any, seed: int) -> None:
    try:
        history = History(study(space, sampler=sampler, seed=seed))
    except InvalidSpec:
        return
    for number in range(8):
        for suggestion in suggest(history, [{}]):
            assert list(suggestion.parameters) == expected_names(space, suggestion.parameters)
            history.update([told(number, suggestion, float(number * 7 % 5))])


def test_what_is_settled_decides_what_is_active() -> None:
    for sampler in SAMPLERS:
        history = History(study(sampler=sampler))
        for number in range(12):
            (suggestion,) = suggest(history, [{"cell": "lstm", "layers": 1 + number % 3}])
            assert list(suggestion.parameters) == expected_names(LAYERED, suggestion.parameters)
            assert "forget" in suggestion.parameters
            history.update([told(number, suggestion, float(number))])


def test_groups_are_told_apart_by_what_conditions_let_through_not_by_how_they_are_written() -> None:
    one = {"type": "float", "low": 0, "high": 1}
    space = {
        "layers": {"type": "int", "low": 1, "high": 3},
        "a": {**one, "when": {"layers": {"min": 2}}},
        "b": {**one, "when": {"layers": [2, 3]}},
        "c": {**one, "when": {"layers": 3}},
        "d": {**one, "when": {"a": {"max": 0.5}}},
    }
    assert History(study(space)).space.groups == ([0], [1, 2], [3], [4])


@pytest.mark.filterwarnings("ignore:Argument ``group`` is an experimental")
def test_tpe_models_a_group_as_optunas_grouped_tpe_does() -> None:
    """The same distribution of suggestions where the branch of the suggestion is the same."""
    space = {
        "x": {"type": "float", "low": -5, "high": 5},
        "cell": {"type": "categorical", "choices": ["lstm", "gru"]},
        "forget": {"type": "float", "low": -1, "high": 2, "when": {"cell": "lstm"}},
        "units": {"type": "int", "low": 1, "high": 64, "log": True, "when": {"cell": "lstm"}},
        "other": {"type": "float", "low": 0, "high": 1, "when": {"cell": "gru"}},
    }
    history, rng = History(study(space)), np.random.default_rng(3)
    distributions = distributions_of(history.spec.space)
    whole = optuna.create_study()
    points = history.space.without_inactive(history.space.points_at(rng.random((60, 5))))
    for number, point in enumerate(points):
        parameters: Any = history.space.parameters(point, {})
        value = abs(parameters["x"]) + abs(parameters.get("forget", 3.0) - 1) + parameters.get("other", 0.0)
        history.update([told(number, Suggestion(parameters), value)])
        kinds = {name: distributions[name] for name in parameters}
        whole.add_trial(optuna.trial.create_trial(value=value, params=parameters, distributions=kinds))
    theirs: dict[str, list[Any]] = {name: [] for name in space}
    ours: dict[str, list[Any]] = {name: [] for name in space}
    for seed in range(200):
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=False)
        probe = optuna.study.Study(whole.study_name, whole._storage, sampler=sampler)
        trial = optuna.trial.create_trial(state=optuna.trial.TrialState.WAITING)
        trial.number = 60
        found = sampler.sample_relative(probe, trial, sampler.infer_relative_search_space(probe, trial))
        start = history.space.points_at(np.random.default_rng(seed).random((1, 5)))
        drawn = tpe.suggest(history, TPESampler(), np.random.default_rng(seed), range(5), 1, start)
        mine = history.space.parameters(history.space.without_inactive(drawn)[0], {})
        for name in space:
            if name in mine:
                ours[name].append(mine[name])
            theirs[name].append(found[name])  # of both branches: which one is decided by whoever suggests
    for name in ("x", "forget", "units", "other"):
        assert len(ours[name]) < 10 or stats.ks_2samp(ours[name], theirs[name]).pvalue > 1e-4, name
    assert len(ours["forget"]) > 100
    gru = [sum(cell == "gru" for cell in found) / 200 for found in (ours["cell"], theirs["cell"])]
    assert gru[0] == pytest.approx(gru[1], abs=0.12)


def test_tpe_finds_the_good_branch_and_its_parameters() -> None:
    history = History(study(sampler={"name": "tpe"}))
    for number in range(60):
        (suggestion,) = suggest(history, [{}])
        history.update([told(number, suggestion, value_of(suggestion.parameters))])
    late = [history.space.parameters(point, {}) for point in history.points[40:]]
    forget = [float(item["forget"]) for item in late if "forget" in item]  # type: ignore[arg-type]
    assert len(forget) > 10
    assert np.median(np.abs(np.array(forget) - 1)) < 0.4


def test_an_ordinal_is_searched_by_its_order() -> None:
    """What lies between good values is held for good, untried as it is; of categories it is not."""
    share = {}
    for kind in ("ordinal", "categorical"):
        field = {"ordinal": "values", "categorical": "choices"}[kind]
        history = History(study({"x": {"type": kind, field: list(range(9))}}))
        trials = [Suggestion({"x": x}) for x in (3, 5, 0, 1, 2, 6, 7, 8) for _ in range(5)]
        history.update([told(n, item, abs(item.parameters["x"] - 4.0) - n % 2) for n, item in enumerate(trials)])  # type: ignore[operator]
        found = [tpe.suggest(history, TPESampler(), np.random.default_rng(seed), [0], 1)[0, 0] for seed in range(80)]
        share[kind] = np.mean(np.array(found) == 4)
    assert share["ordinal"] > share["categorical"] + 0.3, share
