"""Beliefs about parameters: what is wrong with them, and what they say in coordinates."""

from collections.abc import Iterator, Mapping
from typing import Any

from hpsearch.conditions import coordinate_of
from hpsearch.errors import Fault
from hpsearch.parameters import AnyParameter, CategoricalParameter, ConstantParameter, Prior, problem_with

HEEDED_BY = ("tpe", "gp", "random", "qmc", "auto")
"""Samplers that take priors into account."""


def prior_of(parameter: AnyParameter) -> Prior | None:
    """What is believed of a parameter."""
    return None if isinstance(parameter, ConstantParameter) else parameter.prior


def good_values(prior: Prior) -> tuple[Any, ...]:
    """The values that are thought to be good; none where it is a region."""
    if isinstance(prior.value, tuple):
        return prior.value
    return () if prior.value is None else (prior.value,)


def prior_faults(space: Mapping[str, AnyParameter]) -> list[Fault]:
    """What is wrong with the priors of a space."""
    return [
        fault
        for name, parameter in space.items()
        if (prior := prior_of(parameter)) is not None
        for fault in _faults(parameter, prior, f"space.{name}.prior")
    ]


def _faults(parameter: AnyParameter, prior: Prior, path: str) -> Iterator[Fault]:
    listed, ends = isinstance(prior.value, tuple), {"min": prior.min, "max": prior.max}
    given = {end: value for end, value in ends.items() if value is not None}
    if (not good_values(prior)) is (not given):
        # a categorical choice may be null itself: it can be said in a list
        yield Fault(path, "must have either a value or a region from min to max")
        return
    if isinstance(parameter, CategoricalParameter):
        for end in given:
            yield Fault(f"{path}.{end}", "cannot be: choices have no order; name good ones in value")
    elif listed:
        yield Fault(f"{path}.value", "must be one value; several near each other are a region from min to max")
        return
    for position, value in enumerate(good_values(prior)):
        if problem := _problem(parameter, value):
            yield Fault(f"{path}.value.{position}" if listed else f"{path}.value", problem)
    if isinstance(parameter, CategoricalParameter):
        return
    wrong = {end: problem for end, value in given.items() if (problem := _problem(parameter, value))}
    yield from (Fault(f"{path}.{end}", problem) for end, problem in wrong.items())
    if len(given) == 2 and not wrong and coordinate_of(parameter, prior.max) < coordinate_of(parameter, prior.min):
        yield Fault(f"{path}.max", f"must not come before min ({prior.min!r})")


def _problem(parameter: AnyParameter, value: object) -> str | None:
    """Of a number between two steps nothing is wrong: a belief is no value of a trial."""
    if getattr(parameter, "step", None) is None:
        return problem_with(parameter, value)
    return problem_with(parameter.model_copy(update={"step": None}), value)
