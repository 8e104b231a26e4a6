"""The grammar of constraints: it agrees with Python's arithmetic, and fails in no way but its own."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.errors import InvalidInput
from hpsearch.expressions import parse

VALUES = {"units": 64.0, "rate": 0.01, "negative": -3.0, "zero": 0.0, "layers": 2.0}
FUNCTIONS = {name: getattr(math, name) for name in ("sqrt", "exp", "log", "log2", "log10")}
FUNCTIONS |= {"min": min, "max": max, "abs": abs}
# floats, as whole numbers would be raised to powers of millions of digits
FUNCTIONS |= {"floor": lambda number: float(math.floor(number)), "ceil": lambda number: float(math.ceil(number))}

_numbers = st.floats(0, 1e6, allow_nan=False).map(repr) | st.integers(0, 1000).map(lambda number: f"{number}.0")
_atoms = _numbers | st.sampled_from(sorted(VALUES))


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two = st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%", "**"]), inner)
    one = st.tuples(st.sampled_from(["sqrt", "exp", "log", "log2", "log10", "floor", "ceil", "abs"]), inner)
    several = st.tuples(st.sampled_from(["min", "max"]), st.lists(inner, min_size=2, max_size=3))
    return (
        two.map(" ".join)
        | inner.map(lambda text: f"({text})")
        | inner.map(lambda text: f"-{text}")
        | one.map(lambda call: f"{call[0]}({call[1]})")
        | several.map(lambda call: f"{call[0]}({', '.join(call[1])})")
    )


@settings(max_examples=120, deadline=None)
@given(st.recursive(_atoms, _grown, max_leaves=8), st.sampled_from(["<=", "<", ">=", ">"]), _atoms)
def test_what_python_computes_we_compute(left: str, comparison: str, right: str) -> None:
    try:
        constraint = parse(f"{left} {comparison} {right}")
    except InvalidInput as error:
        assert "deep" in str(error)  # noqa: PT017
        return
    found = constraint.violation(VALUES)
    try:
        sides = [eval(side, {"__builtins__": {}}, VALUES | FUNCTIONS) for side in (left, right)]
        finite = all(isinstance(side, int | float) and math.isfinite(side) for side in sides)
    except (ArithmeticError, ValueError, TypeError):
        finite = False  # TypeError: of a complex number
    if not finite:
        assert found is None or found >= 0
        return
    holds = {"<=": sides[0] <= sides[1], "<": sides[0] < sides[1], ">=": sides[0] >= sides[1], ">": sides[0] > sides[1]}
    if holds[comparison]:
        assert found is None
    else:
        assert found == pytest.approx(abs(float(sides[0]) - float(sides[1])))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | st.text("abx0192.e+-*/%()<>=,`[] \t", max_size=60))
def test_any_text_is_a_constraint_or_refused_in_its_own_way(text: str) -> None:
    try:
        constraint = parse(text)
    except InvalidInput as error:
        assert str(error)  # noqa: PT017
    else:
        found = constraint.violation(dict.fromkeys(constraint.names, 2.0))
        assert found is None or found >= 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "at 1: expected a number, a name or '(', not the end"),
        ("units * <= 3", "at 9: expected a number, a name or '(', not '<='"),
        ("units", "at 6: expected a comparison (<=, <, >=, >, ==), not the end"),
        ("1 <= units <= 3", "at 12: one comparison only"),
        ("units = 3", "at 7: '=' is nothing that can stand in a constraint (equal is ==)"),
        ("units != 3", "at 7: expected a comparison"),
        ("(units <= 3", "at 8: expected ')', not '<='"),
        ("units layers < 3", "at 7: expected a comparison"),
        ("units < 3 4", "at 11: expected an operation or the end, not '4'"),
        ("sqr(units) < 3", "at 1: 'sqr' is no function"),
        ("log(units, 2) < 3", "at 1: log takes one number, not 2"),
        ("max(units) < 3", "at 1: max takes at least 2 numbers, not 1"),
        ("__import__('os') < 3", 'at 12: "\'" is nothing'),
        ("units.__class__() < 3", "at 1: 'units.__class__' is no function"),
        ("(" * 40 + "1 < 2", "at 32: is nested more than 30 deep"),
        ("-" * 400 + "1 < 2", "at 32: is nested more than 30 deep"),
        ("1 < " + "1+" * 600 + "1", "must have at most 1000 characters"),
    ],
)
def test_a_wrong_constraint_is_told_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(text)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("text", "violation"),
    [
        ("units * layers <= 128", None),
        ("units * layers < 128", 0.0),
        ("units <= 60 + 1.5", 2.5),
        ("-negative ** 2 >= 0", 9.0),
        ("2 ** 3 ** 2 == 512", None),
        ("10 - 4 - 3 == 3", None),
        ("0.1 + 0.2 == .3", None),
        ("units / zero <= 1", math.inf),
        ("log(negative) <= 1", math.inf),
        ("negative ** 0.5 <= 1", math.inf),
        ("10 ** 999 <= 1", math.inf),
        ("exp(1000) >= 1", None),
        ("max(1, log(zero), 3) >= 1", math.inf),
        ("`units` <= 1e2", None),
        ("1 < " + "1+" * 400 + "1", None),
    ],
)
def test_how_far_a_constraint_is_violated(text: str, violation: Any) -> None:
    assert parse(text).violation(VALUES) == violation


def test_names_may_have_indices_dots_and_in_backquotes_anything() -> None:
    assert parse("hidden_units[0] + a.b + `x-y` <= 3").names == {"hidden_units[0]", "a.b", "x-y"}
