"""What parameters do to the value: slices, contours, ranks, parallel coordinates, importances."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from hpsearch.figures import style
from hpsearch.figures.look import (
    MOST_PARAMETERS,
    Data,
    Look,
    described,
    main_range,
    numbers,
    shown,
    thinned,
)
from hpsearch.search.space import Dimension, Floats, Numbers

CELLS = 32
"""Of a contour, each way."""
NEIGHBOURS = 12
MOST_PAIRED, MOST_PAIR_POINTS = 4, 600
MOST_INTERACTIONS = 5
"""Pairs of parameters beside their importances, the strongest ones."""
MOST_LINES, BEST_LINES = 1000, 200
_COLUMNS = 3
_ABSENT = -0.06
"""Where parallel coordinates show a parameter that a trial does not have: below its range."""


def slices_data(look: Look) -> Data:
    """The value over each parameter by itself."""
    table = look.table
    kept, note = thinned(table)
    return {
        "metric": look.metric,
        "direction": table.direction,
        "numbers": kept.tolist(),
        "values": numbers(table.values[kept]),
        "parameters": [
            described(table.dimensions[index]) | {"values": numbers(table.points[kept, index])}
            for index in look.chosen(MOST_PARAMETERS)
        ],
        "range": main_range(table.values[table.complete()], table.sign),
        "note": note,
    }


def draw_slices(data: Data) -> style.Figure:
    parameters = data["parameters"]
    if not data["numbers"] or not parameters:
        return style.nothing("Slices")
    columns = min(_COLUMNS, len(parameters))
    rows = -(-len(parameters) // columns)
    traces: list[dict[str, Any]] = []
    axes: dict[str, Any] = {}
    for place, parameter in enumerate(parameters):
        trace, own = _slice(data, parameter, place, columns)
        traces.append(trace)
        axes |= own
    first = data["numbers"][0], data["numbers"][-1]
    colours = {"colorscale": style.SCALE, "reversescale": True, "cmin": first[0], "cmax": first[1]}
    bar = {"title": {"text": "trial"}, "thickness": 10, "len": min(1.0, 1.2 / rows), "outlinewidth": 0}
    grid = {"rows": rows, "columns": columns, "pattern": "independent", "xgap": 0.16, "ygap": 0.28 if rows > 1 else 0}
    more = {"grid": grid, "coloraxis": colours | {"colorbar": bar}, "showlegend": False, "height": 130 + 240 * rows}
    return style.figure(traces, "Slices", data["note"], **more, **axes)


def _slice(data: Data, parameter: Mapping[str, Any], place: int, columns: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """One panel: its trace and its axes."""
    end = "" if place == 0 else str(place + 1)
    x = parameter["values"]
    if parameter["choices"] is not None:  # beside each other rather than on one line
        random = np.random.default_rng(0)
        x = [None if value is None else value + float(random.uniform(-0.18, 0.18)) for value in x]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": x,
        "y": data["values"],
        "xaxis": f"x{end}",
        "yaxis": f"y{end}",
        "text": [f"trial {number}" for number in data["numbers"]],
        "marker": {"size": 5, "opacity": 0.65, "color": data["numbers"], "coloraxis": "coloraxis"},
    }
    y: dict[str, Any] = {"range": data["range"]} if data["range"] else {}
    if place % columns == 0:
        y["title"] = {"text": style.text(data["metric"], 40)}
    return trace, {f"xaxis{end}": style.parameter_axis(parameter), f"yaxis{end}": y}


def contour_data(look: Look) -> Data:
    """The value over two parameters: trials, and between them the mean of the nearest, by distance (Shepard 1968)."""
    table = look.table
    chosen = look.chosen(2)
    kept, note = thinned(table)
    if len(chosen) < 2:
        return {"metric": look.metric, "parameters": [], "numbers": [], "note": "needs two parameters"}
    kept = kept[np.isfinite(table.points[kept][:, chosen]).all(axis=1)]
    dimensions = [table.dimensions[index] for index in chosen]
    surface = _surface(dimensions, table.points[kept][:, chosen], table.values[kept]) if len(kept) else None
    return {
        "metric": look.metric,
        "direction": table.direction,
        "parameters": [
            described(dimension) | {"values": numbers(table.points[kept, index])}
            for dimension, index in zip(dimensions, chosen, strict=True)
        ],
        "numbers": kept.tolist(),
        "values": numbers(table.values[kept]),
        "surface": surface,
        "range": main_range(table.values[kept], table.sign),
        "note": note,
    }


def _surface(dimensions: Sequence[Dimension], points: Floats, values: Floats) -> dict[str, Any]:
    """A grid over two parameters, with the value between trials."""
    shares = [np.linspace(0, 1, CELLS) if item.choices is None else _places(item) for item in dimensions]
    cube = np.stack([item.shares(points[:, index]) for index, item in enumerate(dimensions)], axis=1)
    cells = np.stack(np.meshgrid(*shares, indexing="xy"), axis=-1).reshape(-1, 2)
    distances = ((cells[:, None, :] - cube[None, :, :]) ** 2).sum(axis=-1)
    count = min(NEIGHBOURS, len(values))
    nearest = np.argpartition(distances, count - 1, axis=1)[:, :count]
    weights = 1 / (np.take_along_axis(distances, nearest, axis=1) + 1e-4)
    means = (weights * values[nearest]).sum(axis=1) / weights.sum(axis=1)
    found = np.clip(means, values.min(), values.max())  # rounding would make a landscape of what is flat
    grid = found.reshape(len(shares[1]), len(shares[0]))
    return {
        "x": numbers(_at(dimensions[0], shares[0])),
        "y": numbers(_at(dimensions[1], shares[1])),
        "values": [numbers(row) for row in grid],
    }


def _places(dimension: Dimension) -> Floats:
    """A categorical parameter's choices as shares of its range; evenly spread where there are very many."""
    return np.linspace(0, 1, min(2 * CELLS, int(dimension.high) + 1))


def _at(dimension: Dimension, shares: Floats) -> Floats:
    """Coordinates at shares of the range on the parameter's scale."""
    if dimension.log:
        low, high = np.log(dimension.low), np.log(dimension.high)
        return np.asarray(np.exp(low + shares * (high - low)))
    return dimension.low * (1 - shares) + dimension.high * shares


def draw_contour(data: Data) -> style.Figure:
    if len(data["parameters"]) < 2 or not data["numbers"]:
        return style.nothing("Contour", data["note"] if not data["parameters"] else None)
    across, up = data["parameters"]
    bad_is_low = data["direction"] == "maximize"
    ends = data["range"] or [min(data["values"]), max(data["values"])]
    colours = {"colorscale": style.SCALE, "reversescale": bad_is_low, "cmin": ends[0], "cmax": ends[1]}
    bar = {"title": {"text": style.text(data["metric"], 30)}, "thickness": 10, "outlinewidth": 0}
    surface = data["surface"]
    traces = [
        {"type": "contour", "x": surface["x"], "y": surface["y"], "z": surface["values"], "coloraxis": "coloraxis"}
        | {"contours": {"coloring": "heatmap"}, "line": {"width": 0.5, "color": "rgba(255,255,255,0.5)"}}
        | {"opacity": 0.85, "hoverinfo": "skip"},
        {"type": "scatter", "mode": "markers", "x": across["values"], "y": up["values"]}
        | {"text": [f"trial {n}: {v:.6g}" for n, v in zip(data["numbers"], data["values"], strict=True)]}
        | {"hoverinfo": "text", "marker": {"size": 5, "color": data["values"], "coloraxis": "coloraxis"}},
    ]
    traces[1]["marker"] |= {"line": {"width": 1, "color": "rgba(255,255,255,0.8)"}}
    axes = {"xaxis": style.parameter_axis(across), "yaxis": style.parameter_axis(up)}
    more = {"coloraxis": colours | {"colorbar": bar}, "showlegend": False, "height": 480}
    return style.figure(traces, "Contour", data["note"], **more, **axes)


def ranks_data(look: Look) -> Data:
    """Pairs of parameters, each trial coloured by its rank: 0 the best, 1 the worst."""
    table = look.table
    kept, note = thinned(table, MOST_PAIR_POINTS, MOST_PAIR_POINTS // 4)
    ranks = np.full(len(table), np.nan)
    ranked = table.ranked()
    ranks[ranked] = np.linspace(0, 1, len(ranked)) if len(ranked) > 1 else 0.0
    return {
        "metric": look.metric,
        "numbers": kept.tolist(),
        "ranks": numbers(ranks[kept]),
        "parameters": [
            described(table.dimensions[index]) | {"values": numbers(table.points[kept, index])}
            for index in look.chosen(MOST_PAIRED)
        ],
        "note": note,
    }


def draw_ranks(data: Data) -> style.Figure:
    pairs = list(combinations(data["parameters"], 2))
    if not data["numbers"] or not pairs:
        return style.nothing("Ranks", None if pairs else "needs two parameters")
    columns = min(_COLUMNS, len(pairs))
    rows = -(-len(pairs) // columns)
    traces: list[dict[str, Any]] = []
    axes: dict[str, Any] = {}
    for place, (across, up) in enumerate(pairs):
        end = "" if place == 0 else str(place + 1)
        marks = {"size": 5, "opacity": 0.8, "color": data["ranks"], "coloraxis": "coloraxis"}
        traces.append(
            {"type": "scatter", "mode": "markers", "x": across["values"], "y": up["values"], "marker": marks}
            | {"xaxis": f"x{end}", "yaxis": f"y{end}", "text": [f"trial {number}" for number in data["numbers"]]}
        )
        axes |= {f"xaxis{end}": style.parameter_axis(across), f"yaxis{end}": style.parameter_axis(up)}
    bar = {"title": {"text": "rank"}, "tickvals": [0, 0.5, 1], "ticktext": ["best", "middle", "worst"], "thickness": 10}
    colours = {"colorscale": style.SCALE, "cmin": 0, "cmax": 1, "colorbar": bar | {"outlinewidth": 0}}
    grid = {"rows": rows, "columns": columns, "pattern": "independent", "xgap": 0.22, "ygap": 0.28 if rows > 1 else 0}
    more = {"grid": grid, "coloraxis": colours, "showlegend": False, "height": 130 + 260 * rows}
    return style.figure(traces, "Ranks", data["note"], **more, **axes)


def parallel_data(look: Look) -> Data:
    """Every parameter and the value, a line a trial."""
    table = look.table
    kept, note = thinned(table, MOST_LINES, BEST_LINES)
    kept = kept[np.argsort(-table.sign * table.values[kept], kind="stable")]  # the best drawn last, on top
    return {
        "metric": look.metric,
        "direction": table.direction,
        "numbers": kept.tolist(),
        "values": numbers(table.values[kept]),
        "parameters": [_coordinate(look, index, kept) for index in look.chosen(MOST_PARAMETERS - 2)],
        "range": main_range(table.values[kept], table.sign),
        "note": note,
    }


def _coordinate(look: Look, index: int, kept: Numbers) -> dict[str, Any]:
    """A parameter with its values as shares of its range too, and what to write beside the axis."""
    dimension, column = look.table.dimensions[index], look.table.points[kept, index]
    places = np.linspace(0, 1, 5)
    if dimension.choices:
        places = _places(dimension)[:: max(1, len(dimension.choices) // 20)]
    at = _at(dimension, places)
    names = [shown(dimension.value(round(value))) if dimension.choices else f"{value:.3g}" for value in at]
    ticks = [[float(place), name] for place, name in zip(places, names, strict=True)]
    shares = np.nan_to_num(dimension.shares(column), nan=np.nan) if not dimension.single else np.full(len(column), 0.5)
    return described(dimension) | {"values": numbers(column), "shares": numbers(shares), "ticks": ticks}


def draw_parallel(data: Data) -> style.Figure:
    if not data["numbers"] or not data["parameters"]:
        return style.nothing("Parallel coordinates")
    ends = data["range"] or [min(data["values"]), max(data["values"])]
    axes: list[dict[str, Any]] = [{"label": style.text(data["metric"], 18), "values": data["values"]}]
    if ends[0] < ends[1]:
        axes[0]["range"] = ends
    for parameter in data["parameters"]:
        absent = any(share is None for share in parameter["shares"])
        ticks = [*parameter["ticks"], *([[_ABSENT, "none"]] if absent else [])]
        axes.append(
            {"label": style.text(parameter["name"], 18), "range": [1.5 * _ABSENT if absent else 0.0, 1.0]}
            | {"values": [_ABSENT if share is None else share for share in parameter["shares"]]}
            | {"tickvals": [place for place, _ in ticks], "ticktext": [style.text(name, 14) for _, name in ticks]}
        )
    line = {"color": data["values"], "colorscale": style.SCALE, "reversescale": data["direction"] == "maximize"}
    line |= {"cmin": ends[0], "cmax": ends[1]}
    trace = {"type": "parcoords", "dimensions": axes, "line": line, "unselected": {"line": {"opacity": 0.04}}}
    margin = {"l": 72, "r": 56, "t": 144 if data["note"] else 116, "b": 36}
    return style.figure([trace], "Parallel coordinates", data["note"], margin=margin, height=460)


def importances_data(look: Look) -> Data:
    """How much each parameter mattered, and pairs beyond what each does alone, where the method tells."""
    found = look.importances()
    return {
        "metric": look.metric,
        "is_one_of_several": look.table.spec.objective.has_several,
        "method": found.method,
        "parameters": [item.parameter for item in found.importances],
        "importances": [item.importance for item in found.importances],
        "interactions": [
            {"parameters": list(item.parameters), "importance": item.importance}
            for item in found.interactions[:MOST_INTERACTIONS]
        ],
        "note": found.note or f"{found.method}, {found.used} of {found.of} trials",
    }


def draw_importances(data: Data) -> style.Figure:
    if not data["parameters"]:
        return style.nothing("Importances", data["note"])
    alone = list(zip(data["parameters"], data["importances"], strict=True))[: 2 * MOST_PARAMETERS]
    pairs = [(" with ".join(item["parameters"]), item["importance"]) for item in data["interactions"]]
    shown_ones = [*alone, *pairs]
    places = list(range(len(shown_ones)))
    bar: dict[str, Any] = {"type": "bar", "orientation": "h", "x": [value for _, value in shown_ones], "y": places}
    bar |= {"text": [f"{value:.3f}" for _, value in shown_ones], "textposition": "outside", "cliponaxis": False}
    colours = [style.BLUE] * len(alone) + [style.ORANGE] * len(pairs)
    bar |= {"marker": {"color": colours}, "hoverinfo": "skip"}
    y = {"tickvals": places, "ticktext": [style.text(name, 40) for name, _ in shown_ones], "autorange": "reversed"}
    of = f" for {style.text(data['metric'], 40)}" if data["is_one_of_several"] else ""
    x = {"title": {"text": f"importance{of}"}, "rangemode": "tozero"}
    more: dict[str, Any] = {"height": 158 + 28 * len(places), "margin": {"l": 64, "r": 56, "t": 76, "b": 64}}
    return style.figure([bar], "Importances", data["note"], xaxis=x, yaxis=y, **more)
