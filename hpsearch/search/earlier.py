"""Earlier studies as knowledge: what each says of a space, and how much that is worth.

An earlier study's trials are known by their ranks alone. What it says of a point is a rank, predicted from them by
Gaussian process regression with an additive kernel (Duvenaud et al. 2011), which says something of parameters that both
studies search and nothing of others; and its good trials say where to look. It is heeded by how well its predictions
rank this study's own trials (the idea of ranking-weighted ensembles, RGPE: Feurer et al. 2018, arXiv:1802.02219; by
Kendall's tau, which needs no draws), shrunk towards a prior as long as these are few; and it fades as they become many,
like a belief in πBO (Hvarfner et al. 2022, arXiv:2204.11051): what misleads costs time, not the result.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from hpsearch.earlier import Found
from hpsearch.parameters import same_value
from hpsearch.search.parzen import ParzenEstimator
from hpsearch.search.space import Dimension, Floats, Space
from hpsearch.trials import Parameters, Scalar

FEWEST = 5
"""Trials of an earlier study: less say nothing."""
MOST_BEST, MOST_OTHERS = 100, 200
"""Of these the best and an even choice of the others are known."""
GOOD_SHARE, MOST_GOOD = 0.2, 50
"""Of an earlier study's trials so many are good: where they are, points are drawn."""
LENGTH = 0.3
"""Of the kernels, as a share of a parameter's range."""
NOISE = 0.3
"""Variance of ranks (as normal scores, whose variance is 1) that parameters do not explain."""
GAIN = 2.0
"""What a predicted normal score counts for beside a log ratio of densities, where an earlier study has all weight."""
COMPARED = 200
"""Own trials that it is held against, the first ones: later ones crowd where all are good."""
PRIOR_TAU, PRIOR_TRIALS = 0.5, 5.0
"""What is thought of an earlier study before the first trial, and how many trials that thought outweighs."""
STRENGTH = 20.0
"""Own trials until an earlier study counts half."""


class EarlierStudy:
    """One of them, in the coordinates of this study's space."""

    def __init__(self, found: Found, space: Space) -> None:
        self.found = found
        self._dimensions = space.dimensions
        self._points = points_of(found.configurations, space)
        self.known = [
            index
            for index, dimension in enumerate(space.dimensions)
            if not dimension.single and (~np.isnan(self._points[:, index])).sum() >= FEWEST
        ]
        """Dimensions of which it says something."""
        good = min(math.ceil(GOOD_SHARE * found.trials), MOST_GOOD, len(self._points))
        self._good = self._points[:good]
        self._kernels: dict[tuple[int, ...], ParzenEstimator] = {}
        covariance = self._covariance(self._points, self.known, self.known)
        covariance[np.diag_indices_from(covariance)] += NOISE
        self._coefficients = np.linalg.solve(covariance, ndtri(np.array(found.shares)))

    def _covariance(self, points: Floats, columns: Sequence[int], dimensions: Sequence[int]) -> Floats:
        """[points, trials], as far as these dimensions make it up; they are in these columns."""
        total = np.zeros((len(points), len(self._points)))
        for column, index in zip(columns, dimensions, strict=True):
            one, other = points[:, column, None], self._points[None, :, index]
            dimension = self._dimensions[index]
            if dimension.nominal:
                alike = (one == other).astype(float)
            else:
                distance = (dimension.cell_shares(one) - dimension.cell_shares(other)) / LENGTH
                alike = np.exp(-0.5 * distance * distance)
            total += np.nan_to_num(alike)  # what is not there says nothing
        return total / max(len(self.known), 1)

    def scores(self, points: Floats, dimensions: Sequence[int]) -> Floats:
        """How good points [points, dimensions] are in these dimensions: the normal score of the rank, more being
        better, 0 where nothing is known."""
        shared = [(column, index) for column, index in enumerate(dimensions) if index in self.known]
        columns, known = [column for column, _ in shared], [index for _, index in shared]
        return -self._covariance(points, columns, known) @ self._coefficients

    def draw(self, rng: np.random.Generator, points: Floats, dimensions: Sequence[int]) -> None:
        """Move points [points, dimensions] to where its good trials are, as far as it knows these dimensions."""
        columns = [column for column, index in enumerate(dimensions) if index in self.known]
        if not columns:
            return
        known = [dimensions[column] for column in columns]
        good = self._good[:, known]
        good = good[~np.isnan(good).any(axis=1)]
        estimator = ParzenEstimator([self._dimensions[index] for index in known], good, np.ones(len(good)))
        points[:, columns] = estimator.sample(rng, len(points))


class Knowledge:
    """Earlier studies in a space; false without any."""

    def __init__(self, earlier: Sequence[Found], space: Space) -> None:
        self.studies = [EarlierStudy(found, space) for found in earlier]

    def __bool__(self) -> bool:
        return bool(self.studies)

    def scores(self, points: Floats, dimensions: Sequence[int]) -> Floats:
        """By each [studies, points]."""
        return np.array([study.scores(points, dimensions) for study in self.studies])

    def advice(self, weights: Floats, points: Floats, dimensions: Sequence[int]) -> Floats:
        """By all of them, to be added to a log ratio of densities."""
        return np.asarray(GAIN * weights @ self.scores(points, dimensions))

    def draw(self, weights: Floats, rng: np.random.Generator, points: Floats, dimensions: Sequence[int]) -> None:
        """Move each point to where good trials of one of the studies are, which is drawn by the weights."""
        chosen = rng.choice(len(weights), size=len(points), p=weights / weights.sum())
        for place, study in enumerate(self.studies):
            moved = points[chosen == place]
            study.draw(rng, moved, dimensions)
            points[chosen == place] = moved


def tau(one: Floats, other: Floats) -> float | None:
    """Kendall's tau-b (Kendall 1945) of two series [values]; None where all are equal in one of them. Their square of
    work: for some hundred."""
    first, second = (np.sign(values[:, None] - values[None, :]) for values in (one, other))
    norm = math.sqrt(float(np.abs(first).sum()) * float(np.abs(second).sum()))
    return float((first * second).sum()) / norm if norm else None


def weights_of(taus: Sequence[float | None], compared: int, told: int) -> Floats:
    """How much each study is heeded, from how it agrees with `compared` trials, after `told` ones; together at most 1.
    Several that say the same count as one."""
    found = np.array([0.0 if item is None else item for item in taus])
    trust = np.maximum((PRIOR_TAU * PRIOR_TRIALS + found * compared) / (PRIOR_TRIALS + compared), 0.0)
    return np.asarray(trust * trust / max(float(trust.sum()), 1e-12) * STRENGTH / (STRENGTH + told))


def points_of(configurations: Sequence[Parameters], space: Space) -> Floats:
    """Coordinates [configurations, dimensions] of another study's configurations. Numbers move to the nearest value
    there is here; NaN is what is out of the range, or no choice, or not there."""
    points = np.full((len(configurations), len(space)), np.nan)
    for row, parameters in enumerate(configurations):
        for index, dimension in enumerate(space.dimensions):
            if dimension.name in parameters:
                points[row, index] = _coordinate(dimension, parameters[dimension.name])
    return points


def _coordinate(dimension: Dimension, value: Scalar) -> float:
    if dimension.choices is not None:
        place = dimension.coordinate(value)
        return place if place == place and same_value(dimension.choices[int(place)], value) else math.nan
    if isinstance(value, bool) or not isinstance(value, int | float) or (dimension.log and value <= 0):
        return math.nan
    scaled = dimension.scaled(np.array([float(value)]))
    low, high = dimension.bounds
    return float(dimension.snapped(scaled)[0]) if low <= scaled[0] <= high else math.nan
