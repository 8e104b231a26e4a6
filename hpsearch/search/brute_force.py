"""Every configuration once, in a random order. What trials have taken is read from the history, enqueued ones and all;
nothing grows with the space but a bit for each of its configurations, and that only while they are few."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hpsearch.search.history import History
from hpsearch.search.space import Dimension, Floats

_MEMORY = "brute_force"
FEW = 2**24
"""Configurations of which a list may be kept."""


@dataclass(slots=True)
class _Taken:
    """The configurations that the first `read` trials stand on, by their place in the whole list."""

    read: int = 0
    unknown: list[int] = field(default_factory=list)
    """Trials whose parameters were not known yet."""
    places: set[int] = field(default_factory=set)


def draw(history: History, number: int, count: int, seed: int) -> list[Floats]:
    """Configurations for the trials from `number` on that no trial stands on yet, at most `count`."""
    sizes = [size_of(dimension) for dimension in history.space.dimensions]
    total = 1
    for size in sizes:
        total *= size
    taken = _brought_up(history, sizes).places
    rng = np.random.default_rng([seed, number])
    found: dict[int, Floats] = {}
    while len(found) < count and len(taken) + len(found) < total:
        if total <= FEW and 2 * (len(taken) + len(found)) > total:
            free = np.setdiff1d(np.arange(total), np.fromiter([*taken, *found], dtype=np.int64))
            chosen = rng.choice(free, size=min(count - len(found), len(free)), replace=False)
            found |= {int(place): _point(history, int(place), sizes) for place in chosen}
            break
        place = 0
        for size in sizes:
            place = place * size + int(rng.integers(size))
        if place not in taken and place not in found:
            found[place] = _point(history, place, sizes)
    return list(found.values())


def size_of(dimension: Dimension) -> int:
    """How many values a dimension with steps has."""
    return 1 + round((dimension.high - dimension.low) / (dimension.step or 1.0))


def _brought_up(history: History, sizes: list[int]) -> _Taken:
    """What is taken as the history has it."""
    taken: _Taken = history.memory.setdefault(_MEMORY, _Taken())
    numbers = [*taken.unknown, *range(taken.read, len(history))]
    taken.read, taken.unknown = len(history), []
    for number, point in zip(numbers, history.points[numbers], strict=True):
        if np.isnan(point).any():
            taken.unknown.append(number)
        else:
            taken.places.add(_place(history, point, sizes))
    return taken


def _place(history: History, point: NDArray[np.float64], sizes: list[int]) -> int:
    place = 0
    for dimension, size, coordinate in zip(history.space.dimensions, sizes, point, strict=True):
        place = place * size + round((float(coordinate) - dimension.low) / (dimension.step or 1.0))
    return place


def _point(history: History, place: int, sizes: list[int]) -> Floats:
    coordinates = []
    for dimension, size in zip(reversed(history.space.dimensions), reversed(sizes), strict=True):
        place, position = divmod(place, size)
        coordinates.append(min(dimension.high, dimension.low + position * (dimension.step or 1.0)))
    return np.array(coordinates[::-1])
