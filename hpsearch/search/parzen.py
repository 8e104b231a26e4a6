"""Parzen estimators: the densities that the tree-structured Parzen estimator compares.

A mixture of kernels, one for each observation and one for the prior; a kernel is a product over the dimensions: a
truncated normal on the parameter's scale (its mass over the step, where there are steps), or a smoothed choice. The
same mixture, bandwidths and weights as Optuna 5's `TPESampler` builds by default (Watanabe 2023, arXiv:2304.11127,
sections 3.2 and 3.3), with special functions over whole arrays; `tests/search/test_tpe.py` holds them to each other.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from hpsearch.search.space import Dimension, Floats

TINY = 1e-300
"""Stands for a mass too small for a float: the prior's kernel decides there."""


def recency_weights(count: int) -> Floats:
    """Weights of observations from the oldest to the newest: the newest 25 weigh 1, older ones less (Optuna's
    `default_weights`)."""
    if count < 25:
        return np.ones(count)
    return np.concatenate([np.linspace(1.0 / count, 1.0, num=count - 25), np.ones(25)])


class ParzenEstimator:
    """A density over some dimensions. `points` are coordinates [observations, dimensions], `weights` one each."""

    def __init__(self, dimensions: Sequence[Dimension], points: Floats, weights: Floats) -> None:
        self.total_weight = float(weights.sum()) + 1.0
        self._log_weights = np.log(np.append(weights, 1.0) / self.total_weight)
        self._kernels = [
            _Choices(dimension, points[:, index]) if dimension.nominal else _Normals(dimension, points[:, index])
            for index, dimension in enumerate(dimensions)
        ]

    def sample(self, rng: np.random.Generator, count: int) -> Floats:
        """Points [count, dimensions]."""
        chosen = rng.choice(len(self._log_weights), size=count, p=np.exp(self._log_weights))
        return np.stack([kernels.sample(rng, chosen) for kernels in self._kernels], axis=1)

    def log_density(self, points: Floats) -> Floats:
        """At points [points, dimensions]; up to a constant that depends on the space alone."""
        parts = self._log_weights + sum(
            kernels.log_density(points[:, index]) for index, kernels in enumerate(self._kernels)
        )
        top = parts.max(axis=1)
        return np.asarray(np.log(np.exp(parts - top[:, None]).sum(axis=1)) + top)

    def newcomers(self, points: Floats) -> "Newcomers":
        """What the kernels of observations more, at some of these points, would add at all of them."""
        return Newcomers(self._kernels, points)


class Newcomers:
    """Kernels that observations more would have, each as narrow as the narrowest, and without a look at the edges:
    enough to keep the suggestions of one call apart."""

    def __init__(self, kernels: Sequence["_Normals | _Choices"], points: Floats) -> None:
        self._standing = np.zeros(len(points))
        self._places = []
        self._choices = []
        for index, kernel in enumerate(kernels):
            if isinstance(kernel, _Choices):
                self._choices.append((points[:, index], *kernel.log_same_and_other()))
                continue
            places, log_heights = kernel.places(points[:, index])
            self._places.append(places)
            self._standing += log_heights

    def log_kernel(self, center: int, onwards: int) -> Floats:
        """Of an observation at the point `center`, at the points from `onwards` on."""
        total = self._standing[onwards:].copy()
        for places in self._places:
            distance = places[onwards:] - places[center]
            total -= 0.5 * distance * distance
        for choices, same, other in self._choices:
            total += np.where(choices[onwards:] == choices[center], same, other)
        return total


class _Normals:
    """Truncated normal kernels of a number, the prior's last."""

    def __init__(self, dimension: Dimension, coordinates: Floats) -> None:
        self._dimension = dimension
        low, high = dimension.bounds
        observed = dimension.scaled(coordinates)
        self._means = np.append(observed, (low + high) / 2)
        self._widths = np.append(_bandwidths(observed, low, high), high - low)
        self._narrowest = _width_limits(len(self._means), low, high)[0]
        self._starts = ndtr((low - self._means) / self._widths)
        self._log_mass = np.log(np.maximum(1.0 - self._starts - ndtr((self._means - high) / self._widths), TINY))

    def sample(self, rng: np.random.Generator, chosen: NDArray[np.intp]) -> Floats:
        quantiles = self._starts[chosen] + rng.random(len(chosen)) * np.exp(self._log_mass[chosen])
        scaled = self._means[chosen] + self._widths[chosen] * ndtri(quantiles)
        return self._dimension.snapped(scaled)

    def log_density(self, coordinates: Floats) -> Floats:
        """[points, kernels]"""
        if self._dimension.step is None:
            distance = (self._dimension.scaled(coordinates)[:, None] - self._means) / self._widths
            return np.asarray(-0.5 * distance * distance - (np.log(self._widths * _ROOT) + self._log_mass))
        # few values, and few kernels that differ: each pair once
        values, positions = np.unique(coordinates, return_inverse=True)
        kernels, kinds = np.unique(self._means + 1j * self._widths, return_inverse=True)
        means, widths, half = kernels.real, kernels.imag, self._dimension.step / 2
        starts, ends = self._dimension.scaled(values - half), self._dimension.scaled(values + half)
        mass = _mass((starts[:, None] - means) / widths, (ends[:, None] - means) / widths)
        return np.asarray(np.log(np.maximum(mass, TINY))[np.ix_(positions, kinds)] - self._log_mass)

    def places(self, coordinates: Floats) -> tuple[Floats, Floats]:
        """Where points stand, in units of the narrowest kernel's width, and the log density of its middle there (its
        mass over a step, where there are steps)."""
        dimension, width = self._dimension, self._narrowest
        scaled = dimension.scaled(coordinates)
        heights = np.full(len(coordinates), -np.log(width * _ROOT))
        if dimension.step is not None:
            half = dimension.step / 2
            heights += np.log(dimension.scaled(coordinates + half) - dimension.scaled(coordinates - half))
        return scaled / width, heights


class _Choices:
    """Smoothed choices, the prior's last."""

    def __init__(self, dimension: Dimension, coordinates: Floats) -> None:
        self._dimension = dimension
        self._kernels = len(coordinates) + 1
        weights = np.full((self._kernels, len(dimension.choices or ())), 1.0 / self._kernels)
        weights[np.arange(len(coordinates)), coordinates.astype(int)] += 1.0
        self._probabilities = weights / weights.sum(axis=1, keepdims=True)
        self._log = np.log(self._probabilities).T.copy()

    def sample(self, rng: np.random.Generator, chosen: NDArray[np.intp]) -> Floats:
        ends = np.cumsum(self._probabilities[chosen], axis=1)
        positions = (ends < rng.random(len(chosen))[:, None]).sum(axis=1)
        return np.asarray(np.minimum(positions, self._dimension.high), dtype=np.float64)

    def log_density(self, coordinates: Floats) -> Floats:
        """[points, kernels]"""
        return np.asarray(self._log[coordinates.astype(int)])

    def log_same_and_other(self) -> tuple[float, float]:
        """Of an observation more: the log probability of its own choice, and of any other."""
        smoothing = 1.0 / self._kernels
        total = 1.0 + self._probabilities.shape[1] * smoothing
        return float(np.log((1.0 + smoothing) / total)), float(np.log(smoothing / total))


_ROOT = float(np.sqrt(2 * np.pi))


def _mass(start: Floats, end: Floats) -> Floats:
    """Of the standard normal between two points; precise in both tails."""
    flip = start > 0
    return np.asarray(ndtr(np.where(flip, -start, end)) - ndtr(np.where(flip, -end, start)))


def _bandwidths(observed: Floats, low: float, high: float) -> Floats:
    """The larger of the distances to the two neighbours, within limits."""
    order = np.argsort(observed)
    ends = np.concatenate([[low], observed[order], [high]])
    gaps = np.maximum(ends[1:-1] - ends[:-2], ends[2:] - ends[1:-1])
    if len(ends) >= 4:  # the outermost look inwards alone
        gaps[0], gaps[-1] = ends[2] - ends[1], ends[-2] - ends[-3]
    widths = np.empty_like(gaps)
    widths[order] = gaps
    return np.asarray(np.clip(widths, *_width_limits(len(observed) + 1, low, high)))


def _width_limits(kernels: int, low: float, high: float) -> tuple[float, float]:
    return (high - low) / min(100.0, 1.0 + kernels), high - low
