"""Numbers brought to a size that networks learn from, and back. Fitted on the training split alone."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.objectives.rnn.data.sequences import AnyArray, FloatArray, Sequences

Lengths = NDArray[np.int64]
Pair = tuple[AnyArray, AnyArray]
"""Centre and spread."""

_CONSTANT = 1e-6
"""A feature that varies by less than this part of its size is constant: the rest is noise of floating point."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is subtracted from each feature, and what it is divided by then."""

    centre: tuple[float, ...]
    spread: tuple[float, ...]
    """Never 0: 1 where a feature is constant."""

    def arrays(self) -> Pair:
        """float32 [1, features] both."""
        return np.array([self.centre], dtype=np.float32), np.array([self.spread], dtype=np.float32)

    def of_feature(self, feature: int) -> "Figures":
        """Those of one feature."""
        return Figures((self.centre[feature],), (self.spread[feature],))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaler:
    """A fitted scaling of all numbers of a data set; tokens and categories stay as they are."""

    method: str
    """none; standard: mean 0 and deviation 1; min_max: 0 … 1; min_max_symmetric: -1 … 1; robust: median 0 and
    interquartile range 1."""
    scope: str
    """Whose figures count: the `training_set`'s, or each `series`' own, when predicting too; a series that is constant
    has its own centre and the training set's spread."""
    target_feature: int | None
    """Of forecasts: the feature that is told. Its inputs and the targets are scaled alike, with the scope `series` by
    the window's figures: what is told is told from where the window is (as in RevIN, Kim et al. 2022)."""
    features: Figures | None
    """None: the inputs are tokens."""
    target: Figures
    """Of targets that are numbers, by the training split; 0 and 1 where they are none."""
    static_features: Figures | None
    context_features: Figures | None

    def inputs(self, sequences: Sequences) -> AnyArray:
        """float32 [sequences, steps, features], padding zero; tokens as they are."""
        if self.features is None:
            return sequences.inputs
        return self._scaled(sequences.inputs, sequences.lengths, self.features)

    def context(self, sequences: Sequences) -> FloatArray | None:
        """The second sequence: [sequences, context steps, context features], padding zero. None: there is none."""
        if self.context_features is None or sequences.context is None:
            return None
        return self._scaled(sequences.context, _context_lengths(sequences.context, sequences), self.context_features)

    def statics(self, sequences: Sequences) -> FloatArray | None:
        """[sequences, numbers], standardised over the training split, but with `none`. None: there are none."""
        if self.static_features is None or sequences.statics is None:
            return None
        centre, spread = self.static_features.arrays()
        return ((sequences.statics - centre) / spread).astype(np.float32)

    def targets(self, sequences: Sequences) -> FloatArray:
        """Of regression and forecasts: [sequences, targets]."""
        centre, spread = self._of_targets(sequences)
        return ((sequences.targets.reshape(len(sequences), -1) - centre) / spread).astype(np.float32)

    def unscale(self, values: FloatArray, sequences: Sequences) -> FloatArray:
        """What `targets` does, undone: outputs [sequences, targets] in the target's own unit."""
        centre, spread = self._of_targets(sequences)
        return (values * spread + centre).astype(np.float32)

    def as_json(self) -> dict[str, Any]:
        """Plain values, which come back from JSON the same."""
        values = {name: getattr(self, name) for name in ("method", "scope", "target_feature")}
        for name in _FIGURES:
            figures = getattr(self, name)
            values[name] = figures and {key: list(value) for key, value in asdict(figures).items()}
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Scaler":
        """What `as_json` does, undone."""
        figures = {
            name: values[name] and Figures(**{key: tuple(value) for key, value in values[name].items()})
            for name in _FIGURES
        }
        return cls(**{**values, **figures})

    def _scaled(self, values: FloatArray, lengths: Lengths, fitted: Figures) -> FloatArray:
        centre, spread = self._of_sequences(values, lengths, fitted)
        scaled = (values - centre[:, None]) / spread[:, None]
        return np.where(_counted(lengths, values), scaled, np.float32(0))

    def _of_sequences(self, values: FloatArray, lengths: Lengths, fitted: Figures) -> Pair:
        """[sequences, features] both, or [1, features] where all have the same."""
        if self.scope == "training_set":
            return fitted.arrays()
        return _figures(values, lengths, self.method, fitted.arrays()[1])

    def _of_targets(self, sequences: Sequences) -> Pair:
        """[sequences, 1] both, or [1, 1]."""
        if self.target_feature is None:
            return self.target.arrays()
        told = sequences.inputs[:, :, self.target_feature, None]
        return self._of_sequences(told, sequences.lengths, self.target)


_FIGURES = ("features", "target", "static_features", "context_features")


def fit(train: Sequences, method: str, scope: str, task: str, target_feature: int = 0) -> Scaler:
    """The scaler of a training split, by its steps that count. `target_feature` counts for forecasts alone."""
    features = statics = context = None
    if train.inputs.dtype.kind == "f":
        features = _fitted(_steps(train.inputs, train.lengths), method)
    if train.statics is not None:
        statics = _fitted(train.statics, "none" if method == "none" else "standard")
    if train.context is not None:
        context = _fitted(_steps(train.context, _context_lengths(train.context, train)), method)
    return Scaler(
        method=method,
        scope=scope,
        target_feature=target_feature if task == "forecast" else None,
        features=features,
        target=_target(train, features, method, task, target_feature),
        static_features=statics,
        context_features=context,
    )


def _target(train: Sequences, features: Figures | None, method: str, task: str, target_feature: int) -> Figures:
    if task == "forecast" and features is not None:
        return features.of_feature(target_feature)
    if task == "regression":
        return _fitted(train.targets[:, None], method)
    return Figures((0.0,), (1.0,))


def _steps(values: AnyArray, lengths: Lengths) -> AnyArray:
    """[steps, features]: all that count."""
    steps: AnyArray = values[_counted(lengths, values)[:, :, 0]]
    return steps


def _fitted(values: AnyArray, method: str) -> Figures:
    """Of [steps, features]."""
    centre, spread = _figures(values[None], np.array([len(values)]), method, np.float32(1))
    return Figures(tuple(centre[0].tolist()), tuple(spread[0].tolist()))


def _figures(values: AnyArray, lengths: Lengths, method: str, of_constants: Any) -> Pair:
    """Of [sequences, steps, features], each sequence's own over its steps that count: float32 [sequences, features]
    both. `of_constants`: the spread of a feature that is constant."""
    counted = _counted(lengths, values)
    centre, spread = _METHODS[method](values, counted, lengths[:, None])
    size = np.abs(values).max(axis=1, where=counted, initial=0)
    spread = np.where(spread > _CONSTANT * size, spread, of_constants)
    return centre.astype(np.float32), spread.astype(np.float32)


def _none(values: AnyArray, counted: AnyArray, lengths: Lengths) -> Pair:  # noqa: ARG001
    shape = values.shape[0], values.shape[2]
    return np.zeros(shape), np.ones(shape)


def _standard(values: AnyArray, counted: AnyArray, lengths: Lengths) -> Pair:
    mean = values.sum(axis=1, where=counted, dtype=np.float64) / lengths
    variance = np.square(values - mean[:, None]).sum(axis=1, where=counted) / lengths
    return mean, np.sqrt(variance)


def _min_max(values: AnyArray, counted: AnyArray, lengths: Lengths) -> Pair:  # noqa: ARG001
    low = values.min(axis=1, where=counted, initial=np.inf)
    return low, values.max(axis=1, where=counted, initial=-np.inf) - low


def _min_max_symmetric(values: AnyArray, counted: AnyArray, lengths: Lengths) -> Pair:
    low, spread = _min_max(values, counted, lengths)
    return low + spread / 2, spread / 2


def _robust(values: AnyArray, counted: AnyArray, lengths: Lengths) -> Pair:
    ordered = np.sort(np.where(counted, values, np.float32(np.inf)), axis=1)
    low, median, high = (_quantile(ordered, lengths, part) for part in (0.25, 0.5, 0.75))
    # a feature may vary though half of its values are the same
    return median, np.where(high > low, high - low, _standard(values, counted, lengths)[1])


def _quantile(ordered: AnyArray, lengths: Lengths, part: float) -> AnyArray:
    """[sequences, features], linear between two values."""
    position = part * (lengths[:, :, None] - 1)
    below = np.floor(position).astype(np.int64)
    above = np.ceil(position).astype(np.int64)
    low, high = (np.take_along_axis(ordered, index, axis=1)[:, 0] for index in (below, above))
    quantile: AnyArray = low + (high - low) * (position - below)[:, 0]
    return quantile


_METHODS: Mapping[str, Callable[[AnyArray, AnyArray, Lengths], Pair]] = {
    "none": _none,
    "standard": _standard,
    "min_max": _min_max,
    "min_max_symmetric": _min_max_symmetric,
    "robust": _robust,
}


def _counted(lengths: Lengths, values: AnyArray) -> NDArray[np.bool_]:
    """[sequences, steps, 1]: which steps of [sequences, steps, …] count."""
    counted: NDArray[np.bool_] = np.arange(values.shape[1]) < lengths[:, None]
    return counted[:, :, None]


def _context_lengths(context: FloatArray, sequences: Sequences) -> Lengths:
    if sequences.context_lengths is None:
        return np.full(len(context), context.shape[1])
    return sequences.context_lengths
