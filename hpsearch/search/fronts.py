"""What is best by several metrics at once: Pareto fronts, their hypervolume, and the choice of one point by weights.

All over losses [points, metrics], finite, less being better. Dominance, hypervolume and the choice of a subset that
keeps most of it are Optuna's, whose minor version is pinned.
"""

from collections.abc import Sequence

import numpy as np
from optuna._hypervolume import compute_hypervolume
from optuna._hypervolume.hssp import _solve_hssp as solve_hssp
from optuna.study._multi_objective import _fast_non_domination_rank as non_domination_rank

from hpsearch.search.space import Flags, Floats, Numbers

_TINY = 1e-12
MOST_AT_ONCE = 1000
"""Points in three metrics or more whose front is found by Optuna's way, which takes each point of it by itself."""
PIECE = 500
"""Points that are held against others at once."""
SLOPE = 1e-3
"""Of the choice by weights: how much the sum of the distances counts beside the largest, so that of two points that are
equally far in their worst metric the one that is better in the others is chosen."""


def is_on_front(losses: Floats) -> Flags:
    """Which points no other one dominates (is at least as good in every metric and better in one)."""
    if not len(losses):
        return np.zeros(0, dtype=bool)
    if len(losses) > MOST_AT_ONCE and losses.shape[1] > 2:
        return _is_on_large_front(losses)
    flags: Flags = non_domination_rank(losses, n_below=1) == 0
    return flags


def _is_on_large_front(losses: Floats) -> Flags:
    """The same for many points, a piece at a time. What dominates another has the lower sum of ranks: in that order a
    point is held only against those before it that are on the front, and most are out after the first of them."""
    points, copies = np.unique(losses, axis=0, return_inverse=True)
    ranks = sum(np.unique(column, return_inverse=True)[1] for column in points.T)
    order = np.argsort(ranks, kind="stable")
    pieces: list[Numbers] = []
    for start in range(0, len(order), PIECE):
        left: Numbers = order[start : start + PIECE]
        for piece in pieces:
            left = left[~dominated(points[left], points[piece])]
            if not len(left):
                break
        left = left[~dominated(points[left], points[left])]
        if pieces and len(pieces[-1]) + len(left) <= PIECE:
            pieces[-1] = np.concatenate([pieces[-1], left])
        else:
            pieces.append(left)
    flags = np.zeros(len(points), dtype=bool)
    flags[np.concatenate(pieces)] = True
    on_front: Flags = flags[copies.reshape(-1)]
    return on_front


def dominated(losses: Floats, others: Floats) -> Flags:
    """Which points one of the others dominates; work and memory go with the product of their numbers."""
    as_good = np.ones((len(losses), len(others)), dtype=bool)
    better = np.zeros_like(as_good)
    for own, theirs in zip(losses.T[:, :, None], others.T[:, None, :], strict=True):
        as_good &= theirs <= own
        better |= theirs < own
    return np.asarray((as_good & better).any(axis=1))


def by_fronts(losses: Floats, count: int, spread: int = 0) -> Numbers:
    """Positions of so many points, front after front (Deb et al. 2002). Of the front that the first `spread` end in,
    those come first that together keep the most hypervolume (as Optuna's multi-objective TPE chooses; Ozaki et al.
    2022); within all others the first."""
    if not len(losses):
        return np.empty(0, dtype=np.intp)
    ranks: Numbers = non_domination_rank(losses, n_below=count)
    order = np.argsort(ranks, kind="stable")
    if 0 < spread < len(order):
        last = ranks[order[spread - 1]]
        within, split = order[ranks[order] < last], np.flatnonzero(ranks == last)
        chosen: Numbers = solve_hssp(losses[split], split, spread - len(within), reference_point(losses[split]))
        first = np.concatenate([within, chosen])
        order = np.concatenate([first, order[~np.isin(order, first)]])
    return order[:count]


def reference_point(losses: Floats) -> Floats:
    """A point that all are better than, somewhat beyond the worst of each metric."""
    worst = losses.max(axis=0)
    point: Floats = np.maximum(1.1 * worst, 0.9 * worst)
    point[point == 0] = _TINY
    return point


def hypervolume(losses: Floats, reference: Floats) -> float:
    """The volume that the points dominate up to the reference point; those beyond it add nothing."""
    within = losses[(losses <= reference).all(axis=1)]
    return float(compute_hypervolume(within, reference)) if len(within) else 0.0


def contributions(losses: Floats) -> Floats:
    """How much hypervolume each point adds to the others of the front, as a share of the largest such amount; 0 for
    what is dominated."""
    shares = np.zeros(len(losses))
    front = np.flatnonzero(is_on_front(losses))
    if not len(front):
        return shares
    reference, points = reference_point(losses[front]), losses[front]
    whole = hypervolume(points, reference)
    for place, position in enumerate(front):
        shares[position] = whole - hypervolume(np.delete(points, place, axis=0), reference)
    shares /= max(shares.max(), _TINY)
    return shares


def nearest(losses: Floats, weights: Sequence[float]) -> int:
    """The position of the point of a front that is nearest to the best of each metric, distances being shares of the
    front's own ranges, times the weights; the largest counts (augmented weighted Chebyshev distance, Steuer and Choo
    1983), by which every point of a front can be chosen, also where it is hollow. Of equals the first."""
    ideal, nadir = losses.min(axis=0), losses.max(axis=0)
    ranges = nadir - ideal
    shares = (losses - ideal) / np.where(ranges > 0, ranges, 1.0) * np.asarray(weights)
    return int(np.argmin(shares.max(axis=1) + SLOPE * shares.sum(axis=1)))
