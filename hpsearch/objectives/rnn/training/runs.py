"""A trial's trainings: one, or one a fold and seed, whose mean is the trial's value; and the refit after them."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import mean, pstdev
from typing import Any

import torch

from hpsearch.objectives.objective import TrialContext, TrialResult
from hpsearch.objectives.rnn.data.augmentation import augmentation_of
from hpsearch.objectives.rnn.data.prepared import Prepared
from hpsearch.objectives.rnn.network.architecture import architecture_of
from hpsearch.objectives.rnn.network.model import SequenceModel
from hpsearch.objectives.rnn.network.transfer import start_file, start_from
from hpsearch.objectives.rnn.training.checkpoint import (
    NAME,
    Weights,
    load_checkpoint,
    part,
    save_checkpoint,
    under,
    unusable,
)
from hpsearch.objectives.rnn.training.evaluation import Evaluator
from hpsearch.objectives.rnn.training.gradients import MARKS
from hpsearch.objectives.rnn.training.loop import refit, train
from hpsearch.objectives.rnn.training.losses import loss_of
from hpsearch.objectives.rnn.training.training import Training
from hpsearch.trials import Decision, Metrics


@dataclass(frozen=True, slots=True)
class Run:
    """A training that came to its end."""

    value: float
    metrics: dict[str, float]


class Runs:
    """A trial's trainings one after the other, and what is kept of them."""

    def __init__(
        self, divisions: list[Prepared], refitted: Prepared | None, options: Mapping[str, Any], context: TrialContext
    ) -> None:
        """One training on each of the divisions and seeds, and a last one on `refitted`, where there is one."""
        self._divisions, self._refitted, self._options, self._context = divisions, refitted, options, context
        self._count = len(divisions) * options["repeats"]
        self._done: list[Run] = []
        self._of_refit: dict[str, float] = {}
        """What was measured of it."""
        self._start = start_file(options["start_from"], context)
        self.best: Weights = {}
        """Of the refit, or else of the best run."""
        self.architecture = architecture_of(options, divisions[0].data)
        self._tensors: Weights = {}
        self._progress: Mapping[str, Any] | None = None
        """Of the checkpoint to go on from, until that is done."""
        if context.checkpoint is not None:
            self._tensors, self._progress = load_checkpoint(context.checkpoint)
        if self._progress is not None:
            self._go_on(self._progress)

    def _go_on(self, progress: Mapping[str, Any]) -> None:
        try:
            self._done = [Run(**run) for run in progress["runs"]]
        except (KeyError, TypeError) as error:
            raise unusable(error) from error
        self.best = part(self._tensors, "kept.")

    @property
    def start_digest(self) -> str | None:
        """SHA-256 of the file of weights that all runs began with: what is the best of a study may change."""
        if self._start is None:
            return None
        with self._start.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def best_division(self) -> Prepared:
        """What the best weights were trained on."""
        return self._refitted or self._divisions[self._best_position() % len(self._divisions)]

    def _best_position(self) -> int:
        sign = 1 if self._context.direction == "maximize" else -1
        return max(range(len(self._done)), key=lambda position: sign * self._done[position].value)

    def finish(self) -> TrialResult | None:
        """Train what is still to be trained. A `TrialResult` where the trial ends before."""
        for position in range(len(self._done), self._count):
            early = self._train(position)
            if early is not None:
                return early
            if self._count > 1:
                early = self._report_mean()
                if early is not None:
                    return early
        return None if self._refitted is None else self._refit(self._refitted)

    def result(self) -> TrialResult:
        """The mean over all runs; of what was measured, too."""
        metrics = {name: mean(run.metrics[name] for run in self._done) for name in self._shared()}
        if self._count > 1:
            metrics["value_deviation"] = pstdev(run.value for run in self._done)
        metrics |= self._of_refit
        return TrialResult(state="complete", value=self._value, metrics=metrics)

    @property
    def _value(self) -> float:
        return mean(run.value for run in self._done)

    def _shared(self) -> list[str]:
        return [name for name in self._done[0].metrics if all(name in run.metrics for run in self._done)]

    def _train(self, position: int) -> TrialResult | None:
        prepared = self._divisions[position % len(self._divisions)]
        training, evaluator = self._training(prepared, self._context.seed + position)
        early = train(training, evaluator, self._options, self._context, self._report, lambda: self._save(training))
        if early is None:
            self._keep(training, evaluator)
        return early

    def _refit(self, prepared: Prepared) -> TrialResult | None:
        """Train on all but the test split, as long as was best for the runs."""
        training, evaluator = self._training(prepared, self._context.seed)
        epochs = max(1, round(mean(run.metrics["best_epoch"] for run in self._done)))
        early = refit(training, epochs, self._options, lambda: self._save(training))
        if early is None:
            found = evaluator.final(training.model)
            self._of_refit = {name: value for name, value in found.items() if name.startswith("test_")}
            self._of_refit["refit_epochs"] = epochs
            self.best = training.best
        return early

    def _training(self, prepared: Prepared, seed: int) -> tuple[Training, Evaluator]:
        """One from its beginning, or from where the checkpoint has left it; and what measures its network."""
        options = self._options
        # weights, dropout and everything else that draws without a generator of its own
        torch.manual_seed(seed)
        model = SequenceModel(self.architecture).to(prepared.device)
        if self._start is not None:
            start_from(model, self._start)
        loss = loss_of(options, prepared.task, prepared.class_weights(options))
        augmentation = augmentation_of(options, prepared.task)
        training = Training(model, prepared.splits["train"], loss, augmentation, options, seed)
        if self._progress is not None and self._progress["training"] is not None:
            training.load(self._tensors, self._progress["training"])
        self._tensors, self._progress = {}, None
        return training, Evaluator(prepared, loss, options)

    def _keep(self, training: Training, evaluator: Evaluator) -> None:
        progress, model = training.progress, training.model
        if progress.best_value is None:
            raise ValueError("no epoch was trained")
        metrics = evaluator.final(model) | {"epochs": progress.epoch, "best_epoch": progress.best_epoch}
        metrics |= {f"{mark}_gradients": float(progress.marks.get("mark") == mark) for mark in MARKS}
        self._done.append(Run(progress.best_value, metrics))
        if self._best_position() == len(self._done) - 1:
            self.best = training.best

    def _report(self, step: int, value: float, metrics: Metrics) -> Decision:
        """Of one training alone each epoch is a step; of several each training is."""
        return self._context.report(step, value, metrics) if self._count == 1 else Decision.CONTINUE

    def _report_mean(self) -> TrialResult | None:
        metrics = self.result().metrics
        match self._context.report(len(self._done), self._value, metrics):
            case Decision.PRUNE if len(self._done) < self._count:  # after the last it would save nothing
                return TrialResult(state="pruned", metrics=metrics)
            case Decision.LOST:
                return TrialResult(state="failed", reason="the lease was lost")
            case Decision.PAUSE:
                self._save(None)
                return TrialResult(state="failed", reason="handed back")
        return None

    def _save(self, training: Training | None) -> None:
        tensors, progress = training.state() if training is not None else ({}, None)
        tensors |= under("kept.", self.best)
        path = self._context.workspace / NAME
        save_checkpoint(path, tensors, {"training": progress, "runs": [asdict(run) for run in self._done]})
        self._context.save_artifact(NAME, path)
