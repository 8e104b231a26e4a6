"""Sequences with their targets, as arrays: what readers give and training takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.objectives.rnn.faults import setting_fault

FloatArray = NDArray[np.float32]
AnyArray = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Sequences:
    """Some sequences, padded to one length on the right with zeros."""

    inputs: AnyArray
    """float32 [sequences, steps, features], or int64 [sequences, steps] of tokens."""
    lengths: NDArray[np.int64]
    """[sequences]: steps that count."""
    targets: AnyArray
    """classification: int64 [sequences]; multilabel: float32 [sequences, labels] of 0 and 1; regression: float32
    [sequences]; forecast: float32 [sequences, horizon]; next_step: float32 [sequences, steps, labels];
    language_model: int64 [sequences, steps]."""
    baselines: Mapping[str, FloatArray] = field(default_factory=dict)
    """Forecasts: guesses to beat, by name, shaped as the targets."""
    statics: FloatArray | None = None
    """[sequences, numbers]: features of the whole sequence."""
    categories: NDArray[np.int64] | None = None
    """[sequences, categories]: indices, 0 for what training has not seen."""
    context: FloatArray | None = None
    """[sequences, context steps, context features]: a second sequence to attend to, padded likewise."""
    context_lengths: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, indices: NDArray[np.int64]) -> "Sequences":
        """Some of them."""
        optional = ("statics", "categories", "context", "context_lengths")
        given: dict[str, Any] = {name: getattr(self, name) for name in optional if getattr(self, name) is not None}
        return Sequences(
            self.inputs[indices],
            self.lengths[indices],
            self.targets[indices],
            {name: values[indices] for name, values in self.baselines.items()},
            **{name: values[indices] for name, values in given.items()},
        )


def joined(first: Sequences, second: Sequences) -> Sequences:
    """The sequences of both, padded to one length. They are of one data set: what one has, the other has too."""

    def both(one: AnyArray | None, other: AnyArray | None) -> AnyArray | None:
        return None if one is None or other is None else _stacked(one, other)

    return Sequences(
        _stacked(first.inputs, second.inputs),
        np.concatenate([first.lengths, second.lengths]),
        _stacked(first.targets, second.targets),
        {name: _stacked(guesses, second.baselines[name]) for name, guesses in first.baselines.items()},
        both(first.statics, second.statics),
        both(first.categories, second.categories),
        both(first.context, second.context),
        both(first.context_lengths, second.context_lengths),
    )


def _stacked(one: AnyArray, other: AnyArray) -> AnyArray:
    """One after the other along the first axis; where the second is of unlike lengths, the shorter gets zeros."""
    if one.ndim == 1 or one.shape[1] == other.shape[1]:
        return np.concatenate([one, other])
    found = np.zeros((len(one) + len(other), max(one.shape[1], other.shape[1]), *one.shape[2:]), dtype=one.dtype)
    found[: len(one), : one.shape[1]] = one
    found[len(one) :, : other.shape[1]] = other
    return found


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a reader found: with the splits that the data bring, the others still to be made."""

    task: str
    """classification, multilabel, regression, forecast, next_step or language_model."""
    train: Sequences
    validation: Sequences | None = None
    test: Sequences | None = None
    classes: tuple[str, ...] = ()
    """Names of the classes or labels."""
    features: tuple[str, ...] = ()
    """Names, where there are any."""
    steps: int = 0
    """Forecasts: the length of the series."""
    target_feature: int = 0
    """Forecasts: which feature is told."""
    vocabulary: str | None = None
    """Tokens: the tokenizer, as its JSON text."""
    vocabulary_size: int = 0
    """Tokens: how many there are; 0 where the inputs are numbers."""
    characters: Mapping[str, int] = field(default_factory=dict)
    """Language models: characters behind each split's targets, by `train`, `validation` and `test`."""
    category_sizes: tuple[int, ...] = ()
    """How many indices each category has."""
    category_names: tuple[tuple[str, ...], ...] = ()
    """What each category's indices from 1 on stand for; none where the data have indices alone."""


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
    for values, name in ((sequences.inputs, "value"), (sequences.context, "context value")):
        finite = _finite(values)
        if not finite.all():
            position = int(finite.argmin())
            raise setting_fault("dataset", f"holds a missing or infinite {name} in {what} sequence {position}")
    for values, name in ((sequences.targets, "target"), (sequences.statics, "static feature")):
        if not _finite(values).all():
            raise setting_fault("dataset", f"holds a missing or infinite {name} among the {what} sequences")


def category_name(value: object) -> str:
    """What a category is called: a text as it is, a number without needless digits."""
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return f"{float(value):.17g}" if number else str(value)  # type: ignore[arg-type]


def _finite(values: AnyArray | None) -> NDArray[np.bool_]:
    """[sequences]: whether all of a sequence's numbers are finite."""
    if values is None or values.dtype.kind != "f":
        return np.ones(1, dtype=np.bool_)
    return np.asarray(np.isfinite(values.reshape(len(values), -1)).all(axis=1))


def encode_classes(*labels: AnyArray) -> tuple[tuple[str, ...], list[NDArray[np.int64]]]:
    """The names of all classes, sorted, and each split's labels as indices into them. Raises `InvalidInput`."""
    values = sorted({str(item) for label in labels for item in label})
    if all(label.dtype.kind in "iu" for label in labels):
        values.sort(key=int)  # numbers in the order of numbers
    if len(values) < 2:
        raise setting_fault("dataset", f"holds {len(values)} class: there is nothing to tell apart")
    index = {name: position for position, name in enumerate(values)}
    return tuple(values), [np.array([index[str(item)] for item in label], dtype=np.int64) for label in labels]
