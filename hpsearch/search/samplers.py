"""Suggestions: history in, parameters out. No sampler keeps anything but in the history: a restart loses nothing, and
every server that has read the same history suggests the same."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hpsearch.automatic import next_sampler_of, sampler_of
from hpsearch.sampler_spec import (
    BruteForceSampler,
    CMAESSampler,
    GPSampler,
    GridSampler,
    NSGA2Sampler,
    NSGA3Sampler,
    QMCSampler,
    SamplerSpec,
    TPESampler,
)
from hpsearch.search import brute_force, cma_es, feasible, genetic, gp, grid, heeding, quasi_random, tpe
from hpsearch.search.chance import random_points, seed_of
from hpsearch.search.history import History
from hpsearch.search.space import Floats
from hpsearch.spec import StudySpec
from hpsearch.trials import Parameters, Suggestion


def suggest(history: History, fixed: Sequence[Parameters], model: gp.Model = gp.drawn_at_once) -> list[Suggestion]:
    """Parameters of the next trials, one for each item of `fixed`; fewer where a grid has no more points.

    `fixed` holds parameters that are settled already (mostly none). Each suggestion takes those before it for running.
    Parameters that are not active are left out, and no constraint over parameters alone is violated; raises
    `InvalidInput` where what is settled allows none of that. The same history and study seed give the same suggestions.
    `model` draws for `gp`, which is slow; it may have fewer points, or none yet: then so many suggestions are missing.
    """
    suggestions: list[Suggestion] = []
    while len(suggestions) < len(fixed):
        settled = fixed[len(suggestions)]
        together = _alike(fixed[len(suggestions) :])
        number = len(history) + len(suggestions)
        drawn, attributes = _draw(history, number, settled, together, model)
        whole = feasible.finished(history, np.array(drawn).reshape(len(drawn), len(history.space)), settled)
        points = feasible.mended(history, number, whole, settled)
        suggestions += [
            Suggestion(history.space.parameters(point, settled), remembered, history.revision, len(fixed))
            for point, remembered in zip(points, attributes, strict=True)
        ]
        if len(points) < together:
            break
    return suggestions


def sampler_now(history: History) -> SamplerSpec:
    """The study's sampler, or what draws the next trial where that is `auto`."""
    return next_sampler_of(history.spec, history.progress)


def import_ahead(spec: StudySpec) -> None:
    """Have what a study's first draw needs imported, where that takes long: see `quasi_random.import_ahead`."""
    sampler = sampler_of(spec)
    if isinstance(sampler, QMCSampler) or getattr(sampler, "startup", None) == "quasi_random":
        quasi_random.import_ahead()


def _alike(fixed: Sequence[Parameters]) -> int:
    """How many of the first items settle nothing, and so can be drawn together; an item that settles something stands
    alone."""
    for count, settled in enumerate(fixed):
        if settled:
            return max(count, 1)
    return len(fixed)


def _draw(history: History, number: int, settled: Parameters, count: int, model: gp.Model) -> gp.Drawn:
    """Points of the trials from `number` on (inactive dimensions hold anything), and what is to be remembered."""
    nothing: list[dict[str, Any]] = [{} for _ in range(count)]
    match sampler_now(history):
        case TPESampler() as options:
            return _by_tpe(history, options, number, settled, count)
        case GPSampler() as options:
            return _by_gp(history, options, number, settled, count, model)
        case CMAESSampler() as options if len(history.lessons) >= options.startup_trials:
            return cma_es.draw(history, options, random_points(history, number, count), seed_of(history.spec, number))
        case QMCSampler() as options:
            return quasi_random.draw(history, options, number, count), nothing
        case GridSampler() if not settled:
            return grid.draw(history, count)
        case BruteForceSampler() if not settled:
            found = brute_force.draw(history, number, count, history.spec.seed)
            return found, nothing[: len(found)]
        case NSGA2Sampler() | NSGA3Sampler() as options:
            return genetic.draw(history, options, number, count, seed_of(history.spec, number))
        case _:
            return list(random_points(history, number, count)), nothing


def _is_informed(history: History, startup_trials: int) -> bool:
    return len(history.complete()) + len(history.pruned()) + len(history.diverged()) >= startup_trials


def _by_tpe(history: History, options: TPESampler, number: int, settled: Parameters, count: int) -> gp.Drawn:
    draw = _modelled if _is_informed(history, options.startup_trials) else _begun
    drawn = draw(history, options, number, settled, count)
    return drawn if options.duplicates or settled else _without_duplicates(history, number, drawn)


def _without_duplicates(history: History, number: int, drawn: gp.Drawn) -> gp.Drawn:
    """What was drawn, but no configuration twice as long as there are others."""
    if not history.spec.is_countable:
        return drawn
    points, attributes = drawn
    others = brute_force.without_duplicates(history, number, points)
    return others, [
        known if other is point else {} for point, other, known in zip(points, others, attributes, strict=True)
    ]


def _begun(history: History, options: TPESampler, number: int, settled: Parameters, count: int) -> gp.Drawn:
    first = _by_chance(history, options.startup, number, count)
    return (first, [{}] * count) if settled else heeding.begun(history, number, first)


def _modelled(history: History, options: TPESampler, number: int, settled: Parameters, count: int) -> gp.Drawn:
    points = random_points(history, number, count)
    history.space.settle(points, settled)
    dimensions = history.space.dimensions
    free = [index for index, item in enumerate(dimensions) if item.name not in settled and not item.single]
    modelled = [turn for turn in range(count) if not _explores(history.spec, number + turn, options.exploration)]
    if free and modelled:
        rng = np.random.default_rng(seed_of(history.spec, number))
        points[modelled] = tpe.suggest(history, options, rng, free, len(modelled), points[modelled])
    return list(points), [{} for _ in range(count)]


def _by_gp(
    history: History, options: GPSampler, number: int, settled: Parameters, count: int, model: gp.Model
) -> gp.Drawn:
    if not settled and _is_informed(history, options.startup_trials):
        task = gp.task_of(history, number, count)
        if len(task.points):
            return _without_duplicates(history, number, model(history, options, task))
    by = "qmc" if options.startup == "quasi_random" else "random"
    drawn = _by_chance(history, options.startup, number, count), [{"by": by} for _ in range(count)]
    return drawn if settled else _without_duplicates(history, number, drawn)


def _by_chance(history: History, startup: str, number: int, count: int) -> list[Floats]:
    if startup == "quasi_random":
        return quasi_random.draw(history, QMCSampler(), number, count)
    return list(random_points(history, number, count))


def _explores(spec: StudySpec, number: int, share: float) -> bool:
    """Whether a trial is one of those that are drawn at random all the same."""
    return share > 0 and np.random.default_rng([seed_of(spec, number), 0x6578706C]).random() < share
