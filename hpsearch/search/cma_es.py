"""The covariance matrix adaptation evolution strategy (Hansen 2016, arXiv:1604.00772), by the library `cmaes`.

The strategy's state is not stored (Optuna pickles it into the trials, and we unpickle nothing): it follows from the
complete trials in the order in which they were told (those that diverged among them, as the worst), a generation as
soon as enough of its trials are told, and is computed again where it is not at hand.
"""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hpsearch.sampler_spec import CMAESSampler
from hpsearch.search.feasible import is_feasible
from hpsearch.search.history import History
from hpsearch.search.space import Floats

if TYPE_CHECKING:
    from cmaes import CMA

GENERATION = "cmaes"
RESAMPLES = 50
"""Of a point that violates a constraint over parameters."""


@dataclass(slots=True)
class _State:
    """The strategy after the first `read` lessons."""

    strategy: "CMA"
    read: int = 0
    generation: int = 0
    told: list[tuple[Floats, float, float]] = field(default_factory=list)
    """Places, losses and violations: in a generation the infeasible come after all others, by their violations."""


def draw(
    history: History, options: CMAESSampler, points: Floats, seed: int
) -> tuple[list[Floats], list[dict[str, Any]]]:
    """Points for the next trials: `points`, with the ordered dimensions that every trial has drawn by the strategy."""
    dimensions = history.space.dimensions
    numeric = [i for i in history.space.groups[0] if not (dimensions[i].nominal or dimensions[i].single)]
    if len(numeric) < 2:
        return list(points), [{} for _ in points]
    state = _brought_up(history, options, numeric)
    state.strategy.reseed_rng(seed % 2**32)
    for point in points:
        for _ in range(RESAMPLES):
            drawn = state.strategy.ask()
            for place, index in enumerate(numeric):
                point[index] = dimensions[index].values_at(drawn[place : place + 1])[0]
            if is_feasible(history, history.space.without_inactive(point[None]))[0]:
                break
    return list(points), [{GENERATION: state.generation} for _ in points]


def _brought_up(history: History, options: CMAESSampler, numeric: list[int]) -> _State:
    """The strategy as the history has it."""
    state: _State | None = history.memory.get(GENERATION)
    if state is None:
        state = history.memory[GENERATION] = _State(_strategy(history, options, len(numeric), 0))
    for number in history.lessons[state.read :]:
        state.read += 1
        if history.attributes.get(number, {}).get(GENERATION) != state.generation:
            continue  # of another generation, or not by the strategy
        broken = float(history.violations[number].sum())
        state.told.append((_quantiles(history, number, numeric), float(history.losses[number]), broken))
        if len(state.told) == state.strategy.population_size:
            state.strategy.tell(_ranked(state.told))
            state.generation, state.told = state.generation + 1, []
            if state.strategy.should_stop():
                state.strategy = _strategy(history, options, len(numeric), state.generation)
    return state


def _ranked(told: list[tuple[Floats, float, float]]) -> list[tuple[Floats, float]]:
    """A generation with finite losses: behind what is feasible what is not, by its violations, and what diverged last.
    The strategy looks at ranks alone."""
    worst = max((loss for _, loss, broken in told if not broken and math.isfinite(loss)), default=0.0)
    losses = [worst + broken if broken else loss for _, loss, broken in told]
    last = max(filter(math.isfinite, losses), default=0.0)
    last += max(1.0, abs(last))
    return [(place, loss if math.isfinite(loss) else last) for (place, _, _), loss in zip(told, losses, strict=True)]


def _strategy(history: History, options: CMAESSampler, dimensions: int, generation: int) -> "CMA":
    """A fresh one: from the middle first, then from random points."""
    rng = np.random.default_rng([history.spec.seed, generation])
    mean = rng.random(dimensions) if generation else np.full(dimensions, 0.5)
    bounds = np.tile([0.0, 1.0], (dimensions, 1))
    seed = int(rng.integers(2**31))
    from cmaes import CMA  # with scipy.stats takes a second to import, which every server would pay

    return CMA(mean=mean, sigma=options.sigma, bounds=bounds, seed=seed, population_size=options.population)


def _quantiles(history: History, number: int, numeric: list[int]) -> Floats:
    """A trial's place between 0 and 1 on each numeric scale."""
    places = []
    for index in numeric:
        dimension = history.space.dimensions[index]
        low, high = dimension.bounds
        places.append((dimension.scaled(history.points[number, index : index + 1])[0] - low) / (high - low))
    return np.array(places)
