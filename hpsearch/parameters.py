"""The kinds of parameters that a space may hold, and the conditions under which a parameter is there at all."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from hpsearch.errors import Fault

Int = Annotated[int, Field(strict=True, ge=-(2**53), le=2**53)]  # what JSON readers of every language keep exact
Float = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Bool = Annotated[bool, Field(strict=True)]
PARAMETER_NAME = r"^[A-Za-z_][A-Za-z0-9_.\[\]-]*$"
ParameterName = Annotated[str, Field(strict=True, pattern=PARAMETER_NAME, max_length=100)]
MOST_PLACES = 2**53
"""Of a range with a step: as many as whole numbers are exact."""


def _is_value(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) <= 2**53
    return value is None or isinstance(value, str)


def _shape_of_one(value: object) -> object:
    """What can be a value at all: told in one fault rather than in one a member of the union."""
    if not _is_value(value):
        raise PydanticCustomError("value", "must be a text, a finite number, true, false or null")
    return value


def _not_null(value: object) -> object:
    if value is None:
        raise PydanticCustomError("value", "must be a text, a finite number, true or false, and not null")
    return value


Value = Annotated[str | Int | Float | Bool | None, BeforeValidator(_shape_of_one)]
SomeValue = Annotated[str | Int | Float | Bool, BeforeValidator(_not_null), BeforeValidator(_shape_of_one)]

N = TypeVar("N", int, float)
S = TypeVar("S", int, float | None)


def fault_at(field: str, problem: str) -> PydanticCustomError:
    """A fault found by one field's validator that belongs to `field`, seen from the same parent."""
    return PydanticCustomError("fault_at", "{problem}", {"field": field, "problem": problem})


def faults_found(faults: list[Fault]) -> PydanticCustomError:
    """Faults found by one validator, with their whole paths."""
    return PydanticCustomError("faults_found", "has faults", {"faults": faults})


class Part(BaseModel):
    """A part of a study's description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Range(Part):
    """From `min` to `max`, both included; one of them may be left out."""

    min: Value = None
    max: Value = None


def _shape_of_condition(condition: object) -> object:
    """What can be a condition at all: told in one fault rather than in one a member of the union."""
    problem = "must be a value, a list of values, or a range such as {min: 2}"
    if isinstance(condition, Range):
        return condition
    if isinstance(condition, Mapping):
        values = [value for key, value in condition.items() if value is not None]
        if not values or not condition.keys() <= {"min", "max"}:
            raise PydanticCustomError("condition", problem)
    else:
        values = list(condition) if isinstance(condition, list | tuple) else [condition]
    if not values or not all(_is_value(value) for value in values):
        raise PydanticCustomError("condition", problem)
    return condition


Condition = Annotated[Value | tuple[Value, ...] | Range, BeforeValidator(_shape_of_condition)]
When = Annotated[dict[ParameterName, Condition], Field(min_length=1, max_length=100)]
"""By the names of other parameters: a value, the values, or the range that each must have."""


def _shape_of_value(value: object) -> object:
    """What can be a value, or several: told in one fault rather than in one a member of the union."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not values or not all(_is_value(item) for item in values):
        raise PydanticCustomError("value", "must be a value, or a list of values of a categorical parameter")
    return value


class Prior(Part):
    """What is believed of a parameter: a good value, or a region in which good ones lie. It counts the less the more
    trials there are."""

    value: Annotated[Value | tuple[Value, ...], BeforeValidator(_shape_of_value)] = None
    """A good value; of a categorical parameter perhaps several."""
    min: Value = None
    """Where a good region begins."""
    max: Value = None
    """Where it ends (included)."""
    confidence: Literal["low", "medium", "high"] = "medium"
    """How sure it is: the surer, the nearer to it trials begin."""


class FloatParameter(Part):
    """A real number."""

    type: Literal["float"]
    low: Float
    """Least value (included)."""
    high: Float
    """Greatest value (included)."""
    log: Bool = False
    """Search the logarithm, so that 0.001 to 0.01 weighs as much as 0.01 to 0.1."""
    step: Annotated[Float, Field(gt=0)] | None = None
    """Only low, low + step, low + 2 step …"""
    when: When | None = None
    """The parameter is there where these others have such values: `{cell: lstm}`, `{hidden_layers: {min: 2}}`."""
    prior: Prior | None = None
    """What is believed of it: `{value: 0.003}`, `{min: 0.001, max: 0.01, confidence: high}`."""

    @field_validator("high")
    @classmethod
    def _high_is_above_low(cls, high: float, info: Any) -> float:
        return _check_high(high, info.data)

    @field_validator("log")
    @classmethod
    def _log_needs_positive_low(cls, log: bool, info: Any) -> bool:
        if log and info.data.get("low", 1) <= 0:
            raise fault_at("low", "must be above 0 where log is true")
        return log

    @field_validator("step")
    @classmethod
    def _step_divides(cls, step: float | None, info: Any) -> float | None:
        if step is not None and info.data.get("log"):
            raise fault_at("step", "cannot be combined with log")
        return _check_step(step, info.data)


class IntParameter(Part):
    """A whole number."""

    type: Literal["int"]
    low: Int
    """Least value (included)."""
    high: Int
    """Greatest value (included)."""
    log: Bool = False
    """Search the logarithm."""
    step: Annotated[Int, Field(ge=1)] = 1
    """Only low, low + step, low + 2 step …"""
    when: When | None = None
    """The parameter is there where these others have such values: `{cell: lstm}`, `{hidden_layers: {min: 2}}`."""
    prior: Prior | None = None
    """What is believed of it: `{value: 0.003}`, `{min: 0.001, max: 0.01, confidence: high}`."""

    @field_validator("high")
    @classmethod
    def _high_is_above_low(cls, high: int, info: Any) -> int:
        return _check_high(high, info.data)

    @field_validator("log")
    @classmethod
    def _log_needs_positive_low(cls, log: bool, info: Any) -> bool:
        if log and info.data.get("low", 1) < 1:
            raise fault_at("low", "must be at least 1 where log is true")
        return log

    @field_validator("step")
    @classmethod
    def _step_divides(cls, step: int, info: Any) -> int:
        if step != 1 and info.data.get("log"):
            raise fault_at("step", "cannot be combined with log")
        return _check_step(step, info.data)


def _check_high(high: N, fields: Mapping[str, Any]) -> N:
    if "low" in fields and high < fields["low"]:
        raise fault_at("high", f"must be at least low ({fields['low']:g}), not {high:g}")
    if "low" in fields and math.isinf(high - fields["low"]):
        raise fault_at("high", f"lies too far from low ({fields['low']:g}): at most 1.79e308")
    return high


def _check_step(step: S, fields: Mapping[str, Any]) -> S:
    if step is not None and {"low", "high"} <= fields.keys():
        low, high = fields["low"], fields["high"]
        steps = (high - low) / step
        if isinstance(step, float) and steps > MOST_PLACES:
            least = (high - low) / MOST_PLACES
            raise fault_at("step", f"must be at least {least:.3g}, for no more than 2^53 values, not {step:g}")
        if not math.isclose(steps, round(steps), rel_tol=1e-9, abs_tol=1e-9):
            right = low + math.floor(steps) * step
            raise fault_at("high", f"must be low plus a multiple of step ({step:g}): {right:.12g}, say, not {high:g}")
    return step


class CategoricalParameter(Part):
    """One of a list of values without an order."""

    type: Literal["categorical"]
    choices: Annotated[tuple[Value, ...], Field(min_length=1, max_length=10_000)]
    """Strings, numbers, booleans or null; no two alike."""
    when: When | None = None
    """The parameter is there where these others have such values: `{cell: lstm}`, `{hidden_layers: {min: 2}}`."""
    prior: Prior | None = None
    """What is believed of it: `{value: 0.003}`, `{min: 0.001, max: 0.01, confidence: high}`."""

    @field_validator("choices")
    @classmethod
    def _choices_differ(cls, choices: tuple[Value, ...]) -> tuple[Value, ...]:
        return _check_differ("choices", choices)


class OrdinalParameter(Part):
    """One of a list of values that have an order: neighbours are taken for alike, whatever the distance."""

    type: Literal["ordinal"]
    values: Annotated[tuple[SomeValue, ...], Field(min_length=1, max_length=10_000)]
    """From the least to the greatest: strings, numbers or booleans; no two alike."""
    when: When | None = None
    """The parameter is there where these others have such values: `{cell: lstm}`, `{hidden_layers: {min: 2}}`."""
    prior: Prior | None = None
    """What is believed of it: `{value: 0.003}`, `{min: 0.001, max: 0.01, confidence: high}`."""

    @field_validator("values")
    @classmethod
    def _values_differ(cls, values: tuple[Value, ...]) -> tuple[Value, ...]:
        return _check_differ("values", values)


class ConstantParameter(Part):
    """The same value in every trial that has it."""

    type: Literal["constant"]
    value: Value
    when: When | None = None
    """The parameter is there where these others have such values: `{cell: lstm}`, `{hidden_layers: {min: 2}}`."""


def _check_differ(field: str, values: tuple[Value, ...]) -> tuple[Value, ...]:
    # 1, 1.0 and true compare equal and would be told apart by nobody downstream
    for position, value in enumerate(values):
        if value in values[:position]:
            present = values[values.index(value)]
            raise fault_at(f"{field}.{position}", f"{value!r} is there already, as {present!r}")
    return values


AnyParameter = FloatParameter | IntParameter | CategoricalParameter | OrdinalParameter | ConstantParameter
SpaceParameter = Annotated[AnyParameter, Field(discriminator="type")]

KINDS: Mapping[str, type[BaseModel]] = {
    "float": FloatParameter,
    "int": IntParameter,
    "categorical": CategoricalParameter,
    "ordinal": OrdinalParameter,
    "constant": ConstantParameter,
}


def listed_values(parameter: AnyParameter) -> tuple[Value, ...] | None:
    """The values of a parameter that lists them; None for numbers from low to high."""
    match parameter:
        case CategoricalParameter():
            return parameter.choices
        case OrdinalParameter():
            return parameter.values
        case ConstantParameter():
            return (parameter.value,)
        case _:
            return None


def same_value(one: object, other: object) -> bool:
    """Whether two values are the same to a user: 1 is 1.0, but not true."""
    return one == other and isinstance(one, bool) is isinstance(other, bool)


def problem_with(parameter: AnyParameter, value: object) -> str | None:
    """What is wrong with one value of a parameter, and what would be right; None where it is right."""
    listed = listed_values(parameter)
    if listed is not None:
        if any(same_value(value, known) and type(value) is type(known) for known in listed):
            return None
        return f"must be {'one of ' * (len(listed) > 1)}{shown_values(listed)}, not {value!r}"
    if not isinstance(parameter, FloatParameter | IntParameter):
        return None
    kind = "a whole number" if isinstance(parameter, IntParameter) else "a number"
    right = f"must be {kind} from {parameter.low:g} to {parameter.high:g}"
    if isinstance(value, bool) or not isinstance(value, int if isinstance(parameter, IntParameter) else int | float):
        return f"{right}, not {value!r}"
    if not parameter.low <= value <= parameter.high:  # NaN is caught here too
        return f"{right}, not {value!r}"
    if parameter.step is not None and not _on_grid(value, parameter.low, parameter.step):
        return f"must be {parameter.low:g} plus a multiple of {parameter.step:g}, not {value!r}"
    return None


def _on_grid(value: float, low: float, step: float) -> bool:
    steps = (value - low) / step
    return abs(steps - round(steps)) < 1e-8


def shown_values(values: Sequence[object]) -> str:
    """Values as a fault tells them: of many the first."""
    shown = ", ".join(map(repr, values[:20]))
    return shown if len(values) <= 20 else f"{shown} and {len(values) - 20} more"
