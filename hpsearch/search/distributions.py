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

from hpsearch.conditions import unmet
from hpsearch.constraints import said
from hpsearch.errors import Fault, near
from hpsearch.parameters import (
    AnyParameter,
    CategoricalParameter,
    ConstantParameter,
    FloatParameter,
    IntParameter,
    OrdinalParameter,
    problem_with,
)
from hpsearch.spec import StudySpec
from hpsearch.trials import Parameters


def distribution_of(parameter: AnyParameter) -> BaseDistribution:
    """The distribution that a space's parameter describes."""
    match parameter:
        case FloatParameter():
            return FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)
        case IntParameter():
            return IntDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)
        case CategoricalParameter():
            return CategoricalDistribution(parameter.choices)
        case OrdinalParameter():  # Optuna has no order of values that are not numbers
            return CategoricalDistribution(parameter.values)
        case ConstantParameter():
            return CategoricalDistribution((parameter.value,))


def distributions_of(space: Mapping[str, AnyParameter]) -> dict[str, BaseDistribution]:
    """The distributions of a space, in its order."""
    return {name: distribution_of(parameter) for name, parameter in space.items()}


def distribution_texts(space: Mapping[str, AnyParameter]) -> dict[str, str]:
    """The distributions of a space as Optuna's JSON."""
    return {name: distribution_to_json(item) for name, item in distributions_of(space).items()}


def incompatibility(known: str, wanted: str) -> str | None:
    """Why a parameter of one distribution cannot be one of another, in Optuna's words; both as its JSON."""
    try:
        check_distribution_compatibility(json_to_distribution(known), json_to_distribution(wanted))
    except (ValueError, KeyError, TypeError) as error:
        return str(error)
    return None


def configuration_faults(spec: StudySpec, parameters: Parameters, path: str) -> list[Fault]:
    """What is wrong with parameters that a user gave; some may be left out, but not those that others depend on."""
    faults, space = [], spec.space
    for name, value in parameters.items():
        if name not in space:
            faults.append(Fault(f"{path}.{name}", "is not in the study's space", near(name, space)))
        elif problem := problem_with(space[name], value):
            faults.append(Fault(f"{path}.{name}", problem))
        else:
            faults += [Fault(f"{path}.{name}", problem) for problem in unmet(space, parameters, name)]
    if not faults and (broken := spec.limits.broken_by(parameters)):
        faults.append(Fault(path, said(broken)))
    return faults
