"""Priors in the coordinates of samplers, and how they fade: πBO (Hvarfner et al. 2022, arXiv:2204.11051).

On a dimension's own scale from 0 to 1 a prior is a normal distribution, cut off at both ends, with a tenth of uniform
chance; of choices it is a weight each. Its logarithm is weighed into what a sampler looks for by `strength` divided by
the trials that are known (equation 6), and the share of trials that are simply drawn from it falls alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from hpsearch.parameters import AnyParameter, Prior
from hpsearch.priors import good_values, prior_of
from hpsearch.search.space import Dimension, Flags, Floats, Space
from hpsearch.spec import StudySpec
from hpsearch.trials import Scalar

UNIFORM = 0.1
"""What every place keeps: a belief may be wrong."""
WIDTHS = {"low": 0.5, "medium": 0.25, "high": 0.125}
"""A value's deviation, as a share of the range (as in NePS)."""
REGION_WIDTHS = {"low": 2.0, "medium": 1.0, "high": 0.5}
"""A region's, as a share of its half width."""
TIMES = {"low": 2.0, "medium": 4.0, "high": 8.0}
"""How much likelier good choices are than others."""
LEAST_WIDTH = 0.005
FEWEST, DEFAULT, MOST = 5.0, 10.0, 100.0
"""Trials, of the strength."""


def strength_of(spec: StudySpec) -> float:
    """How many trials a belief is worth: a tenth of the budget (Hvarfner et al. 2022, section 4.1)."""
    trials = spec.budget.trials
    return DEFAULT if trials is None else min(max(trials / 10, FEWEST), MOST)


@dataclass(frozen=True)
class _Normal:
    """Of numbers, and of listed values with an order."""

    dimension: Dimension
    center: float
    width: float

    @property
    def _ends(self) -> tuple[float, float]:
        return float(ndtr(-self.center / self.width)), float(ndtr((1.0 - self.center) / self.width))

    def drawn(self, quantiles: Floats) -> Floats:
        """Shares of the range, of as many chances from 0 to 1."""
        start, end = self._ends
        inner = np.clip((quantiles - UNIFORM) / (1.0 - UNIFORM), 0.0, 1.0)
        normal = self.center + self.width * ndtri(start + inner * (end - start))
        found = np.where(quantiles < UNIFORM, quantiles / UNIFORM, normal)
        return np.clip(found, 0.0, np.nextafter(1.0, 0.0))

    def log_density(self, coordinates: Floats) -> Floats:
        """Relative to uniform chance."""
        return np.log(self._density(self.dimension.cell_shares(coordinates))[0])

    def at_share(self, share: float) -> tuple[float, float]:
        """The log density at a share of the range, and its derivative."""
        density, normal = self._density(np.array([share]))
        return float(np.log(density[0])), float(normal[0] * (self.center - share) / self.width**2 / density[0])

    def _density(self, shares: Floats) -> tuple[Floats, Floats]:
        start, end = self._ends
        distance = (shares - self.center) / self.width
        height = (1.0 - UNIFORM) / (self.width * np.sqrt(2 * np.pi) * max(end - start, 1e-300))
        normal = height * np.exp(-0.5 * distance * distance)
        return UNIFORM + normal, normal


@dataclass(frozen=True)
class _Weights:
    """Of choices."""

    weights: Floats
    """Probabilities."""

    def drawn(self, quantiles: Floats) -> Floats:
        places = np.searchsorted(np.cumsum(self.weights), quantiles, side="right")
        return np.asarray((np.minimum(places, len(self.weights) - 1) + 0.5) / len(self.weights))

    def log_density(self, coordinates: Floats) -> Floats:
        return np.asarray(np.log(self.weights * len(self.weights))[coordinates.astype(int)])


class Beliefs:
    """The priors of a space; false without any."""

    def __init__(self, parameters: Mapping[str, AnyParameter], space: Space) -> None:
        self._of = {
            space.index_of[name]: _belief(space.dimensions[space.index_of[name]], prior)
            for name, parameter in parameters.items()
            if (prior := prior_of(parameter)) is not None and not space.dimensions[space.index_of[name]].single
        }

    def __bool__(self) -> bool:
        return bool(self._of)

    def drawn(self, quantiles: Floats) -> Floats:
        """Quantiles [points, dimensions] whose values are distributed as is believed, from uniform ones."""
        quantiles = quantiles.copy()
        for index, belief in self._of.items():
            quantiles[:, index] = belief.drawn(quantiles[:, index])
        return quantiles

    def log_density(self, points: Floats, among: Mapping[int, int] | None = None) -> Floats:
        """At points [points, dimensions], relative to uniform chance; what is NaN does not count. `among` says which
        columns there are where they are some of the dimensions: their columns by dimension."""
        total = np.zeros(len(points))
        for index, belief in self._of.items():
            column = index if among is None else among.get(index)
            if column is not None:
                there = ~np.isnan(points[:, column])
                total[there] += belief.log_density(points[there, column])
        return total

    def at_share(self, index: int, share: float) -> tuple[float, float]:
        """The log density of a number at a share of its range, and its derivative."""
        belief = self._of.get(index)
        return belief.at_share(share) if isinstance(belief, _Normal) else (0.0, 0.0)


def _belief(dimension: Dimension, prior: Prior) -> _Normal | _Weights:
    values = good_values(prior)
    if dimension.nominal and dimension.choices is not None:
        weights = np.ones(len(dimension.choices))
        weights[[int(dimension.coordinate(value)) for value in values]] = TIMES[prior.confidence]
        return _Weights(weights / weights.sum())
    half = 0.0 if dimension.step is None else 0.5 / (1 + round((dimension.high - dimension.low) / dimension.step))
    if values:
        return _Normal(dimension, _share(dimension, values[0]), max(WIDTHS[prior.confidence], half))
    low = 0.0 if prior.min is None else max(_share(dimension, prior.min) - half, 0.0)
    high = 1.0 if prior.max is None else min(_share(dimension, prior.max) + half, 1.0)
    width = REGION_WIDTHS[prior.confidence] * (high - low) / 2
    return _Normal(dimension, (low + high) / 2, max(width, half, LEAST_WIDTH))


def _share(dimension: Dimension, value: Scalar) -> float:
    return float(dimension.cell_shares(np.array([dimension.coordinate(value)]))[0])


def follows(spec: StudySpec, numbers: Floats, chances: Floats) -> Flags:
    """Which trials are drawn from what is believed: the share falls with their numbers."""
    strength = strength_of(spec)
    return np.asarray(chances < strength / (strength + numbers))
