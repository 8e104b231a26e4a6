"""The constraints of a study, held against what a trial is and what it measured."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hpsearch.errors import Fault, InvalidInput
from hpsearch.expressions import Constraint, parse
from hpsearch.parameters import AnyParameter, FloatParameter, IntParameter, Value, listed_values


@dataclass(frozen=True, slots=True)
class Limits:
    """A study's constraints, parsed. `constants` are the numbers among its settings."""

    of_parameters: tuple[Constraint, ...] = ()
    """Those that are known to hold before a trial is run."""
    of_metrics: tuple[Constraint, ...] = ()
    constants: Mapping[str, float] | None = None
    parameters: frozenset[str] = frozenset()
    """The names of the space."""

    def __bool__(self) -> bool:
        return bool(self.of_parameters or self.of_metrics)

    def broken_by(self, parameters: Mapping[str, object]) -> dict[str, float]:
        """The constraints over parameters alone that a configuration violates, and by how much. Those that name a
        parameter that is not there do not apply."""
        return dict(self._broken(self.of_parameters, parameters, {}, is_complete=False))

    def violations(
        self, parameters: Mapping[str, object], metrics: Mapping[str, float | None], *, is_complete: bool
    ) -> dict[str, float]:
        """The constraints that a trial violates, and by how much; infinitely where it is complete and a metric was not
        measured or was not finite."""
        both = (*self.of_parameters, *self.of_metrics)
        return dict(self._broken(both, parameters, metrics, is_complete=is_complete))

    def _broken(
        self,
        constraints: Sequence[Constraint],
        parameters: Mapping[str, object],
        metrics: Mapping[str, float | None],
        *,
        is_complete: bool,
    ) -> Iterator[tuple[str, float]]:
        known = {name: value for name, value in metrics.items() if value is not None}
        known |= self.constants or {}
        known |= {name: number for name, value in parameters.items() if (number := as_number(value)) is not None}
        for constraint in constraints:
            missing = constraint.names - known.keys()
            if missing:
                if is_complete and not missing & self.parameters:
                    yield constraint.text, math.inf
                continue
            amount = constraint.violation(known)
            if amount is not None:
                yield constraint.text, amount


NO_LIMITS = Limits()


def as_number(value: object) -> float | None:
    """A value as arithmetic sees it: true is 1, text is nothing."""
    return float(value) if isinstance(value, int | float) else None


def limits_of(texts: Sequence[str], space: Mapping[str, AnyParameter], settings: Mapping[str, Value]) -> Limits:
    """The constraints of a study whose description has been checked."""
    constants = {name: number for name, value in settings.items() if (number := as_number(value)) is not None}
    parsed = [parse(text) for text in texts]
    before = [constraint.names <= space.keys() | constants.keys() for constraint in parsed]
    return Limits(
        tuple(item for item, is_before in zip(parsed, before, strict=True) if is_before),
        tuple(item for item, is_before in zip(parsed, before, strict=True) if not is_before),
        constants,
        frozenset(space),
    )


def constraint_faults(
    texts: Sequence[str], space: Mapping[str, AnyParameter], settings: Mapping[str, Value]
) -> Iterator[Fault]:
    """What is wrong with a study's constraints."""
    for position, text in enumerate(texts):
        path = f"constraints.{position}"
        if text in texts[:position]:
            yield Fault(path, "is there already")
            continue
        try:
            names = parse(text).names
        except InvalidInput as error:
            yield Fault(path, str(error))
            continue
        if not names:
            yield Fault(path, "names no parameter and no metric")
        for name in sorted(names):
            if name in space and not _is_numeric(space[name]):
                yield Fault(path, f"cannot compute with {name}: not all of its values are numbers")
            elif name not in space and name in settings and as_number(settings[name]) is None:
                yield Fault(path, f"cannot compute with {name}: it is fixed to {settings[name]!r}")


def _is_numeric(parameter: AnyParameter) -> bool:
    if isinstance(parameter, FloatParameter | IntParameter):
        return True
    return all(as_number(value) is not None for value in listed_values(parameter) or ())


def said(violations: Mapping[str, float]) -> str:
    """Violations in words."""
    return "; ".join(
        f"violates {text!r}" + (f" by {amount:g}" if math.isfinite(amount) else "")
        for text, amount in violations.items()
    )
