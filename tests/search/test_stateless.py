"""Samplers with a state: it follows from the trials, so restarts and other servers change nothing."""

from typing import Any

import numpy as np
import pytest

from hpsearch.errors import InvalidSpec
from hpsearch.search.history import History
from hpsearch.search.samplers import suggest
from hpsearch.spec import StudySpec, parse_study
from hpsearch.trials import Observation, TrialState
from tests.conftest import loop_study

SPACE = {
    "x": {"type": "float", "low": -5, "high": 5},
    "rate": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
    "units": {"type": "int", "low": 1, "high": 64},
    "cell": {"type": "categorical", "choices": ["lstm", "gru"]},
}
GRID = {
    "a": {"type": "int", "low": 1, "high": 3},
    "b": {"type": "categorical", "choices": ["p", "q"]},
    "c": {"type": "float", "low": 0.0, "high": 1.0, "step": 0.5},
    "d": {"type": "int", "low": 7, "high": 7},
}
SAMPLERS = [{"name": "cmaes", "population": 6}, {"name": "qmc"}, {"name": "qmc", "sequence": "halton"}]
SAMPLERS += [
    {"name": "nsga2", "population": 8},
    {"name": "nsga3", "population": 8},
    {"name": "tpe"},
    {"name": "random"},
    {"name": "gp", "startup_trials": 36},
]
SAMPLERS += [
    {"name": "auto"},
    {"name": "tpe", "startup": "quasi_random", "exploration": 0.3, "rank_pruned_by": "value"},
]


def study(space: Any = None, **changes: Any) -> StudySpec:
    return parse_study(loop_study(**({"space": space or SPACE, "budget": {"trials": 10_000}} | changes)))


def observation(number: int, suggestion: Any, revision: int) -> Observation:
    value = (suggestion.parameters["x"] - 2) ** 2 + abs(np.log10(suggestion.parameters["rate"]) + 2)
    attributes = suggestion.sampler_attributes
    return Observation(number, TrialState.COMPLETE, suggestion.parameters, [value], None, None, attributes, revision)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_a_restart_in_the_middle_changes_nothing(sampler: Any) -> None:
    spec = study(sampler=sampler)
    kept, seen = History(spec), []
    for number in range(40):
        fresh = History(spec)
        fresh.update(seen)
        suggestions = suggest(kept, [{}])
        assert suggest(fresh, [{}]) == suggestions
        seen.append(observation(number, suggestions[0], number + 1))
        kept.update(seen[-1:])


def test_cma_es_learns_in_the_order_in_which_trials_were_told() -> None:
    """A straggler of an old generation changes nothing that newer ones were built on."""
    spec = study(sampler={"name": "cmaes", "population": 4, "startup_trials": 0})
    history = History(spec)
    first = suggest(history, [{}] * 5)
    assert {suggestion.sampler_attributes["cmaes"] for suggestion in first} == {0}
    history.update([Observation(n, TrialState.RUNNING, s.parameters, None, None, None, s.sampler_attributes, n + 1)
                    for n, s in enumerate(first)])  # fmt: skip
    history.update([observation(number, first[number], 10 + number) for number in (4, 2, 1, 3)])
    (second,) = suggest(history, [{}])
    assert second.sampler_attributes == {"cmaes": 1}
    history.update([observation(0, first[0], 20)])
    again = History(spec)
    again.update([observation(number, first[number], revision) for revision, number in enumerate((4, 2, 1, 3, 0), 10)])
    ((one,), (other,)) = suggest(again, [{}]), suggest(history, [{}])
    assert (one.parameters, one.sampler_attributes) == (other.parameters, other.sampler_attributes)


def test_cma_es_finds_the_bottom() -> None:
    space = {name: {"type": "float", "low": -5, "high": 5} for name in "uvw"}
    history = History(study(space, sampler={"name": "cmaes"}))
    values = []
    for number in range(150):
        (suggestion,) = suggest(history, [{}])
        values.append(sum((float(value) - 1) ** 2 for value in suggestion.parameters.values()))  # type: ignore[arg-type]
        history.update([Observation(number, TrialState.COMPLETE, suggestion.parameters, [values[-1]], None, None,
                                    suggestion.sampler_attributes, number + 1)])  # fmt: skip
    assert min(values[100:]) < 0.05


def test_a_quasi_random_sequence_fills_the_space_evenly() -> None:
    for sequence in ("sobol", "halton"):
        history = History(study({"u": SPACE["x"], "v": SPACE["x"]}, sampler={"name": "qmc", "sequence": sequence}))
        points = np.array([list(item.parameters.values()) for item in suggest(history, [{}] * 64)], dtype=float)
        counts, *_ = np.histogram2d(points[:, 0], points[:, 1], bins=4, range=[[-5, 5], [-5, 5]])
        assert counts.min() >= 2  # of 4 on average


def test_a_grid_gives_each_point_once_and_then_no_more() -> None:
    spec = study(GRID, sampler={"name": "grid"}, budget={"trials": 100})
    assert spec.budget_trials == 18
    history = History(spec)
    for number in range(0, 18, 3):
        for turn, suggestion in enumerate(suggest(history, [{}] * 3)):
            history.update([Observation(number + turn, TrialState.FAILED, suggestion.parameters, None, None, None,
                                        suggestion.sampler_attributes, number + turn + 1)])  # fmt: skip
    points = {tuple(history.points[number]) for number in range(18)}
    assert len(points) == 18
    assert suggest(history, [{}]) == []


def test_a_grid_needs_steps_and_no_budget() -> None:
    assert study(GRID, sampler={"name": "grid"}, budget={}).budget_trials == 18
    with pytest.raises(InvalidSpec, match=r"space\.x\.step"):
        study(sampler={"name": "grid"})
    with pytest.raises(InvalidSpec, match=r"sampler\.name: cmaes needs at least two"):
        study({"x": SPACE["x"]}, sampler={"name": "cmaes"})


def test_an_enqueued_trial_takes_no_point_of_the_grid() -> None:
    history = History(study(GRID, sampler={"name": "grid"}))
    (given,) = suggest(history, [{"a": 1, "b": "p", "c": 0.5}])
    assert given.sampler_attributes == {}
    assert given.parameters == {"a": 1, "b": "p", "c": 0.5, "d": 7}


@pytest.mark.parametrize("sampler", [*SAMPLERS, {"name": "brute_force"}], ids=str)
def test_the_same_seed_gives_the_same_study_with_one_worker(sampler: Any) -> None:
    def run(seed: int) -> list[Any]:
        space = GRID | {"x": {"type": "int", "low": 0, "high": 9}, "rate": {"type": "float", "low": 1, "high": 1}}
        history = History(study(space if sampler["name"] == "brute_force" else None, sampler=sampler, seed=seed))
        found = []
        for number in range(30):
            found += suggest(history, [{}])
            history.update([observation(number, found[-1], number + 1)])
        return found

    assert run(0) == run(0)
    assert run(0) != run(1)


def test_brute_force_has_every_configuration_once_and_counts_what_was_enqueued() -> None:
    spec = study(GRID, sampler={"name": "brute_force"}, budget={})
    assert spec.budget_trials == 18
    history = History(spec)
    enqueued = suggest(history, [{"a": 1, "b": "p", "c": 0.5}])
    tried = list(enqueued)
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED, TrialState.RUNNING]

    def take_in(suggestions: Any) -> None:
        for suggestion in suggestions:
            number = len(history)
            history.update([Observation(number, states[number % 4], suggestion.parameters, [0.0], None, None,
                                        suggestion.sampler_attributes, number + 1)])  # fmt: skip

    take_in(enqueued)
    for count in (3, 1, 8, 2, 50):
        found = suggest(history, [{}] * count)
        tried += found
        take_in(found)
    assert len(tried) == 18
    assert len({tuple(item.parameters.items()) for item in tried}) == 18
    assert suggest(history, [{}]) == []


def test_brute_force_in_a_space_too_large_to_list() -> None:
    large = {f"x{index}": {"type": "int", "low": 0, "high": 9} for index in range(40)}
    with pytest.raises(InvalidSpec, match=r"budget\.trials"):
        study(large, sampler={"name": "brute_force"}, budget={})
    spec = study(large, sampler={"name": "brute_force"}, budget={"wall_clock": 60.0})
    assert spec.budget_trials is None
    found = suggest(History(spec), [{}] * 20)
    assert len({tuple(item.parameters.values()) for item in found}) == 20


def test_brute_force_needs_steps() -> None:
    with pytest.raises(InvalidSpec, match=r"space\.x\.step"):
        study(sampler={"name": "brute_force"})


def test_a_share_of_the_trials_stays_at_random() -> None:
    """They are the trials that the random sampler would make under the same numbers."""
    explored = {}
    for share in (0.0, 0.4, 1.0):
        history = History(study(sampler={"name": "tpe", "startup_trials": 0, "exploration": share}))
        chance = History(study(sampler={"name": "random"}))
        alike = 0
        for number in range(100):
            (mine,), (other,) = suggest(history, [{}]), suggest(chance, [{}])
            alike += number >= 10 and mine.parameters == other.parameters
            history.update([observation(number, mine, number + 1)])
            chance.update([observation(number, mine, number + 1)])
        explored[share] = alike / 90
    assert explored[0.0] == 0
    assert 0.25 < explored[0.4] < 0.55
    assert explored[1.0] == 1


def test_the_first_trials_can_be_quasi_random() -> None:
    history = History(study(sampler={"name": "tpe", "startup_trials": 8, "startup": "quasi_random"}))
    sequence = History(study(sampler={"name": "qmc"}))
    assert suggest(history, [{}] * 8) == suggest(sequence, [{}] * 8)


@pytest.mark.parametrize("options", [{}, {"multivariate": False}, {"startup": "quasi_random", "exploration": 0.5}])
@pytest.mark.parametrize("counts", [[1] * 18, [3, 1, 8, 2, 4]])
def test_tpe_without_duplicates_has_every_configuration_once(options: Any, counts: list[int]) -> None:
    sampler = {"name": "tpe", "startup_trials": 4, "duplicates": False} | options
    history, tried = History(study(GRID, sampler=sampler, budget={"trials": 18})), set()
    for count in counts:
        for suggestion in suggest(history, [{}] * count):
            number, parameters = len(history), suggestion.parameters
            tried.add(tuple(parameters.items()))
            loss = float(parameters["a"] + parameters["c"])
            history.update([Observation(number, TrialState.COMPLETE, parameters, [loss], None, None, {}, number + 1)])
    assert len(tried) == len(history) == 18
    assert len(suggest(history, [{}])) == 1, "where all are taken one comes again"


@pytest.mark.parametrize("startup", ["random", "quasi_random"])
def test_tpe_without_duplicates_has_what_constraints_allow_once(startup: str) -> None:
    sampler = {"name": "tpe", "startup_trials": 6, "startup": startup, "duplicates": False}
    space = {name: {"type": "int", "low": 1, "high": 5} for name in "ab"}
    for seed in range(10):
        spec = study(space, sampler=sampler, constraints=["a + b <= 5"], budget={"trials": 10}, seed=seed)
        history, tried = History(spec), set()
        for number in range(10):
            ((parameters, loss),) = [(item.parameters, float(item.parameters["a"])) for item in suggest(history, [{}])]
            tried.add(tuple(parameters.items()))
            history.update([Observation(number, TrialState.COMPLETE, parameters, [loss], None, None, {}, number + 1)])
        assert len(tried) == 10, seed
