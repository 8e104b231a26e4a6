"""A study's space in the coordinates that samplers compute in: a real number a parameter."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.conditions import Gate, needs_of
from hpsearch.parameters import AnyParameter, FloatParameter, IntParameter, OrdinalParameter, listed_values
from hpsearch.trials import Parameters, Scalar

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.intp]


@dataclass(frozen=True)
class Dimension:
    """One parameter. Its coordinate is the value itself, or the position of a listed one."""

    name: str
    low: float
    high: float
    """Of the values (of listed ones: 0 and the last position)."""
    log: bool
    step: float | None
    """None: continuous."""
    choices: tuple[Scalar, ...] | None
    """The listed values; None for numbers."""
    whole: bool
    """Whether values are ints."""
    nominal: bool = False
    """Whether the listed values have no order."""

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


def dimension_of(name: str, parameter: AnyParameter) -> Dimension:
    """The dimension that a parameter of a space describes."""
    if isinstance(parameter, IntParameter):
        low, high, step = float(parameter.low), float(parameter.high), float(parameter.step)
        return Dimension(name, low, high, parameter.log, step, None, True)
    if isinstance(parameter, FloatParameter):
        return Dimension(name, parameter.low, parameter.high, parameter.log, parameter.step, None, False)
    listed = listed_values(parameter) or ()
    nominal = not isinstance(parameter, OrdinalParameter)
    return Dimension(name, 0.0, float(len(listed) - 1), False, 1.0, listed, False, nominal)


class Space:
    """A study's parameters, in their order, and which of them a point has."""

    def __init__(self, parameters: Mapping[str, AnyParameter]) -> None:
        self.dimensions = tuple(dimension_of(name, parameter) for name, parameter in parameters.items())
        self.index_of = {dimension.name: index for index, dimension in enumerate(self.dimensions)}
        needs = needs_of(parameters)
        self._gates = {
            self.index_of[name]: tuple((self.index_of[other], gate) for other, gate in gates.items())
            for name, gates in needs.items()
        }
        always = [index for index in range(len(self.dimensions)) if index not in self._gates]
        alike: dict[object, list[int]] = {}
        for index, gates in self._gates.items():
            alike.setdefault(frozenset((other, self._passed(other, gate)) for other, gate in gates), []).append(index)
        self.groups: tuple[list[int], ...] = (always, *map(sorted, alike.values()))
        """Dimensions that are active together: first those that always are, then each group after those on which it
        depends."""

    def __len__(self) -> int:
        return len(self.dimensions)

    @property
    def is_conditional(self) -> bool:
        """Whether some points lack some dimensions."""
        return bool(self._gates)

    def _passed(self, index: int, gate: Gate) -> object:
        """What a gate lets through, so that differently written conditions compare equal where values are few."""
        dimension = self.dimensions[index]
        if dimension.step is None or dimension.high - dimension.low > _FEW * dimension.step:
            return gate
        count = 1 + round((dimension.high - dimension.low) / dimension.step)
        return frozenset(place for place in range(count) if gate.admits(dimension.low + place * dimension.step))

    def is_active(self, index: int, points: Floats) -> Flags:
        """Which of the points [points, dimensions] have a dimension: by those that it depends on."""
        active = np.ones(len(points), dtype=bool)
        for other, gate in self._gates.get(index, ()):
            active &= _passes(gate, points[:, other])
        return active

    def without_inactive(self, points: Floats) -> Floats:
        """Points with NaN in the dimensions that they do not have."""
        if not self._gates:
            return points
        points = points.copy()
        inactive = {index: ~self.is_active(index, points) for index in self._gates}
        for index, missing in inactive.items():
            points[missing, index] = np.nan
        return points

    def settle(self, points: Floats, settled: Mapping[str, Any]) -> None:
        """Put points where parameters are settled."""
        for name, value in settled.items():
            points[:, self.index_of[name]] = self.dimensions[self.index_of[name]].coordinate(value)

    def point(self, parameters: Parameters) -> list[float]:
        """A configuration's coordinates; NaN where a parameter is missing or out of the space."""
        return [
            dimension.coordinate(parameters[dimension.name]) if dimension.name in parameters else math.nan
            for dimension in self.dimensions
        ]

    def parameters(self, point: Sequence[float] | Floats, settled: Mapping[str, Any]) -> dict[str, Scalar]:
        """The configuration at a point, without the parameters whose coordinate is NaN; what is settled stays."""
        return {
            dimension.name: settled[dimension.name] if dimension.name in settled else dimension.value(coordinate)
            for dimension, coordinate in zip(self.dimensions, point, strict=True)
            if dimension.name in settled or not math.isnan(coordinate)
        }

    def points_at(self, quantiles: Floats) -> Floats:
        """Points at quantiles [points, dimensions] of the uniform distribution over each scale."""
        columns = [dimension.values_at(quantiles[:, index]) for index, dimension in enumerate(self.dimensions)]
        return np.stack(columns, axis=1) if columns else np.empty((len(quantiles), 0))


_FEW = 1024


def _passes(gate: Gate, coordinates: Floats) -> Flags:
    """`gate.admits`, of many coordinates."""
    passed = (coordinates >= gate.low) & (coordinates <= gate.high)
    if gate.only is not None:
        close = [np.isclose(coordinates, value, rtol=1e-9, atol=1e-9) for value in gate.only]
        passed &= np.any(close, axis=0) if close else False
    return np.asarray(passed, dtype=bool)
