"""The training loop. It knows of no server: it is handed `report(step, value, metrics) -> decision`."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from hpsearch.objectives.objective import TrialContext, TrialResult
from hpsearch.objectives.rnn.training.evaluation import Evaluator
from hpsearch.objectives.rnn.training.gradients import MARKS, marked
from hpsearch.objectives.rnn.training.schedules import Plateau, plateau_after
from hpsearch.objectives.rnn.training.training import Progress, Training
from hpsearch.trials import Decision, Metrics

Report = Callable[[int, float, Metrics], Decision]
Save = Callable[[], None]


def train(
    training: Training,
    evaluator: Evaluator,
    options: Mapping[str, Any],
    context: TrialContext,
    report: Report,
    save: Save,
) -> TrialResult | None:
    """Train to the end; the model then holds its best epoch's weights. A `TrialResult` where the trial ends before:
    pruned, diverged, or handed back (then the result counts for nothing). `save` writes a checkpoint."""
    progress, clock = training.progress, _Clock(options["checkpoint_seconds"], save)
    while not _is_done(progress, options):
        metrics = training.run_epoch(clock.within_epoch)
        with training.evaluated_weights():
            metrics |= {f"validation_{name}": value for name, value in evaluator.validation(training.model).items()}
            progress.marks = marked(progress.marks, metrics)
            metrics |= {f"{mark}_gradients": float(progress.marks["mark"] == mark) for mark in MARKS}
            metrics["model_parameters"] = training.model.size  # pruners hold constraints against each step's metrics
            metrics, value = _known(metrics, context.metric), metrics.get(context.metric, math.nan)
            if not all(map(math.isfinite, [value, *metrics.values()])):
                return TrialResult(state="failed", metrics=metrics, reason=_reason(metrics, context.metric, progress))
            _note(training, value, metrics["validation_loss"], context.direction, options)
        match report(progress.epoch, value, metrics):
            case Decision.PRUNE if not _is_done(progress, options):  # a rung may lie at the end, where it saves nothing
                return TrialResult(state="pruned", metrics=metrics)
            case Decision.LOST:
                return TrialResult(state="failed", reason="the lease was lost")
            case Decision.PAUSE:
                save()
                return TrialResult(state="failed", reason="handed back")
        if not _is_done(progress, options):
            clock.after_epoch()
    training.model.load_state_dict(training.best)
    return None


def refit(training: Training, epochs: int, options: Mapping[str, Any], save: Save) -> TrialResult | None:
    """Train for so many epochs, whatever validation might say; the model then holds the last one's weights. A
    `TrialResult` where it diverges."""
    progress, clock = training.progress, _Clock(options["checkpoint_seconds"], save)
    while progress.step or progress.epoch < epochs:
        metrics = training.run_epoch(clock.within_epoch)
        name = next((name for name, value in metrics.items() if not math.isfinite(value)), None)
        if name is not None:
            reason = f"diverged: {name} is {metrics[name]} in epoch {progress.epoch} of the refit"
            return TrialResult(state="failed", metrics=metrics, reason=reason)
        _note_plateau(progress, metrics["train_loss"], "minimize", options)
        if progress.epoch < epochs:
            clock.after_epoch()
    with training.evaluated_weights():
        training.best = training.weights()
    training.model.load_state_dict(training.best)
    return None


class _Clock:
    """When the next checkpoint is due."""

    def __init__(self, every: float | None, save: Save) -> None:
        self._every, self._save, self._saved_at = every, save, time.monotonic()

    def after_epoch(self) -> None:
        if self._every is not None and time.monotonic() - self._saved_at >= self._every:
            self._save()
            self._saved_at = time.monotonic()

    def within_epoch(self) -> None:
        if self._every:  # 0: after each epoch alone
            self.after_epoch()


def _note(training: Training, value: float, loss: float, direction: str, options: Mapping[str, Any]) -> None:
    """What an epoch changes: the best so far, the schedule's patience."""
    progress = training.progress
    if _is_better(value, loss, progress, direction):
        progress.best_epoch, progress.best_value, progress.best_loss = progress.epoch, value, loss
        training.best = training.weights()
    _note_plateau(progress, value, direction, options)


def _note_plateau(progress: Progress, value: float, direction: str, options: Mapping[str, Any]) -> None:
    if options["schedule"] == "plateau":
        state = Plateau(**progress.plateau)
        progress.plateau = asdict(plateau_after(state, value, direction, options["schedule_epochs"]))


def _is_done(progress: Progress, options: Mapping[str, Any]) -> bool:
    if progress.step:
        return False
    patience = options["patience"]
    stale = patience is not None and progress.epoch - progress.best_epoch >= patience
    return progress.epoch >= options["max_epochs"] or (stale and progress.epoch > 0)


def _is_better(value: float, loss: float, progress: Progress, direction: str) -> bool:
    """Whether this epoch is the best so far; of equals the one of lower validation loss."""
    if progress.best_value is None or progress.best_loss is None:
        return True
    sign = 1 if direction == "maximize" else -1
    return (sign * value, -loss) > (sign * progress.best_value, -progress.best_loss)


def _known(metrics: Mapping[str, float], searched: str) -> dict[str, float]:
    """Without what these data cannot tell (a ranking where a class is absent, say): such are NaN."""
    vital = {"train_loss", "validation_loss", "gradient_norm", searched}
    return {name: value for name, value in metrics.items() if name in vital or not math.isnan(value)}


def _reason(metrics: Mapping[str, float], searched: str, progress: Progress) -> str:
    name = next((name for name in ("train_loss", *metrics) if not math.isfinite(metrics[name])), searched)
    losses = (metrics["train_loss"], metrics["validation_loss"])
    if name == searched and all(map(math.isfinite, losses)) and math.isnan(metrics.get(searched, math.nan)):
        return f"{searched} cannot be told on this validation split: it is not a number, though the losses are"
    return f"diverged: {name} is {metrics[name]} in epoch {progress.epoch}"
