"""How figures look: on any background, and with users' text as text."""

from collections.abc import Mapping, Sequence
from typing import Any

Figure = dict[str, Any]
"""A Plotly figure: `data` and `layout`."""

BLUE, ORANGE, GREEN, RED, GREY = "#3b7dd8", "#e0803a", "#2a9d74", "#d1495b", "#8a93a3"
SCALE = [[0.0, "#f2b134"], [0.25, "#e0803a"], [0.5, "#c0467a"], [0.75, "#6f4aa8"], [1.0, "#2f5fa8"]]
"""From what is good to what is bad, or from late to early: readable on light and dark, and for the colour-blind."""
STATE_COLOURS = {
    "complete": BLUE,
    "pruned": ORANGE,
    "failed": RED,
    "running": GREEN,
    "waiting": GREY,
    "cancelled": GREY,
}
LINES = "rgba(128, 138, 155, 0.25)"
TEXT = "#6b7484"
MOST_CHARACTERS = 60
MOST_TICKS = 30
_NOTHING = "no complete trial yet"


def text(value: object, most: int = MOST_CHARACTERS) -> str:
    """A user's text in a figure: Plotly takes some HTML for markup, and `<` is to be seen as one."""
    whole = str(value)
    cut = whole if len(whole) <= most else whole[: most - 1] + "…"
    return cut.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")


def figure(traces: Sequence[Mapping[str, Any]], title: str, note: str | None = None, **layout: Any) -> Figure:
    """A figure in our style. `layout` may have axes (`xaxis`, `yaxis2` …) and what else Plotly knows."""
    axes = {name: axis(**given) for name, given in layout.items() if name.startswith(("xaxis", "yaxis"))}
    others = {name: given for name, given in layout.items() if name not in axes}
    head: dict[str, Any] = {"text": title, "x": 0.02, "xanchor": "left", "font": {"size": 16}}
    if note:
        head["subtitle"] = {"text": note, "font": {"size": 11}}
    base: dict[str, Any] = {
        "title": head,
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": TEXT},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "closest",
        "margin": {"l": 64, "r": 24, "t": 76 if note else 56, "b": 64},
        "legend": {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom"},
        "colorway": [BLUE, ORANGE, GREEN, RED, "#7a5cc2", "#3aa6b9", GREY],
    }
    return {"data": [dict(trace) for trace in traces], "layout": base | others | axes}


def nothing(title: str, why: str | None = None) -> Figure:
    """A figure of what is not there yet."""
    says = {
        "text": text(why or _NOTHING, 200),
        "x": 0.5,
        "y": 0.5,
        "xref": "paper",
        "yref": "paper",
        "showarrow": False,
    }
    hidden = {"visible": False}
    return figure([], title, annotations=[says], xaxis=hidden, yaxis=hidden)


def axis(**given: Any) -> dict[str, Any]:
    """An axis in our style."""
    return {"gridcolor": LINES, "zeroline": False, "linecolor": LINES, "automargin": True} | given


def parameter_axis(parameter: Mapping[str, Any], **given: Any) -> dict[str, Any]:
    """The axis of a parameter as `look.described` has it."""
    head = {"title": {"text": text(parameter["name"], 40)}}
    if parameter["choices"] is not None:
        choices = parameter["choices"]
        every = max(1, -(-len(choices) // MOST_TICKS))
        places = list(range(0, len(choices), every))
        names = [text(choices[place], 16) for place in places]
        room = [-0.5, max(1, len(choices)) - 0.5]
        return head | {"tickvals": places, "ticktext": names, "range": room, "zeroline": False} | given
    return head | ({"type": "log", "exponentformat": "power"} if parameter["log"] else {}) | given
