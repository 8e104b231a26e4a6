"""Raw sequences, as users have them: checked, and brought into the form that training reads."""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpsearch.errors import Fault, InvalidInput
from hpsearch.objectives.rnn.data.sequences import AnyArray, FloatArray, Sequences, category_name
from hpsearch.objectives.rnn.data.vocabulary import UNKNOWN, decode, encode
from hpsearch.objectives.rnn.network.architecture import Architecture

ARRAYS = ("x", "lengths", "statics", "categories", "context", "context_lengths")
"""Of a `.npz`: what a network reads."""
RawSequences = Sequence[Any] | AnyArray
"""Arrays of [steps, features] each, one array [sequences, steps, features], or texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawReader:
    """What a network reads."""

    architecture: Architecture
    features: tuple[str, ...]
    """Names, where there are any."""
    vocabulary: str | None
    max_tokens: int | None
    window: int | None
    """Steps that a forecast sees; None: any number."""
    horizon: int
    seen_categories: tuple[frozenset[int], ...]
    category_names: tuple[tuple[str, ...], ...] = ()
    """Of the indices from 1 on; none where the data had indices alone."""

    @classmethod
    def of_card(cls, card: Mapping[str, Any], architecture: Architecture) -> "RawReader":
        """That of a `model.json`."""
        parameters, task = card["parameters"], card["task"]
        return cls(
            architecture=architecture,
            features=tuple(card["features"]),
            vocabulary=card["vocabulary"],
            max_tokens=None if task == "language_model" else parameters["max_tokens"],
            window=parameters["window"] if task == "forecast" else None,
            horizon=parameters["horizon"] if task == "forecast" else 1,
            seen_categories=tuple(map(frozenset, card["seen_categories"])),
            category_names=tuple(map(tuple, card.get("category_names", ()))),
        )

    def read(
        self,
        sequences: RawSequences,
        statics: ArrayLike | None,
        categories: ArrayLike | None,
        context: RawSequences | None,
    ) -> Sequences:
        """All of it, with targets that mean nothing. Raises `InvalidInput`."""
        a = self.architecture
        inputs, lengths = self._tokens(sequences) if a.vocabulary_size else self._numbers(sequences)
        count = len(lengths)
        if (context is None) is not (a.context_features == 0):
            raise _unasked("context", f"{a.context_features} features a step of a second sequence", context is None)
        second = None if context is None else padded(numbers(context, "context", a.context_features), "context", count)
        return Sequences(
            inputs,
            lengths,
            np.zeros((count, self.horizon), dtype=np.float32),
            statics=self._statics(statics, count),
            categories=self._categories(categories, count),
            context=second and second[0],
            context_lengths=second and second[1],
        )

    def _numbers(self, sequences: RawSequences) -> tuple[FloatArray, NDArray[np.int64]]:
        rows = numbers(sequences, "sequences", self.architecture.inputs, self.features)
        wrong = next((len(row) for row in rows if self.window not in (None, len(row))), None)
        if wrong is not None:
            raise _fault("sequences", f"must be windows of {self.window} steps, the newest ones, not of {wrong}")
        return padded(rows, "sequences")

    def _tokens(self, sequences: RawSequences) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        texts = [str(text) if isinstance(text, str) else None for text in _listed(sequences, "sequences")]
        if None in texts:
            raise _fault("sequences", f"must be texts: number {texts.index(None)} is none")
        found = encode(str(self.vocabulary), [text for text in texts if text is not None])
        # as in training: a text without a token is one unknown token
        return padded([np.array(tokens[: self.max_tokens] or [0], dtype=np.int64) for tokens in found], "sequences")

    def _statics(self, statics: ArrayLike | None, count: int) -> FloatArray | None:
        wanted = self.architecture.statics
        found = _by_sequence(statics, "statics", wanted, count)
        return None if found is None else _finite(found, "statics")

    def _categories(self, categories: ArrayLike | None, count: int) -> NDArray[np.int64] | None:
        found = _by_sequence(self._indices(categories), "categories", len(self.architecture.category_sizes), count)
        if found is None:
            return None
        if found.dtype.kind not in "iu":
            raise _fault("categories", f"must hold whole numbers, the indices of categories, not {found.dtype}")
        known = [
            np.where(np.isin(column, list(seen)), column, 0)
            for column, seen in zip(found.T, self.seen_categories, strict=True)
        ]
        return np.stack(known, axis=1).astype(np.int64)

    def _indices(self, categories: ArrayLike | None) -> ArrayLike | None:
        """Of names, where the data had names; a name that training has not seen is index 0."""
        if categories is None or not self.category_names:
            return categories
        found = np.array(categories, dtype=object)
        found = found[:, None] if found.ndim == 1 and len(self.category_names) == 1 else found
        if found.ndim != 2 or found.shape[1] != len(self.category_names):
            wanted = f"[sequences, {len(self.category_names)}] of names"
            raise _fault("categories", f"must be {wanted}, not an array of shape {list(found.shape)}")
        places = [{name: place for place, name in enumerate(names, 1)} for names in self.category_names]
        rows = [[place.get(category_name(value), 0) for place, value in zip(places, row, strict=True)] for row in found]
        return np.array(rows, dtype=np.int64).reshape(found.shape)


def numbers(sequences: RawSequences, name: str, features: int, names: Sequence[str] = ()) -> list[FloatArray]:
    """float32 [steps, features] each; of one feature [steps] too. Raises `InvalidInput`."""
    told = f"{features} features ({', '.join(names)})" if names else f"{features} feature{'s' if features != 1 else ''}"
    found = []
    for position, item in enumerate(_listed(sequences, name)):
        values = _array(item, f"{name}[{position}]")
        if not values.size:
            raise _fault(f"{name}[{position}]", "is empty: a sequence has one step at least")
        if values.ndim == 1 and features == 1:
            values = values[:, None]
        if values.ndim != 2 or values.shape[1] != features:
            shape = list(values.shape)
            raise _fault(f"{name}[{position}]", f"must be [steps, features] of {told}, not an array of shape {shape}")
        found.append(_finite(values, f"{name}[{position}]"))
    return found


def padded(rows: Sequence[AnyArray], name: str, count: int | None = None) -> tuple[AnyArray, NDArray[np.int64]]:
    """Arrays [steps, …] as one, [sequences, steps, …] with zeros on the right, and their lengths. Raises
    `InvalidInput` where they are not as many as `count`."""
    if count not in (None, len(rows)):
        raise _fault(name, f"must be as many as the sequences, {count}, not {len(rows)}")
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    whole = np.zeros((len(rows), int(lengths.max()), *rows[0].shape[1:]), dtype=rows[0].dtype)
    for position, row in enumerate(rows):
        whole[position, : len(row)] = row
    return whole, lengths


def _listed(sequences: RawSequences, name: str) -> list[Any]:
    if isinstance(sequences, str | bytes) or not hasattr(sequences, "__len__") or isinstance(sequences, Mapping):
        raise _fault(name, f"must be a list of sequences, not one {type(sequences).__name__}")
    if not len(sequences):
        raise _fault(name, "is empty: there is nothing to read")
    return list(sequences)


def _by_sequence(values: ArrayLike | None, name: str, wanted: int, count: int) -> AnyArray | None:
    """[sequences, values], as many of each as wanted; of one value [sequences] too."""
    if (values is None) is not (wanted == 0):
        raise _unasked(name, f"{wanted} value{'s' if wanted != 1 else ''} a sequence", values is None)
    if values is None:
        return None
    found = _array(values, name)
    found = found[:, None] if found.ndim == 1 and wanted == 1 else found
    if found.shape != (count, wanted):
        raise _fault(name, f"must be [{count} sequences, {wanted}], not an array of shape {list(found.shape)}")
    return found


def _array(values: Any, name: str) -> AnyArray:
    try:
        found = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise _fault(name, f"is no array of numbers: {error}") from error
    if found.dtype.kind not in "iufb":
        raise _fault(name, f"must hold numbers, not {found.dtype}")
    return found


def _finite(values: AnyArray, name: str) -> FloatArray:
    with np.errstate(over="ignore"):
        found = values.astype(np.float32)
    if not np.isfinite(found).all():
        raise _fault(name, "holds a missing or infinite value")
    return found


def _unasked(name: str, what: str, is_missing: bool) -> InvalidInput:
    return _fault(name, f"is missing: the model reads {what}" if is_missing else "must be None: the model reads none")


def _fault(name: str, problem: str) -> InvalidInput:
    return InvalidInput(faults=[Fault(name, problem)])


def read_sequence(file: Path, position: int) -> dict[str, Any]:
    """One sequence of a `.npz` with the arrays of a data set (`x`, else `x_test`, `x_validation` or `x_train`, with
    `lengths`, `statics`, `categories`, `context` and `context_lengths` where there are such), as arguments of
    `Model.predict`. Raises `InvalidInput`."""
    try:
        with file.open("rb") as raw, np.load(raw, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise InvalidInput(f"cannot read {file}: {error.strerror or error}") from error
    except (ValueError, TypeError, AttributeError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidInput(f"{file} is no .npz of plain arrays: {error}") from error
    end = next((end for end in ("", "_test", "_validation", "_train") if f"x{end}" in arrays), None)
    if end is None:
        raise InvalidInput(f"{file} has no array x; arrays: {', '.join(arrays) or 'none'}")
    own = {name: arrays[name + end] for name in ARRAYS if name + end in arrays}
    short = min(len(values) if values.ndim else 0 for values in own.values())
    if not 0 <= position < short:
        raise _fault("sequence", f"must be from 0 to {short - 1}, as {file.name} has {short}, not {position}")
    one = {name: values[position] for name, values in own.items()}
    found = {"sequences": [_cut(one["x"], one.get("lengths"))]}
    found |= {name: one[name][None] for name in ("statics", "categories") if name in one}
    return found | ({"context": [_cut(one["context"], one.get("context_lengths"))]} if "context" in one else {})


def _cut(values: Any, length: Any) -> Any:
    return values if length is None else values[: int(length)]


def step_names(sequence: Any, vocabulary: str | None) -> list[str]:
    """What stands for the steps of a sequence: the tokens of a text, or numbers from 1 on."""
    if vocabulary is None:
        return [str(step) for step in range(1, len(sequence) + 1)]
    return [decode(vocabulary, [token]) or UNKNOWN for token in encode(vocabulary, [str(sequence)])[0]] or [UNKNOWN]
