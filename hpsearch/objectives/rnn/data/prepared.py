"""A data set, divided, scaled and in memory as tensors: what all trials of a study share."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hpsearch.objectives.rnn.data.batches import Batch, Split, Stream
from hpsearch.objectives.rnn.data.scalers import Scaler, fit
from hpsearch.objectives.rnn.data.sequences import Dataset, Sequences
from hpsearch.objectives.rnn.data.splits import Splits, split, without_validation
from hpsearch.objectives.rnn.tasks import OF_NUMBERS, PER_STEP
from hpsearch.objectives.rnn.training.losses import balanced_weights


class Prepared:
    """One division of a data set."""

    def __init__(self, data: Dataset, splits: Splits, options: Mapping[str, Any], device: torch.device) -> None:
        self.data, self.task, self.device = data, data.task, device
        parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
        self.parts = {name: part for name, part in parts.items() if part is not None}
        # a piano roll's zeros and ones are as they should be, and its rare keys would be blown up
        method = "none" if data.task == "next_step" else options["scaling"]
        self.scaler: Scaler = fit(splits.train, method, options["scaling_scope"], data.task, data.target_feature)
        self.splits: dict[str, Split | Stream] = {name: self._split(part) for name, part in self.parts.items()}

    def _split(self, sequences: Sequences) -> Split | Stream:
        if self.task == "language_model":
            inputs, targets = (_stream(values, sequences) for values in (sequences.inputs, sequences.targets))
            return Stream(inputs.to(self.device), targets.to(self.device))
        batch = as_batch(sequences, self.scaler, self.task)
        return Split(batch.to(self.device), targets_by_step=self.task in PER_STEP)

    def class_weights(self, options: Mapping[str, Any]) -> Tensor | None:
        """What each class's errors weigh; None where all weigh the same."""
        if options["class_weights"] == "none" or self.task != "classification":
            return None
        return balanced_weights(torch.from_numpy(self.parts["train"].targets), len(self.data.classes)).to(self.device)


def as_batch(sequences: Sequences, scaler: Scaler, task: str) -> Batch:
    """Sequences as tensors, scaled."""
    targets = scaler.targets(sequences) if task in OF_NUMBERS else sequences.targets
    optional = (scaler.statics(sequences), sequences.categories, scaler.context(sequences), sequences.context_lengths)
    return Batch(
        torch.from_numpy(scaler.inputs(sequences)),
        torch.from_numpy(sequences.lengths),
        torch.from_numpy(targets),
        *(None if values is None else torch.from_numpy(values) for values in optional),
    )


def _stream(values: Any, sequences: Sequences) -> Tensor:
    """[sequences, steps] one after the other, without padding."""
    parts = [row[:length] for row, length in zip(values, sequences.lengths, strict=True)]
    return torch.from_numpy(np.concatenate(parts))


def prepare(data: Dataset, options: Mapping[str, Any], device: torch.device) -> list[Prepared]:
    """A data set's divisions: one for each fold. Raises `InvalidInput`."""
    fractions = options["validation_fraction"], options["test_fraction"]
    found = split(data, *fractions, options["split_seed"], options["folds"], options["split_by"])
    return [Prepared(data, splits, options, device) for splits in found]


def prepare_for_refit(data: Dataset, options: Mapping[str, Any], device: torch.device) -> Prepared:
    """The division that has no validation split: all but the test's is to train on. Raises `InvalidInput`."""
    splits = without_validation(data, options["test_fraction"], options["split_seed"], options["split_by"])
    return Prepared(data, splits, options, device)
