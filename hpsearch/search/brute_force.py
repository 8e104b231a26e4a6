"""Every configuration once, in a random order. What trials have taken is read from the history, enqueued ones and all;
nothing grows with the space but a bit for each of its configurations, and that only while they are few."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hpsearch.search.history import History
from hpsearch.search.space import Flags, Floats

_MEMORY = "brute_force"
FEW = 2**24
"""Configurations of which a list may be kept."""


@dataclass(slots=True)
class _Taken:
    """The configurations that the first `read` trials stand on, by their places in the grid."""

    read: int = 0
    unknown: list[int] = field(default_factory=list)
    """Trials whose parameters were not known yet."""
    places: set[int] = field(default_factory=set)


def draw(history: History, number: int, count: int, seed: int) -> list[Floats]:
    """Configurations for the trials from `number` on that no trial stands on yet, at most `count`."""
    total, taken = history.spec.grid.size, _brought_up(history).places
    rng = np.random.default_rng([seed, number])
    found: dict[int, Floats] = {}
    while len(found) < count and len(taken) + len(found) < total:
        if total <= FEW and 2 * (len(taken) + len(found)) > total:
            free = np.setdiff1d(np.arange(total), np.fromiter([*taken, *found], dtype=np.int64))
            chosen = rng.choice(free, size=min(count - len(found), len(free)), replace=False)
            found |= {int(place): _point(history, int(place)) for place in chosen}
            break
        # so many more bits that no place is the likelier for the remainder
        place = int.from_bytes(rng.bytes(total.bit_length() // 8 + 9)) % total
        if place not in taken and place not in found:
            found[place] = _point(history, place)
    return list(found.values())


def is_taken(history: History, points: Floats) -> Flags:
    """Which points [points, dimensions] are configurations that a trial stands on."""
    taken = _brought_up(history).places
    return np.array([_place(history, point) in taken for point in points], dtype=bool)


def without_duplicates(history: History, number: int, points: Sequence[Floats]) -> list[Floats]:
    """Points of the trials from `number` on, those whose configuration is taken, comes twice or violates a constraint
    replaced by others at random, as long as there are such; the others are the same objects."""
    found: dict[int | None, Floats] = {}
    taken = _brought_up(history).places
    active = history.space.without_inactive(np.array(points))
    for row, point in enumerate(points):
        place, chosen = _place(history, active[row]), point
        if place is None or place in taken or place in found:
            others = draw(history, number + row, len(found) + 1, history.spec.seed)
            free = {_place(history, other): other for other in others}
            place, chosen = next(((key, free[key]) for key in free if key not in found), (-row - 1, point))
        found[place] = chosen
    return list(found.values())


def _place(history: History, point: Floats) -> int | None:
    return history.spec.grid.index(history.space.parameters(point, {}))


def _brought_up(history: History) -> _Taken:
    """What is taken as the history has it."""
    taken: _Taken = history.memory.setdefault(_MEMORY, _Taken())
    numbers = [*taken.unknown, *range(taken.read, len(history))]
    taken.read, taken.unknown = len(history), []
    for number, point in zip(numbers, history.points[numbers], strict=True):
        if np.isnan(point).all():
            taken.unknown.append(number)
            continue
        place = _place(history, point)
        if place is not None:
            taken.places.add(place)
    return taken


def _point(history: History, place: int) -> Floats:
    return np.array(history.space.point(history.spec.grid.point(place)), dtype=np.float64)
