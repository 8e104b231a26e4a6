"""Patience: whether a trial has stood still for so long that it may be judged."""

from hpsearch.objective_spec import Direction
from hpsearch.pruner_spec import PatientPruner
from hpsearch.search.pruners.standing import Record, Standing, Verdict
from hpsearch.trials import Pruning


def judge(pruner: PatientPruner, direction: Direction, standing: Standing, record: Record) -> Verdict | None:
    """The best of its last patience + 1 reports is worse than the best before them, by more than min_delta (as
    Optuna's `PatientPruner` has it)."""
    values = [value for _, value in sorted(record.own().items())]
    before, last = values[: -pruner.patience - 1], values[-pruner.patience - 1 :]
    if not before:
        return None
    best = max if direction == "maximize" else min
    former, recent = best(before), best(last)
    stands = former - pruner.min_delta > recent if direction == "maximize" else former + pruner.min_delta < recent
    if not stands:
        return None
    words = (
        f"patient: at step {standing.step} the best of its last {len(last)} reports is {recent:g}, "
        f"worse than {former:g} before them"
    )
    return Verdict(Pruning(pruner="patient", step=standing.step, value=recent, held_against=former), words)
