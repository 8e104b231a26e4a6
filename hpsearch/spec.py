"""What a study file and a POST body say: one source for validation, OpenAPI and the editor's schema."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from hpsearch.budget_spec import CONFIRM_EVERY, MOST_TRIALS, Budget, Confirm, ConfirmSpec
from hpsearch.conditions import condition_faults
from hpsearch.constraints import NO_LIMITS, Limits, constraint_faults, limits_of
from hpsearch.errors import Fault, InvalidInput, InvalidSpec, near
from hpsearch.expressions import MOST_CHARACTERS
from hpsearch.grids import Grid, TooLarge
from hpsearch.names import Name
from hpsearch.objective_spec import ObjectiveSpec
from hpsearch.parameters import (
    KINDS,
    AnyParameter,
    Float,
    FloatParameter,
    Int,
    IntParameter,
    OrdinalParameter,
    ParameterName,
    Part,
    Prior,
    SpaceParameter,
    fault_at,
    faults_found,
)
from hpsearch.plain import plain
from hpsearch.priors import HEEDED_BY, prior_faults, prior_of
from hpsearch.pruner_spec import PRUNERS, AnyPruner, PatientPruner, WilcoxonPruner
from hpsearch.pydantic_faults import fault_of
from hpsearch.sampler_spec import (
    OF_ONE_METRIC,
    SAMPLERS,
    TAKES_EARLIER,
    AutoSampler,
    BruteForceSampler,
    CMAESSampler,
    GridSampler,
    SamplerSpec,
)

ConstraintText = Annotated[str, Field(strict=True, min_length=1, max_length=MOST_CHARACTERS)]
MOST_EARLIER = 10
"""Earlier studies that a study learns from."""

P = TypeVar("P", bound=BaseModel)


class AutoPruner(Part):
    """Chosen by hpsearch, from what it knows of the objective's epochs; the study's `chosen` says what and why."""

    name: Literal["auto"] = "auto"
    version: Literal[1, 2, 3] = 3
    """Of the rules: a study keeps those that it was made with."""


PrunerSpec = Annotated[AnyPruner | AutoPruner, Field(discriminator="name")]


class StudySpec(Part):
    """A study: what to search, where, and for how long."""

    name: Name
    """Unique on a server; letters, digits, `.`, `_` and `-`."""
    description: Annotated[str, Field(strict=True, max_length=10_000)] = ""
    objective: ObjectiveSpec
    space: Annotated[dict[ParameterName, SpaceParameter], Field(max_length=1000)]
    """The parameters to search, by name. May be empty where the objective has no name: scripts define them."""
    constraints: Annotated[tuple[ConstraintText, ...], Field(max_length=100)] = ()
    """What must hold, over parameters and metrics: `hidden_units * hidden_layers <= 1024`, `validation_loss < 2`."""
    sampler: SamplerSpec = AutoSampler()
    """What chooses the parameters of the next trial."""
    earlier: Annotated[tuple[Name, ...], Field(max_length=MOST_EARLIER)] = ()
    """Studies on this server whose trials the sampler takes as knowledge, as they are when this one is created: of
    parameters of the same name, and by ranks alone, so that it may have been another data set or metric. Each counts by
    how well it agrees with what this study finds, and ever less as that grows."""
    pruner: PrunerSpec = AutoPruner()
    """What ends hopeless trials early."""
    budget: Annotated[Budget, Field(validate_default=True)] = Budget()
    """When it ends; a grid ends by itself."""
    confirm: ConfirmSpec | None = None
    """What is trained again on fresh seeds after the search, counted apart from the budget; `none` for nothing. Where
    it is left out: the best configuration for every 20 trials of the budget (at most 3) on 5 seeds, if the objective
    has a name and the search ends before its time does."""
    max_parallel: Annotated[Int, Field(ge=1, le=1_000_000)] | None = None
    """The most trials that run at a time, whatever number of workers there is."""
    priority: Annotated[Int, Field(ge=-1000, le=1000)] = 0
    """Workers serve the studies of a higher priority first, as long as these have something to run."""
    weight: Annotated[Float, Field(ge=1e-3, le=1e6)] = 1.0
    """Studies of the same priority share the workers in proportion: 2 runs twice as many trials at a time as 1."""
    seed: Annotated[Int, Field(ge=0)] = 0
    """Every random choice of the study derives from it."""
    max_attempts: Annotated[Int, Field(ge=1, le=1000)] = 3
    """How many workers may crash on one trial before it fails."""

    @field_validator("space")
    @classmethod
    def _space_is_given(cls, space: dict[str, SpaceParameter], info: Any) -> dict[str, SpaceParameter]:
        objective: ObjectiveSpec | None = info.data.get("objective")
        if not space and objective is not None and objective.name is not None:
            raise fault_at("space", f"must have parameters for {objective.name!r} to search")
        return space

    @field_validator("space")
    @classmethod
    def _conditions_make_sense(cls, space: dict[str, SpaceParameter]) -> dict[str, SpaceParameter]:
        faults = condition_faults(space)
        if faults:
            raise faults_found(faults)
        return space

    @field_validator("space")
    @classmethod
    def _priors_make_sense(cls, space: dict[str, SpaceParameter]) -> dict[str, SpaceParameter]:
        faults = prior_faults(space)
        if faults:
            raise faults_found(faults)
        return space

    @field_validator("constraints")
    @classmethod
    def _constraints_make_sense(cls, constraints: tuple[str, ...], info: Any) -> tuple[str, ...]:
        if {"space", "objective"} <= info.data.keys():
            faults = list(constraint_faults(constraints, info.data["space"], info.data["objective"].settings))
            if faults:
                raise faults_found(faults)
        return constraints

    @field_validator("sampler")
    @classmethod
    def _sampler_fits_space(cls, sampler: SamplerSpec, info: Any) -> SamplerSpec:
        if _has_several(info) and sampler.name in OF_ONE_METRIC:
            problem = f"cannot be {sampler.name} for several metrics; tpe, gp, nsga2 and nsga3 search them together"
            raise fault_at("sampler.name", problem)
        space: Mapping[str, SpaceParameter] = info.data.get("space", {})
        believed = [name for name, parameter in space.items() if prior_of(parameter)]
        if believed and sampler.name not in HEEDED_BY:
            problem = f"cannot be: {sampler.name} heeds no priors, but {', '.join(HEEDED_BY)} do"
            raise faults_found([Fault(f"space.{name}.prior", problem) for name in believed])
        if isinstance(sampler, GridSampler | BruteForceSampler):
            for name, parameter in space.items():
                if _is_endless(parameter):
                    raise fault_at(
                        f"space.{name}.step", "is missing: a grid of floats needs the distance of its points"
                    )
            if {"constraints", "objective"} <= info.data.keys():
                limits = limits_of(info.data["constraints"], space, info.data["objective"].settings)
                _check_countable(Grid(space, limits), sampler.name)
        elif isinstance(sampler, CMAESSampler) and space and sum(map(is_steady_number, space.values())) < 2:
            problem = "cmaes needs at least two numbers to search that are always there; tpe does with less"
            raise fault_at("sampler.name", problem)
        return sampler

    @field_validator("earlier")
    @classmethod
    def _earlier_studies_can_be_used(cls, earlier: tuple[str, ...], info: Any) -> tuple[str, ...]:
        sampler: SamplerSpec | None = info.data.get("sampler")
        if earlier and _has_several(info):
            raise fault_at("earlier", "cannot be for several metrics: earlier studies are compared by one ranking")
        if earlier and sampler is not None and sampler.name not in TAKES_EARLIER:
            problem = f"cannot be: {sampler.name} learns from no earlier studies, but {' and '.join(TAKES_EARLIER)} do"
            raise fault_at("earlier", problem)
        faults = [
            Fault(
                f"earlier.{position}",
                f"{name!r} is {'there already' if name in earlier[:position] else 'this study itself'}",
            )
            for position, name in enumerate(earlier)
            if name in earlier[:position] or name == info.data.get("name")
        ]
        if faults:
            raise faults_found(faults)
        return earlier

    @field_validator("pruner")
    @classmethod
    def _pruner_knows_one_metric(cls, pruner: PrunerSpec, info: Any) -> PrunerSpec:
        if _has_several(info) and pruner.name not in ("none", "auto"):
            problem = f"cannot be {pruner.name} for several metrics: a trial that is hopeless in the first may be best"
            raise fault_at("pruner.name", f"{problem} in another; none or auto")
        return pruner

    @field_validator("pruner")
    @classmethod
    def _pruner_knows_how_folds_are_reported(cls, pruner: PrunerSpec, info: Any) -> PrunerSpec:
        objective: ObjectiveSpec | None = info.data.get("objective")
        if objective is None or not objective.reports_running_means:
            return pruner
        if isinstance(pruner, PatientPruner) and pruner.pruner is not None:
            return pruner.model_copy(update={"pruner": _of_running_means(pruner.pruner)})
        return _of_running_means(pruner)

    @field_validator("budget")
    @classmethod
    def _budget_knows_one_metric(cls, budget: Budget, info: Any) -> Budget:
        if _has_several(info):
            for name in ("target", "no_improvement"):
                if getattr(budget, name) is not None:
                    raise fault_at(f"budget.{name}", "looks at one metric, and this study searches several")
        return budget

    @field_validator("confirm")
    @classmethod
    def _confirms_one_metric(cls, confirm: ConfirmSpec | None, info: Any) -> ConfirmSpec | None:
        if isinstance(confirm, Confirm) and _has_several(info):
            raise fault_at("confirm", "ranks by one metric, and this study searches several; leave it out")
        return confirm

    @field_validator("budget")
    @classmethod
    def _budget_ends(cls, budget: Budget, info: Any) -> Budget:
        sampler = info.data.get("sampler")
        ends_by_itself = isinstance(sampler, GridSampler)
        if isinstance(sampler, BruteForceSampler):
            ends_by_itself = (configurations(info.data.get("space", {})) or 0) <= MOST_TRIALS
        ends = (budget.trials, budget.wall_clock, budget.compute_seconds, budget.no_improvement)
        if not any(ends) and not ends_by_itself:
            problem = "is missing: a budget needs trials, wall_clock, compute_seconds or no_improvement"
            raise fault_at("budget.trials", f"{problem}, or the study would never end")
        return budget

    @cached_property
    def confirmation(self) -> Confirm | None:
        """What is confirmed after the search; None for nothing."""
        if self.objective.has_several:
            return None
        if self.confirm is None:  # a loop that asks and tells would not know: by default, workers alone confirm
            top = 0 if self.objective.name is None else min(3, (self.budget_trials or 0) // CONFIRM_EVERY)
            return Confirm(top=top) if top else None
        return self.confirm if isinstance(self.confirm, Confirm) else None

    @cached_property
    def budget_trials(self) -> int | None:
        """Finished trials that end the study: the budget's, or all the points of a grid, whichever are fewer."""
        # auto tries all where the budget allows it, and has no more to try then
        tries_all = isinstance(self.sampler, AutoSampler) and self.budget.trials is not None and self.space
        if not tries_all and not isinstance(self.sampler, GridSampler | BruteForceSampler):
            return self.budget.trials
        bounds = [self.size, self.budget.trials]
        return min((bound for bound in bounds if bound is not None and bound < 2**53), default=None)

    @cached_property
    def size(self) -> int | None:
        """How many configurations its space has, see `configurations`: counted once, as constraints make that slow."""
        return configurations(self.space, self.limits)

    @property
    def is_countable(self) -> bool:
        """Whether the configurations of its space can be counted, so that each has a place in `grid`."""
        return bool(self.space) and self.size is not None

    @cached_property
    def grid(self) -> Grid:
        """The points of the space where a grid goes through it."""
        return Grid(self.space, self.limits)

    @cached_property
    def limits(self) -> Limits:
        """The constraints, parsed."""
        return limits_of(self.constraints, self.space, self.objective.settings)


def _of_running_means(pruner: P) -> P:
    """The pruner, which takes reports for running means unless it was told what they are."""
    if isinstance(pruner, WilcoxonPruner) and "running_mean" not in pruner.model_fields_set:
        return pruner.model_copy(update={"running_mean": True})
    return pruner


def _has_several(info: Any) -> bool:
    """Whether a study that is being validated searches several metrics."""
    objective: ObjectiveSpec | None = info.data.get("objective")
    return objective is not None and objective.has_several


def configurations(space: Mapping[str, SpaceParameter], limits: Limits = NO_LIMITS) -> int | None:
    """How many configurations a space has; None without end, or where they are too many to be counted."""
    if any(_is_endless(parameter) for parameter in space.values()):
        return None
    try:
        return Grid(space, limits).size
    except TooLarge:
        return None


def _is_endless(parameter: AnyParameter) -> bool:
    return isinstance(parameter, FloatParameter) and parameter.step is None and parameter.low < parameter.high


def is_steady_number(parameter: AnyParameter) -> bool:
    """Whether a parameter is a number, or ordered like one, that every trial has: what CMA-ES moves."""
    return parameter.when is None and isinstance(parameter, FloatParameter | IntParameter | OrdinalParameter)


def _check_countable(grid: Grid, sampler: str) -> None:
    try:
        points = grid.size
    except TooLarge as error:
        raise fault_at("sampler.name", f"cannot be {sampler}: {error}") from error
    if not points:
        raise fault_at("constraints", "leave no point of the grid")


_VARIANTS: Mapping[str, Mapping[str, type[BaseModel]]] = {
    "space": KINDS,
    "sampler": SAMPLERS,
    "pruner": PRUNERS | {"auto": AutoPruner},
    "confirm": {"some": Confirm, "none": Confirm},
}
_PARTS: Mapping[str, type[BaseModel]] = {"objective": ObjectiveSpec, "budget": Budget}


def parse_study(raw: object, more: Iterable[Fault] = ()) -> StudySpec:
    """The study that a file or a body describes.

    `more` are faults that the caller found besides (what the objective says of its parameters), so that all are told
    at once. Raises `InvalidSpec` with every fault.
    """
    faults = list(_unstorable_text(raw, ()))
    spec = None
    try:
        spec = StudySpec.model_validate(raw)
    except ValidationError as error:
        for details in filter(_says_something, error.errors(include_url=False)):
            several: list[Fault] = details.get("ctx", {}).get("faults", [])
            faults += several or [_study_fault(details)]
    faults += [fault for fault in more if not any(fault.path == known.path for known in faults)]
    if faults or spec is None:
        raise InvalidSpec(faults=faults)
    return spec


def _says_something(details: ErrorDetails) -> bool:
    """Not that a list is too short since its wrong items, which are told, do not count."""
    return details["type"] != "too_short" or len(details["input"]) < details["ctx"]["min_length"]


def _unstorable_text(raw: object, path: tuple[str, ...]) -> Iterator[Fault]:
    """Faults of text that PostgreSQL or UTF-8 cannot hold."""
    if isinstance(raw, str) and ("\0" in raw or any("\ud800" <= character <= "\udfff" for character in raw)):
        yield Fault(".".join(path), "must not contain NUL characters or lone surrogates")
    elif isinstance(raw, Mapping):
        for key, value in raw.items():
            yield from _unstorable_text(value, (*path, str(key)))
    elif isinstance(raw, list | tuple):
        for position, value in enumerate(raw):
            yield from _unstorable_text(value, (*path, str(position)))


def _study_fault(details: ErrorDetails) -> Fault:
    """A validation error of a study as a fault: union tags leave the path, near names are found."""
    location = list(details["loc"])
    model: type[BaseModel] = StudySpec
    head = str(location[0]) if location else ""
    if head in _PARTS and len(location) > 1:
        model = _PARTS[head]
    tag_at = {"space": 2, "sampler": 1, "pruner": 1, "confirm": 1}.get(head)
    while tag_at is not None and len(location) > tag_at and location[tag_at] in _VARIANTS[head]:
        model = _VARIANTS[head][str(location.pop(tag_at))]
        tag_at += 1  # of a pruner within a pruner
    if head == "space" and len(location) > 3 and location[2] == "prior":
        model = Prior
    fault = fault_of(details, location, model, _VARIANTS.get(head, ()))
    if head in ("sampler", "pruner") and len(location) == 1 and isinstance(details["input"], str):
        name = near(details["input"], _VARIANTS[head])  # the name alone
        return replace(fault, suggestion=None if name is None else f"{{name: {name}}}")
    return fault


@cache
def study_schema() -> Mapping[str, Any]:
    """The JSON Schema (draft 2020-12) of a study file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **StudySpec.model_json_schema()}


def load_study_file(path: Path) -> Any:
    """What a `.yaml` or `.json` study file holds, not checked yet.

    Raises `InvalidSpec` where the file cannot be read, is not YAML, names a key twice, or has values that JSON has not.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return plain(YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InvalidSpec(f"cannot read {path}: {error.strerror}") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = ", ".join(filter(None, (error.context, error.problem)))  # its notes are for who programs with it
        raise InvalidSpec(f"{path} is not YAML: {where}{problem}") from error
    except (YAMLError, ValueError) as error:  # not UTF-8, or a number too long to be read
        raise InvalidSpec(f"{path} is not YAML: {error}") from error
    except RecursionError as error:
        raise InvalidSpec(f"{path} is nested too deeply") from error
    except InvalidInput as error:
        raise InvalidSpec(faults=error.faults) from error
