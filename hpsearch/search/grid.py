"""A grid's points in a random order, each once. A suggestion remembers its point's index: what is taken is known from
the trials themselves, enqueued ones take none, and a failed trial that is tried again keeps its own."""

from typing import Any

import numpy as np

from hpsearch.search.history import History
from hpsearch.search.space import Dimension, Floats

INDEX = "grid"


def draw(history: History, count: int) -> tuple[list[Floats], list[dict[str, Any]]]:
    """Points that no trial has taken yet, at most `count`."""
    sizes = [_size(dimension) for dimension in history.space.dimensions]
    taken = {attributes[INDEX] for attributes in history.attributes.values() if INDEX in attributes}
    order = history.memory.get(INDEX)
    if order is None:
        order = history.memory[INDEX] = np.random.default_rng(history.spec.seed).permutation(int(np.prod(sizes)))
    free = [int(index) for index in order if int(index) not in taken][:count]
    points = [_point(history, np.unravel_index(index, sizes)) for index in free]
    return points, [{INDEX: index} for index in free]


def _size(dimension: Dimension) -> int:
    return 1 + round((dimension.high - dimension.low) / (dimension.step or 1.0))


def _point(history: History, places: tuple[np.intp, ...]) -> Floats:
    coordinates = [
        dimension.low + place * (dimension.step or 1.0)
        for dimension, place in zip(history.space.dimensions, places, strict=True)
    ]
    return np.array(coordinates, dtype=float)
