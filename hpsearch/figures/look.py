"""What figures look at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpsearch.insights import Importances
from hpsearch.search.space import Dimension, Floats, Numbers
from hpsearch.search.table import Table

Data = Mapping[str, Any]
"""JSON: columns are lists, what is not finite is None."""
Curves = Mapping[int, tuple[Sequence[int], Sequence[float]]]
"""Steps and values by trial."""

MOST_POINTS = 2000
BEST_POINTS = 500
MOST_PARAMETERS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A study, as a figure is wanted of it."""

    table: Table
    parameters: tuple[str, ...]
    """Those that the figure is to show; all where none is named."""
    importances: Callable[[], Importances]
    curves: Callable[[Sequence[int]], Curves]
    """What some trials reported."""

    @property
    def metric(self) -> str:
        return self.table.metric

    def chosen(self, most: int) -> list[int]:
        """Positions of the dimensions to show: those that were named, or the most important ones."""
        names = [dimension.name for dimension in self.table.dimensions]
        if self.parameters:
            return [names.index(name) for name in self.parameters][:most]
        free = [index for index, dimension in enumerate(self.table.dimensions) if not dimension.single]
        if len(free) <= most and most >= MOST_PARAMETERS:
            return free
        order = [names.index(item.parameter) for item in self.importances().importances]
        return ([index for index in order if index in free] or free)[:most]


def thinned(table: Table, most: int = MOST_POINTS, best: int = BEST_POINTS) -> tuple[Numbers, str | None]:
    """Numbers of the complete trials to show, and the rule by which others are left out, where there are any."""
    ranked = table.ranked()
    if len(ranked) <= most:
        return np.sort(ranked), None
    others = np.sort(ranked[best:])
    kept = spread(others, most - best)
    note = f"{most} of {len(ranked)} complete trials: the best {best}, and of the others an even sample by number"
    return np.sort(np.concatenate([ranked[:best], kept])), note


def spread(items: Numbers, most: int) -> Numbers:
    """So many of them, evenly spread, the first and the last among them; all where there are no more."""
    if len(items) <= most:
        return items
    places = np.linspace(0, len(items) - 1, most).round().astype(int)
    return np.take(items, places)


def numbers(values: Floats) -> list[float | None]:
    """As JSON."""
    return [float(value) if np.isfinite(value) else None for value in values]


def described(dimension: Dimension) -> dict[str, Any]:
    """A parameter as figures' data have it; a categorical one's values are positions in its choices."""
    return {
        "name": dimension.name,
        "log": dimension.log,
        "low": dimension.low,
        "high": dimension.high,
        "choices": None if dimension.choices is None else [shown(choice) for choice in dimension.choices],
    }


def shown(value: object) -> str:
    """A choice as people read it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def main_range(values: Floats, sign: float) -> list[float] | None:
    """Where to cut an axis so that values far out on the bad side do not flatten the rest; None where none are."""
    finite = values[np.isfinite(values)] * sign
    fence = fence_of(finite)
    if fence is None:
        return None
    margin = 0.05 * (fence - finite.min())
    ends = [sign * float(finite.min() - margin), sign * float(fence + margin)]
    return sorted(ends)


def fence_of(losses: Floats) -> float | None:
    """The loss beyond which others are far out: three quartile distances beyond the third quartile (Tukey 1977). None
    where none are."""
    if len(losses) < 8:
        return None
    first, third = np.quantile(losses, [0.25, 0.75])
    fence = float(third + 3 * (third - first))
    return fence if losses.min() < fence < losses.max() else None
