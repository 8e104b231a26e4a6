"""The space of a study as Optuna's distributions, and values checked against it."""

from collections.abc import Mapping

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
    distribution_to_json,
    json_to_distribution,
)

from hpsearch.errors import Fault, near
from hpsearch.spec import CategoricalParameter, FloatParameter, IntParameter
from hpsearch.trials import Parameters

SpaceParameter = FloatParameter | IntParameter | CategoricalParameter


def distribution_of(parameter: SpaceParameter) -> BaseDistribution:
    """The distribution that a space's parameter describes."""
    match parameter:
        case FloatParameter():
            return FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)
        case IntParameter():
            return IntDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)
        case CategoricalParameter():
            return CategoricalDistribution(parameter.choices)


def distributions_of(space: Mapping[str, SpaceParameter]) -> dict[str, BaseDistribution]:
    """The distributions of a space, in its order."""
    return {name: distribution_of(parameter) for name, parameter in space.items()}


def distribution_texts(space: Mapping[str, SpaceParameter]) -> dict[str, str]:
    """The distributions of a space as Optuna's JSON."""
    return {name: distribution_to_json(item) for name, item in distributions_of(space).items()}


def incompatibility(known: str, wanted: str) -> str | None:
    """Why a parameter of one distribution cannot be one of another, in Optuna's words; both as its JSON."""
    try:
        check_distribution_compatibility(json_to_distribution(known), json_to_distribution(wanted))
    except (ValueError, KeyError, TypeError) as error:
        return str(error)
    return None


def configuration_faults(space: Mapping[str, SpaceParameter], parameters: Parameters, path: str) -> list[Fault]:
    """What is wrong with parameters that a user gave; some may be left out."""
    faults = []
    for name, value in parameters.items():
        if name not in space:
            faults.append(Fault(f"{path}.{name}", "is not in the study's space", near(name, space)))
        elif problem := _problem(space[name], value):
            faults.append(Fault(f"{path}.{name}", problem))
    return faults


def _problem(parameter: SpaceParameter, value: object) -> str | None:
    if isinstance(parameter, CategoricalParameter):
        # 1 == True: the type counts too
        if any(value == choice and type(value) is type(choice) for choice in parameter.choices):
            return None
        return f"must be one of {', '.join(map(repr, parameter.choices))}, not {value!r}"
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
