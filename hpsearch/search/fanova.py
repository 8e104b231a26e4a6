"""Functional ANOVA over a random forest (Hutter et al. 2014), its interactions, and Shapley effects (Owen 2014).

Optuna has functional ANOVA too; ours takes the marginals of a tree from its leaves' boxes by matrix products rather
than by walking the tree for each value (12 s against a fraction of one at 1,000 trials), integrates logarithmic
parameters over their logarithms, has interactions, and knows conditional parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from hpsearch.errors import Fault, InvalidInput
from hpsearch.insights import Importance, Interaction
from hpsearch.search.space import Dimension, Floats

TREES = 32
MOST_LEAVES = 200
LEAST_IN_LEAF = 2
MOST_INTERACTING = 8
"""Parameters, the most important ones, whose pairs are looked at."""
EVALUATIONS = 40_000
"""Of the forest, for Shapley effects."""
_LEAST_DRAWS, _MOST_DRAWS = 64, 4096


class Forest:
    """Regression trees of a study's losses over its space, scaled to the unit cube."""

    def __init__(self, dimensions: Sequence[Dimension], points: Floats, losses: Floats, seed: int) -> None:
        """`points` [trials, dimensions] are coordinates; where one is missing (a conditional parameter), the middle of
        its range stands for it. Raises `InvalidInput` where scikit-learn is missing."""
        self._dimensions = dimensions
        self._seed = seed % 2**32
        try:
            from sklearn.ensemble import RandomForestRegressor
        except ImportError as error:
            problem = "needs scikit-learn on the server (pip install scikit-learn); ped_anova does not"
            raise InvalidInput(faults=[Fault("method", problem)]) from error
        cube = unit_cube(dimensions, points)
        self._forest: Any = RandomForestRegressor(
            n_estimators=TREES,
            max_leaf_nodes=MOST_LEAVES,
            min_samples_leaf=LEAST_IN_LEAF,
            random_state=self._seed,
            n_jobs=1,
        ).fit(cube, losses)

    @cached_property
    def _leaves(self) -> "list[Leaves]":
        """Of the trees that say anything."""
        found = [leaves_of(tree.tree_, len(self._dimensions)) for tree in self._forest.estimators_]
        return [leaves for leaves in found if leaves.variance > 0]

    def importances(self) -> list[Importance]:
        """Each parameter's share of the variance by itself: the mean over the trees."""
        shares = [
            [leaves.marginal_variance(index) / leaves.variance for index in range(len(self._dimensions))]
            for leaves in self._leaves
        ]
        columns = np.array(shares) if shares else np.zeros((1, len(self._dimensions)))
        return [
            Importance(parameter=dimension.name, importance=float(column.mean()), deviation=float(column.std()))
            for dimension, column in zip(self._dimensions, columns.T, strict=True)
        ]

    def interactions(self, alone: Sequence[Importance]) -> list[Interaction]:
        """The share of the variance that two parameters have together, beyond their own, the strongest first; of the
        most important ones among which `alone` says what each has."""
        order = sorted(range(len(alone)), key=lambda index: -alone[index].importance)[:MOST_INTERACTING]
        found = []
        for one, other in combinations(sorted(order), 2):
            shares = [leaves.interaction_variance(one, other) / leaves.variance for leaves in self._leaves]
            names = (self._dimensions[one].name, self._dimensions[other].name)
            found.append(Interaction(parameters=names, importance=float(np.mean(shares)) if shares else 0.0))
        return sorted(found, key=lambda item: -item.importance)

    def shapley_effects(self) -> list[Importance]:
        """Each parameter's share of the variance, what several have together parted evenly between them.

        By random orders in which one point's coordinates turn into another's (Goda 2021, algorithm 1): unbiased, with
        as many evaluations a draw as there are parameters, and one more.
        """
        random, count = np.random.default_rng(self._seed), len(self._dimensions)
        draws = int(np.clip(EVALUATIONS // (count + 1), _LEAST_DRAWS, _MOST_DRAWS))
        present, target = random.random((draws, count)), random.random((draws, count))
        orders = random.permuted(np.tile(np.arange(count), (draws, 1)), axis=1)
        rows = np.arange(draws)
        start = before = self._forest.predict(present)
        effects = np.zeros(count)
        for turn in range(count):
            turned = orders[:, turn]
            present[rows, turned] = target[rows, turned]
            after = self._forest.predict(present)
            np.add.at(effects, turned, (start - (before + after) / 2) * (before - after))
            before = after
        effects = np.clip(effects, 0.0, None)
        total = effects.sum()
        return [
            Importance(parameter=dimension.name, importance=float(effect / total) if total > 0 else 0.0)
            for dimension, effect in zip(self._dimensions, effects, strict=True)
        ]


def unit_cube(dimensions: Sequence[Dimension], points: Floats) -> Floats:
    """Points [trials, dimensions] with each coordinate as a share of its range, 0.5 where there is none."""
    columns = [dimension.cell_shares(points[:, index]) for index, dimension in enumerate(dimensions)]
    return np.nan_to_num(np.stack(columns, axis=1), nan=0.5)


@dataclass(frozen=True, slots=True)
class Leaves:
    """A tree over the unit cube as its leaves' boxes."""

    lows: Floats
    highs: Floats
    """[leaves, dimensions]."""
    values: Floats

    @property
    def _sizes(self) -> Floats:
        return self.highs - self.lows

    @property
    def mean(self) -> float:
        return float(self.values @ self._sizes.prod(axis=1))

    @property
    def variance(self) -> float:
        """Over the cube."""
        return float((self.values - self.mean) ** 2 @ self._sizes.prod(axis=1))

    def marginal_variance(self, index: int) -> float:
        """The variance of the mean over all other dimensions."""
        inside, widths = self._cells(index)
        sizes = self._sizes
        marginal = inside @ (self.values * sizes.prod(axis=1) / sizes[:, index])
        return float((marginal - self.mean) ** 2 @ widths)

    def interaction_variance(self, one: int, other: int) -> float:
        """The variance of the mean over all but two dimensions, less what each of the two has alone."""
        (inside, widths), (inside_other, widths_other) = self._cells(one), self._cells(other)
        sizes = self._sizes
        weights = self.values * sizes.prod(axis=1) / (sizes[:, one] * sizes[:, other])
        marginal = (inside * weights) @ inside_other.T
        both = float(widths @ (marginal - self.mean) ** 2 @ widths_other)
        return max(0.0, both - self.marginal_variance(one) - self.marginal_variance(other))

    def _cells(self, index: int) -> tuple[Floats, Floats]:
        """Which leaves each cell between two splits lies in [cells, leaves], and the cells' widths."""
        edges = np.unique(np.concatenate([self.lows[:, index], self.highs[:, index]]))
        middles = (edges[1:] + edges[:-1]) / 2
        inside = (self.lows[:, index] < middles[:, None]) & (middles[:, None] < self.highs[:, index])
        return inside.astype(float), np.diff(edges)


def leaves_of(tree: Any, count: int) -> Leaves:
    """The leaves of one of scikit-learn's trees over the unit cube of so many dimensions."""
    lows, highs = np.zeros((tree.node_count, count)), np.ones((tree.node_count, count))
    features, thresholds = tree.feature, tree.threshold
    # parents come before their children
    for node, (left, right) in enumerate(zip(tree.children_left, tree.children_right, strict=True)):
        if left < 0:
            continue
        for child in (left, right):
            lows[child], highs[child] = lows[node], highs[node]
        highs[left, features[node]] = lows[right, features[node]] = thresholds[node]
    ends = np.flatnonzero(tree.children_left < 0)
    return Leaves(lows[ends], highs[ends], tree.value[ends, 0, 0])
