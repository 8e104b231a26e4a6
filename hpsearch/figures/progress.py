"""How a search went: history, distribution of values, learning curves, who worked when."""

from datetime import UTC, datetime
from typing import Any

import numpy as np

from hpsearch.figures import style
from hpsearch.figures.look import Data, Look, main_range, numbers, spread, thinned
from hpsearch.search.table import STATES
from hpsearch.trials import TrialState

MOST_PRUNED = 500
MOST_STEPS = 1000
"""Points of the line of the best so far."""
MOST_CURVES, BEST_CURVES = 60, 20
MOST_BARS, MOST_LANES = 1000, 40


def history_data(look: Look) -> Data:
    """Values by trial, and the best so far."""
    table = look.table
    complete, (kept, note) = table.complete(), thinned(table)
    feasible = complete[~table.infeasible[complete]]
    losses = table.sign * table.values[feasible]
    best = np.minimum.accumulate(losses) if len(losses) else losses
    steps = np.flatnonzero(np.diff(best, prepend=np.inf) < 0)
    improved = spread(np.append(steps, len(best) - 1), MOST_STEPS) if len(best) else steps
    pruned = table.pruned()
    pruned = spread(pruned[np.isfinite(table.last_values[pruned])], MOST_PRUNED)
    return {
        "metric": look.metric,
        "direction": table.direction,
        "numbers": kept.tolist(),
        "values": numbers(table.values[kept]),
        "pruned": {"numbers": pruned.tolist(), "values": numbers(table.last_values[pruned])},
        "best": {"numbers": feasible[improved].tolist(), "values": numbers(table.sign * best[improved])},
        "range": main_range(table.values[complete], table.sign),
        "note": note,
    }


def draw_history(data: Data) -> style.Figure:
    if not data["numbers"]:
        return style.nothing("History")
    marks = {"size": 5, "opacity": 0.55}
    traces = [
        {"type": "scatter", "mode": "markers", "name": "complete", "x": data["numbers"], "y": data["values"]}
        | {"marker": marks | {"color": style.BLUE}},
        {"type": "scatter", "mode": "markers", "name": "pruned, at its last report", "x": data["pruned"]["numbers"]}
        | {"y": data["pruned"]["values"], "marker": marks | {"color": style.GREY, "symbol": "x-thin-open"}},
        {"type": "scatter", "mode": "lines", "name": "best so far", "x": data["best"]["numbers"]}
        | {"y": data["best"]["values"], "line": {"shape": "hv", "color": style.ORANGE, "width": 2.5}},
    ]
    shown = [trace for trace in traces if trace["x"]]
    y: dict[str, Any] = {"title": {"text": style.text(data["metric"])}}
    if data["range"]:
        y["range"] = data["range"]
    return style.figure(shown, "History", data["note"], xaxis={"title": {"text": "trial"}}, yaxis=y)


def edf_data(look: Look) -> Data:
    """The share of complete trials that are at least as good as a value."""
    table = look.table
    ranked = table.ranked()
    places = spread(np.arange(len(ranked)), 1000)
    return {
        "metric": look.metric,
        "direction": table.direction,
        "values": numbers(table.values[ranked][places]),
        "shares": [(int(place) + 1) / len(ranked) for place in places],
        "range": main_range(table.values[ranked], table.sign),
        "note": f"1000 of {len(ranked)} complete trials, evenly spread" if len(places) < len(ranked) else None,
    }


def draw_edf(data: Data) -> style.Figure:
    if not data["values"]:
        return style.nothing("Distribution of values")
    line = {"type": "scatter", "mode": "lines", "x": data["values"], "y": data["shares"]}
    x: dict[str, Any] = {"title": {"text": style.text(data["metric"])}}
    if data["range"]:
        x["range"] = data["range"]
    y = {"title": {"text": "share of trials as good"}, "range": [0, 1.02], "tickformat": ".0%"}
    return style.figure([line | {"line": {"shape": "hv"}}], "Distribution of values", data["note"], xaxis=x, yaxis=y)


def curves_data(look: Look) -> Data:
    """What trials reported, step by step: the best ones, and of the others an even sample."""
    table = look.table
    # what a running trial reports does not change its row here: it may have steps that we do not know of
    reporting = np.isfinite(table.last_steps) | (table.states == STATES.index(TrialState.RUNNING))
    best = [number for number in table.ranked() if reporting[number]][:BEST_CURVES]
    others = np.setdiff1d(np.flatnonzero(reporting), best)
    wanted = [int(number) for number in [*best, *spread(others, MOST_CURVES - len(best))]]
    found = look.curves(wanted) if wanted else {}
    wanted = [number for number in wanted if found[number][0]]
    total = int(reporting.sum())
    few = f"{len(wanted)} of {total} trials: the best {len(best)}, and of the others an even sample"
    values = np.array([value for number in wanted for value in found[number][1]], dtype=float)
    return {
        "metric": look.metric,
        "direction": table.direction,
        "curves": [
            {
                "number": number,
                "state": STATES[table.states[number]].value,
                "is_best": place == 0 and bool(best),
                "steps": list(found[number][0]),
                "values": list(found[number][1]),
            }
            for place, number in enumerate(wanted)
        ],
        "range": main_range(values, table.sign),
        "note": few if len(wanted) < total else None,
    }


def draw_curves(data: Data) -> style.Figure:
    if not data["curves"]:
        return style.nothing("Learning curves", "no trial has reported yet")
    traces, legends = [], set()
    for curve in reversed(data["curves"]):  # the best one on top
        kind = "best" if curve["is_best"] else curve["state"]
        colour = style.ORANGE if curve["is_best"] else style.STATE_COLOURS[curve["state"]]
        colour = style.GREY if kind == "pruned" else colour
        traces.append(
            {"type": "scatter", "mode": "lines+markers" if len(curve["steps"]) == 1 else "lines"}
            | {"x": curve["steps"], "y": curve["values"], "name": kind, "legendgroup": kind}
            | {"showlegend": kind not in legends, "opacity": 1.0 if curve["is_best"] else 0.45}
            | {"line": {"color": colour, "width": 3 if curve["is_best"] else 1.2}}
            | {"hovertemplate": f"trial {curve['number']}, step %{{x}}: %{{y}}<extra></extra>"}
        )
        legends.add(kind)
    y: dict[str, Any] = {"title": {"text": style.text(data["metric"])}}
    if data["range"]:
        y["range"] = data["range"]
    return style.figure(traces, "Learning curves", data["note"], xaxis={"title": {"text": "step"}}, yaxis=y)


def timeline_data(look: Look) -> Data:
    """Trials as bars from start to end, a row for each that a worker ran at a time; the newest ones."""
    table = look.table
    begun = np.flatnonzero(np.isfinite(table.started))
    newest = begun[np.argsort(table.started[begun], kind="stable")][-MOST_BARS:]
    now = float(np.nanmax([np.nanmax(table.started[newest]), _latest(table.finished[newest])])) if len(newest) else 0.0
    lanes: dict[tuple[int, int], float] = {}
    bars: list[dict[str, Any]] = []
    for number in newest:
        start, end = float(table.started[number]), float(table.finished[number])
        end = max(start, end if np.isfinite(end) else now)
        worker, turn = int(table.workers[number]), 0
        while lanes.get((worker, turn), -np.inf) > start:
            turn += 1
        if turn >= MOST_LANES:
            continue
        lanes[worker, turn] = end
        bars.append({"number": int(number), "state": STATES[table.states[number]].value, "row": (worker, turn)})
        bars[-1] |= {"start": start, "seconds": end - start}
    rows = {row: place for place, row in enumerate(sorted(lanes)[:MOST_LANES])}
    kept = [bar | {"row": rows[bar["row"]]} for bar in bars if bar["row"] in rows]
    names = [
        f"{table.worker_names[worker] if worker >= 0 else '(unnamed)'}{f' · {turn + 1}' if turn else ''}"
        for worker, turn in rows
    ]
    few = f"{len(kept)} of {len(begun)} trials: the newest ones, in at most {MOST_LANES} rows"
    return {"rows": names, "bars": kept, "note": few if len(kept) < len(begun) else None}


def _latest(times: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    finite = times[np.isfinite(times)]
    return float(finite.max()) if len(finite) else np.nan


def draw_timeline(data: Data) -> style.Figure:
    if not data["bars"]:
        return style.nothing("Timeline", "no trial has started yet")
    traces = []
    for state in (item.value for item in TrialState):
        bars = [bar for bar in data["bars"] if bar["state"] == state]
        if bars:
            traces.append(
                {"type": "bar", "orientation": "h", "name": state, "y": [bar["row"] for bar in bars]}
                | {"base": [datetime.fromtimestamp(bar["start"], UTC).isoformat() for bar in bars]}
                | {"x": [max(1.0, 1000 * bar["seconds"]) for bar in bars]}
                | {"text": [f"trial {bar['number']}: {bar['seconds']:.1f} s" for bar in bars], "hoverinfo": "text"}
                | {"textposition": "none", "marker": {"color": style.STATE_COLOURS[state]}}
            )
    rows = [style.text(name, 32) for name in data["rows"]]
    y = {"tickvals": list(range(len(rows))), "ticktext": rows, "autorange": "reversed"}
    height = 160 + 22 * len(rows)
    more = {"barmode": "overlay", "bargap": 0.25, "height": height}
    return style.figure(traces, "Timeline", data["note"], xaxis={"type": "date"}, yaxis=y, **more)
