"""The tree-structured Parzen estimator over a columnar history.

Bergstra et al. 2011; the algorithm and the defaults of Optuna 5's `TPESampler`, without its loops over trials. Two
things differ. Of a long history the density of the bad trials is estimated from the best of them, those that run, and
a weighted sample of the rest, so that a suggestion costs the same at 1,000 trials and at 100,000. And several
suggestions of one call share the two densities: each that is made joins the bad side for those after it.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hpsearch.sampler_spec import TPESampler
from hpsearch.search.beliefs import strength_of
from hpsearch.search.brute_force import is_taken
from hpsearch.search.feasible import is_feasible
from hpsearch.search.fronts import by_fronts, contributions
from hpsearch.search.heeding import heeded
from hpsearch.search.history import History
from hpsearch.search.parzen import ParzenEstimator, recency_weights
from hpsearch.search.space import Dimension, Flags, Floats, Numbers

CANDIDATES = 24
"""Points drawn from the good side, of which the one with the best ratio is suggested."""
MOST_GOOD = 25
NEAREST_BAD = 300
"""Bad trials that are looked at whatever their number: the best of them, which stand nearest to the good ones."""
NEWEST_RUNNING = 300
SAMPLED_BAD = 700
"""Of the other bad trials so many are looked at, and stand for all."""
FRONTS_EVERY = 1000
"""Trials of several metrics, after which those that may yet be good are chosen anew."""
LEAST_WEIGHT = 1e-12
"""Of a good trial that adds nothing to the hypervolume."""
_MEMORY = "fronts"


def suggest(
    history: History,
    options: TPESampler,
    rng: np.random.Generator,
    free: Collection[int],
    count: int,
    start: Floats | None = None,
) -> Floats:
    """Points [count, dimensions], no two alike as far as the space allows.

    Dimensions that are not `free` stay as they are in `start`, without which they are NaN. Dimensions that are active
    together are modelled together, by the trials that had them (Optuna's `group=True`), each group at those points
    alone where it is active.
    """
    good, bad, weights = _split(history, options)
    heed = heeded(history) if history.knowledge else np.zeros(0)
    known = {index for index in range(len(history.space)) if index not in free}
    points = np.full((count, len(history.space)), np.nan) if start is None else start.copy()
    avoids = not options.duplicates and history.spec.is_countable
    is_choosy = avoids or bool(history.spec.limits.of_parameters)
    for group in history.space.groups:
        active = history.space.is_active(group[0], points) if group else np.zeros(count, dtype=bool)
        rows, absent = np.flatnonzero(active), np.flatnonzero(~active)
        points[absent[:, None], group] = np.nan
        wanted = [index for index in group if index in free]
        for together in ([wanted] if options.multivariate else [[index] for index in wanted]) if len(rows) else ():
            if together:
                known |= set(together)
                fits = partial(_fits, history, points[rows], together, known, avoids) if is_choosy else None
                drawn = _suggest_jointly(history, together, good, (bad, weights), heed, rng, len(rows), fits)
                points[rows[:, None], together] = drawn
        known |= set(group)
    return points


def _fits(
    history: History, points: Floats, group: list[int], known: set[int], avoids: bool, candidates: Floats
) -> Flags:
    """Which candidates, so many for each point, satisfy the constraints over what is known of it then, and are none
    that a trial has, where these are to be avoided."""
    whole = np.repeat(points, len(candidates) // len(points), axis=0)
    whole[:, group] = candidates
    fits = is_feasible(history, whole, known)
    if avoids and len(known) == len(history.space):
        fits &= ~is_taken(history, whole)
    return fits


def _suggest_jointly(
    history: History,
    group: list[int],
    good: Numbers,
    bad: tuple[Numbers, Floats],
    heed: Floats,
    rng: np.random.Generator,
    count: int,
    fits: Callable[[Floats], Flags] | None,
) -> Floats:
    """Coordinates [count, group]. Candidates that do not fit are passed over, unless all of a point's are such. `heed`
    is how much each earlier study is heeded."""
    dimensions = [history.space.dimensions[index] for index in group]
    below = _estimator(history, dimensions, group, good, _weights_of_good(history, good))
    above = _estimator(history, dimensions, group, *bad)
    candidates = below.sample(rng, count * CANDIDATES)
    weight = strength_of(history.spec) / max(len(good) + len(bad[0]), 1) if history.beliefs else 0.0
    if weight:  # some candidates where the user thinks that good ones are
        following = rng.random(len(candidates)) < weight / (weight + 1)
        quantiles = np.full((len(candidates), len(history.space)), 0.5)
        quantiles[:, group] = rng.random(candidates.shape)
        candidates[following] = history.space.points_at(history.beliefs.drawn(quantiles))[following][:, group]
    if heed.any():  # and some where earlier studies had good ones
        following = rng.random(len(candidates)) < heed.sum() / (heed.sum() + 1)
        candidates[following] = history.knowledge.drawn(heed, rng, candidates[following], group)
    ratio = below.log_density(candidates)
    if heed.any():
        ratio += history.knowledge.advice(heed, candidates, group)
    if weight:
        columns = {index: column for column, index in enumerate(group)}
        ratio += weight * history.beliefs.log_density(candidates, columns)
    density = above.log_density(candidates) + np.log(above.total_weight)
    if fits is not None:
        ratio = np.where(fits(candidates), ratio, -np.inf)
    newcomers = above.newcomers(candidates) if count > 1 else None
    chosen = np.empty(count, dtype=np.intp)
    for turn in range(count):
        start, end = turn * CANDIDATES, (turn + 1) * CANDIDATES
        chosen[turn] = start + np.argmax(ratio[start:end] - density[start:end])
        if newcomers and end < len(candidates):
            density[end:] = np.logaddexp(density[end:], newcomers.log_kernel(int(chosen[turn]), end))
    return candidates[chosen]


def _estimator(
    history: History, dimensions: Sequence[Dimension], group: list[int], numbers: Numbers, weights: Floats
) -> ParzenEstimator:
    """Of those trials that have all the parameters of the group."""
    points = history.points[numbers][:, group]
    whole = ~np.isnan(points).any(axis=1)
    return ParzenEstimator(dimensions, points[whole], weights[whole])


def _split(history: History, options: TPESampler) -> tuple[Numbers, Numbers, Floats]:
    """Numbers of the good trials; numbers and weights of the bad ones, or of those that stand for them."""
    complete, pruned, diverged = history.complete(), history.pruned(), history.diverged()
    infeasible = history.infeasible() if history.spec.constraints else np.empty(0, dtype=np.intp)
    finished = len(complete) + len(pruned) + len(diverged)
    room = min((finished + 9) // 10, MOST_GOOD, len(complete) + len(pruned))  # what diverged is never good
    allowed = np.ones(len(history), dtype=bool)
    allowed[infeasible] = False
    if history.spec.objective.has_several:  # whose trials are never pruned
        best = _best_by_fronts(history, allowed, room)
    else:
        rank = _best_by_value if options.rank_pruned_by == "value" else _best
        best = rank(history, complete[allowed[complete]], pruned[allowed[pruned]], room + NEAREST_BAD)
    # what violates constraints is worse than any other, the least violations first; what diverged is worse still
    best = np.concatenate([best, infeasible, diverged])[: room + NEAREST_BAD]
    good = np.sort(best[:room])
    is_bad = np.zeros(len(history), dtype=bool)
    is_bad[complete], is_bad[pruned], is_bad[diverged], is_bad[good] = True, True, True, False
    running = history.running() if options.constant_liar else np.empty(0, dtype=np.intp)
    is_bad[running] = True
    return good, *_thinned(history, is_bad, np.concatenate([best[room:], running[-NEWEST_RUNNING:]]))


def _best(history: History, complete: Numbers, pruned: Numbers, count: int) -> Numbers:
    """The first of the complete trials from the best on, then of the pruned ones: the further they came the better,
    then by value. Of equals the first."""
    losses = history.losses[complete]
    if len(complete) > count:
        within = losses <= np.partition(losses, count)[count]
        complete, losses = complete[within], losses[within]
    best = complete[np.argsort(losses, kind="stable")][:count]
    if len(best) == count:
        return best
    order = np.lexsort((history.last_losses[pruned], -history.last_steps[pruned]))
    return np.concatenate([best, pruned[order][: count - len(best)]])


def _best_by_fronts(history: History, allowed: Flags, room: int) -> Numbers:
    """The first of the complete trials by several metrics. Of a long history those come into question that were among
    the first of their time, reckoned after every `FRONTS_EVERY` trials in the order in which they were told: the same
    on every server, and no more work at 100,000 trials."""
    count = room + NEAREST_BAD
    pool: list[int]
    read, pool = history.memory.get(_MEMORY, (0, []))
    while len(history.completions) - read >= FRONTS_EVERY:
        more = [number for number in history.completions[read : read + FRONTS_EVERY] if allowed[number]]
        read, candidates = read + FRONTS_EVERY, np.array([*pool, *more], dtype=np.intp)
        pool = candidates[by_fronts(history.every_loss[candidates], MOST_GOOD + NEAREST_BAD)].tolist()
    history.memory[_MEMORY] = read, pool
    newest = [number for number in history.completions[read:] if allowed[number]]
    candidates = np.sort(np.array([*pool, *newest], dtype=np.intp))
    return candidates[by_fronts(history.every_loss[candidates], count, room)]


def _weights_of_good(history: History, good: Numbers) -> Floats:
    """The newer the more; by several metrics, by what each adds to the hypervolume (Ozaki et al. 2022)."""
    if not history.spec.objective.has_several:
        return recency_weights(len(good))
    losses = history.every_loss[good]
    weights = np.full(len(good), LEAST_WEIGHT)
    told = np.flatnonzero(np.isfinite(losses).all(axis=1) & ~(history.violations[good] > 0).any(axis=1))
    weights[told] = np.maximum(contributions(losses[told]), LEAST_WEIGHT)
    return weights


def _best_by_value(history: History, complete: Numbers, pruned: Numbers, count: int) -> Numbers:
    """The first of the complete and the pruned trials together, from the best value on: the last report's of a pruned
    one. A trial that was let through because it was the first on its rungs is not held for good that way; of a curve
    that still falls, more steps count by themselves. Of equals the first; those that reported nothing are last."""
    numbers = np.concatenate([complete, pruned])
    losses = np.concatenate([history.losses[complete], history.last_losses[pruned]])
    losses[len(complete) :][history.last_steps[pruned] < 0] = np.inf
    if len(numbers) > count:
        within = losses <= np.partition(losses, count)[count]
        numbers, losses = numbers[within], losses[within]
    return numbers[np.lexsort((numbers, losses))][:count]


def _thinned(history: History, is_bad: NDArray[np.bool_], kept: Numbers) -> tuple[Numbers, Floats]:
    """The bad trials and those that run, by number, weighted by recency; of many, some, whose weights make up for
    the rest."""
    everyone = np.flatnonzero(is_bad)
    weights = recency_weights(len(everyone))
    is_bad[kept] = False
    is_rest = is_bad[everyone]
    rest = np.flatnonzero(is_rest)  # places among everyone
    if len(rest) <= SAMPLED_BAD:
        return everyone, weights
    sampled = rest[np.argpartition(history.priorities[everyone[rest]], SAMPLED_BAD)[:SAMPLED_BAD]]
    weights[sampled] *= weights[rest].sum() / weights[sampled].sum()
    is_rest[sampled] = False
    places = np.flatnonzero(~is_rest)
    return everyone[places], weights[places]
