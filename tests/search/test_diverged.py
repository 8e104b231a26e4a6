"""Trials that diverged are taught to the samplers as the worst of all."""

from typing import Any

import numpy as np
import pytest
from cmaes import CMA

from hpsearch.sampler_spec import TPESampler
from hpsearch.search import tpe
from hpsearch.search.genetic import HistoryStorage
from hpsearch.search.history import History
from hpsearch.search.samplers import suggest
from hpsearch.spec import StudySpec, parse_study
from hpsearch.trials import Observation, TrialState
from tests.conftest import loop_study

NSGA2_GENERATION = "NSGAIISampler:generation"
"""Optuna's word."""
SPACE = {name: {"type": "float", "low": 0, "high": 1} for name in ("x", "y")}


def study(sampler: Any, direction: str = "minimize") -> StudySpec:
    spec = loop_study(space=SPACE, sampler=sampler, budget={"trials": 1000})
    return parse_study(spec | {"objective": {"direction": direction}})


def complete(number: int, x: float, value: float, attributes: Any = None, revision: int | None = None) -> Observation:
    revision = number + 1 if revision is None else revision
    parameters = {"x": x, "y": 0.5}
    return Observation(number, TrialState.COMPLETE, parameters, [value], None, None, attributes or {}, revision)


def diverged(number: int, x: float, attributes: Any = None, revision: int | None = None) -> Observation:
    revision = number + 1 if revision is None else revision
    parameters = {"x": x, "y": 0.5}
    return Observation(number, TrialState.FAILED, parameters, None, None, None, attributes or {}, revision, True)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_tpe_holds_them_for_bad_and_ranks_them_last(direction: str) -> None:
    history = History(study({"name": "tpe"}, direction))
    history.update([complete(n, n / 40, float(n)) for n in range(10)])
    pruned = Observation(10, TrialState.PRUNED, {"x": 0.3, "y": 0.5}, None, 1, 1e9, {}, 11)
    history.update([pruned, *(diverged(n, 0.9) for n in range(11, 41))])
    good, bad, _ = tpe._split(history, TPESampler())
    best = range(5) if direction == "minimize" else range(5, 10)
    assert list(good) == list(best)  # a tenth of 41, rounded up
    assert set(bad) == set(range(41)) - set(best)
    history = History(study({"name": "tpe"}, direction))
    history.update([diverged(n, n / 40) for n in range(30)])
    good, bad, _ = tpe._split(history, TPESampler())
    assert (len(good), len(bad)) == (0, 30)
    assert set(suggest(history, [{}])[0].parameters) == {"x", "y"}


def test_tpe_goes_away_from_where_trials_diverge() -> None:
    """It gets better and better up to where half the space diverges; another failure teaches nothing."""
    places = {}
    for lesson in (True, False):
        history = History(study({"name": "tpe"}))
        rng = np.random.default_rng(0)
        for number, x in enumerate(rng.random(40)):
            failed = Observation(
                number, TrialState.FAILED, {"x": x, "y": 0.5}, None, None, None, {}, number + 1, lesson
            )
            history.update([complete(number, x, -x) if x < 0.5 else failed])
        points = [tpe.suggest(history, TPESampler(), np.random.default_rng(s), [0, 1], 1)[0, 0] for s in range(60)]
        places[lesson] = float(np.mean(np.array(points) > 0.5))
    assert places[True] < 0.75 * places[False]


def test_they_count_as_trials_that_a_sampler_has_learned_from() -> None:
    history = History(study({"name": "tpe", "startup_trials": 5}))
    before = suggest(history, [{}])
    history.update([diverged(n, 0.9) for n in range(5)])
    assert history.lessons == [0, 1, 2, 3, 4]
    assert history.completions == []
    assert suggest(history, [{}]) != before


def test_cma_es_is_told_a_value_worse_than_all_of_the_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(CMA, "tell", lambda self, solutions: told.append([value for _, value in solutions]))
    history = History(study({"name": "cmaes", "population": 4, "startup_trials": 0}))
    generation = {"cmaes": 0}
    history.update([diverged(0, 0.9, generation), complete(1, 0.1, -3.0, generation), diverged(2, 0.8, generation)])
    history.update([complete(3, 0.2, 500.0, generation)])
    suggest(history, [{}])
    assert told == [[1000.0, -3.0, 1000.0, 500.0]]


def test_cma_es_finds_the_bottom_beside_a_cliff() -> None:
    history = History(study({"name": "cmaes"}))
    values = []
    for number in range(120):
        (suggestion,) = suggest(history, [{}])
        x, y = (float(value) for value in suggestion.parameters.values())  # type: ignore[arg-type]
        failed = x > 0.6
        values.append(np.inf if failed else (x - 0.5) ** 2 + (y - 0.3) ** 2)
        state = TrialState.FAILED if failed else TrialState.COMPLETE
        told = None if failed else [values[-1]]
        history.update([Observation(number, state, suggestion.parameters, told, None, None,
                                    suggestion.sampler_attributes, number + 1, failed)])  # fmt: skip
    assert min(values[80:]) < 0.01


@pytest.mark.parametrize(("direction", "worst"), [("minimize", 1.7e308), ("maximize", -1.7e308)])
def test_nsga_2_sees_the_worst_value_that_there_is(direction: str, worst: float) -> None:
    history = History(study({"name": "nsga2", "population": 4}, direction))
    generation = {NSGA2_GENERATION: 0}
    history.update([complete(0, 0.1, 1.0, generation), *(diverged(n, 0.9, generation) for n in (1, 2, 3))])
    values = [trial.value for trial in HistoryStorage(history, 4, NSGA2_GENERATION).get_all_trials(0)]
    assert values[0] == 1.0
    assert all(abs(value) > abs(worst) and np.sign(value) == np.sign(worst) for value in values[1:])
    (suggestion,) = suggest(history, [{}])
    assert suggestion.sampler_attributes[NSGA2_GENERATION] == 1


def test_one_that_is_tried_again_was_never_told() -> None:
    """A server that saw it diverge knows afterwards what another does that saw only its end."""
    generation = {"cmaes": 0}
    spec = study({"name": "cmaes", "population": 4, "startup_trials": 0})
    seen, fresh = History(spec), History(spec)
    others = [complete(number, number / 10, float(number), generation) for number in (1, 2, 3)]
    seen.update([diverged(0, 0.9, generation), *others])
    suggest(seen, [{}])
    waiting = Observation(0, TrialState.WAITING, {"x": 0.9, "y": 0.5}, None, None, None, generation, 5)
    seen.update([waiting])
    assert np.isnan(seen.losses[0])
    end = complete(0, 0.9, 2.0, generation, revision=6)
    seen.update([end])
    fresh.update([*others, end])
    assert seen.lessons == fresh.lessons == [1, 2, 3, 0]
    assert suggest(seen, [{}]) == suggest(fresh, [{}])
