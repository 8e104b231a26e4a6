"""Suggestions: history in, parameters out. No sampler keeps anything but in the history: a restart loses nothing, and
every server that has read the same history suggests the same."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hpsearch.search import cma_es, feasible, genetic, grid, quasi_random, tpe
from hpsearch.search.chance import random_points, seed_of
from hpsearch.search.history import History
from hpsearch.search.space import Floats
from hpsearch.spec import CMAESSampler, GridSampler, NSGA2Sampler, QMCSampler, TPESampler
from hpsearch.trials import Parameters, Suggestion


def suggest(history: History, fixed: Sequence[Parameters]) -> list[Suggestion]:
    """Parameters of the next trials, one for each item of `fixed`; fewer where a grid has no more points.

    `fixed` holds parameters that are settled already (mostly none). Each suggestion takes those before it for running.
    Parameters that are not active are left out, and no constraint over parameters alone is violated; raises
    `InvalidInput` where what is settled allows none of that. The same history and study seed give the same suggestions.
    """
    suggestions: list[Suggestion] = []
    while len(suggestions) < len(fixed):
        settled = fixed[len(suggestions)]
        together = _alike(fixed[len(suggestions) :])
        number = len(history) + len(suggestions)
        drawn, attributes = _draw(history, number, settled, together)
        whole = feasible.finished(history, np.array(drawn).reshape(len(drawn), len(history.space)), settled)
        points = feasible.mended(history, number, whole, settled)
        suggestions += [
            Suggestion(history.space.parameters(point, settled), remembered)
            for point, remembered in zip(points, attributes, strict=True)
        ]
        if len(points) < together:
            break
    return suggestions


def _alike(fixed: Sequence[Parameters]) -> int:
    """How many of the first items settle nothing, and so can be drawn together; an item that settles something stands
    alone."""
    for count, settled in enumerate(fixed):
        if settled:
            return max(count, 1)
    return len(fixed)


def _draw(
    history: History, number: int, settled: Parameters, count: int
) -> tuple[Sequence[Floats], Sequence[dict[str, Any]]]:
    """Points of the trials from `number` on (inactive dimensions hold anything), and what is to be remembered."""
    nothing: list[dict[str, Any]] = [{} for _ in range(count)]
    match history.spec.sampler:
        case TPESampler() as options if _is_informed(history, options.startup_trials):
            return _by_tpe(history, options, number, settled, count), nothing
        case CMAESSampler() as options if len(history.completions) >= options.startup_trials:
            return cma_es.draw(history, options, random_points(history, number, count), seed_of(history.spec, number))
        case QMCSampler() as options:
            return quasi_random.draw(history, options, number, count), nothing
        case GridSampler() if not settled:
            return grid.draw(history, count)
        case NSGA2Sampler() as options:
            return genetic.draw(history, options, number, count, seed_of(history.spec, number))
        case _:
            return list(random_points(history, number, count)), nothing


def _is_informed(history: History, startup_trials: int) -> bool:
    return len(history.complete()) + len(history.pruned()) >= startup_trials


def _by_tpe(history: History, options: TPESampler, number: int, settled: Parameters, count: int) -> list[Floats]:
    points = random_points(history, number, count)
    history.space.settle(points, settled)
    dimensions = history.space.dimensions
    free = [index for index, item in enumerate(dimensions) if item.name not in settled and not item.single]
    if free:
        rng = np.random.default_rng(seed_of(history.spec, number))
        points = tpe.suggest(history, options, rng, free, count, points)
    return list(points)
