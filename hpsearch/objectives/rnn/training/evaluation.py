"""Metrics of a network on a split."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hpsearch.objectives.rnn.data.batches import Batch, Split, Stream
from hpsearch.objectives.rnn.data.prepared import Prepared
from hpsearch.objectives.rnn.data.sequences import FloatArray, Sequences
from hpsearch.objectives.rnn.network.layers import State
from hpsearch.objectives.rnn.network.model import SequenceModel
from hpsearch.objectives.rnn.tasks import OF_NUMBERS, PER_STEP, is_recursive
from hpsearch.objectives.rnn.training.dynamic import dynamic_loss, gradient_scales
from hpsearch.objectives.rnn.training.losses import Loss
from hpsearch.objectives.rnn.training.metrics import StepTally, measure, seasonal_error


class Evaluator:
    """Measures networks on the splits of one prepared data set."""

    def __init__(self, prepared: Prepared, loss: Loss, options: Mapping[str, Any]) -> None:
        self._prepared, self._loss, self._options = prepared, loss, options
        self._is_recursive = is_recursive(prepared.task, options)
        self._error_scale = math.nan
        if prepared.task == "forecast":
            train = prepared.parts["train"]
            self._error_scale = seasonal_error(train, prepared.data.target_feature, options["season"])

    def validation(self, model: SequenceModel) -> dict[str, float]:
        """By name, on the validation split. NaN where the network has diverged."""
        return self.measure(model, "validation")

    def final(self, model: SequenceModel) -> dict[str, float]:
        """Of train, validation and test apart, with the baselines' beside them; without what cannot be told."""
        found: dict[str, float] = {}
        for name, sequences in self._prepared.parts.items():
            found |= _prefixed(name, self.measure(model, name))
            for baseline, guess in sequences.baselines.items():
                found |= _prefixed(f"{name}_{baseline}", self._of_guess(guess, sequences))
        found |= self._dynamic(model)
        found["model_parameters"] = model.size
        return {name: value for name, value in found.items() if np.isfinite(value)}

    def _dynamic(self, model: SequenceModel) -> dict[str, float]:
        """Of a language model whose weights follow the text, where that is asked for."""
        step_size, splits = self._options["dynamic_evaluation"], self._prepared.splits
        train = splits["train"]
        if not step_size or not isinstance(train, Stream):
            return {}
        scales = gradient_scales(model, train, self._loss)
        return {
            f"{name}_dynamic_loss": dynamic_loss(
                model, split, self._loss, scales, step_size, self._options["dynamic_decay"]
            )
            for name, split in splits.items()
            if name != "train" and isinstance(split, Stream)
        }

    @torch.inference_mode()
    def measure(self, model: SequenceModel, name: str) -> dict[str, float]:
        """By name, on one split."""
        model.eval()
        split = self._prepared.splits[name]
        if self._prepared.task in PER_STEP or isinstance(split, Stream):
            return self._by_step(model, split, name)
        outputs, totals = [], torch.zeros(2, dtype=torch.float64, device=split.device)
        for piece in split.in_order():
            batch = split.batch(piece)
            values = self._outputs(model, batch).float()
            totals += torch.stack(self._loss.total(values, batch)).double()
            outputs.append(values)
        loss = {"loss": float(totals[0] / totals[1])}
        return loss | self._of_outputs(torch.cat(outputs).cpu(), self._prepared.parts[name])

    def _outputs(self, model: SequenceModel, batch: Batch) -> Tensor:
        return recursive(model, batch) if self._is_recursive else model(batch).values

    def _by_step(self, model: SequenceModel, split: Split | Stream, name: str) -> dict[str, float]:
        tally = StepTally(self._prepared.task, self._loss, split.device)
        states: tuple[State, ...] | None = None
        for piece in split.in_order(self._options["evaluation_streams"]):
            batch = split.batch(piece)
            outputs = model(batch, states if piece.start else None)
            states = outputs.states if split.carries else None
            tally.add(outputs.values.float(), batch)
        characters = self._prepared.data.characters.get(name)
        return tally.metrics(len(split) / characters if characters else None)

    def _of_outputs(self, outputs: Tensor, sequences: Sequences) -> dict[str, float]:
        if self._prepared.task in OF_NUMBERS:
            return self._of_guess(self._prepared.scaler.unscale(outputs.numpy(), sequences), sequences)
        return measure(self._prepared.task, outputs, torch.from_numpy(sequences.targets))

    def _of_guess(self, guess: FloatArray, sequences: Sequences) -> dict[str, float]:
        """Of numbers in the target's own unit."""
        targets = sequences.targets.reshape(len(sequences), -1)
        return measure(self._prepared.task, guess, targets, scale=self._error_scale)


def recursive(model: SequenceModel, batch: Batch) -> Tensor:
    """A forecast a step at a time, [batch, horizon]: each is the newest input of the next. The only feature is the
    target, and both are scaled alike."""
    inputs, found = batch.inputs, []
    for _ in range(batch.targets.shape[1]):
        value = model(Batch(inputs, batch.lengths, batch.targets)).values
        found.append(value)
        inputs = torch.cat([inputs[:, 1:], value[:, :, None]], dim=1)
    return torch.cat(found, dim=1)


def _prefixed(prefix: str, metrics: Mapping[str, float]) -> dict[str, float]:
    return {f"{prefix}_{name}": value for name, value in metrics.items()}
