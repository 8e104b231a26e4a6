"""Every kind of figure, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from hpsearch.figures import fronts, parameters, progress
from hpsearch.figures.look import Data, Look
from hpsearch.figures.style import Figure


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of figure."""

    about: str
    data: Callable[[Look], Data]
    """Its numbers, as JSON."""
    draw: Callable[[Data], Figure]
    """A Plotly figure of them."""
    parameters: int | None = None
    """How many may be chosen; None where it shows none in particular."""
    metric: Literal["any", "first", "none"] = "any"
    """Of which it may be: any that is searched, the first alone, or none in particular."""
    follows_reports: bool = False
    """Whether it changes with each report, not only with a trial's or the study's state."""


KINDS: Mapping[str, Kind] = {
    "history": Kind("values by trial, and the best so far", progress.history_data, progress.draw_history),
    "importances": Kind("how much parameters mattered", parameters.importances_data, parameters.draw_importances),
    "slices": Kind("the value over each parameter", parameters.slices_data, parameters.draw_slices, 12),
    "contour": Kind("the value over two parameters", parameters.contour_data, parameters.draw_contour, 2),
    "ranks": Kind("pairs of parameters, trials by rank", parameters.ranks_data, parameters.draw_ranks, 4),
    "parallel_coordinates": Kind(
        "all parameters and the value, a line a trial", parameters.parallel_data, parameters.draw_parallel, 10
    ),
    "learning_curves": Kind(
        "what trials reported", progress.curves_data, progress.draw_curves, metric="first", follows_reports=True
    ),
    "edf": Kind("how values are distributed", progress.edf_data, progress.draw_edf),
    "timeline": Kind(
        "which worker ran which trial when", progress.timeline_data, progress.draw_timeline, metric="none"
    ),
    "pareto": Kind(
        "several metrics: the trials that no other one beats in all of them",
        fronts.pareto_data,
        fronts.draw_pareto,
        metric="none",
    ),
    "hypervolume": Kind(
        "several metrics: how far the Pareto front has come",
        fronts.hypervolume_data,
        fronts.draw_hypervolume,
        metric="none",
    ),
}
