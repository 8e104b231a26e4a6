"""Earlier studies as knowledge: heeded where they agree, forgotten where they mislead, the same on every server."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hpsearch.automatic import choice_of, sampler_of
from hpsearch.earlier import Found
from hpsearch.errors import InvalidSpec
from hpsearch.search import earlier, heeding
from hpsearch.search.ended import Ended
from hpsearch.search.history import History
from hpsearch.search.samplers import suggest
from hpsearch.search.space import Space
from hpsearch.spec import StudySpec, parse_study
from hpsearch.trials import Observation, Parameters, TrialState
from tests.conftest import loop_study

UNIT = {"type": "float", "low": 0, "high": 1}
RATE = {"type": "float", "low": 1e-4, "high": 1.0, "log": True}
SPACE = {"x": UNIT, "y": UNIT, "rate": RATE, "cell": {"type": "categorical", "choices": ["lstm", "gru", "tanh"]}}
Value = Callable[[Parameters], float]


def study(space: Any = None, **changes: Any) -> StudySpec:
    return parse_study(loop_study(space=space or SPACE, **({"sampler": {"name": "tpe"}} | changes)))


def bowl(parameters: Parameters) -> float:
    x, y, rate = (float(parameters[name]) for name in ("x", "y", "rate"))  # type: ignore[arg-type]
    cells = {"lstm": 0.3, "gru": 0.0, "tanh": 0.6}
    return 3 * (x - 0.8) ** 2 + 3 * (y - 0.15) ** 2 + math.log10(rate / 3e-3) ** 2 + cells[str(parameters["cell"])]


def found(value: Value, trials: int = 120, seed: int = 0, space: Any = None) -> Found:
    """What a study of random trials found."""
    whole = Space(study(space).space)
    points = whole.points_at(np.random.default_rng([7, seed]).random((trials, len(whole))))
    configurations = [whole.parameters(point, {}) for point in points]
    order = sorted(range(trials), key=lambda row: value(configurations[row]))
    return Found(
        study="before",
        trials=trials,
        configurations=tuple(configurations[row] for row in order),
        shares=tuple((place + 0.5) / trials for place in range(trials)),
    )


def searched(
    value: Value, known: Sequence[Found], seed: int, trials: int, **changes: Any
) -> tuple[History, list[float]]:
    """A study of one worker, and what its trials came to."""
    history, values = History(study(seed=seed, **changes), known), list[float]()
    for number in range(trials):
        (suggestion,) = suggest(history, [{}])
        values.append(value(suggestion.parameters))
        history.update([observation(number, suggestion.parameters, values[-1], suggestion.sampler_attributes)])
    return history, values


def observation(
    number: int, parameters: Parameters, value: float | None, attributes: Mapping[str, Any] | None = None
) -> Observation:
    state = TrialState.COMPLETE if value is not None else TrialState.FAILED
    values = None if value is None else [value]
    diverged = value is None
    return Observation(number, state, parameters, values, None, None, attributes or {}, number + 1, diverged=diverged)


# --- the study file --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "path", "problem"),
    [
        ({"earlier": ["a", "b", "a"]}, "earlier.2", "'a' is there already"),
        ({"earlier": ["bowl"]}, "earlier.0", "this study itself"),
        ({"earlier": ["a b"]}, "earlier.0", "may hold letters"),
        ({"earlier": [3]}, "earlier.0", "must be a text"),
        ({"earlier": "a"}, "earlier", "must be a list"),
        ({"earlier": [f"s{number}" for number in range(11)]}, "earlier", "at most 10"),
        (
            {"earlier": ["a"], "sampler": {"name": "gp"}},
            "earlier",
            "gp learns from no earlier studies",
        ),
        ({"earlier": ["a"], "sampler": {"name": "random"}}, "earlier", "random learns from no earlier studies"),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(changes: Any, path: str, problem: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        study(**changes)
    assert problem in {fault.path: str(fault) for fault in caught.value.faults}[path]


def test_several_metrics_have_no_ranking_to_compare() -> None:
    metrics = {"metrics": {"loss": "minimize", "size": "minimize"}}
    with pytest.raises(InvalidSpec, match="earlier: cannot be for several metrics"):
        parse_study(loop_study(sampler={"name": "tpe"}, earlier=["a"]) | {"objective": metrics})


def test_auto_makes_use_of_them_where_trials_are_few() -> None:
    few = {"sampler": {"name": "auto"}, "budget": {"trials": 8}}
    assert sampler_of(study(**few)).name == "qmc"
    assert sampler_of(study(earlier=["a"], **few)).name == "tpe"
    assert "earlier studies say where to begin" in choice_of(study(earlier=["a"], **few)).reasons[0]


def test_auto_tries_no_configuration_twice_where_earlier_studies_say_where_to_begin() -> None:
    space = {"a": {"type": "int", "low": 0, "high": 3}, "b": {"type": "int", "low": 0, "high": 2}}

    def value(parameters: Parameters) -> float:
        return float(parameters["a"] or 0) + float(parameters["b"] or 0)

    few = {"sampler": {"name": "auto"}, "budget": {"trials": 10}, "earlier": ["before"], "space": space}
    for seed in range(5):
        history, _ = searched(value, [found(value, space=space)], seed, 10, **few)
        assert len({tuple(point) for point in history.points.tolist()}) == 10
    first = {**few, "sampler": {"name": "auto", "version": 1}}
    assert "duplicates=True" in repr(sampler_of(study(**first)))  # a study keeps the rules that it was made with


# --- another study's configurations in this space --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "values", "wanted"),
    [
        (UNIT, [0.25, 1, 1.5, -0.1, True, "0.5", None], [0.25, 1.0, None, None, None, None, None]),
        (UNIT, [0, 10**400, math.inf], [0.0, None, None]),
        (RATE, [1e-4, 1, 2, 0, -1.0], [1e-4, 1.0, None, None, None]),
        ({"type": "float", "low": 0, "high": 0.9, "step": 0.3}, [0.3, 0.4, 0.95], [0.3, 0.3, 0.9]),
        ({"type": "int", "low": 1, "high": 8}, [1, 3.4, 8, 9, 0], [1, 3, 8, None, None]),
        ({"type": "categorical", "choices": ["a", 1, None]}, ["a", 1, None, "b", True], ["a", 1, None, "-", "-"]),
        ({"type": "ordinal", "values": [16, 64]}, [64, 64.0, 32], [64, 64, "-"]),
    ],
)  # fmt: skip
def test_values_are_those_of_this_space_or_left_out(parameter: Any, values: list[Any], wanted: list[Any]) -> None:
    space = Space(study({"p": parameter, "other": UNIT}).space)
    points = earlier.points_of([{"p": value, "unknown": 3} for value in values], space)
    assert np.isnan(points[:, 1]).all()
    listed = parameter["type"] in ("categorical", "ordinal")
    for coordinate, value in zip(points[:, 0], wanted, strict=True):
        if np.isnan(coordinate):
            assert value == ("-" if listed else None)
        else:
            assert space.dimensions[0].value(coordinate) == pytest.approx(value)


def test_what_only_one_study_searches_says_nothing() -> None:
    space = Space(study({"x": UNIT, "new": UNIT}).space)
    known = earlier.Knowledge([found(bowl)], space)
    assert known.studies[0].known == [0]
    points = np.random.default_rng(0).random((50, 2))
    moved = points.copy()
    moved[:, 1] = 0.5
    np.testing.assert_array_equal(known.scores(points, [0, 1]), known.scores(moved, [0, 1]))
    assert not known.scores(points[:, 1:], [1]).any()
    moved = known.drawn(np.ones(1), np.random.default_rng(1), moved, [0, 1])
    assert (moved[:, 1] == 0.5).all()
    assert abs(np.median(moved[:, 0]) - 0.8) < 0.2


def test_a_range_that_only_meets_is_known_where_it_meets() -> None:
    wide = SPACE | {"x": UNIT | {"low": -2, "high": 3}}
    before = found(bowl, 300, space=wide)
    space = Space(study().space)
    assert earlier.EarlierStudy(before, space).known == [0, 1, 2, 3]
    points = space.points_at(np.random.default_rng(3).random((200, 4)))
    values = [bowl(space.parameters(point, {})) for point in points]
    agreed = earlier.tau(earlier.Knowledge([before], space).scores(points, range(4))[0], -np.array(values))
    assert agreed is not None
    assert agreed > 0.5
    apart = Space(study({"x": UNIT | {"low": 7, "high": 9}, "y": UNIT}).space)
    assert earlier.EarlierStudy(before, apart).known == [1]


# --- agreement -------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=40))
def test_tau_is_scipys(pairs: list[tuple[int, int]]) -> None:
    one, other = (np.array(series, dtype=float) for series in zip(*pairs, strict=True))
    ours, theirs = earlier.tau(one, other), stats.kendalltau(one, other).statistic
    assert ours is None if np.isnan(theirs) else ours == pytest.approx(theirs)


def test_ranks_know_of_every_end() -> None:
    ended = Ended(
        numbers=np.arange(8),
        losses=np.array([0.5, np.nan, np.inf, 0.1, 0.5, np.inf, np.nan, 0.0]),
        pruned=np.array([False, True, False, False, False, False, True, False]),
        infeasible=np.array([False] * 7 + [True]),
        last_steps=np.array([9, 1, 3, 9, 9, -1, 4, 9.0]),
        last_losses=np.array([0.5, 0.2, 9, 0.1, 0.5, 0, 0.3, 0.0]),
    )
    assert ended.ranks().tolist() == [1.5, 4, 6.5, 0, 1.5, 6.5, 3, 5]


@pytest.mark.parametrize(("sign", "least", "most"), [(1, 0.6, 1.0), (-1, -1.0, -0.6)])
def test_agreement_is_found(sign: int, least: float, most: float) -> None:
    history, _ = searched(bowl, [found(lambda item: sign * bowl(item))], 0, 40, sampler={"name": "random"})
    assert len(history.complete()) == 40
    knowledge = history.knowledge
    scores = knowledge.scores(history.points, range(len(history.space)))[0]
    agreed = earlier.tau(scores, -history.losses)
    assert agreed is not None
    assert least <= agreed <= most
    (weight,) = heeding.heeded(history)
    assert (weight > 0.2) if sign > 0 else (weight == 0.0)


def test_weights_follow_agreement_and_fade() -> None:
    def weight(tau: float | None, compared: int) -> float:
        return float(earlier.weights_of([tau], compared, compared)[0])

    assert weight(None, 0) == earlier.PRIOR_TAU
    assert weight(0.9, 10) > weight(0.5, 10) > weight(0.1, 10) > weight(-0.1, 10) > weight(-1.0, 10) == 0.0
    few, more = (earlier.weights_of([0.9], compared, 20)[0] for compared in (2, 20))
    assert few < more  # a few trials may agree by chance …
    assert weight(0.9, 10) > weight(0.9, 50) > weight(0.9, 1000)  # … and many know more themselves
    assert weight(0.9, earlier.FORGOTTEN) < 0.02
    assert weight(0.9, earlier.FORGOTTEN + 1) == 0.0


def test_several_studies_that_say_the_same_count_as_one() -> None:
    one = earlier.weights_of([0.8], 20, 20)
    assert earlier.weights_of([0.8] * 10, 20, 20).sum() == pytest.approx(one.sum())
    mixed = earlier.weights_of([0.8, -0.8], 20, 20)
    assert mixed.tolist() == pytest.approx([one[0], 0.0])


def test_what_diverged_counts_as_worst() -> None:
    history = History(study(), [found(bowl)])
    whole = history.space
    points = whole.points_at(np.random.default_rng(5).random((30, 4)))
    configurations = [whole.parameters(point, {}) for point in points]
    values = [bowl(item) for item in configurations]
    history.update(
        observation(number, item, None if value > np.median(values) else value)
        for number, (item, value) in enumerate(zip(configurations, values, strict=True))
    )
    assert len(history.diverged()) == 15
    assert heeding.heeded(history)[0] > 0.2


# --- what comes of it ------------------------------------------------------------------------------------------------


def shifted(parameters: Parameters) -> float:
    """The bowl on another data set: elsewhere by a little, on another scale, and not the same in all."""
    x, y = float(parameters["x"]), float(parameters["y"])  # type: ignore[arg-type]
    return 100 + 20 * bowl({**parameters, "x": x + 0.05, "y": y - 0.05}) + 5 * math.sin(9 * x)


def bests(known: Callable[[int], Sequence[Found]], trials: int, seeds: int, **changes: Any) -> list[float]:
    return [min(searched(shifted, known(seed), seed, trials, **changes)[1]) for seed in range(seeds)]


def test_an_agreeing_study_makes_a_search_better_from_the_first_trials_on() -> None:
    seeds = 16
    without, helped = (bests(known, 12, seeds) for known in (lambda _: [], lambda seed: [found(bowl, seed=seed)]))
    better = sum(one < other for one, other in zip(helped, without, strict=True))
    assert better >= 12  # by chance: 1 in 26; seen: 14, with other seeds 13 and 14
    assert np.median(helped) < np.median(without)


def test_a_study_that_misleads_costs_time_not_the_result() -> None:
    seeds = 8
    misled = bests(lambda seed: [found(lambda item: -bowl(item), seed=seed)], 60, seeds)
    without = bests(lambda _: [], 60, seeds)
    chance = bests(lambda _: [], 60, seeds, sampler={"name": "random"})
    assert np.mean(misled) < np.mean(without) + 0.5 * (np.mean(chance) - np.mean(without))


def test_one_worker_draws_the_same_again_and_so_does_a_server_that_starts_anew() -> None:
    known = [found(bowl), found(lambda item: -bowl(item), seed=1)]
    history, values = searched(shifted, known, 3, 30)
    told = [
        observation(number, history.space.parameters(history.points[number], {}), value, history.attributes.get(number))
        for number, value in enumerate(values)
    ]
    for number in (0, 1, 5, 9, 10, 11, 20, 29):
        fresh = History(history.spec, [Found.of_json(item.as_json()) for item in known])
        fresh.update(told[:number])
        (suggestion,) = suggest(fresh, [{}])
        assert suggestion.parameters == told[number].parameters, number


def test_a_study_without_earlier_ones_is_searched_as_ever() -> None:
    spec = study(seed=5)
    assert searched(bowl, [], 5, 20)[1] == searched(bowl, [], 5, 20)[1]
    assert not History(spec).knowledge


def test_first_trials_that_followed_an_earlier_study_say_so() -> None:
    agreeing, _ = searched(bowl, [found(bowl)], 1, 20)
    assert 2 <= len(agreeing.attributes) <= 9
    assert max(agreeing.attributes) < 10
    assert set(map(str, agreeing.attributes.values())) == {str(heeding.BY)}
    settled = History(study(), [found(bowl)])
    assert not any(suggest(settled, [{"x": 0.5}])[0].sampler_attributes for _ in range(10))


@pytest.mark.parametrize("multivariate", [True, False])
def test_conditional_parameters_and_constraints_are_heeded(multivariate: bool) -> None:
    space = SPACE | {"bias": UNIT | {"when": {"cell": "lstm"}}}
    sampler = {"name": "tpe", "multivariate": multivariate, "startup_trials": 5}
    history = History(study(space, sampler=sampler, constraints=["x + y <= 1.2"]), [found(bowl)])
    for number in range(30):
        for suggestion in suggest(history, [{}]):
            parameters = suggestion.parameters
            assert ("bias" in parameters) == (parameters["cell"] == "lstm")
            assert float(parameters["x"]) + float(parameters["y"]) <= 1.2  # type: ignore[arg-type]
            history.update([observation(number, parameters, bowl(parameters))])
    assert len(suggest(history, [{}] * 7)) == 7
    assert suggest(history, [{"x": 0.5}])[0].parameters["x"] == 0.5
