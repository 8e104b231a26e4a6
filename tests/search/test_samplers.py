"""Samplers as functions: history in, parameters out."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.search import tpe
from hpsearch.search.distributions import configuration_faults
from hpsearch.search.fronts import by_fronts, hypervolume
from hpsearch.search.history import History
from hpsearch.search.samplers import suggest
from hpsearch.spec import StudySpec, parse_study
from hpsearch.trials import Trial, TrialState
from tests.conftest import loop_study

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPACE = {
    "x": {"type": "float", "low": -5, "high": 5},
    "rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
    "grid": {"type": "float", "low": 0.0, "high": 0.9, "step": 0.3},
    "units": {"type": "int", "low": 8, "high": 512, "log": True},
    "layers": {"type": "int", "low": 1, "high": 9, "step": 2},
    "cell": {"type": "categorical", "choices": ["lstm", 1, None, 2.5, False]},
    "only": {"type": "int", "low": 3, "high": 3},
    "one": {"type": "categorical", "choices": ["single"]},
}
TWO = {"one": "minimize", "other": "maximize"}
SAMPLERS = [{"name": "random"}, {"name": "tpe", "startup_trials": 4}, {"name": "tpe", "multivariate": False}]
SAMPLERS += [{"name": "gp", "startup_trials": 10}]


def study(**changes: Any) -> StudySpec:
    return parse_study(loop_study(**({"space": SPACE} | changes)))


def trial(number: int, parameters: Any, state: TrialState = TrialState.COMPLETE, value: float = 0.0) -> Trial:
    return Trial(
        study="bowl",
        number=number,
        state=state,
        parameters=parameters,
        seed=number,
        values=(value,) if state in (TrialState.COMPLETE, TrialState.PRUNED) else None,
        last_step=3 if state is TrialState.PRUNED else None,
        last_value=value if state is TrialState.PRUNED else None,
        created_at=NOW,
        started_at=NOW,
        finished_at=NOW if state.is_finished else None,
        revision=number + 1,
    )


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_suggestions_lie_in_the_space_and_are_plain_values(sampler: Any) -> None:
    history = History(study(sampler=sampler))
    for number in range(25):
        (suggestion,) = suggest(history, [{}])
        assert configuration_faults(history.spec, suggestion.parameters, "") == []
        assert list(suggestion.parameters) == list(SPACE)
        assert all(type(value) in (int, float, str, bool, type(None)) for value in suggestion.parameters.values())
        state = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED, TrialState.RUNNING][number % 4]
        history.update([trial(number, suggestion.parameters, state, float(number))])


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_the_same_history_gives_the_same_suggestions(sampler: Any) -> None:
    first, second = History(study(sampler=sampler)), History(study(sampler=sampler))
    for number in range(15):
        suggestions = suggest(first, [{}])
        assert suggestions == suggest(second, [{}])
        for history in (first, second):
            history.update([trial(number, suggestions[0].parameters, value=float(number % 5))])
    assert suggest(first, [{}]) != suggest(History(study(sampler=sampler, seed=1)), [{}])


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_suggestions_of_one_call_differ(sampler: Any) -> None:
    history = History(study(sampler=sampler))
    for number in range(12):
        history.update([trial(number, suggest(history, [{}])[0].parameters, value=float(number))])
    suggestions = suggest(history, [{}] * 8)
    assert len({repr(suggestion.parameters) for suggestion in suggestions}) == 8


def test_settled_parameters_stay_and_the_rest_is_filled_in() -> None:
    (suggestion,) = suggest(History(study()), [{"x": 1.25, "cell": None}])
    assert suggestion.parameters["x"] == 1.25
    assert suggestion.parameters["cell"] is None
    assert set(suggestion.parameters) == set(SPACE)


def test_tpe_finds_the_bottom_of_a_bowl_sooner_than_chance() -> None:
    space = {"x": {"type": "float", "low": -5, "high": 5}, "y": {"type": "float", "low": -5, "high": 5}}

    def best_of(sampler: str, seed: int) -> float:
        history = History(study(space=space, sampler={"name": sampler}, seed=seed))
        values = []
        for number in range(60):
            (suggestion,) = suggest(history, [{}])
            values.append(sum((float(value) - 1) ** 2 for value in suggestion.parameters.values()))  # type: ignore[arg-type]
            history.update([trial(number, suggestion.parameters, value=values[-1])])
        return min(values)

    seeds = range(7)
    wins = sum(best_of("tpe", seed) < best_of("random", seed) for seed in seeds)
    assert wins >= 5


@given(
    st.floats(allow_nan=True, allow_infinity=True) | st.integers() | st.text(max_size=3) | st.booleans() | st.none(),
    st.sampled_from(sorted(SPACE)),
)
def test_a_value_that_is_accepted_is_one_that_the_sampler_can_take_in(value: Any, name: str) -> None:
    spec = study()
    if not configuration_faults(spec, {name: value}, ""):
        history = History(spec)
        (suggestion,) = suggest(history, [{name: value}])
        history.update([trial(0, suggestion.parameters)])
        suggest(history, [{}])


@pytest.mark.parametrize("name", ["tpe", "nsga2", "nsga3"])
def test_several_metrics_are_searched_better_than_by_chance(name: str) -> None:
    """Two bowls, whose bottoms are apart: the front is the line between them."""
    space = {f"x{place}": {"type": "float", "low": -2, "high": 2} for place in range(4)}
    metrics = {"metrics": TWO}
    options: dict[str, Any] = {} if name in ("tpe", "random") else {"population": 10}

    def volume_of(sampler: dict[str, Any], seed: int) -> float:
        history = History(parse_study(loop_study(space=space, sampler=sampler, seed=seed) | {"objective": metrics}))
        for number in range(120):
            (suggestion,) = suggest(history, [{}])
            point = np.array([float(value) for value in suggestion.parameters.values()])  # type: ignore[arg-type]
            values = float(((point - 0.5) ** 2).sum()), -float(((point + 0.5) ** 2).sum())
            told = trial(number, suggestion.parameters)
            history.update([replace(told, values=values, sampler_attributes=suggestion.sampler_attributes)])
        return hypervolume(history.every_loss, np.array([6.0, 6.0]))

    ours = [volume_of({"name": name, **options}, seed) for seed in range(6)]
    chance = [volume_of({"name": "random"}, seed) for seed in range(6)]
    assert np.median(ours) > np.quantile(chance, 0.75), (ours, chance)


def test_a_long_history_of_several_metrics_is_split_by_a_pool_that_keeps_the_best() -> None:
    history = History(parse_study(loop_study(sampler={"name": "tpe"}) | {"objective": {"metrics": TWO}}))
    chance = np.random.default_rng(0)
    whole = chance.normal(size=(3500, 2))
    for number, values in enumerate(whole):
        history.update([replace(trial(number, {"x": 0.0}), values=tuple(values))])
        if number == 2200:
            tpe._best_by_fronts(history, np.ones(len(history), dtype=bool), 25)
    found = tpe._best_by_fronts(history, np.ones(len(history), dtype=bool), 25)
    expected = by_fronts(whole * [1.0, -1.0], 25 + tpe.NEAREST_BAD, 25)
    assert set(found[:25]) == set(expected[:25])
    fresh = History(history.spec)
    fresh.update([replace(trial(number, {"x": 0.0}), values=tuple(values)) for number, values in enumerate(whole)])
    assert found.tolist() == tpe._best_by_fronts(fresh, np.ones(len(fresh), dtype=bool), 25).tolist()
