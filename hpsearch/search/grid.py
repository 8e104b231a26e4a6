"""A grid's points in a random order, each once. A suggestion remembers its point's index: what is taken is known from
the trials themselves, enqueued ones take none, and a failed trial that is tried again keeps its own."""

from typing import Any

import numpy as np

from hpsearch.search.history import History
from hpsearch.search.space import Floats

INDEX = "grid"


def draw(history: History, count: int) -> tuple[list[Floats], list[dict[str, Any]]]:
    """Points that no trial has taken yet, at most `count`."""
    grid = history.spec.grid
    taken = {attributes[INDEX] for attributes in history.attributes.values() if INDEX in attributes}
    order = history.memory.get(INDEX)
    if order is None:
        order = history.memory[INDEX] = np.random.default_rng(history.spec.seed).permutation(len(grid))
    free = [int(index) for index in order if int(index) not in taken][:count]
    points = [np.array(history.space.point(grid.point(index)), dtype=np.float64) for index in free]
    return points, [{INDEX: index} for index in free]
