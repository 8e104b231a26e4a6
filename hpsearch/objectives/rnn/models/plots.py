"""Figures, as HTML files that hold all that they need."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.errors import ConfigurationError, HpsearchError
from hpsearch.objectives.rnn.data.sequences import FloatArray

PANEL_PIXELS = 420


def range_figure(rates: Sequence[float], losses: Sequence[float], low: float, high: float, name: str) -> Any:
    """The loss over the learning rate, and the range in which it falls. Raises `ConfigurationError`."""
    objects = _plotly()
    figure = objects.Figure(objects.Scatter(x=rates, y=losses, mode="lines", name="training loss, smoothed"))
    figure.add_vrect(x0=low, x1=high, opacity=0.15, fillcolor="green", line_width=0)
    figure.update_xaxes(type="log", title="learning rate", exponentformat="e")
    # where the network has fallen apart the loss says nothing more
    start, least = losses[0], min(losses)
    figure.update_yaxes(title="loss", range=[least - 0.05 * (start - least), start + 0.5 * (start - least)])
    figure.update_layout(title=f"{name}: learning rates from {low:.2g} to {high:.2g}")
    return figure


def attention_figure(weights: Mapping[str, FloatArray], steps: Sequence[str], name: str) -> Any:
    """Heat maps of one sequence's weights, by kind, without padding: `pooling` [steps], `self` [heads, steps, steps],
    `context` [steps, context steps]; `steps` are the steps' names. Raises `ConfigurationError`."""
    objects = _plotly()
    from plotly.subplots import make_subplots

    shown = panels(weights)
    figure = make_subplots(rows=len(shown), cols=1, subplot_titles=[title for title, _ in shown])
    for row, (title, values) in enumerate(shown, start=1):
        columns = [str(step + 1) for step in range(values.shape[1])] if title == "context" else steps
        rows = [""] if title == "pooling" else steps
        figure.add_trace(objects.Heatmap(z=values, coloraxis="coloraxis"), row=row, col=1)
        for update, names in ((figure.update_xaxes, columns), (figure.update_yaxes, rows)):
            # by position: two steps may have the same name
            update(tickvals=list(range(len(names))), ticktext=list(names), row=row, col=1)
        figure.update_yaxes(autorange="reversed", row=row, col=1)
    figure.update_layout(title=name, height=PANEL_PIXELS * len(shown), coloraxis={"colorscale": "Blues", "cmin": 0})
    return figure


def panels(weights: Mapping[str, FloatArray]) -> list[tuple[str, FloatArray]]:
    """Each matrix with its title: rows attend, columns are attended to."""
    found: list[tuple[str, FloatArray]] = []
    for kind, values in weights.items():
        if values.ndim == 3:
            found += [(f"{kind}, head {head + 1}", matrix) for head, matrix in enumerate(values)]
        else:
            found.append((kind, np.atleast_2d(values)))
    return found


def write_figure(figure: Any, path: Path) -> None:
    """Raises `HpsearchError` where the file cannot be written."""
    # not a name drawn at random: the same figure is the same file
    page = figure.to_html(include_plotlyjs=True, div_id="figure")
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise HpsearchError(f"{path} cannot be written: {error.strerror or error}") from error


def _plotly() -> Any:
    try:
        import plotly.graph_objects
    except ImportError as error:
        raise ConfigurationError("a plot needs plotly: pip install 'hpsearch[plot]'") from error
    return plotly.graph_objects
