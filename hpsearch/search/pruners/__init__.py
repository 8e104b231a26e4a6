"""Pruners: pure functions of a report and of what is on record of the other trials.

Ours rather than Optuna's, which re-read every finished trial at each report. None looks at more than what others
reported at the one step, and asha has even that counted by the database; patient and wilcoxon look at the reports of
one or two trials.
"""

from hpsearch.objective_spec import Direction
from hpsearch.pruner_spec import (
    AnyPruner,
    ASHAPruner,
    HyperbandPruner,
    MedianPruner,
    NoPruner,
    PatientPruner,
    PercentilePruner,
    ThresholdPruner,
    WilcoxonPruner,
)
from hpsearch.search.pruners import halving, patient, percentile, threshold, wilcoxon
from hpsearch.search.pruners.halving import bracket_of, brackets, going_on, rungs
from hpsearch.search.pruners.standing import Record, Standing, Verdict

__all__ = [
    "Record",
    "Standing",
    "Verdict",
    "bracket_of",
    "brackets",
    "going_on",
    "judge",
    "judged_steps",
    "looks_at",
    "rungs",
]


def looks_at(pruner: AnyPruner, number: int, step: int) -> bool:
    """Whether the pruner decides anything about a trial at this step; where it does not, nothing need be read."""
    match pruner:
        case NoPruner():
            return False
        case MedianPruner() | PercentilePruner() | ThresholdPruner():
            return step > pruner.warmup_steps and (step - pruner.warmup_steps - 1) % pruner.interval_steps == 0
        case ASHAPruner() | HyperbandPruner():
            return step in _rungs_of(pruner, number)
        case PatientPruner():
            return pruner.pruner is None or looks_at(pruner.pruner, number, step)
        case WilcoxonPruner():
            return True


def judged_steps(pruner: AnyPruner, number: int) -> tuple[int, ...] | None:
    """The steps at which `looks_at` says yes, where they are few enough to be named; None where any may be one."""
    match pruner:
        case NoPruner():
            return ()
        case ASHAPruner() | HyperbandPruner():
            return _rungs_of(pruner, number)
        case _:
            return None


def _rungs_of(pruner: ASHAPruner | HyperbandPruner, number: int) -> tuple[int, ...]:
    """The rungs that a trial comes to."""
    if isinstance(pruner, ASHAPruner):
        first = pruner.min_resource
    else:
        first = halving.first_rung(pruner, bracket_of(pruner, number))
    return rungs(first, pruner.reduction_factor, pruner.max_resource)


def judge(pruner: AnyPruner, direction: Direction, standing: Standing, record: Record) -> Verdict | None:
    """Why the trial should end (or pause) here; None where it should go on. To be asked where `looks_at` says so."""
    match pruner:
        case NoPruner():
            return None
        case MedianPruner():
            return percentile.judge(pruner, 50.0, direction, standing, record)
        case PercentilePruner():
            return percentile.judge(pruner, pruner.percentile, direction, standing, record)
        case ThresholdPruner():
            return threshold.judge(pruner, standing)
        case ASHAPruner():
            return halving.judge_rung(pruner, direction, standing, record)
        case HyperbandPruner():
            return halving.judge_bracket(pruner, direction, standing, record)
        case WilcoxonPruner():
            return wilcoxon.judge(pruner, direction, standing, record)
        case PatientPruner():
            impatience = patient.judge(pruner, direction, standing, record)
            if impatience is None or pruner.pruner is None:
                return impatience
            return judge(pruner.pruner, direction, standing, record)
