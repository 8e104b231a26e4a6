"""Conditional spaces for tests, and what they mean, said in another way than the code says it."""

from collections.abc import Mapping
from itertools import product
from typing import Any

from hypothesis import strategies as st

CELL = {"type": "categorical", "choices": ["lstm", "gru", "tanh"]}
LAYERED: dict[str, Any] = {
    "rate": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
    "cell": CELL,
    "forget": {"type": "float", "low": -1, "high": 2, "when": {"cell": "lstm"}},
    "layers": {"type": "int", "low": 1, "high": 3},
    "units[0]": {"type": "ordinal", "values": [8, 16, 64]},
    "units[1]": {"type": "ordinal", "values": [8, 16, 64], "when": {"layers": {"min": 2}}},
    "units[2]": {"type": "ordinal", "values": [8, 16, 64], "when": {"layers": [3]}},
    "narrow": {"type": "constant", "value": True, "when": {"units[2]": {"max": 16}}},
}


def present(space: Mapping[str, Any], whole: Mapping[str, Any], name: str) -> bool:
    """Whether a parameter is there, given values for all, by its conditions and those of what it depends on."""
    return all(
        present(space, whole, other) and _holds(space[other], condition, whole[other])
        for other, condition in (space[name].get("when") or {}).items()
    )


def _holds(parameter: Mapping[str, Any], condition: Any, value: Any) -> bool:
    if isinstance(condition, dict):
        place = parameter["values"].index if parameter["type"] == "ordinal" else float
        low, high = condition.get("min"), condition.get("max")
        return (low is None or place(low) <= place(value)) and (high is None or place(value) <= place(high))
    return value in condition if isinstance(condition, list) else value == condition


def values(parameter: Mapping[str, Any]) -> list[Any]:
    """Of a parameter that has few."""
    match parameter["type"]:
        case "int":
            return list(range(parameter["low"], parameter["high"] + 1))
        case "categorical":
            return list(parameter["choices"])
        case "ordinal":
            return list(parameter["values"])
        case _:
            return [parameter["value"]]


def combinations(space: Mapping[str, Any]) -> set[tuple[tuple[str, Any], ...]]:
    """Every distinct configuration of a space of few values."""
    found = set()
    for chosen in product(*(values(parameter) for parameter in space.values())):
        whole = dict(zip(space, chosen, strict=True))
        found.add(tuple((name, value) for name, value in whole.items() if present(space, whole, name)))
    return found


_plain = st.one_of(
    st.just({"type": "categorical", "choices": ["a", "b", "c"]}),
    st.just({"type": "int", "low": 1, "high": 3}),
    st.just({"type": "ordinal", "values": ["s", "m", "l"]}),
    st.just({"type": "constant", "value": "k"}),
)


@st.composite
def conditional_spaces(draw: st.DrawFn) -> dict[str, Any]:
    """Up to six parameters of few values, some of which depend on earlier ones; in any order."""
    space: dict[str, Any] = {}
    for name in ["p", "q", "r", "s", "t", "u"][: draw(st.integers(2, 6))]:
        parameter = dict(draw(_plain))
        others = draw(st.lists(st.sampled_from(sorted(space)), max_size=2, unique=True)) if space else []
        if others:
            parameter["when"] = {other: draw(_condition(space[other])) for other in others}
        space[name] = parameter
    return {name: space[name] for name in draw(st.permutations(sorted(space)))}


def _condition(parameter: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    known = values(parameter)
    plain = st.sampled_from(known) | st.lists(st.sampled_from(known), min_size=1, unique=True)
    if parameter["type"] in ("int", "ordinal"):
        low = st.integers(0, len(known) - 1)
        return plain | low.map(lambda place: {"min": known[place]}) | low.map(lambda place: {"max": known[place]})
    return plain
