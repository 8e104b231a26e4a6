"""Bounds that a trial's values must keep."""

from hpsearch.pruner_spec import ThresholdPruner
from hpsearch.search.pruners.standing import Standing, Verdict
from hpsearch.trials import Pruning


def judge(pruner: ThresholdPruner, standing: Standing) -> Verdict | None:
    """A value on a bound is within."""
    for bound, side, leaves in (
        (pruner.lower, "below", pruner.lower is not None and standing.value < pruner.lower),
        (pruner.upper, "above", pruner.upper is not None and standing.value > pruner.upper),
    ):
        if leaves and bound is not None:
            pruning = Pruning(pruner="threshold", step=standing.step, value=standing.value, held_against=bound)
            return Verdict(pruning, f"threshold: at step {standing.step} {standing.value:g} is {side} {bound:g}")
    return None
