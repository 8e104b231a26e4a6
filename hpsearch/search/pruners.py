"""Pruners: pure functions of a report and what the other trials reported at the same step.

Ours rather than Optuna's, which re-read every finished trial at each report.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from hpsearch.spec import ASHAPruner, Direction, MedianPruner, NoPruner
from hpsearch.trials import TrialState

PrunerSpec = NoPruner | MedianPruner | ASHAPruner


@dataclass(frozen=True, slots=True)
class Standing:
    """A running trial at a step."""

    step: int
    value: float
    best: float
    """Its best value so far, this one included."""
    peers: Sequence[float]
    """What the other trials reported at this step (those in the states of `peer_states`)."""
    complete: int
    """Complete trials of the study."""


def looks_at(pruner: PrunerSpec, step: int) -> bool:
    """Whether the pruner decides anything at this step; where it does not, nobody needs to gather the peers."""
    match pruner:
        case NoPruner():
            return False
        case MedianPruner():
            return step > pruner.warmup_steps and (step - pruner.warmup_steps - 1) % pruner.interval_steps == 0
        case ASHAPruner():
            return is_rung(pruner, step)


def is_rung(pruner: ASHAPruner, step: int) -> bool:
    """Whether a step is min_resource times a power of the reduction factor."""
    rung = pruner.min_resource
    while rung < step:
        rung *= pruner.reduction_factor
    return rung == step


def peer_states(pruner: PrunerSpec) -> tuple[TrialState, ...]:
    """The states of the trials that count as peers; all where none is named."""
    return (TrialState.COMPLETE,) if isinstance(pruner, MedianPruner) else ()


def why_prune(pruner: PrunerSpec, direction: Direction, standing: Standing) -> str | None:
    """Why the trial should end here, in words; None where it should go on."""
    match pruner:
        case NoPruner():
            return None
        case MedianPruner():
            return _below_median(pruner, direction, standing)
        case ASHAPruner():
            return _below_rung(pruner, direction, standing)


def _below_median(pruner: MedianPruner, direction: Direction, standing: Standing) -> str | None:
    """The median stopping rule of Golovin et al. 2017 (Vizier), section 3.2.1, against values at the same step, as
    Optuna has it."""
    if standing.complete < pruner.startup_trials or not standing.peers:
        return None
    middle = median(standing.peers)
    worse = standing.best < middle if direction == "maximize" else standing.best > middle
    if not worse:
        return None
    return (
        f"median: at step {standing.step} its best, {standing.best:g}, is worse than {middle:g}, "
        f"the median of {len(standing.peers)} complete trials"
    )


def _below_rung(pruner: ASHAPruner, direction: Direction, standing: Standing) -> str | None:
    """Asynchronous successive halving (Li et al. 2020, algorithm 2), stopping instead of promoting: whoever is in the
    best 1 / reduction_factor of those that have reached the rung goes on."""
    sign = 1 if direction == "maximize" else -1
    rank = 1 + sum(sign * peer > sign * standing.value for peer in standing.peers)
    reached = len(standing.peers) + 1
    going_on = max(1, reached // pruner.reduction_factor)
    if rank <= going_on:
        return None
    cut = sorted(standing.peers, reverse=direction == "maximize")[going_on - 1]
    return (
        f"asha: on the rung at step {standing.step} {standing.value:g} is number {rank} of {reached}, "
        f"{going_on} go on (cut at {cut:g})"
    )
