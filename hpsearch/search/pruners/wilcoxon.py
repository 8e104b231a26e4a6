"""The signed-rank test (Wilcoxon 1945) of a trial against the best one, fold by fold or seed by seed, as Optuna has
it."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np

from hpsearch.objective_spec import Direction
from hpsearch.pruner_spec import WilcoxonPruner
from hpsearch.search.pruners.standing import Record, Standing, Verdict
from hpsearch.trials import Pruning

EXACT_STEPS = 50
"""Beyond so many the normal distribution is near enough."""


def judge(pruner: WilcoxonPruner, direction: Direction, standing: Standing, record: Record) -> Verdict | None:
    """Prunes where the test says that the trial is worse, unless its mean is at least as good as the best trial's."""
    own, leader = record.own(), record.leader()
    if pruner.running_mean:
        own, leader = taken_apart(own), taken_apart(leader)
    shared = sorted(own.keys() & leader.keys())
    if len(shared) < max(2, pruner.startup_steps):
        return None
    sign = 1 if direction == "maximize" else -1
    p = p_value([sign * (leader[step] - own[step]) for step in shared])
    if p >= pruner.p_threshold or sign * fmean(own.values()) >= sign * fmean(leader.values()):
        return None
    mean, best = fmean(own[step] for step in shared), fmean(leader[step] for step in shared)
    words = (
        f"wilcoxon: over {len(shared)} steps its mean, {mean:g}, is worse than {best:g}, the best trial's (p = {p:.2g})"
    )
    pruning = Pruning(pruner="wilcoxon", step=standing.step, value=mean, held_against=best, p_value=p)
    return Verdict(pruning, words)


def taken_apart(means: Mapping[int, float]) -> dict[int, float]:
    """The folds' own values, by what the means of the first 1, 2, 3 … of them are; up to the first that is missing."""
    values: dict[int, float] = {}
    while (step := len(values) + 1) in means:
        values[step] = step * means[step] - (step - 1) * means.get(step - 1, 0.0)
    return values


def p_value(worse_by: Sequence[float]) -> float:
    """Of the hypothesis that a trial is not worse, by how much worse it is at each step (Wilcoxon 1945; Pratt 1959 for
    the zeros). Exact up to `EXACT_STEPS`, ties or not, in the time that SciPy takes without ties: with some it goes
    through all signs, for seconds.
    """
    if len(worse_by) > EXACT_STEPS:
        from scipy import stats  # takes a second to import: not before it is used

        return float(stats.wilcoxon(worse_by, alternative="greater", zero_method="zsplit", method="approx").pvalue)
    sizes = np.abs(worse_by)
    doubled = np.array([2 * (sizes < size).sum() + (sizes == size).sum() + 1 for size in sizes])  # ties share ranks
    signed, observed = doubled[sizes > 0], int(doubled[np.array(worse_by) > 0].sum())
    ways = np.zeros(signed.sum() + 1, dtype=np.int64)  # by the sum of the ranks on the worse side, signs being chance
    ways[0] = 1
    for rank in signed:
        ways[rank:] += ways[:-rank].copy()
    return float(ways[observed:].sum() / 2 ** len(signed))
