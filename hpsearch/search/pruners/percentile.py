"""The median stopping rule of Golovin et al. 2017 (Vizier), section 3.2.1, against values at the same step, as Optuna
has it; and the same with another percentile."""

import math
from collections.abc import Sequence

from hpsearch.objective_spec import Direction
from hpsearch.pruner_spec import MedianPruner, PercentilePruner
from hpsearch.search.pruners.standing import Record, Standing, Verdict
from hpsearch.trials import Pruning, TrialState


def judge(
    pruner: MedianPruner | PercentilePruner, kept: float, direction: Direction, standing: Standing, record: Record
) -> Verdict | None:
    """A trial must be among the best `kept` percent, by its best value so far. One that keeps the constraints is held
    against such alone: however good the others are, they are not what is looked for."""
    if standing.complete < max(1, pruner.startup_trials):
        return None
    others = record.others(standing.step, (TrialState.COMPLETE,))
    peers = [value for _, value, violates in others if standing.violates or not violates]
    if len(peers) < pruner.min_trials:
        return None
    bound = percentile(peers, 100 - kept if direction == "maximize" else kept)
    worse = standing.best < bound if direction == "maximize" else standing.best > bound
    if not worse:
        return None
    better = sum(peer > standing.best if direction == "maximize" else peer < standing.best for peer in peers)
    what = "the median" if isinstance(pruner, MedianPruner) else f"the best {kept:g} %"
    words = (
        f"{pruner.name}: at step {standing.step} its best, {standing.best:g}, is worse than {bound:g}, "
        f"{what} of {len(peers)} complete trials"
    )
    pruning = Pruning(
        pruner=pruner.name,
        step=standing.step,
        value=standing.best,
        held_against=bound,
        rank=better + 1,
        of=len(peers) + 1,
    )
    return Verdict(pruning, words)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` percent of them do not exceed, linear between two of them."""
    ordered = sorted(values)
    place = share / 100 * (len(ordered) - 1)
    below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
    return below if below == above else below + (above - below) * (place - math.floor(place))
