"""Several metrics at once: the Pareto front, and how far it has come by its hypervolume."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hpsearch.figures import style
from hpsearch.figures.look import MOST_PARAMETERS, Data, Look, fence_of, main_range, numbers, spread
from hpsearch.search.fronts import PIECE, dominated, hypervolume
from hpsearch.search.space import Floats, Numbers
from hpsearch.search.table import LOG_RATIO, Table

MOST_FRONT, MOST_OTHERS, MOST_INFEASIBLE = 500, 1200, 300
"""Points of a front's figure."""
MOST_STEPS = {2: 200, 3: 50}
"""Points of the hypervolume's line, by how many metrics there are."""
MOST_CARRIED = {2: 500, 3: 300}
"""Points of a front that its hypervolume is of, by how many metrics there are: in three it takes their square."""
_ONE = "needs several metrics, and this study searches one"


def pareto_data(look: Look) -> Data:
    """The trials on the front, the best by the first metric first; the others, and those that violate a constraint."""
    table = look.table
    complete, front = table.complete(), table.front()
    infeasible = complete[table.infeasible[complete]]
    groups = {
        "front": spread(front, MOST_FRONT),
        "others": spread(np.setdiff1d(complete, np.concatenate([front, infeasible])), MOST_OTHERS),
        "infeasible": spread(infeasible, MOST_INFEASIBLE),
    }
    kept = sum(map(len, groups.values()))
    few = f"{kept} of {len(complete)} complete trials, evenly spread"
    note = f"{few}: {len(groups['front'])} of {len(front)} on the front" if kept < len(complete) else None
    return {
        "metrics": [_described(table, place, complete, front) for place in range(table.every_value.shape[1])],
        **{name: _trials(table, chosen) for name, chosen in groups.items()},
        "size": len(front),
        "note": note if table.spec.objective.has_several else _ONE,
    }


def _trials(table: Table, chosen: Numbers) -> dict[str, Any]:
    """Their numbers, and their values by metric [metrics][trials]."""
    return {"numbers": chosen.tolist(), "values": [numbers(column) for column in table.every_value[chosen].T]}


def _described(table: Table, place: int, complete: Numbers, front: Numbers) -> dict[str, Any]:
    """A metric and its axis: logarithmic where nine tenths of the values go over two orders of magnitude, as sizes do;
    else cut where others are far out, but never so that a part of the front is."""
    name, direction = list(table.spec.objective.searched.items())[place]
    values, ends = table.every_value[complete, place], None
    low, high = np.quantile(values, [0.05, 0.95]) if len(values) else (0.0, 0.0)
    log = bool(len(values)) and float(values.min()) > 0 and bool(high >= LOG_RATIO * low)
    if not log:
        ends = main_range(values, -1.0 if direction == "maximize" else 1.0)
    if ends and len(front):
        best = table.every_value[front, place]
        margin = 0.05 * (ends[1] - ends[0])
        ends = [min(ends[0], float(best.min()) - margin), max(ends[1], float(best.max()) + margin)]
    return {"name": name, "direction": direction, "log": log, "range": ends}


def draw_pareto(data: Data) -> style.Figure:
    metrics, front = data["metrics"], data["front"]
    if len(metrics) < 2:
        return style.nothing("Pareto front", _ONE)
    if not front["numbers"]:
        why = "no complete trial satisfies the constraints" if data["infeasible"]["numbers"] else None
        return style.nothing("Pareto front", why)
    if len(metrics) == 2:
        return _flat(data)
    return _deep(data) if len(metrics) == 3 else _parallel(data)


def _axis(metric: Mapping[str, Any], most: int = 40) -> dict[str, Any]:
    """Of a metric."""
    given: dict[str, Any] = {"title": {"text": f"{style.text(metric['name'], most)} ({metric['direction']})"}}
    if metric["log"]:
        given |= {"type": "log", "exponentformat": "power"}
    return given | ({"range": metric["range"]} if metric["range"] else {})


def _marks(group: Mapping[str, Any], name: str, **marker: Any) -> dict[str, Any]:
    """Trials as points over two or three metrics."""
    over = dict(zip("xyz", group["values"], strict=False))
    hover = [f"trial {number}" for number in group["numbers"]]
    return {"mode": "markers", "name": name, **over, "text": hover, "marker": marker}


def _flat(data: Data) -> style.Figure:
    """Two metrics. The line goes round what the front dominates: to the next trial's first metric, then to its
    second."""
    traces = [
        _marks(data["others"], "other complete trials", size=5, opacity=0.45, color=style.BLUE),
        _marks(data["infeasible"], "violates a constraint", size=6, color=style.GREY, symbol="x-thin-open"),
        _marks(data["front"], "Pareto front", size=7, color=style.ORANGE)
        | {"mode": "lines+markers", "line": {"shape": "hv", "color": style.ORANGE, "width": 2}},
    ]
    shown = [{"type": "scatter", **trace} for trace in traces if trace["text"]]
    across, up = map(_axis, data["metrics"])
    return style.figure(shown, "Pareto front", data["note"], xaxis=across, yaxis=up, height=480)


def _deep(data: Data) -> style.Figure:
    """Three metrics, to be turned by hand."""
    traces = [
        _marks(data["others"], "other complete trials", size=2.5, opacity=0.4, color=style.BLUE),
        _marks(data["infeasible"], "violates a constraint", size=2.5, color=style.GREY, symbol="x"),
        _marks(data["front"], "Pareto front", size=4.5, color=style.ORANGE),
    ]
    shown = [{"type": "scatter3d", **trace} for trace in traces if trace["text"]]
    plain = {"gridcolor": style.GREY, "gridwidth": 0.5, "zeroline": False, "showbackground": False}
    plain |= {"linecolor": style.GREY, "showline": True, "showspikes": False}
    axes = {f"{name}axis": plain | _axis(metric, 24) for name, metric in zip("xyz", data["metrics"], strict=True)}
    scene = axes | {"camera": {"eye": {"x": 1.5, "y": 1.5, "z": 0.9}, "center": {"x": 0, "y": 0, "z": -0.15}}}
    margin = {"l": 8, "r": 8, "t": 76, "b": 8}
    return style.figure(shown, "Pareto front", data["note"], scene=scene, height=600, margin=margin)


def _parallel(data: Data) -> style.Figure:
    """More metrics: a line a trial of the front, and the better the further up on every axis."""
    front, metrics = data["front"], data["metrics"][:MOST_PARAMETERS]
    axes: list[dict[str, Any]] = []
    for metric, values in zip(metrics, front["values"], strict=False):
        worst, best = min(values), max(values)
        if metric["direction"] == "minimize":
            worst, best = best, worst
        axes.append({"label": style.text(metric["name"], 18), "values": values})
        if worst != best:
            axes[-1]["range"] = [worst, best]
    first = front["values"][0]
    line = {"color": first, "colorscale": style.SCALE, "reversescale": metrics[0]["direction"] == "maximize"}
    line |= {"cmin": min(first), "cmax": max(first)}
    trace = {"type": "parcoords", "dimensions": axes, "line": line, "unselected": {"line": {"opacity": 0.04}}}
    which = f"{len(first)} of {data['size']} trials" if len(first) < data["size"] else "the trials"
    note = f"{which} on the front; on every axis up is better"
    if len(metrics) < len(data["metrics"]):
        note += f"; the first {len(metrics)} of {len(data['metrics'])} metrics"
    margin = {"l": 72, "r": 56, "t": 144, "b": 36}
    return style.figure([trace], "Pareto front", note, margin=margin, height=490)


def hypervolume_data(look: Look) -> Data:
    """How much the front dominates of the box between the best and the worst of each metric, as a share, after so many
    complete trials by number. Where values are far out, the box ends before them."""
    table = look.table
    searched = table.spec.objective.searched
    complete = table.complete()
    feasible = ~table.infeasible[complete]
    few, many = _ONE, f"is drawn of two or three metrics, and this study searches {len(searched)}"
    if len(searched) not in MOST_STEPS:
        return _no_volume(few if len(searched) < 2 else many)
    if not feasible.any():
        return _no_volume("no complete trial satisfies the constraints" if len(complete) else None)
    shares, is_cut = _in_box(table.losses(complete[feasible]))
    rows = np.full((len(complete), len(searched)), np.inf)  # outside of every box
    rows[feasible] = shares
    counts = spread(np.arange(1, len(complete) + 1), MOST_STEPS[len(searched)])
    volumes, is_thinned = _volumes(rows, counts, MOST_CARRIED[len(searched)])
    notes = ["the share that the front dominates of the box from the best to the worst values"]
    if is_cut:
        notes.append("those far out left out")
    if len(counts) < len(complete):
        notes.append(f"after {len(counts)} of {len(complete)} trials")
    if is_thinned:
        notes.append(f"at least, of {MOST_CARRIED[len(searched)]} trials of the front")
    return {"counts": counts.tolist(), "shares": volumes, "note": "; ".join(notes)}


def _no_volume(why: str | None) -> Data:
    return {"counts": [], "shares": [], "note": why}


def _in_box(losses: Floats) -> tuple[Floats, bool]:
    """Losses as shares of each metric's range, 0 the best and 1 the worst; and whether the worst is not the worst that
    was seen, but where others are far out."""
    best, worst = losses.min(axis=0), losses.max(axis=0)
    fences = [fence_of(column) for column in losses.T]
    worst = np.array([high if fence is None else fence for high, fence in zip(worst, fences, strict=True)])
    shares: Floats = (losses - best) / np.where(worst > best, worst - best, 1.0)
    return shares, any(fence is not None for fence in fences)


def _volumes(rows: Floats, counts: Numbers, most: int) -> tuple[list[float], bool]:
    """The hypervolume of the first so many rows, up to 1 in each metric, and whether some of a front's points were left
    out of it: what is told then is less than the whole, and still never falls."""
    corner = np.ones(rows.shape[1])
    front, volumes, is_thinned = np.empty((0, rows.shape[1])), [0.0], False
    for first, end in zip([0, *counts[:-1]], counts, strict=True):
        for piece in _pieces(rows[first:end]):
            new = piece[~dominated(piece, front)]
            new = new[~dominated(new, new)]
            front = np.unique(np.concatenate([front[~dominated(front, new)], new]), axis=0)
            is_thinned |= len(front) > most
            front = front[spread(np.arange(len(front)), most)]
        volumes.append(max(volumes[-1], min(1.0, hypervolume(front, corner))))
    return volumes[1:], is_thinned


def _pieces(rows: Floats) -> Iterator[Floats]:
    """Those within the box, some hundreds at a time."""
    within = rows[(rows <= 1).all(axis=1)]
    for start in range(0, len(within), PIECE):
        yield within[start : start + PIECE]


def draw_hypervolume(data: Data) -> style.Figure:
    if not data["counts"]:
        return style.nothing("Hypervolume", data["note"])
    line = {"type": "scatter", "mode": "lines", "x": data["counts"], "y": data["shares"]}
    line |= {"line": {"shape": "hv", "color": style.ORANGE, "width": 2.5}}
    x = {"title": {"text": "complete trials"}}
    y = {"title": {"text": "share of the box"}, "tickformat": ".0%", "rangemode": "tozero"}
    return style.figure([line], "Hypervolume", data["note"], xaxis=x, yaxis=y)
