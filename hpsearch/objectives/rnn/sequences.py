"""Sequences with their targets, as arrays: what readers give and training takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.objectives.rnn.faults import setting_fault

FloatArray = NDArray[np.float32]
AnyArray = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Sequences:
    """Some sequences, padded to one length on the right with zeros."""

    inputs: FloatArray
    """[sequences, steps, features]."""
    lengths: NDArray[np.int64]
    """[sequences]: steps that count."""
    targets: AnyArray
    """int64 [sequences] of classes, or float32 [sequences] of numbers."""
    naive: FloatArray | None = None
    """Forecasts: the newest known value, [sequences], the guess to beat."""

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, indices: NDArray[np.int64]) -> "Sequences":
        """Some of them."""
        naive = None if self.naive is None else self.naive[indices]
        return Sequences(self.inputs[indices], self.lengths[indices], self.targets[indices], naive)


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a reader found: with the splits that the data bring, the others still to be made."""

    task: str
    """classification, regression or forecast."""
    train: Sequences
    validation: Sequences | None = None
    test: Sequences | None = None
    classes: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    """Names, where there are any."""
    steps: int = 0
    """Forecasts: the length of the series."""


def padded(series: Sequence[FloatArray], targets: AnyArray) -> Sequences:
    """Series of [steps, features] each as one array.

    Raises `InvalidInput` where there are none, one is empty, or they differ in their features.
    """
    if not series:
        raise setting_fault("dataset", "holds no sequences")
    features = {item.shape[1] for item in series}
    if len(features) > 1:
        raise setting_fault("dataset", f"holds sequences of different numbers of features: {sorted(features)}")
    lengths = np.array([len(item) for item in series], dtype=np.int64)
    if lengths.min() == 0:
        raise setting_fault("dataset", f"holds an empty sequence, number {int(lengths.argmin())}")
    inputs = np.zeros((len(series), int(lengths.max()), features.pop()), dtype=np.float32)
    for position, item in enumerate(series):
        inputs[position, : len(item)] = item
    return Sequences(inputs, lengths, targets)


def check_finite(sequences: Sequences, what: str) -> None:
    """Raises `InvalidInput` for missing or infinite values: what to put in their place is for the user to say."""
    finite = np.isfinite(sequences.inputs).all(axis=(1, 2))
    if not finite.all():
        raise setting_fault("dataset", f"holds a missing or infinite value in {what} sequence {int(finite.argmin())}")
    if sequences.targets.dtype.kind == "f" and not np.isfinite(sequences.targets).all():
        raise setting_fault("dataset", f"holds a missing or infinite target among the {what} sequences")


def encode_classes(*labels: AnyArray) -> tuple[tuple[str, ...], list[NDArray[np.int64]]]:
    """The names of all classes, sorted, and each split's labels as indices into them. Raises `InvalidInput`."""
    values = sorted({str(item) for label in labels for item in label})
    if all(label.dtype.kind in "iu" for label in labels):
        values.sort(key=int)  # numbers in the order of numbers
    if len(values) < 2:
        raise setting_fault("dataset", f"holds {len(values)} class: there is nothing to tell apart")
    index = {name: position for position, name in enumerate(values)}
    return tuple(values), [np.array([index[str(item)] for item in label], dtype=np.int64) for label in labels]
