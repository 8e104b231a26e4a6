"""Pareto fronts against their definition and against Optuna, hypervolumes by counting cells, the choice by weights by
what it promises."""

from itertools import product

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers._tpe.sampler import _split_complete_trials_multi_objective as optunas_split
from optuna.study._multi_objective import _fast_non_domination_rank as non_domination_rank

from hpsearch.search.fronts import (
    MOST_AT_ONCE,
    by_fronts,
    contributions,
    hypervolume,
    is_on_front,
    nearest,
    reference_point,
)
from hpsearch.search.space import Floats


def points(
    least: int = 0, most: int = 30, metrics: tuple[int, int] = (2, 4), levels: int = 5
) -> st.SearchStrategy[Floats]:
    """Losses on a small grid, so that many are equal, in one metric or in all."""
    return st.integers(*metrics).flatmap(
        lambda width: st.lists(
            st.lists(st.integers(-levels, levels), min_size=width, max_size=width), min_size=least, max_size=most
        ).map(lambda found: np.array(found, dtype=float).reshape(len(found), width))
    )


def dominates(one: Floats, other: Floats) -> bool:
    """The definition: at least as good in every metric, and better in one."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and any(a < b for a, b in zip(one, other, strict=True))


def fronts_of(losses: Floats) -> list[set[int]]:
    """Front after front by the definition: what nothing that is left dominates."""
    left, found = set(range(len(losses))), []
    while left:
        front = {one for one in left if not any(dominates(losses[other], losses[one]) for other in left)}
        found.append(front)
        left -= front
    return found


@settings(deadline=None)
@given(points())
def test_the_front_is_what_nothing_dominates(losses: Floats) -> None:
    expected = [not any(dominates(other, one) for other in losses) for one in losses]
    assert is_on_front(losses).tolist() == expected


@settings(deadline=None, max_examples=30)
@given(st.integers(3, 4), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_a_large_front_is_found_as_a_small_one_is(metrics: int, levels: int, seed: int) -> None:
    """Of so many points that they are taken in pieces, on a grid from coarse to fine; a third of them on a
    sphere, where many are on the front."""
    random = np.random.default_rng(seed)
    losses = random.integers(0, 4**levels, (2 * MOST_AT_ONCE + 7, metrics)).astype(float)
    losses[::3] /= -np.maximum(np.linalg.norm(losses[::3], axis=1, keepdims=True), 1)
    assert (is_on_front(losses) == (non_domination_rank(losses, n_below=1) == 0)).all()


def test_equal_points_are_on_the_front_together() -> None:
    assert is_on_front(np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [2.0, 2.0]])).tolist() == [True, True, True, False]
    assert is_on_front(np.empty((0, 2))).tolist() == []
    assert by_fronts(np.empty((0, 2)), 3).tolist() == []


@settings(deadline=None)
@given(points(least=1), st.data())
def test_points_come_front_after_front_and_within_one_by_number(losses: Floats, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(losses)))
    expected = [number for front in fronts_of(losses) for number in sorted(front)]
    assert by_fronts(losses, count).tolist() == expected[:count]


@settings(deadline=None)
@given(points(least=2), st.data())
def test_the_first_are_those_that_optunas_multi_objective_tpe_takes(losses: Floats, data: st.DataObject) -> None:
    spread = data.draw(st.integers(1, len(losses) - 1))
    count = data.draw(st.integers(spread, len(losses)))
    found = by_fronts(losses, count, spread)
    study = optuna.create_study(directions=["minimize"] * losses.shape[1])
    trials = [
        optuna.trial.create_trial(values=row.tolist(), user_attrs={"number": number})
        for number, row in enumerate(losses)
    ]
    below, _ = optunas_split(trials, study, spread)
    assert sorted(found[:spread].tolist()) == [trial.user_attrs["number"] for trial in below]
    assert len(set(found.tolist())) == len(found) == count


@settings(deadline=None)
@given(points(least=1), st.data())
def test_what_follows_the_first_is_still_front_after_front(losses: Floats, data: st.DataObject) -> None:
    spread = data.draw(st.integers(1, len(losses)))
    ranks = {number: rank for rank, front in enumerate(fronts_of(losses)) for number in front}
    order = [ranks[int(number)] for number in by_fronts(losses, len(losses), spread)]
    assert order == sorted(order)


def cells(losses: Floats, reference: Floats) -> int:
    """The hypervolume of losses on a grid: cells of edge 1 below the reference point that some point is below of."""
    low = losses.min(axis=0).astype(int)
    corners = product(*(range(start, int(end)) for start, end in zip(low, reference, strict=True)))
    return sum(bool((losses <= np.array(corner)).all(axis=1).any()) for corner in corners)


@settings(deadline=None, max_examples=50)
@given(points(least=1, most=12, levels=3))
def test_the_hypervolume_counts_cells(losses: Floats) -> None:
    reference = np.full(losses.shape[1], 2.0)  # some points are beyond it
    assert hypervolume(losses, reference) == pytest.approx(cells(losses, reference))


def test_no_point_dominates_nothing() -> None:
    assert hypervolume(np.empty((0, 2)), np.ones(2)) == 0.0
    assert hypervolume(np.array([[2.0, 0.0]]), np.ones(2)) == 0.0


@given(points(least=1))
def test_every_point_is_better_than_the_reference_point(losses: Floats) -> None:
    assert (losses < reference_point(losses)).all()


@settings(deadline=None)
@given(points(least=1, most=12))
def test_contributions_are_what_the_fronts_hypervolume_loses_without_a_point(losses: Floats) -> None:
    on_front = is_on_front(losses)
    front, shares = losses[on_front], contributions(losses)
    reference = reference_point(front)
    whole = hypervolume(front, reference)
    lost = np.array([whole - hypervolume(np.delete(front, place, axis=0), reference) for place in range(len(front))])
    assert ((shares >= -1e-9) & (shares <= 1)).all()
    assert (shares[~on_front] == 0).all()
    if lost.max() > 1e-6:
        assert shares[on_front] == pytest.approx(lost / lost.max(), abs=1e-6)
        assert shares.max() == 1


def test_of_two_equal_points_neither_adds_anything_and_the_ends_of_a_front_count() -> None:
    losses = np.array([[1.0, 4.0], [2.0, 2.0], [2.0, 2.0], [4.0, 1.0], [5.0, 5.0]])
    # up to 4.4 each way: the ends add 1.0 x 0.4 and 0.4 x 1.0
    assert contributions(losses) == pytest.approx([1.0, 0.0, 0.0, 1.0, 0.0])


def front_points(most: int = 12) -> st.SearchStrategy[Floats]:
    """Points none of which dominates another, no two equal."""
    return points(least=1, most=30).map(lambda losses: np.unique(losses[is_on_front(losses)], axis=0)[:most])


def weights_for(front: Floats) -> st.SearchStrategy[list[float]]:
    width = front.shape[1]
    return st.lists(st.integers(1, 20).map(float), min_size=width, max_size=width)


@settings(deadline=None)
@given(front_points(), st.data())
def test_the_choice_by_weights_goes_by_the_fronts_own_ranges(front: Floats, data: st.DataObject) -> None:
    """Neither units nor where their zero is change it; nor does a weight's unit."""
    weights = data.draw(weights_for(front))
    chosen = nearest(front, weights)
    units = 2.0 ** np.arange(front.shape[1])  # powers of two: no rounding
    assert nearest(front * units, weights) == chosen
    assert nearest(front, [4 * weight for weight in weights]) == chosen


@settings(deadline=None)
@given(front_points(), st.data())
def test_one_weight_alone_chooses_the_best_of_that_metric(front: Floats, data: st.DataObject) -> None:
    metric = data.draw(st.integers(0, front.shape[1] - 1))
    weights = [0.0] * front.shape[1]
    weights[metric] = 1.0
    assert front[nearest(front, weights), metric] == front[:, metric].min()


@settings(deadline=None)
@given(points(least=1), st.data())
def test_the_choice_is_never_dominated(losses: Floats, data: st.DataObject) -> None:
    """Also among points that are: the sum of the distances breaks ties of the largest."""
    assert is_on_front(losses)[nearest(losses, data.draw(weights_for(losses)))]


@settings(deadline=None)
@given(front_points(), st.data())
def test_every_point_of_a_front_is_chosen_by_some_weights(front: Floats, data: st.DataObject) -> None:
    """By those that are one over its distances: a front's hollow parts, which no weighted sum finds, too."""
    place = data.draw(st.integers(0, len(front) - 1))
    ranges = np.ptp(front, axis=0)
    distances = (front[place] - front.min(axis=0)) / np.where(ranges > 0, ranges, 1.0)
    # what is best already may count for much more than all others together
    weights = [1.0 / distance if distance > 0 else 1e6 for distance in distances]
    assert nearest(front, weights) == place


def test_a_hollow_fronts_middle_is_chosen_where_no_sum_would() -> None:
    front = np.array([[0.0, 1.0], [0.6, 0.6], [1.0, 0.0]])
    assert nearest(front, [1.0, 1.0]) == 1
    assert nearest(front, [3.0, 1.0]) == 0
    assert nearest(front, [1.0, 3.0]) == 2


def test_of_points_that_are_equally_far_in_the_worst_metric_the_better_one_in_the_others_is_chosen() -> None:
    front = np.array([[0.0, 1.0, 1.0], [1.0, 0.9, 0.0], [1.0, 0.0, 0.5]])
    assert nearest(front, [1.0, 1.0, 1.0]) == 2
