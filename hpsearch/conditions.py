"""Conditional parameters: which parameters of a space are there, given the values of others.

A condition is looked at as a gate on its parameter's coordinates: the number itself, or the position of a listed value.
A parameter is active where its own gates and those of all parameters it depends on, near and far, are open.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hpsearch.errors import Fault, near
from hpsearch.parameters import (
    AnyParameter,
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    Range,
    Value,
    listed_values,
    problem_with,
    same_value,
)

Space = Mapping[str, AnyParameter]
_CLOSE = 1e-9


@dataclass(frozen=True, slots=True)
class Gate:
    """The coordinates of a parameter that a condition lets through."""

    low: float = -math.inf
    high: float = math.inf
    only: frozenset[float] | None = None
    """The only ones within; None: all."""

    def admits(self, coordinate: float) -> bool:
        """Whether the condition holds there; NaN, for a value that is missing, is let through nowhere."""
        within = self.low <= coordinate <= self.high
        return within and (self.only is None or any(_is_close(coordinate, value) for value in self.only))

    def within(self, other: "Gate") -> "Gate":
        """What both let through."""
        only = self.only if other.only is None else other.only
        if self.only is not None and other.only is not None:
            only = frozenset(value for value in self.only if other.admits(value))
        return Gate(max(self.low, other.low), min(self.high, other.high), only)


def _is_close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_CLOSE, abs_tol=_CLOSE)


def coordinate_of(parameter: AnyParameter, value: object) -> float:
    """The number itself, or the position of a listed value; NaN for what is no value of the parameter."""
    listed = listed_values(parameter)
    if listed is not None:
        return next((float(place) for place, known in enumerate(listed) if same_value(known, value)), math.nan)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def gate_of(condition: Condition, parameter: AnyParameter) -> Gate:
    """The gate that a condition puts on a parameter."""
    if isinstance(condition, Range):
        low = -math.inf if condition.min is None else coordinate_of(parameter, condition.min)
        high = math.inf if condition.max is None else coordinate_of(parameter, condition.max)
        return Gate(low, high)
    wanted = condition if isinstance(condition, tuple) else (condition,)
    return Gate(only=frozenset(coordinate_of(parameter, value) for value in wanted))


def gates_of(space: Space, name: str) -> dict[str, Gate]:
    """The gates of one parameter's own conditions, by the parameters that they look at."""
    return {other: gate_of(condition, space[other]) for other, condition in (space[name].when or {}).items()}


def needs_of(space: Space) -> dict[str, dict[str, Gate]]:
    """Of each conditional parameter every gate that must be open, those of the parameters it depends on included; in
    an order in which each comes after those. Raises `ValueError` where there is none."""
    needs: dict[str, dict[str, Gate]] = {}
    for name in _ordered(space):
        combined: dict[str, Gate] = {}
        for other, gate in gates_of(space, name).items():
            for further, inherited in (needs.get(other, {}) | {other: gate}).items():
                combined[further] = combined.get(further, Gate()).within(inherited)
        if combined:
            needs[name] = combined
    return needs


def _ordered(space: Space) -> list[str]:
    """Names, each after those that it depends on (Kahn 1962). Raises `ValueError` where some depend in a circle."""
    missing = {name: set(parameter.when or {}) for name, parameter in space.items()}
    dependents: dict[str, list[str]] = {}
    for name, others in missing.items():
        for other in others:
            dependents.setdefault(other, []).append(name)
    found = [name for name, others in missing.items() if not others]
    for name in found:  # grows as it is gone through
        for dependent in dependents.get(name, ()):
            missing[dependent].discard(name)
            if not missing[dependent]:
                found.append(dependent)
    if len(found) < len(space):
        raise ValueError("a circle")
    return found


# --- configurations --------------------------------------------------------------------------------------------------


def without_inactive(space: Space, parameters: Mapping[str, Value]) -> dict[str, Value]:
    """Parameters without those that are not active beside the others."""
    inactive = {
        name
        for name, gates in needs_of(space).items()
        for other, gate in gates.items()
        if not gate.admits(coordinate_of(space[other], parameters.get(other)))
    }
    return {name: value for name, value in parameters.items() if name not in inactive}


def unmet(space: Space, parameters: Mapping[str, object], name: str, *, whole: bool = True) -> Iterator[str]:
    """Why a parameter cannot be among `parameters`: what it depends on has another value there, or, where they are
    said to be the `whole`, is missing."""
    for other, condition in (space[name].when or {}).items():
        only = sole_value(space[other])
        if other not in parameters and only is None:
            if whole:
                yield f"is there only when {other} is {said(condition)}: give {other} too"
            continue
        value = parameters.get(other, only)
        if not gate_of(condition, space[other]).admits(coordinate_of(space[other], value)):
            yield f"is there only when {other} is {said(condition)}, not {value!r}"


def sole_value(parameter: AnyParameter) -> Value:
    """The one value of a parameter that has no other; None where it has several."""
    if isinstance(parameter, FloatParameter | IntParameter):
        return parameter.low if parameter.low == parameter.high else None
    listed = listed_values(parameter) or ()
    return listed[0] if len(listed) == 1 else None


def said(condition: Condition) -> str:
    """A condition in words."""
    if isinstance(condition, Range):
        if condition.min is None:
            return f"at most {condition.max!r}"
        return f"at least {condition.min!r}" if condition.max is None else f"{condition.min!r} to {condition.max!r}"
    if isinstance(condition, tuple):
        return " or ".join(map(repr, condition))
    return repr(condition)


# --- faults of a space -----------------------------------------------------------------------------------------------


def condition_faults(space: Space) -> list[Fault]:
    """What is wrong with the conditions of a space."""
    faults = [fault for name in space for fault in _faults_of(space, name)]
    if not faults:
        try:
            needs = needs_of(space)
        except ValueError:
            return [_circle(space)]
        for name, gates in needs.items():
            for other in (other for other, gate in gates.items() if not has_values(space[other], gate)):
                problem = f"can never be there: its conditions and those of what it depends on leave {other} no value"
                faults.append(Fault(f"space.{name}.when", problem))
    return faults


def _faults_of(space: Space, name: str) -> Iterator[Fault]:
    for other, condition in (space[name].when or {}).items():
        path = f"space.{name}.when.{other}"
        if other == name:
            yield Fault(path, "cannot depend on itself")
        elif other not in space:
            yield Fault(path, "is no parameter of the space", near(other, space.keys() - {name}))
        elif isinstance(condition, Range):
            yield from _range_faults(space[other], condition, path, other)
        else:
            yield from _value_faults(space[other], condition, path, other)


def _range_faults(parameter: AnyParameter, wanted: Range, path: str, name: str) -> Iterator[Fault]:
    if isinstance(parameter, CategoricalParameter):
        yield Fault(path, f"must be a value or a list of values: those of {name} have no order")
        return
    problems = []
    for end, value in (("min", wanted.min), ("max", wanted.max)):
        if value is None:
            continue
        if listed_values(parameter) is not None:
            if problem := problem_with(parameter, value):
                problems.append(Fault(f"{path}.{end}", problem))
        elif isinstance(value, bool) or not isinstance(value, int | float):
            problems.append(Fault(f"{path}.{end}", f"must be a number, not {value!r}"))
    yield from problems
    if not problems and not has_values(parameter, gate_of(wanted, parameter)):
        yield Fault(path, f"never holds: {name} {_extent(parameter)}")


def _value_faults(parameter: AnyParameter, condition: Value | Sequence[Value], path: str, name: str) -> Iterator[Fault]:
    if isinstance(parameter, FloatParameter) and parameter.step is None and parameter.low < parameter.high:
        yield Fault(path, f"must be a range such as {{min: {parameter.low:g}}}: {name} is a real number")
        return
    several = isinstance(condition, tuple)
    wanted = condition if isinstance(condition, tuple) else (condition,)
    for position, value in enumerate(wanted):
        own = f"{path}.{position}" if several else path
        # a condition may say 2.0 where the parameter says 2
        if math.isnan(coordinate_of(parameter, value)) or problem_with(parameter, _as_listed(parameter, value)):
            known = listed_values(parameter)
            close = near(value, [v for v in known if isinstance(v, str)]) if known and isinstance(value, str) else None
            yield Fault(own, problem_with(parameter, value) or f"is no value of {name}", close)
        elif any(same_value(value, earlier) for earlier in wanted[:position]):
            yield Fault(own, f"{value!r} is there already")


def _as_listed(parameter: AnyParameter, value: Value) -> Value:
    if isinstance(parameter, IntParameter) and isinstance(value, float) and value.is_integer():
        return int(value)
    return next((known for known in listed_values(parameter) or () if same_value(known, value)), value)


def _extent(parameter: AnyParameter) -> str:
    if isinstance(parameter, FloatParameter | IntParameter):
        return f"goes from {parameter.low:g} to {parameter.high:g}"
    listed = listed_values(parameter) or ()
    return f"goes from {listed[0]!r} to {listed[-1]!r}"


def has_values(parameter: AnyParameter, gate: Gate) -> bool:
    """Whether a gate lets any of a parameter's values through."""
    listed = listed_values(parameter)
    if listed is not None:
        return any(gate.admits(float(place)) for place in range(len(listed)))
    if not isinstance(parameter, FloatParameter | IntParameter):
        return False
    low, high = max(gate.low, parameter.low), min(gate.high, parameter.high)
    if gate.only is not None:
        return any(low <= value <= high for value in gate.only)
    if parameter.step is not None:  # the first value that is not below
        low = parameter.low + math.ceil((low - parameter.low) / parameter.step - _CLOSE) * parameter.step
    return low <= high + _CLOSE * max(1.0, abs(high))


def _circle(space: Space) -> Fault:
    """A fault at some parameter that depends on itself through others."""
    whens = {name: list(parameter.when or {}) for name, parameter in space.items()}
    while True:  # those without conditions are in no circle, nor are those that depend on nothing else
        free = {name for name, others in whens.items() if not others}
        if not free:
            break
        whens = {name: [o for o in others if o not in free] for name, others in whens.items() if name not in free}
    path = [next(iter(whens))]
    while path[-1] not in path[:-1]:
        path.append(whens[path[-1]][0])
    circle = path[path.index(path[-1]) :]
    return Fault(f"space.{circle[0]}.when", f"depends on itself: {' → '.join(circle)}")
