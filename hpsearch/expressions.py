"""Constraints as users write them: two arithmetic expressions and a comparison.

constraint = sum ("<=" | "<" | ">=" | ">" | "==") sum
sum        = product (("+" | "-") product)*
product    = signed (("*" | "/" | "//" | "%") signed)*
signed     = ("+" | "-") signed | power
power      = atom ["**" signed]
atom       = number | name | function "(" sum ("," sum)* ")" | "(" sum ")"

A name is a parameter's or a metric's, with an index where it has one: `hidden_units[0]`; any other name stands in
backquotes. Precedence is Python's. All is computed in floats; what Python would raise an error for is NaN here, and
what is too large infinite. An expression is kept as a program for a stack, so that no depth of it ends Python's own.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from hpsearch.errors import InvalidInput, near

MOST_CHARACTERS = 1000
MOST_NESTED = 30
COMPARISONS = ("<=", "<", ">=", ">", "==")
EQUAL = 1e-9
"""How far apart the sides of == may be, as a share of the larger."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_.]*(?:\[[0-9]+\])*|`[^`]+`)"
    r"|(?P<sign><=|>=|==|!=|\*\*|//|[-+*/%(),<>]))"
)

Step = float | str | tuple[str, int]
"""Of a program: push a number, push a name's value, or apply an operation to so many numbers."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """A comparison of two programs."""

    text: str
    left: tuple[Step, ...]
    comparison: str
    right: tuple[Step, ...]
    names: frozenset[str]

    def violation(self, values: Mapping[str, float]) -> float | None:
        """By how much it is violated: the distance to what would satisfy it, 0 at the edge of < and >, infinite where
        it cannot be computed. None where it holds. Raises `KeyError` for a name without a value."""
        left, right = _run(self.left, values), _run(self.right, values)
        if math.isnan(left) or math.isnan(right):
            return math.inf
        if _holds(left, self.comparison, right):
            return None
        distance = abs(left - right)
        return math.inf if math.isnan(distance) else distance


def _holds(left: float, comparison: str, right: float) -> bool:
    match comparison:
        case "<=":
            return left <= right
        case "<":
            return left < right
        case ">=":
            return left >= right
        case ">":
            return left > right
        case _:
            return math.isclose(left, right, rel_tol=EQUAL, abs_tol=EQUAL)


@lru_cache(maxsize=4096)
def parse(text: str) -> Constraint:
    """The constraint that a text says. Raises `InvalidInput` with the place of what is wrong, from 1 on."""
    if len(text) > MOST_CHARACTERS:
        raise InvalidInput(f"must have at most {MOST_CHARACTERS} characters, not {len(text)}")
    return _Parser(text).constraint()


class _Parser:
    """By recursive descent, which is never deeper than `MOST_NESTED`; writes a program as it reads."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._place = 0
        self._depth = 0
        self._program: list[Step] = []
        self._names: set[str] = set()

    def constraint(self) -> Constraint:
        self._sum()
        left, self._program = tuple(self._program), []
        kind, comparison, start = self._next()
        if kind != "sign" or comparison not in COMPARISONS:
            raise self._wrong(f"expected a comparison ({', '.join(COMPARISONS)})", kind, comparison, start)
        self._sum()
        kind, token, start = self._next()
        if kind != "end":
            more = "one comparison only: say the other in a constraint of its own"
            raise self._wrong(more if token in COMPARISONS else "expected an operation or the end", kind, token, start)
        return Constraint(self._text, left, comparison, tuple(self._program), frozenset(self._names))

    def _sum(self) -> None:
        self._left_to_right(("+", "-"), self._product)

    def _product(self) -> None:
        self._left_to_right(("*", "/", "//", "%"), self._signed)

    def _left_to_right(self, operations: tuple[str, ...], part: Callable[[], None]) -> None:
        part()
        while self._peek() in operations:
            operation = self._next()[1]
            part()
            self._program.append((operation, 2))

    def _signed(self) -> None:
        if self._peek() not in ("+", "-"):
            self._power()
            return
        with_sign = self._next()[1]
        self._deeper(self._signed)
        if with_sign == "-":
            self._program.append(("negative", 1))

    def _power(self) -> None:
        self._atom()
        if self._peek() == "**":
            self._next()
            self._deeper(self._signed)
            self._program.append(("**", 2))

    def _atom(self) -> None:
        kind, token, start = self._next()
        if kind == "number":
            self._program.append(float(token))
        elif kind == "name" and self._peek() == "(":
            self._call(token, start)
        elif kind == "name":
            name = token.strip("`")
            self._names.add(name)
            self._program.append(name)
        elif (kind, token) == ("sign", "("):
            self._deeper(self._sum)
            self._expect(")")
        else:
            raise self._wrong("expected a number, a name or '('", kind, token, start)

    def _call(self, name: str, start: int) -> None:
        if name not in _FUNCTIONS:
            close = near(name, _FUNCTIONS)
            hint = f" (did you mean {close!r}?)" if close else ""
            raise InvalidInput(f"at {start}: {name!r} is no function; known: {', '.join(_FUNCTIONS)}{hint}")
        count = 0
        while count == 0 or self._peek() == ",":
            self._next()  # the bracket, then commas
            self._deeper(self._sum)
            count += 1
        self._expect(")")
        least, most = _FUNCTIONS[name][1]
        if not least <= count <= most:
            wanted = "at least 2 numbers" if most > least else "one number"
            raise InvalidInput(f"at {start}: {name} takes {wanted}, not {count}")
        self._program.append((name, count))

    def _deeper(self, part: Callable[[], None]) -> None:
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise InvalidInput(f"at {self._tokens[self._place][2]}: is nested more than {MOST_NESTED} deep")
        part()
        self._depth -= 1

    def _expect(self, sign: str) -> None:
        kind, token, start = self._next()
        if token != sign:
            raise self._wrong(f"expected {sign!r}", kind, token, start)

    def _peek(self) -> str:
        kind, token, _ = self._tokens[self._place]
        return token if kind == "sign" else ""

    def _next(self) -> tuple[str, str, int]:
        found = self._tokens[self._place]
        self._place += found[0] != "end"
        return found

    def _wrong(self, wanted: str, kind: str, token: str, start: int) -> InvalidInput:
        found = "the end" if kind == "end" else repr(token)
        return InvalidInput(f"at {start}: {wanted}, not {found}")


def _tokens(text: str) -> "list[tuple[str, str, int]]":
    """(kind, text, place from 1 on), the end last. Raises `InvalidInput`."""
    found, position, end = [], 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            start = position + len(text[position:]) - len(text[position:].lstrip())
            hint = " (equal is ==)" if text[start] == "=" else ""
            raise InvalidInput(f"at {start + 1}: {text[start]!r} is nothing that can stand in a constraint{hint}")
        found.append((match.lastgroup, match[match.lastgroup], match.start(match.lastgroup) + 1))
        position = match.end()
    return [*found, ("end", "", end + 1)]


def _run(program: tuple[Step, ...], values: Mapping[str, float]) -> float:
    stack: list[float] = []
    for step in program:
        if isinstance(step, tuple):
            operation, count = step
            arguments = stack[-count:]
            del stack[-count:]
            stack.append(_applied(operation, arguments))
        else:
            stack.append(values[step] if isinstance(step, str) else step)
    return stack[-1]


def _applied(operation: str, arguments: list[float]) -> float:
    """Of numbers; NaN or infinite where Python would raise an error."""
    if any(math.isnan(argument) for argument in arguments):
        return math.nan  # min and max would sometimes overlook it
    compute = _FUNCTIONS[operation][0] if operation in _FUNCTIONS else _OPERATIONS[operation]
    try:
        result = compute(*arguments)
    except OverflowError:
        return math.inf if operation in ("exp", "**") and arguments[0] > 0 else math.nan
    except (ZeroDivisionError, ValueError):
        return math.nan
    return math.nan if isinstance(result, complex) else float(result)


_OPERATIONS: Mapping[str, Callable[..., float | complex]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": lambda a, b: a**b,
    "negative": lambda a: -a,
}
_SEVERAL = (2, MOST_CHARACTERS)
_FUNCTIONS: Mapping[str, tuple[Callable[..., float], tuple[int, int]]] = {
    "min": (min, _SEVERAL),
    "max": (max, _SEVERAL),
    "abs": (abs, (1, 1)),
    "sqrt": (math.sqrt, (1, 1)),
    "exp": (math.exp, (1, 1)),
    "log": (math.log, (1, 1)),
    "log2": (math.log2, (1, 1)),
    "log10": (math.log10, (1, 1)),
    "floor": (lambda a: a if math.isinf(a) else math.floor(a), (1, 1)),
    "ceil": (lambda a: a if math.isinf(a) else math.ceil(a), (1, 1)),
}
