"""Ranges to search, as a user's function declares them: `Annotated[float, Float(1e-5, 1e-1, log=True)]`."""

import math
from dataclasses import dataclass
from typing import Any

from hpsearch.trials import Scalar


@dataclass(frozen=True, slots=True)
class Float:
    """A real number from `low` to `high` (both included). Raises `ValueError` where that is no range."""

    low: float
    high: float
    log: bool = False
    """Search the logarithm."""
    step: float | None = None
    """Only low, low + step, low + 2 step …"""

    def __post_init__(self) -> None:
        _check_ends(self, (int, float))

    def space(self) -> dict[str, Any]:
        """In a study file's words."""
        ends = {"type": "float", "low": float(self.low), "high": float(self.high), "log": self.log}
        return ends if self.step is None else ends | {"step": float(self.step)}


@dataclass(frozen=True, slots=True)
class Int:
    """A whole number from `low` to `high` (both included). Raises `ValueError` where that is no range."""

    low: int
    high: int
    log: bool = False
    """Search the logarithm."""
    step: int = 1
    """Only low, low + step, low + 2 step …"""

    def __post_init__(self) -> None:
        _check_ends(self, (int,))

    def space(self) -> dict[str, Any]:
        """In a study file's words."""
        return {"type": "int", "low": self.low, "high": self.high, "log": self.log, "step": self.step}


class Categorical:
    """One of some strings, numbers, booleans or None, without an order. Raises `ValueError` where there are none."""

    def __init__(self, *choices: Scalar) -> None:
        if not choices:
            raise ValueError("Categorical needs choices: Categorical('gini', 'entropy')")
        strangers = [choice for choice in choices if not isinstance(choice, str | int | float | bool | None)]
        if strangers:
            raise ValueError(f"a choice is a string, a number, True, False or None, not {strangers[0]!r}")
        self.choices = choices

    def __repr__(self) -> str:
        return f"Categorical({', '.join(map(repr, self.choices))})"

    def space(self) -> dict[str, Any]:
        """In a study file's words."""
        return {"type": "categorical", "choices": list(self.choices)}


Range = Float | Int | Categorical


def _check_ends(declared: Float | Int, numbers: tuple[type, ...]) -> None:
    kind = "whole numbers" if numbers == (int,) else "numbers"
    for value in (declared.low, declared.high, *([] if declared.step is None else [declared.step])):
        if not isinstance(value, numbers) or isinstance(value, bool) or not math.isfinite(value):
            raise ValueError(f"{declared!r}: low, high and step must be finite {kind}, not {value!r}")
    if declared.low > declared.high:
        raise ValueError(f"{declared!r}: high must be at least low")
    if declared.log and declared.low <= 0:
        raise ValueError(f"{declared!r}: low must be above 0 where log is true")
    if declared.step is not None and declared.step <= 0:
        raise ValueError(f"{declared!r}: step must be above 0")
    if declared.log and declared.step not in (None, 1):
        raise ValueError(f"{declared!r}: step cannot be combined with log")
