"""What a user's function takes, read from its signature: what is published of it, and how it is called."""

import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from hpsearch.errors import ConfigurationError
from hpsearch.objectives.objective import ObjectiveInfo, ParameterInfo, ParameterType
from hpsearch.objectives.own.context import Context
from hpsearch.objectives.own.ranges import Categorical, Float, Int, Range
from hpsearch.trials import Scalar

CONTEXT, PARAMETERS = "context", "parameters"
"""A function's parameters of these names are handed the context, and all of a trial's parameters as a dict."""
_TYPES: Mapping[Any, ParameterType] = {float: "float", int: "int", bool: "bool", str: "str"}
_EMPTY = inspect.Parameter.empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """How a function is called."""

    info: ObjectiveInfo
    context: str | None
    """The parameter that takes the context."""
    takes_all: bool
    """Whether it takes all of a trial's parameters as `parameters`."""
    takes_rest: bool
    """Whether it takes parameters that it does not name (`**rest`)."""


def signature_of(name: str, function: Callable[..., Any], description: str | None) -> Signature:
    """Raises `ConfigurationError` with everything about it that cannot be."""
    try:
        declared = inspect.signature(function).parameters
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"it tells nothing of its parameters: {error}") from error
    hints = _hints_of(function)
    context = next((n for n, p in declared.items() if n == CONTEXT or hints.get(n) is Context), None)
    problems: list[str] = []
    parameters: list[ParameterInfo] = []
    for parameter in declared.values():
        if parameter.name in (context, PARAMETERS) or parameter.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        if parameter.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL):
            problems.append(f"parameter {parameter.name!r} must be one that can be given by its name")
            continue
        try:
            parameters += _parameter(parameter.name, hints.get(parameter.name, _EMPTY), parameter.default)
        except ConfigurationError as error:
            problems.append(f"parameter {parameter.name!r} {error}")
    if problems:
        raise ConfigurationError("; ".join(problems))
    takes_all = PARAMETERS in declared
    takes_rest = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in declared.values())
    first = (description or "").strip().split("\n\n")[0]
    info = ObjectiveInfo(
        name=name,
        description=" ".join(first.split())[:1000],
        parameters=tuple(parameters),
        metrics=(),
        open=takes_all or takes_rest,
    )
    return Signature(info=info, context=context, takes_all=takes_all, takes_rest=takes_rest)


def _hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Raises `ConfigurationError` where a hint names what is not there."""
    while hasattr(function, "func"):  # functools.partial
        function = function.func
    plain = function if inspect.isroutine(function) else type(function).__call__
    try:
        return get_type_hints(plain, include_extras=True)
    except Exception as error:  # whatever evaluating them raises
        raise ConfigurationError(f"its type hints cannot be understood: {error}") from error


def _parameter(name: str, hint: Any, default: Any) -> Iterator[ParameterInfo]:
    """What is published of one parameter; nothing of one that no study could give."""
    if isinstance(default, Float | Int | Categorical):
        problem = f"has a range for its default: declare it as Annotated[…, {default!r}]"
        raise ConfigurationError(problem)
    is_scalar = isinstance(default, str | int | float | bool | None)
    if hint is _EMPTY and default is _EMPTY:
        problem = (
            "has no type hint: say float, int, bool, str or Annotated[float, Float(low, high)]; "
            f"or take all parameters as a dict named {PARAMETERS!r}, and the trial itself as {CONTEXT!r}"
        )
        raise ConfigurationError(problem)
    if default is not _EMPTY and not is_scalar:
        return  # a helper of the function's own
    if hint is _EMPTY and default is None:
        raise ConfigurationError("has no type hint, and None tells no type: say int | None, for example")
    if hint is _EMPTY:
        hint = type(default)
    yield _with_default(_declared(name, hint), default)


def _with_default(info: ParameterInfo, default: Any) -> ParameterInfo:
    known = {field: getattr(info, field) for field in ParameterInfo.__slots__}
    if default is _EMPTY:
        return ParameterInfo(**known | {"required": True})
    if info.type == "float" and isinstance(default, int) and not isinstance(default, bool) and info.choices is None:
        default = float(default)
    found = ParameterInfo(**known | {"default": default, "nullable": info.nullable or default is None})
    if problem := found.problem_with(default):
        raise ConfigurationError(f"has a wrong default: it {problem}")
    return found


def _declared(name: str, hint: Any) -> ParameterInfo:
    """Without the default."""
    hint, is_optional = _without_none(hint)
    notes: list[Any] = []
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
    hint, nullable = _without_none(hint)
    nullable = nullable or is_optional
    if any(note in (Float, Int, Categorical) for note in notes):
        raise ConfigurationError("is declared without its range: Annotated[float, Float(low, high)], for example")
    declared = next((note for note in notes if isinstance(note, Float | Int | Categorical)), None)
    meaning = next((note for note in notes if isinstance(note, str)), "")
    common: dict[str, Any] = {"name": name, "meaning": meaning, "nullable": nullable}
    if isinstance(declared, Categorical) or get_origin(hint) is Literal:
        return _chosen(common, declared.choices if isinstance(declared, Categorical) else get_args(hint), declared)
    if hint in (float | int, Union[float, int]):  # noqa: UP007
        hint = float
    kind = _TYPES.get(hint) if isinstance(hint, type) else None
    if kind is None:
        raise ConfigurationError(f"has the type hint {_shown(hint)}: it must be float, int, bool, str or a Literal")
    if declared is None:
        return ParameterInfo(type=kind, **common)
    wanted: ParameterType = "int" if isinstance(declared, Int) else "float"
    if kind != wanted:
        raise ConfigurationError(f"is {_shown(hint)}, and declared as {declared!r}")
    return ParameterInfo(type=kind, low=declared.low, high=declared.high, space=declared.space(), **common)


def _chosen(common: dict[str, Any], choices: tuple[Scalar, ...], declared: Range | None) -> ParameterInfo:
    """One of several values; None among them is a value like others."""
    kinds = {type(choice) for choice in choices if choice is not None}
    if not kinds <= _TYPES.keys():
        raise ConfigurationError("has choices that are no strings, numbers, booleans or None")
    kind: ParameterType = _TYPES[kinds.pop()] if len(kinds) == 1 else "float" if kinds == {int, float} else "str"
    common |= {"nullable": common["nullable"] or None in choices}
    plain = tuple(choice for choice in choices if choice is not None)
    return ParameterInfo(type=kind, choices=plain, space=declared.space() if declared else None, **common)


def _without_none(hint: Any) -> tuple[Any, bool]:
    """A hint without its None, and whether it had one."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint, False
    kept = tuple(part for part in get_args(hint) if part is not type(None))
    if len(kept) == len(get_args(hint)) or not kept:
        return hint, False
    return Union[kept], True  # noqa: UP007


def _shown(hint: Any) -> str:
    return getattr(hint, "__name__", None) or str(hint)
