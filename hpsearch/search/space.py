"""A study's space in the coordinates that samplers compute in: a real number a parameter."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.spec import CategoricalParameter, FloatParameter, IntParameter
from hpsearch.trials import Parameters, Scalar

Floats = NDArray[np.float64]
SpaceParameter = FloatParameter | IntParameter | CategoricalParameter


@dataclass(frozen=True)
class Dimension:
    """One parameter. Its coordinate is the value itself, or the position of a categorical choice."""

    name: str
    low: float
    high: float
    """Of the values (a categorical one's: 0 and the last position)."""
    log: bool
    step: float | None
    """None: continuous."""
    choices: tuple[Scalar, ...] | None
    whole: bool
    """Whether values are ints."""

    @property
    def single(self) -> bool:
        """Whether there is only one value."""
        return self.low == self.high

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """Where kernels live: half a step wider where there are steps; logarithms where the scale is logarithmic."""
        half = (self.step or 0.0) / 2
        low, high = self.low - half, self.high + half
        return (math.log(low), math.log(high)) if self.log else (low, high)

    @cached_property
    def _positions(self) -> Mapping[Scalar, int]:
        return {choice: position for position, choice in enumerate(self.choices or ())}

    def coordinate(self, value: Scalar) -> float:
        """A value's coordinate; NaN for what is no value of this parameter."""
        if self.choices is not None:
            return self._positions.get(value, math.nan)
        if isinstance(value, int | float) and self.low <= value <= self.high:
            return float(value)
        return math.nan

    def value(self, coordinate: float) -> Scalar:
        """The value at a coordinate."""
        if self.choices is not None:
            return self.choices[int(coordinate)]
        return int(coordinate) if self.whole else float(coordinate)

    def values_at(self, quantiles: Floats) -> Floats:
        """Coordinates at quantiles (0 to 1) of the uniform distribution over the parameter's scale."""
        if self.choices is not None:
            return np.minimum(np.floor(quantiles * len(self.choices)), self.high)
        low, high = self.bounds
        return self.snapped(low + quantiles * (high - low))

    def scaled(self, coordinates: Floats) -> Floats:
        """Coordinates on the parameter's scale: logarithms where it is logarithmic."""
        return np.log(coordinates) if self.log else coordinates

    def shares(self, coordinates: Floats) -> Floats:
        """Where coordinates lie between the least (0) and the greatest value (1), on the parameter's scale."""
        return _between(
            self.scaled(coordinates), *(math.log(end) if self.log else end for end in (self.low, self.high))
        )

    def cell_shares(self, coordinates: Floats) -> Floats:
        """The same between the bounds, so that with steps each value lies in the middle of as much room."""
        return _between(self.scaled(coordinates), *self.bounds)

    def snapped(self, scaled: Floats) -> Floats:
        """The nearest coordinates that are values, from points on the parameter's scale."""
        plain = np.exp(scaled) if self.log else scaled
        if self.step is not None:
            plain = self.low + np.round((plain - self.low) / self.step) * self.step
        return np.clip(plain, self.low, self.high)


def _between(scaled: Floats, low: float, high: float) -> Floats:
    """Shares of a range, which may be wider than the largest number."""
    return (scaled / 2 - low / 2) / (high / 2 - low / 2)


def dimension_of(name: str, parameter: SpaceParameter) -> Dimension:
    """The dimension that a parameter of a space describes."""
    match parameter:
        case CategoricalParameter():
            last = len(parameter.choices) - 1
            return Dimension(name, 0.0, float(last), False, 1.0, parameter.choices, False)
        case IntParameter():
            low, high, step = float(parameter.low), float(parameter.high), float(parameter.step)
            return Dimension(name, low, high, parameter.log, step, None, True)
        case FloatParameter():
            return Dimension(name, parameter.low, parameter.high, parameter.log, parameter.step, None, False)


class Space:
    """A study's parameters, in their order."""

    def __init__(self, parameters: Mapping[str, SpaceParameter]) -> None:
        self.dimensions = tuple(dimension_of(name, parameter) for name, parameter in parameters.items())

    def __len__(self) -> int:
        return len(self.dimensions)

    def point(self, parameters: Parameters) -> list[float]:
        """A configuration's coordinates; NaN where a parameter is missing or out of the space."""
        return [
            dimension.coordinate(parameters[dimension.name]) if dimension.name in parameters else math.nan
            for dimension in self.dimensions
        ]

    def parameters(self, point: Sequence[float] | Floats, settled: Mapping[str, Any]) -> dict[str, Scalar]:
        """The configuration at a point; what is settled stays."""
        return {
            dimension.name: settled[dimension.name] if dimension.name in settled else dimension.value(coordinate)
            for dimension, coordinate in zip(self.dimensions, point, strict=True)
        }

    def points_at(self, quantiles: Floats) -> Floats:
        """Points at quantiles [points, dimensions] of the uniform distribution over each scale."""
        columns = [dimension.values_at(quantiles[:, index]) for index, dimension in enumerate(self.dimensions)]
        return np.stack(columns, axis=1) if columns else np.empty((len(quantiles), 0))
