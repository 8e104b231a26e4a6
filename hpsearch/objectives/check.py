"""A study's description against what its objective publishes of itself.

Works on the raw description, so that these faults are told together with those of its shape.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from hpsearch.errors import Fault, near
from hpsearch.objectives.objective import ObjectiveInfo, ParameterInfo

_SPACE_TYPES = {"float": ("float", "categorical"), "int": ("int", "categorical")}


def study_faults(raw: object, known: Mapping[str, ObjectiveInfo]) -> Iterator[Fault]:
    """What the objective finds wrong with a study. Silent on parts that are not even of the right shape."""
    study = _mapping(raw)
    objective = _mapping(study.get("objective"))
    name = objective.get("name")
    if not isinstance(name, str):
        return
    if name not in known:
        problem = (
            f"{name!r} is no objective of this server; known: {', '.join(sorted(known))}. "
            f"A worker makes its own known: hpsearch worker --objective {name}=package.module:function"
        )
        yield Fault("objective.name", problem, near(name, known))
        return
    info, settings, space = known[name], _mapping(objective.get("settings")), _mapping(study.get("space"))
    yield from _metric_faults(info, objective)
    yield from _setting_faults(info, settings)
    yield from _space_faults(info, space)
    for parameter in info.parameters:
        if parameter.required and parameter.name not in settings and parameter.name not in space:
            yield Fault(f"objective.settings.{parameter.name}", f"is missing: {parameter.meaning}")
    for both in sorted(settings.keys() & space.keys()):
        yield Fault(f"space.{both}", "is fixed in objective.settings already: say it in one place")


def with_declared_space(raw: object, known: Mapping[str, ObjectiveInfo]) -> object:
    """A study's description with the space that its objective declares, where it gives none."""
    study = _mapping(raw)
    objective = _mapping(study.get("objective"))
    name = objective.get("name")
    if study.get("space") or not isinstance(name, str) or name not in known:
        return raw
    settings = _mapping(objective.get("settings"))
    declared = {item.name: item.space for item in known[name].parameters if item.name not in settings and item.space}
    return {**study, "space": {name: dict(space) for name, space in declared.items()}} if declared else raw


def _mapping(raw: object) -> Mapping[str, Any]:
    return {key: value for key, value in raw.items() if isinstance(key, str)} if isinstance(raw, Mapping) else {}


def _metric_faults(info: ObjectiveInfo, objective: Mapping[str, Any]) -> Iterator[Fault]:
    if not info.metrics:
        return
    metric, names = objective.get("metric"), [metric.name for metric in info.metrics]
    found = info.metric(metric) if isinstance(metric, str) else None
    if metric is None:
        yield Fault("objective.metric", f"is missing; known: {', '.join(names)}")
    elif found is None and isinstance(metric, str):
        problem = f"{metric!r} is no metric of {info.name} that can be searched; known: {', '.join(names)}"
        yield Fault("objective.metric", problem, near(metric, names))
    elif found is not None and objective.get("direction") in {"minimize", "maximize"} - {found.direction}:
        yield Fault("objective.direction", f"must be {found.direction} for {found.name}")


def _setting_faults(info: ObjectiveInfo, settings: Mapping[str, Any]) -> Iterator[Fault]:
    for name, value in settings.items():
        path, parameter = f"objective.settings.{name}", info.parameter(name)
        if parameter is None:
            if not info.open:
                yield _unknown(path, name, info)
        elif problem := parameter.problem_with(value):
            yield Fault(path, problem)


def _space_faults(info: ObjectiveInfo, space: Mapping[str, Any]) -> Iterator[Fault]:
    for name, searched in space.items():
        path, parameter = f"space.{name}", info.parameter(name)
        if parameter is None:
            if not info.open:
                yield _unknown(path, name, info)
        elif not parameter.searchable:
            yield Fault(path, "cannot be searched; fix it in objective.settings")
        else:
            yield from _range_faults(parameter, _mapping(searched), path)


def _range_faults(parameter: ParameterInfo, searched: Mapping[str, Any], path: str) -> Iterator[Fault]:
    allowed = _SPACE_TYPES.get(parameter.type, ("categorical",))
    if searched.get("type") in {"float", "int", "categorical"} - set(allowed):
        yield Fault(f"{path}.type", f"must be {' or '.join(allowed)}: {parameter.name} is {parameter.expected}")
        return
    for end in ("low", "high"):
        # a value of the wrong type is the spec's own fault to find
        if isinstance(searched.get(end), int | float) and (problem := parameter.problem_with(searched[end])):
            yield Fault(f"{path}.{end}", problem)
    choices = searched.get("choices")
    for position, choice in enumerate(choices if isinstance(choices, list | tuple) else ()):
        if problem := parameter.problem_with(choice):
            yield Fault(f"{path}.choices.{position}", problem)


def _unknown(path: str, name: str, info: ObjectiveInfo) -> Fault:
    names = [parameter.name for parameter in info.parameters]
    return Fault(path, f"is no parameter of {info.name}; known: {', '.join(names) or 'none'}", near(name, names))
