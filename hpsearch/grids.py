"""The points of a grid: every combination of values, each once, an inactive parameter having none."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from hpsearch.conditions import Gate, needs_of
from hpsearch.constraints import NO_LIMITS, Limits
from hpsearch.parameters import AnyParameter, FloatParameter, IntParameter, Value, listed_values

MOST_LIMITED = 100_000
MOST_BRANCHES = 10_000
MOST_BRANCHING_VALUES = 10_000


class TooLarge(Exception):
    """A grid has too many points to be counted."""


@dataclass(frozen=True)
class Grid:
    """A space's grid; its floats have steps. `len` and `size` raise `TooLarge`."""

    space: Mapping[str, AnyParameter]
    limits: Limits = NO_LIMITS

    def __len__(self) -> int:
        return self.size

    @property
    def size(self) -> int:
        """How many points there are; `len` cannot tell of more than 2**63."""
        return self._unlimited if self._allowed is None else len(self._allowed)

    def point(self, index: int) -> dict[str, Value]:
        """The parameters of one point, 0 to `size` - 1."""
        return self._point(index if self._allowed is None else self._allowed[index])

    def index(self, point: Mapping[str, Value]) -> int | None:
        """The inverse of `point`; None for parameters that are no point of the grid."""
        for number, branch in enumerate(self._branches):
            if branch.keys() == point.keys():
                places = {name: place_of(self.space[name], value) for name, value in point.items()}
                if all(places[name] in branch[name] for name in branch):
                    return self._index_at(number, branch, places)
        return None

    def _index_at(
        self, number: int, branch: Mapping[str, Sequence[int]], places: Mapping[str, int | None]
    ) -> int | None:
        index = 0
        for name, known in branch.items():
            place = places[name]
            index = index * len(known) + (0 if place is None else known.index(place))
        index += self._ends[number - 1] if number else 0
        if self._allowed is None:
            return index
        at = bisect_left(self._allowed, index)
        return at if at < len(self._allowed) and self._allowed[at] == index else None

    @property
    def _unlimited(self) -> int:
        return sum(self._sizes)

    @cached_property
    def _allowed(self) -> list[int] | None:
        """The points that satisfy the constraints over parameters; None where there are none."""
        if not self.limits.of_parameters:
            return None
        if self._unlimited > MOST_LIMITED:
            raise TooLarge(f"its constraints would have to be held against more than {MOST_LIMITED} points")
        return [index for index in range(self._unlimited) if not self.limits.broken_by(self._point(index))]

    def _point(self, index: int) -> dict[str, Value]:
        """The branches in turn, in each the last parameter first."""
        number = bisect_right(self._ends, index)
        branch, rest = self._branches[number], index - (self._ends[number - 1] if number else 0)
        point = {}
        for name, places in reversed(branch.items()):
            rest, place = divmod(rest, len(places))
            point[name] = value_at(self.space[name], places[place])
        return {name: point[name] for name in branch}

    @cached_property
    def _branches(self) -> list[dict[str, Sequence[int]]]:
        """Parts of the grid in which the same parameters are active: the places of their values. What others depend on
        is split where a condition begins to hold."""
        needs = needs_of(self.space)
        looked_at = {other: [gates[other] for gates in needs.values() if other in gates]
                     for other in {other for gates in needs.values() for other in gates}}  # fmt: skip
        order = [name for name in self.space if name not in needs] + list(needs)
        branches: list[dict[str, Sequence[int]]] = [{}]
        for name in order:
            classes = _classes(self.space[name], looked_at.get(name, []))
            branches = [
                branch if places is None else branch | {name: places}
                for branch in branches
                for places in (classes if _is_active(self.space, needs.get(name, {}), branch) else [None])
            ]
            if len(branches) > MOST_BRANCHES:
                raise TooLarge("its conditions have too many combinations")
        return [{name: branch[name] for name in self.space if name in branch} for branch in branches]

    @cached_property
    def _sizes(self) -> list[int]:
        return [math.prod(map(len, branch.values())) for branch in self._branches]

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(self._sizes))


def _is_active(
    space: Mapping[str, AnyParameter], gates: Mapping[str, Gate], branch: Mapping[str, Sequence[int]]
) -> bool:
    """Whether the gates are open in a branch, where all of a parameter's values pass a gate or none."""
    return all(
        other in branch and gate.admits(_coordinate_at(space[other], branch[other][0])) for other, gate in gates.items()
    )


def _classes(parameter: AnyParameter, gates: Sequence[Gate]) -> list[Sequence[int]]:
    """The places of a parameter's values, those together that pass the same gates."""
    places = range(size_of(parameter))
    if not gates:
        return [places]
    if len(places) > MOST_BRANCHING_VALUES:
        raise TooLarge(f"conditions look at a parameter of more than {MOST_BRANCHING_VALUES} values")
    classes: dict[tuple[bool, ...], list[int]] = {}
    for place in places:
        coordinate = _coordinate_at(parameter, place)
        classes.setdefault(tuple(gate.admits(coordinate) for gate in gates), []).append(place)
    return list(classes.values())


def size_of(parameter: AnyParameter) -> int:
    """How many values a parameter of a grid has."""
    if isinstance(parameter, FloatParameter | IntParameter):
        return 1 + round((parameter.high - parameter.low) / (parameter.step or 1))
    return len(listed_values(parameter) or ())


def value_at(parameter: AnyParameter, place: int) -> Value:
    """The value of a parameter of a grid at a place, from 0 on."""
    if isinstance(parameter, FloatParameter):
        return parameter.low + place * (parameter.step or 1.0)
    if isinstance(parameter, IntParameter):
        return parameter.low + place * parameter.step
    return (listed_values(parameter) or ())[place]


def place_of(parameter: AnyParameter, value: Value) -> int | None:
    """The inverse of `value_at`; None for a value that is not of the grid."""
    if isinstance(parameter, FloatParameter | IntParameter):
        if isinstance(value, str | bool) or value is None:
            return None
        return round((value - parameter.low) / (parameter.step or 1))
    listed = list(listed_values(parameter) or ())
    return listed.index(value) if value in listed else None


def _coordinate_at(parameter: AnyParameter, place: int) -> float:
    """As conditions see it: the number itself, or the place."""
    if isinstance(parameter, FloatParameter):
        return parameter.low + place * (parameter.step or 1.0)
    return float(parameter.low + place * parameter.step) if isinstance(parameter, IntParameter) else float(place)
