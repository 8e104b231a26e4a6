"""A study's description against what its objective publishes of itself.

Works on the raw description, so that these faults are told together with those of its shape.
"""

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from hpsearch.errors import Fault, InvalidInput, near
from hpsearch.expressions import parse
from hpsearch.objectives.objective import ObjectiveInfo, ParameterInfo

_LISTS = ("categorical", "ordinal", "constant")
_SPACE_TYPES = {"float": ("float", *_LISTS), "int": ("int", *_LISTS)}


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
    yield from _constraint_faults(info, study, space.keys() | settings.keys())
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


def with_declared_steps(raw: object, known: Mapping[str, ObjectiveInfo], names: Collection[str]) -> object:
    """A study's description that says how many steps a trial has, under one of `names` in its settings: the objective's
    default, where the pruner is left to hpsearch and neither settings nor space say it. What is on record with a study
    does not change when the objective's default does."""
    if not isinstance(raw, Mapping) or _mapping(raw.get("pruner", {"name": "auto"})).get("name") != "auto":
        return raw
    objective = _mapping(raw.get("objective"))
    settings, name = objective.get("settings", {}), objective.get("name")
    if not isinstance(settings, Mapping) or not isinstance(name, str) or name not in known:
        return raw
    if not set(names).isdisjoint([*settings, *_mapping(raw.get("space"))]):
        return raw
    declared = (known[name].parameter(item) for item in names)
    steps = next((item for item in declared if item and _is_count(item)), None)
    return raw if steps is None else {**raw, "objective": _with_setting(objective, steps.name, steps.default)}


def _is_count(parameter: ParameterInfo) -> bool:
    """Whether a parameter's default is a number of something."""
    default = parameter.default
    return parameter.type == "int" and isinstance(default, int) and default > 0


def _with_setting(objective: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    return {**objective, "settings": {**objective.get("settings", {}), name: value}}


def _mapping(raw: object) -> Mapping[str, Any]:
    return {key: value for key, value in raw.items() if isinstance(key, str)} if isinstance(raw, Mapping) else {}


def _metric_faults(info: ObjectiveInfo, objective: Mapping[str, Any]) -> Iterator[Fault]:
    if not info.metrics:
        return
    names = [metric.name for metric in info.metrics]
    if isinstance(objective.get("metrics"), Mapping):
        yield from _several_metrics_faults(info, _mapping(objective["metrics"]), names)
        return
    metric = objective.get("metric")
    found = info.metric(metric) if isinstance(metric, str) else None
    if metric is None:
        yield Fault("objective.metric", f"is missing; known: {', '.join(names)}")
    elif found is None and isinstance(metric, str):
        problem = f"{metric!r} is no metric of {info.name} that can be searched; known: {', '.join(names)}"
        yield Fault("objective.metric", problem, near(metric, names))
    elif found is not None and objective.get("direction") in {"minimize", "maximize"} - {found.direction}:
        yield Fault("objective.direction", f"must be {found.direction} for {found.name}")
    elif found is not None and not found.is_reported:
        yield Fault("objective.metric", f"cannot be {metric} alone, which no training improves: say metrics")


def _several_metrics_faults(info: ObjectiveInfo, metrics: Mapping[str, Any], names: list[str]) -> Iterator[Fault]:
    for place, (name, direction) in enumerate(metrics.items()):
        path, found = f"objective.metrics.{name}", info.metric(name)
        if found is None:
            problem = f"is no metric of {info.name} that can be searched; known: {', '.join(names)}"
            yield Fault(path, problem, near(name, names))
        elif direction in {"minimize", "maximize"} - {found.direction}:
            yield Fault(path, f"must be {found.direction}")
        elif not place and not found.is_reported:
            yield Fault(path, "cannot be the first, which training must improve")


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
    allowed = _SPACE_TYPES.get(parameter.type, _LISTS)
    if searched.get("type") in {"float", "int", *_LISTS} - set(allowed):
        yield Fault(
            f"{path}.type",
            f"must be {', '.join(allowed[:-1])} or {allowed[-1]}: {parameter.name} is {parameter.expected}",
        )
        return
    for end in ("low", "high"):
        # a value of the wrong type is the spec's own fault to find
        if isinstance(searched.get(end), int | float) and (problem := parameter.problem_with(searched[end])):
            yield Fault(f"{path}.{end}", problem)
    for field in ("choices", "values"):
        values = searched.get(field)
        for position, value in enumerate(values if isinstance(values, list | tuple) else ()):
            if problem := parameter.problem_with(value):
                yield Fault(f"{path}.{field}.{position}", problem)
    if "value" in searched and (problem := parameter.problem_with(searched["value"])):
        yield Fault(f"{path}.value", problem)
    if parameter.required and searched.get("when"):
        yield Fault(f"{path}.when", f"cannot be: {parameter.name} is needed in every trial")


def _constraint_faults(info: ObjectiveInfo, study: Mapping[str, Any], said: Collection[str]) -> Iterator[Fault]:
    """Of names that are neither searched nor fixed. An objective may measure more than it lets search, so that other
    names are taken for metrics, unless it says what it measures, but for those that are nearly a parameter's."""
    texts = study.get("constraints")
    for position, text in enumerate(texts if isinstance(texts, list | tuple) else ()):
        path, known = f"constraints.{position}", [*said, *_names_of(info)]
        for name in sorted(_names_in(text) - set(said)):
            if info.parameter(name) is not None:
                yield Fault(path, f"names {name}, which is neither in space nor in objective.settings")
            elif name.startswith("test_"):
                yield Fault(path, f"names {name}: no search may look at the test split")
            elif not info.may_measure(name):
                problem = f"names {name}, which {info.name} neither takes for a parameter nor measures"
                yield Fault(path, problem, near(name, known))
            elif info.metric(name) is None and (close := get_close_matches(name, known, n=1, cutoff=0.85)):
                yield Fault(path, f"names {name}, which {info.name} does not know", close[0])


def _names_of(info: ObjectiveInfo) -> list[str]:
    return [parameter.name for parameter in info.parameters] + [metric.name for metric in info.metrics]


def _names_in(text: object) -> frozenset[str]:
    try:
        return parse(text).names if isinstance(text, str) else frozenset()
    except InvalidInput:
        return frozenset()  # the spec's own fault to find


def _unknown(path: str, name: str, info: ObjectiveInfo) -> Fault:
    names = [parameter.name for parameter in info.parameters]
    return Fault(path, f"is no parameter of {info.name}; known: {', '.join(names) or 'none'}", near(name, names))
