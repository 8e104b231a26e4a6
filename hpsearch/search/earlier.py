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
FORGOTTEN = 1000
"""Own trials after which none counts, or costs time, any more."""
_NOTHING = object()
_ENDLESS = 1e300


class EarlierStudy:
    """One of them, in the coordinates of this study's space."""

    def __init__(self, found: Found, space: Space) -> None:
        self.found = found
        self._dimensions = space.dimensions
        points = points_of(found.configurations, space)
        self.known = [
            index
            for index, dimension in enumerate(space.dimensions)
            if not dimension.single and (~np.isnan(points[:, index])).sum() >= FEWEST
        ]
        """Dimensions of which it says something."""
        self._good = points[: min(math.ceil(GOOD_SHARE * found.trials), MOST_GOOD)]
        self._places = _places(points, space.dimensions, np.inf)
        everywhere = _places(points, space.dimensions, -np.inf)
        covariance = self._covariance(everywhere, range(len(space)))
        covariance[np.diag_indices_from(covariance)] += NOISE
        self._coefficients = np.linalg.solve(covariance, ndtri(np.array(found.shares)))

    def _covariance(self, places: Floats, dimensions: Sequence[int]) -> Floats:
        """[points, trials], as far as these dimensions, the columns, make it up. What is not there says nothing."""
        total = np.zeros((len(places), len(self._places)))
        for column, index in enumerate(dimensions):
            if index in self.known:
                one, other = places[:, column, None], self._places[None, :, index]
                if self._dimensions[index].nominal:
                    total += one == other
                else:
                    distance = (one - other) / LENGTH
                    total += np.exp(-0.5 * distance * distance)
        return total / max(len(self.known), 1)

    def scores(self, places: Floats, dimensions: Sequence[int]) -> Floats:
        """How good points are in these dimensions, by their places [points, dimensions]: the normal score of the rank,
        more being better, 0 where nothing is known."""
        return -self._covariance(places, dimensions) @ self._coefficients

    def drawn(self, rng: np.random.Generator, points: Floats, dimensions: Sequence[int]) -> Floats:
        """Points [points, dimensions], moved to where its good trials are, as far as it knows these dimensions."""
        columns = [column for column, index in enumerate(dimensions) if index in self.known]
        known = [dimensions[column] for column in columns]
        good = self._good[:, known]
        good = good[~np.isnan(good).any(axis=1)]
        moved = points.copy()
        if columns and len(points):
            estimator = ParzenEstimator([self._dimensions[index] for index in known], good, np.ones(len(good)))
            moved[:, columns] = estimator.sample(rng, len(points))
        return moved


class Knowledge:
    """Earlier studies in a space; false without any."""

    def __init__(self, earlier: Sequence[Found], space: Space) -> None:
        self._dimensions = space.dimensions
        self.studies = [EarlierStudy(found, space) for found in earlier]

    def __bool__(self) -> bool:
        return bool(self.studies)

    def scores(self, points: Floats, dimensions: Sequence[int]) -> Floats:
        """What each says [studies, points] of points [points, dimensions]. What is NaN does not count."""
        places = _places(points, [self._dimensions[index] for index in dimensions], -np.inf)
        return np.array([study.scores(places, dimensions) for study in self.studies])

    def advice(self, weights: Floats, points: Floats, dimensions: Sequence[int]) -> Floats:
        """By all of them, to be added to a log ratio of densities."""
        return np.asarray(GAIN * weights @ self.scores(points, dimensions))

    def drawn(self, weights: Floats, rng: np.random.Generator, points: Floats, dimensions: Sequence[int]) -> Floats:
        """Points [points, dimensions], each moved to where good trials of one of the studies are, which is drawn by the
        weights."""
        chosen, points = rng.choice(len(weights), size=len(points), p=weights / weights.sum()), points.copy()
        for place, study in enumerate(self.studies):
            points[chosen == place] = study.drawn(rng, points[chosen == place], dimensions)
        return points


def _places(points: Floats, dimensions: Sequence[Dimension], nowhere: float) -> Floats:
    """Where points [points, dimensions] are on each scale, from 0 to 1; infinitely far away where they are NaN."""
    places = np.full(points.shape, nowhere)
    for column, dimension in enumerate(dimensions):
        there = ~np.isnan(points[:, column])
        places[there, column] = dimension.cell_shares(points[there, column])
    return places


def tau(one: Floats, other: Floats) -> float | None:
    """Kendall's tau-b (Kendall 1945) of two series [values]; None where all are equal in one of them. Their square of
    work: for some hundred."""
    first, second = (np.sign(values[:, None] - values[None, :]) for values in (one, other))
    norm = math.sqrt(float(np.abs(first).sum()) * float(np.abs(second).sum()))
    return float((first * second).sum()) / norm if norm else None


def weights_of(taus: Sequence[float | None], compared: int, told: int) -> Floats:
    """How much each study is heeded, from how it agrees with `compared` trials, after `told` ones; together at most 1.
    Several that say the same count as one."""
    if told > FORGOTTEN:
        return np.zeros(len(taus))
    found = np.array([0.0 if item is None else item for item in taus])
    trust = np.maximum((PRIOR_TAU * PRIOR_TRIALS + found * compared) / (PRIOR_TRIALS + compared), 0.0)
    return np.asarray(trust * trust / max(float(trust.sum()), 1e-12) * STRENGTH / (STRENGTH + told))


def points_of(configurations: Sequence[Parameters], space: Space) -> Floats:
    """Coordinates [configurations, dimensions] of another study's configurations. Numbers move to the nearest value
    there is here; NaN is what is out of the range, or no choice, or not there."""
    columns = [
        _coordinates(dimension, [parameters.get(dimension.name, _NOTHING) for parameters in configurations])
        for dimension in space.dimensions
    ]
    return np.stack(columns, axis=1) if columns else np.empty((len(configurations), 0))


def _coordinates(dimension: Dimension, values: Sequence[object]) -> Floats:
    if dimension.choices is not None:
        known: dict[object, int] = {choice: place for place, choice in enumerate(dimension.choices)}
        return np.array([_place(dimension.choices, known.get(value), value) for value in values], dtype=np.float64)
    numbers = np.array([value if _is_number(value) else math.nan for value in values], dtype=np.float64)
    if dimension.log:
        numbers[numbers <= 0] = math.nan
    scaled, (low, high) = dimension.scaled(numbers), dimension.bounds
    return np.where((scaled >= low) & (scaled <= high), dimension.snapped(scaled), math.nan)


def _place(choices: Sequence[Scalar], place: int | None, value: object) -> float:
    """Of a value among choices, where 1 is 1.0, but not true."""
    return math.nan if place is None or not same_value(choices[place], value) else float(place)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _ENDLESS
