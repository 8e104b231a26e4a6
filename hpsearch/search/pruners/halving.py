"""Asynchronous successive halving (Li et al. 2020, algorithm 2), stopping or pausing; and Hyperband (Li et al. 2018),
which is several of them side by side."""

import math
from bisect import bisect_left
from functools import lru_cache

from hpsearch.objective_spec import Direction
from hpsearch.pruner_spec import ASHAPruner, HyperbandPruner
from hpsearch.search.pruners.standing import Record, Standing, Verdict
from hpsearch.trials import Pruning

LAST_STEP = 2**53
"""Steps that can be reported are below it."""
_GOLDEN = (math.sqrt(5) - 1) / 2


@lru_cache(maxsize=1024)
def rungs(first: int, factor: int, end: int | None) -> tuple[int, ...]:
    """Every step that is `first` times a power of the factor, before the end and up to the last that can be
    reported."""
    end = LAST_STEP if end is None else min(end, LAST_STEP)
    found = []
    while first < end:
        found.append(first)
        first *= factor
    return tuple(found)


def going_on(reached: int, factor: int) -> int:
    """How many of those on a rung go on: the best 1 / factor of them, and the first in any case, or a study of few
    trials would have none that is complete."""
    return max(1, reached // factor)


def judge_rung(pruner: ASHAPruner, direction: Direction, standing: Standing, record: Record) -> Verdict | None:
    """Whoever is among the best of those that have reached the rung goes on; what violates a constraint comes after
    all that keep them."""
    peers, better = record.rank(standing.step, standing.value, direction, violates=standing.violates)
    reached = peers + 1
    allowed = going_on(reached, pruner.reduction_factor)
    if better < allowed:
        return None
    cut = record.nth(standing.step, allowed - 1, direction)
    return _verdict("asha", standing, (better + 1, reached, allowed), cut, pauses=pruner.promote)


def judge_bracket(pruner: HyperbandPruner, direction: Direction, standing: Standing, record: Record) -> Verdict | None:
    """The same among the trials of one bracket."""
    bracket = bracket_of(pruner, standing.number)
    sign = 1 if direction == "maximize" else -1
    peers = sorted(
        (violates, -sign * value)
        for number, value, violates in record.others(standing.step)
        if bracket_of(pruner, number) == bracket
    )
    better = bisect_left(peers, (standing.violates, -sign * standing.value))
    reached = len(peers) + 1
    allowed = going_on(reached, pruner.reduction_factor)
    if better < allowed:
        return None
    cut = -sign * peers[allowed - 1][1]
    return _verdict("hyperband", standing, (better + 1, reached, allowed), cut, bracket=bracket)


def _verdict(
    name: str,
    standing: Standing,
    place: tuple[int, int, int],
    cut: float,
    *,
    pauses: bool = False,
    bracket: int | None = None,
) -> Verdict:
    rank, reached, allowed = place
    of_bracket = "" if bracket is None else f" of bracket {bracket}"
    broken = ", as it violates a constraint" if standing.violates else ""
    words = (
        f"{name}: on the rung at step {standing.step}{of_bracket} {standing.value:g} is number {rank} of {reached}"
        f"{broken}, {allowed} go on (cut at {cut:g})"
    )
    pruning = Pruning(
        pruner=name,
        step=standing.step,
        value=standing.value,
        held_against=cut,
        rank=rank,
        of=reached,
        bracket=bracket,
    )
    return Verdict(pruning, words, pauses)


@lru_cache(maxsize=1024)
def brackets(pruner: HyperbandPruner) -> tuple[int, ...]:
    """The share of the trials that each bracket has: bracket 0, which prunes earliest, first.

    Li et al. 2018, algorithm 1: ceil((s_max + 1) / (s + 1) eta^s) for s = s_max … 0.
    """
    last, step = 0, pruner.min_resource  # floor(log_eta(max / min)), in whole numbers
    while (step := step * pruner.reduction_factor) <= pruner.max_resource:
        last += 1
    return tuple(math.ceil((last + 1) * pruner.reduction_factor**s / (s + 1)) for s in range(last, -1, -1))


def bracket_of(pruner: HyperbandPruner, number: int) -> int:
    """A trial's bracket, by its number alone. Multiples of the golden ratio spread any run of trials evenly over the
    shares, which chance would not do for few."""
    shares = brackets(pruner)
    place = (number + 0.5) * _GOLDEN % 1 * sum(shares)
    for bracket, share in enumerate(shares):
        place -= share
        if place < 0:
            return bracket
    return len(shares) - 1


def first_rung(pruner: HyperbandPruner, bracket: int) -> int:
    """The step of a bracket's first rung. The last bracket's is at the end: it prunes nobody."""
    return int(pruner.min_resource * pruner.reduction_factor**bracket)
