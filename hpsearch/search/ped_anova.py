"""PED-ANOVA (Watanabe et al. 2023) and its extension to conditional parameters (condPED-ANOVA, 2026): Optuna's
evaluator, over our columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from hpsearch.insights import Importance
from hpsearch.search.space import Dimension, Floats

TOP = 0.1
"""The share of trials that a parameter is asked to lead to."""
GRID = 50
"""Cells of a number's range, as in Optuna."""
MOST_CHOICES = 100
"""The less frequent choices of a categorical parameter count as one."""


def importances(dimensions: Sequence[Dimension], points: Floats, losses: Floats, complete: int) -> list[Importance]:
    """Each parameter's share in what leads to the best tenth of the trials: of the Pearson divergence between its
    density among them and among all.

    `points` [trials, dimensions] are coordinates, NaN where a trial has no such parameter. `complete` of the trials
    are: where these are few (a pruner was at work) at most half of them count as best, so that no pruned one does.
    """
    from optuna.importance import PedAnovaImportanceEvaluator  # imports scikit-learn, where there is one

    columns = [_cells(dimension, points[:, index]) for index, dimension in enumerate(dimensions)]
    names = [str(index) for index in range(len(dimensions))]
    trials = [_trial(number, losses[number], columns, names) for number in range(len(losses))]
    top = min(TOP, max(1, complete // 2) / len(losses))
    found = PedAnovaImportanceEvaluator(target_quantile=top).evaluate(_View(trials), params=_present(columns, names))  # type: ignore[arg-type]
    total = sum(found.values())
    shares = {name: value / total if total > 0 else 0.0 for name, value in found.items()}
    return [
        Importance(parameter=dimension.name, importance=float(shares.get(name, 0.0)))
        for name, dimension in zip(names, dimensions, strict=True)
    ]


class _View:
    """As much of an Optuna study as the evaluator looks at: losses, to be minimised."""

    directions = (StudyDirection.MINIMIZE,)

    def __init__(self, trials: list[FrozenTrial]) -> None:
        self._trials = trials

    def _is_multi_objective(self) -> bool:
        return False

    def get_trials(self, deepcopy: bool = True, states: object = None) -> list[FrozenTrial]:  # noqa: ARG002
        return self._trials


_Column = tuple[NDArray[np.intp], BaseDistribution]
"""The cell of each trial, -1 without, and which cells there are."""


def _present(columns: Sequence[_Column], names: Sequence[str]) -> list[str]:
    return [name for name, (cells, _) in zip(names, columns, strict=True) if (cells >= 0).any()]


def _trial(number: int, loss: float, columns: Sequence[_Column], names: Sequence[str]) -> FrozenTrial:
    active = [(name, *column) for name, column in zip(names, columns, strict=True) if column[0][number] >= 0]
    parameters: dict[str, Any] = {name: int(cells[number]) for name, cells, _ in active}
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=OptunaState.COMPLETE,
        value=float(loss),
        datetime_start=None,
        datetime_complete=None,
        params=parameters,
        distributions={name: distribution for name, _, distribution in active},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )


def _cells(dimension: Dimension, coordinates: Floats) -> _Column:
    """A parameter's values on the grid that the densities are estimated on."""
    known = np.isfinite(coordinates)
    cells = np.full(len(coordinates), -1, dtype=np.intp)
    if dimension.choices is not None:
        seen, places, counts = np.unique(coordinates[known].astype(int), return_inverse=True, return_counts=True)
        ranks = np.empty(len(seen), dtype=np.intp)
        ranks[np.argsort(-counts, kind="stable")] = np.arange(len(seen))
        cells[known] = np.minimum(ranks[places], MOST_CHOICES - 1)
        return cells, CategoricalDistribution(range(min(len(dimension.choices), MOST_CHOICES)))
    steps = _steps(dimension)
    cells[known] = np.clip(np.ceil(dimension.shares(coordinates[known]) * (steps - 1) - 0.5), 0, steps - 1).astype(int)
    return cells, IntDistribution(0, steps - 1)


def _steps(dimension: Dimension) -> int:
    if dimension.step is None:
        return GRID
    if dimension.log:  # whole numbers: the lower ones lie far apart
        return min(GRID, int(np.ceil(np.log2(dimension.high - dimension.low + 1))) + 1)
    return int(min(GRID, round((dimension.high - dimension.low) / dimension.step) + 1))
