"""Plain values: what JSON can say, of what YAML, Python, numpy and torch say."""

import math
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel

from hpsearch.errors import Fault, InvalidInput

DEEPEST = 100
"""Values within each other. A study needs six, and what contains itself has no end."""
MOST_VALUES = 3_000_000
"""In all: a few lines of YAML whose aliases stand for each other may mean billions."""
MOST_BITS = 4096
"""Of a whole number: Python writes no longer ones."""


def plain(value: object) -> Any:
    """A value as JSON has it: objects, lists, texts, finite numbers, true, false and null; what numpy and torch have as
    a number is one, and their arrays are lists.

    Raises `InvalidInput` with the path of each fault.
    """
    walk = _Walk()
    found = walk.plain(value, ())
    if walk.faults:
        raise InvalidInput(faults=walk.faults)
    return found


class _Walk:
    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._left = MOST_VALUES

    def plain(self, value: Any, path: tuple[str, ...]) -> Any:
        self._left -= 1
        if len(path) > DEEPEST:
            raise InvalidInput(faults=[Fault(".".join(path[:5]) + "…", "is nested too deeply, or contains itself")])
        if self._left < 0:
            raise InvalidInput(faults=[Fault("", f"stands for more than {MOST_VALUES:,} values")])
        if isinstance(value, Mapping):
            return dict(self._named(value, path))
        if isinstance(value, list | tuple):
            return [self.plain(item, (*path, str(position))) for position, item in enumerate(value)]
        if hasattr(value, "tolist"):  # a number or an array of numpy, torch or pandas
            return self.plain(value.tolist(), path)
        return self._single(value, path)

    def _named(self, value: Mapping[Any, Any], path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        for key, item in value.items():
            if isinstance(key, str):
                yield key, self.plain(item, (*path, key))
            else:
                self._fault((*path, str(key)), "is no name: names are texts, so put it in quotes")

    def _single(self, value: object, path: tuple[str, ...]) -> object:
        if isinstance(value, BaseModel):
            return self.plain(value.model_dump(), path)
        if isinstance(value, Enum):
            return self._single(value.value, path)
        if isinstance(value, PurePath):
            return str(value)
        if isinstance(value, float):
            if not math.isfinite(value):
                self._fault(path, f"must be a finite number, not {value}")
            return float(value)
        if isinstance(value, int) and value.bit_length() > MOST_BITS:
            self._fault(path, f"must be a smaller number: it has {value.bit_length()} bits")
        elif value is not None and not isinstance(value, str | int):
            problem = "must be an object, a list, a text, a number, true, false or null"
            self._fault(path, f"{problem}, not a {type(value).__name__}; as a text it needs quotes")
        return value

    def _fault(self, path: tuple[str, ...], problem: str) -> None:
        self.faults.append(Fault(".".join(path), problem))
