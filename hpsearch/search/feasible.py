"""Points held against the constraints that are over parameters alone: no suggestion violates one.

A sampler's point that does is drawn again at random, and where chance finds nothing in a bounded number of draws it is
moved towards a point that is known to be feasible until it is feasible itself.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from hpsearch.constraints import as_number
from hpsearch.errors import Fault, InvalidInput, InvalidSpec
from hpsearch.expressions import Constraint
from hpsearch.search.chance import seed_of
from hpsearch.search.history import History
from hpsearch.search.space import Flags, Floats
from hpsearch.spec import StudySpec

DRAWS = 200
"""At random, for a point that violates a constraint."""
SEARCH_DRAWS = 5000
"""At random, for a first feasible point."""
SEARCH_STEPS = 2000
"""Downhill from the best of those, where none is feasible."""
HALVINGS = 20
_WITNESS = "feasible"


def is_feasible(history: History, points: Floats, known: Collection[int] | None = None) -> Flags:
    """Which points [points, dimensions] satisfy the constraints; those alone all of whose dimensions are `known`, where
    only some are."""
    limits, index_of = history.spec.limits, history.space.index_of
    found = np.ones(len(points), dtype=bool)
    for constraint in limits.of_parameters:
        used = {name: index_of[name] for name in constraint.names if name in index_of}
        if known is not None and not (used.keys() and set(used.values()) <= set(known)):
            continue
        for row in np.flatnonzero(found):
            found[row] = _violation(history, constraint, used, points[row]) is None
    return found


def _violation(history: History, constraint: Constraint, used: Mapping[str, int], point: Floats) -> float | None:
    values = dict(history.spec.limits.constants or {})
    for name, index in used.items():
        if np.isnan(point[index]):
            return None  # the constraint does not apply
        values[name] = as_number(history.space.dimensions[index].value(point[index])) or 0.0
    return constraint.violation(values)


def finished(history: History, points: Floats, settled: Mapping[str, Any]) -> Floats:
    """Points with what is settled in them, and without the dimensions that they do not have."""
    points = points.copy()
    history.space.settle(points, settled)
    return history.space.without_inactive(points)


def mended(history: History, number: int, points: Floats, settled: Mapping[str, Any]) -> Floats:
    """Finished points of the trials from `number` on, those that violate a constraint replaced by others that do not.

    Raises `InvalidInput` where none is found that has what is settled.
    """
    if not history.spec.limits.of_parameters:
        return points
    points = points.copy()
    for row in np.flatnonzero(~is_feasible(history, points)):
        points[row] = _another(history, number + int(row), settled)
    return points


def _another(history: History, number: int, settled: Mapping[str, Any]) -> Floats:
    rng = np.random.default_rng([seed_of(history.spec, number), 1])
    drawn = rng.random((DRAWS, len(history.space)))
    for quantiles in drawn:
        point = _point_at(history, quantiles, settled)
        if is_feasible(history, point)[0]:
            return np.asarray(point[0])
    witness = _witness(history)
    for share in (*(0.5**halving for halving in range(1, HALVINGS)), 0.0) if witness is not None else ():
        point = _point_at(history, witness + share * (drawn[0] - witness), settled)
        if is_feasible(history, point)[0]:
            return np.asarray(point[0])
    problem = f"no configuration was found that has these and satisfies {'; '.join(_texts(history.spec))}"
    raise InvalidInput(faults=[Fault(f"configurations.{number - len(history)}", problem)])


def _texts(spec: StudySpec) -> list[str]:
    return [constraint.text for constraint in spec.limits.of_parameters]


def _point_at(history: History, quantiles: Floats, settled: Mapping[str, Any]) -> Floats:
    return finished(history, history.space.points_at(quantiles[None]), settled)


def _witness(history: History) -> Floats | None:
    """The quantiles of a feasible point, the same on every server; None where none was found."""
    if _WITNESS not in history.memory:
        history.memory[_WITNESS] = _search(history)
    found: Floats | None = history.memory[_WITNESS]
    return found


def _search(history: History) -> Floats | None:
    """At random first, then a random walk that never becomes worse by its summed violations, ever shorter in step."""
    rng, size = np.random.default_rng([history.spec.seed, 0x6C696D]), len(history.space)
    best, least = np.full(size, 0.5), np.inf
    for turn in range(SEARCH_DRAWS + SEARCH_STEPS):
        if turn < SEARCH_DRAWS:
            quantiles = rng.random(size)
        else:
            width = 0.3 * 0.1 ** (3 * (turn - SEARCH_DRAWS) / SEARCH_STEPS)
            moved = rng.random(size) < max(0.3, 1 / size)
            quantiles = np.clip(best + width * rng.normal(size=size) * moved, 0.0, np.nextafter(1.0, 0.0))
        broken = _total_violation(history, _point_at(history, quantiles, {})[0])
        if broken is None:
            return quantiles
        if broken <= least:
            best, least = quantiles, broken
    return None


def _total_violation(history: History, point: Floats) -> float | None:
    broken = history.spec.limits.broken_by(history.space.parameters(point, {}))
    return sum(broken.values()) if broken else None


def check_satisfiable(spec: StudySpec) -> None:
    """Raises `InvalidSpec` where no configuration is found that satisfies the constraints over parameters."""
    if spec.limits.of_parameters and _witness(History(spec)) is None:
        problem = f"no configuration was found that satisfies {'; '.join(_texts(spec))}: {SEARCH_DRAWS} were tried"
        raise InvalidSpec(faults=[Fault("constraints", problem)])
