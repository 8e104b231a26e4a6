"""Which parameters mattered: PED-ANOVA, functional ANOVA, Shapley effects, over a study's table.

Work is bounded: a random sample of at most `MOST_CELLS` parameter values is looked at, the same one each time.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.insights import Importance, Importances, Method
from hpsearch.search import fanova, ped_anova
from hpsearch.search.space import Dimension, Floats, Numbers
from hpsearch.search.table import Table

LEAST_TRIALS = 10
"""With fewer there is nothing to say."""
MOST_TRIALS = {"ped_anova": 4000, "fanova": 2000, "shapley": 2000}
MOST_CELLS = 200_000
"""Trials times parameters, where there are many of these."""
_FENCE = 3.0


@dataclass(frozen=True, slots=True)
class Scored:
    """Trials with the losses that importances go by."""

    numbers: Numbers
    losses: Floats
    """Less is better; of pruned and diverged trials the worst complete one's."""
    complete: NDArray[np.bool_]
    counts: dict[str, int]


def importances(table: Table, method: Method) -> Importances:
    """How much each parameter mattered. Says in its `note` why, where it cannot tell.

    Raises `InvalidInput` where the method needs scikit-learn and that is not installed.
    """
    scored = score(table)
    most = max(500, min(MOST_TRIALS[method], MOST_CELLS // max(1, len(table.dimensions))))
    chosen = _sample(len(scored.numbers), most, table.spec.seed)
    numbers, losses, complete = scored.numbers[chosen], scored.losses[chosen], scored.complete[chosen]
    free = [index for index, dimension in enumerate(table.dimensions) if not dimension.single]
    dimensions, points = [table.dimensions[index] for index in free], table.points[numbers][:, free]
    note = _nothing_to_say(scored, losses, dimensions)
    found, together = [], []
    if note is None:
        with warnings.catch_warnings():  # Optuna's, that samples are small
            warnings.simplefilter("ignore")
            if method == "ped_anova":
                found = ped_anova.importances(dimensions, points, losses, int(complete.sum()))
            else:
                forest = fanova.Forest(dimensions, points, _standard(losses), table.spec.seed)
                found = forest.importances() if method == "fanova" else forest.shapley_effects()
                together = forest.interactions(found) if method == "fanova" else []
    still = [Importance(parameter=dimension.name, importance=0.0) for dimension in table.dimensions if dimension.single]
    return Importances(
        study=table.spec.name,
        revision=table.revision,
        metric=table.metric,
        method=method,
        importances=tuple(sorted([*found, *still], key=lambda item: -item.importance)) if note is None else (),
        interactions=tuple(together),
        used=len(numbers),
        of=len(scored.numbers),
        counts=scored.counts,
        note=note,
    )


def score(table: Table) -> Scored:
    """Trials that count, with their losses."""
    complete, pruned, diverged = table.complete(), table.pruned(), table.diverged()
    losses = np.full(len(table), np.nan)
    losses[complete] = table.sign * table.values[complete]
    if len(complete):
        losses[pruned] = losses[diverged] = losses[complete].max()
    numbers = np.flatnonzero(np.isfinite(losses))
    is_complete = np.zeros(len(table), dtype=bool)
    is_complete[complete] = True
    counts = {"complete": len(complete), "pruned": len(pruned), "diverged": len(diverged)}
    return Scored(numbers, losses[numbers], is_complete[numbers], counts)


def _sample(size: int, most: int, seed: int) -> Numbers:
    """Positions of a random sample, in their order; all where there are no more."""
    if size <= most:
        return np.arange(size)
    return np.sort(np.random.default_rng([seed, 0x696D70]).choice(size, most, replace=False))


def _nothing_to_say(scored: Scored, losses: Floats, dimensions: list[Dimension]) -> str | None:
    if len(scored.numbers) < LEAST_TRIALS or scored.counts["complete"] < 2:
        return (
            f"too few trials: importances need {LEAST_TRIALS}, at least 2 of them complete; "
            f"{len(scored.numbers)} count so far"
        )
    if not dimensions:
        return "no parameter has more than one value"
    if losses.min() == losses.max():
        return "all trials have the same value"
    return None


def _standard(losses: Floats) -> Floats:
    """Losses without what is far out, of mean 0 and up to 1 in size, which changes no share of the variance: squares of
    what is huge, tiny or far from 0 would lose what tells trials apart."""
    fenced = _fenced(losses / np.abs(losses).max())
    centred = fenced - fenced.mean()
    return np.asarray(centred / np.abs(centred).max())


def _fenced(losses: Floats) -> Floats:
    """Losses with those far out brought in to three quartile distances beyond the quartiles (Tukey 1977): the variance
    of a search in which one trial fell apart would be that trial's."""
    low, high = np.quantile(losses, [0.25, 0.75])
    reach = _FENCE * (high - low)
    fenced = np.clip(losses, low - reach, high + reach)
    return fenced if fenced.min() < fenced.max() else losses
