"""Standardisation, fitted on the training split alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpsearch.objectives.rnn.sequences import FloatArray, Sequences


@dataclass(frozen=True, slots=True)
class Scaling:
    """Means and deviations, to subtract and to divide by."""

    mean: FloatArray
    """[features]."""
    deviation: FloatArray
    """[features]; 1 where a feature never changes."""
    target_mean: float = 0.0
    target_deviation: float = 1.0

    def inputs(self, sequences: Sequences) -> FloatArray:
        """The inputs standardised, their padding zero: [sequences, steps, features]."""
        scaled = (sequences.inputs - self.mean) / self.deviation
        return np.where(valid_steps(sequences)[:, :, None], scaled, np.float32(0))

    def targets(self, sequences: Sequences) -> FloatArray:
        """Number targets standardised: [sequences]."""
        return ((sequences.targets - self.target_mean) / self.target_deviation).astype(np.float32)


def valid_steps(sequences: Sequences) -> NDArray[np.bool_]:
    """[sequences, steps]: True where a step counts."""
    mask: NDArray[np.bool_] = np.arange(sequences.inputs.shape[1]) < sequences.lengths[:, None]
    return mask


def fit(train: Sequences) -> Scaling:
    """The training split's means and deviations, over the steps that count."""
    steps = train.inputs[valid_steps(train)].astype(np.float64)
    mean, deviation = steps.mean(axis=0), steps.std(axis=0)
    # a constant feature's deviation is not quite zero in floating point
    deviation = np.where(deviation > 1e-6 * np.maximum(1.0, np.abs(mean)), deviation, 1.0)
    target_mean, target_deviation = 0.0, 1.0
    if train.targets.dtype.kind == "f":
        target_mean, target_deviation = float(train.targets.mean()), float(train.targets.std()) or 1.0
    return Scaling(mean.astype(np.float32), deviation.astype(np.float32), target_mean, target_deviation)
