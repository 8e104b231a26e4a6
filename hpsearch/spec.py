"""What a study file and a POST body say: one source for validation, OpenAPI and the editor's schema."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from hpsearch.conditions import condition_faults
from hpsearch.constraints import NO_LIMITS, Limits, constraint_faults, limits_of
from hpsearch.errors import Fault, InvalidInput, InvalidSpec, near
from hpsearch.expressions import MOST_CHARACTERS
from hpsearch.grids import Grid, TooLarge
from hpsearch.parameters import KINDS, PARAMETER_NAME, AnyParameter, OrdinalParameter

# what others import from here
from hpsearch.parameters import Bool as Bool
from hpsearch.parameters import CategoricalParameter as CategoricalParameter
from hpsearch.parameters import Float as Float
from hpsearch.parameters import FloatParameter as FloatParameter
from hpsearch.parameters import Int as Int
from hpsearch.parameters import IntParameter as IntParameter
from hpsearch.parameters import ParameterName as ParameterName
from hpsearch.parameters import Part as _Part
from hpsearch.parameters import Prior as Prior
from hpsearch.parameters import SpaceParameter as SpaceParameter
from hpsearch.parameters import Value as Value
from hpsearch.parameters import fault_at as _fault_at
from hpsearch.parameters import faults_found as _faults_found
from hpsearch.plain import plain
from hpsearch.priors import HEEDED_BY, prior_faults, prior_of
from hpsearch.pruner_spec import PRUNERS, AnyPruner, PatientPruner, WilcoxonPruner

Direction = Literal["minimize", "maximize"]
ConstraintText = Annotated[str, Field(strict=True, min_length=1, max_length=MOST_CHARACTERS)]
MetricName = Annotated[str, Field(strict=True, min_length=1, max_length=200)]
MOST_METRICS = 100
"""Of a study. What is searched well is two or three."""
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
WORKER_NAME = r"^[A-Za-z0-9][A-Za-z0-9._:@-]*$"
NO_NUL = r"^[^\x00]*$"
Name = Annotated[str, Field(strict=True, pattern=NAME, max_length=100)]
MOST_TRIALS = 10_000_000
"""Of a study."""

OF_ONE_METRIC = ("gp", "cmaes")
"""Samplers that cannot search several metrics."""
TAKES_EARLIER = ("tpe", "auto")
"""Samplers that learn from earlier studies."""
MOST_EARLIER = 10
"""Earlier studies that a study learns from."""

P = TypeVar("P", bound=BaseModel)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _seconds(value: object) -> object:
    """`90`, `"90s"`, `"10m"`, `"2h"` or `"1d"` as seconds."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", value)
    if match is None:
        raise PydanticCustomError("duration", "must be a number of seconds, or such as 90s, 10m, 2h or 1d")
    return float(match[1]) * _UNITS[match[2]]


def _direction_or_metrics(schema: dict[str, Any]) -> None:
    schema["required"] = [name for name in schema["required"] if name != "direction"]
    schema["anyOf"] = [{"required": ["direction"]}, {"required": ["metrics"]}]


class ObjectiveSpec(_Part):
    """What is to be made best."""

    model_config = ConfigDict(json_schema_extra=_direction_or_metrics)

    name: Name | None = None
    """The objective that workers run, such as `rnn`; none where an outside loop asks and tells."""
    metric: MetricName = "value"
    """The measurement that is searched; of several the first."""
    direction: Direction
    """Whether less or more of it is better."""
    metrics: Annotated[dict[MetricName, Direction], Field(min_length=2, max_length=MOST_METRICS)] | None = None
    """Several measurements to be searched together, each with its direction, in place of `metric` and `direction`:
    what no other trial beats in all of them is the Pareto front, and there is no one best. Trials report the first as
    they train."""
    settings: dict[ParameterName, Value] = Field(default={})
    """Parameters of the objective that stay as they are in every trial."""

    @model_validator(mode="before")
    @classmethod
    def _first_metric_leads(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping) or raw.get("metrics") is None:
            return raw
        metrics = raw["metrics"] if isinstance(raw["metrics"], Mapping) else {}
        first, direction = next(iter(metrics.items()), (None, None))
        # what is wrong there is the fault of metrics, and not told again
        first = first if isinstance(first, str) and first else "value"
        direction = direction if direction in ("minimize", "maximize") else "minimize"
        return {"metric": first, "direction": direction} | dict(raw)

    @field_validator("metrics", mode="before")
    @classmethod
    def _metrics_are_several(cls, metrics: Any) -> Any:
        if isinstance(metrics, Mapping) and len(metrics) < 2:
            raise _fault_at("metrics", "must name at least two; one alone is said by metric and direction")
        return metrics

    @field_validator("metrics")
    @classmethod
    def _one_metric_leads(cls, metrics: dict[str, Direction] | None, info: Any) -> dict[str, Direction] | None:
        for name, field in (("metric", 0), ("direction", 1)):
            first = next(iter(metrics.items()))[field] if metrics else None
            if first is not None and info.data.get(name, first) != first:
                problem = f"is said by objective.metrics already, whose first one has {first!r}: leave it out"
                raise _fault_at(name, problem)
        return metrics

    @property
    def searched(self) -> Mapping[str, Direction]:
        """Every searched measurement, in the order of a trial's values."""
        return self.metrics or {self.metric: self.direction}

    @property
    def signs(self) -> tuple[float, ...]:
        """For each of them -1 where more is better: times its values, less is better."""
        return tuple(-1.0 if direction == "maximize" else 1.0 for direction in self.searched.values())

    @property
    def reports_running_means(self) -> bool:
        """Whether each report is the mean over all folds and seeds so far, as `rnn` has it."""
        several = (self.settings.get(name) for name in ("folds", "repeats"))
        return self.name == "rnn" and any(isinstance(count, int) and count > 1 for count in several)

    @property
    def has_several(self) -> bool:
        """Whether more than one measurement is searched."""
        return self.metrics is not None


class TPESampler(_Part):
    """Tree-structured Parzen estimator (Bergstra et al. 2011), as in Optuna."""

    name: Literal["tpe"] = "tpe"
    startup_trials: Annotated[Int, Field(ge=0, le=1_000_000)] = 10
    """Trials at random before the model is used."""
    multivariate: Bool = True
    """Model the parameters together rather than one by one."""
    constant_liar: Bool = True
    """Count running trials as bad, so that parallel workers keep apart."""
    startup: Literal["random", "quasi_random"] = "random"
    """How the first trials are drawn: independently, or as a Sobol sequence, which leaves no gaps."""
    exploration: Annotated[Float, Field(ge=0, le=1)] = 0.0
    """Share of the later trials that are drawn at random all the same, so that a misled model is found out (as BOHB
    does, Falkner et al. 2018)."""
    rank_pruned_by: Literal["step", "value"] = "step"
    """How pruned trials compare: behind all complete ones, the further they came the better (Optuna's way); or among
    them, by their last value."""
    duplicates: Bool = True
    """Whether a configuration may be suggested again (Optuna's way) while there are others that no trial has; of spaces
    whose configurations can be counted."""


class GPSampler(_Part):
    """Bayesian optimisation with a Gaussian process (Snoek et al. 2012): for trials that take minutes, up to some
    hundreds of them. Drawn in a process of its own, while other claims are answered."""

    name: Literal["gp"] = "gp"
    startup_trials: Annotated[Int, Field(ge=1, le=1_000_000)] = 10
    """Trials before the model is used."""
    startup: Literal["random", "quasi_random"] = "random"
    """How the first trials are drawn: independently, or as a Sobol sequence, which leaves no gaps."""
    deterministic: Bool = False
    """Whether the same parameters always give the same value: then the model expects no noise."""


class RandomSampler(_Part):
    """Independent uniform (or log-uniform) draws."""

    name: Literal["random"] = "random"


class CMAESSampler(_Part):
    """Covariance matrix adaptation evolution strategy (Hansen 2016): for numbers on a rugged, unsplittable slope.
    Categorical parameters are drawn at random beside it."""

    name: Literal["cmaes"] = "cmaes"
    startup_trials: Annotated[Int, Field(ge=0, le=1_000_000)] = 1
    """Trials at random before the strategy is used."""
    sigma: Annotated[Float, Field(gt=0, le=1)] = 1 / 6
    """The first step size, as a share of each parameter's range."""
    population: Annotated[Int, Field(ge=2, le=10_000)] | None = None
    """Trials a generation; 4 + 3 ln(parameters) where it is not given."""


class QMCSampler(_Part):
    """Quasi-random points, which fill the space more evenly than chance."""

    name: Literal["qmc"] = "qmc"
    sequence: Literal["sobol", "halton"] = "sobol"
    scramble: Bool = True
    """Shift the points at random, by the study's seed."""


class GridSampler(_Part):
    """Every combination once, in a random order; the study ends with the last. Floats need a step."""

    name: Literal["grid"] = "grid"


class BruteForceSampler(_Part):
    """Every configuration that no trial has had yet, enqueued ones included, in a random order; the study ends when it
    has had as many trials as there are configurations. Floats need a step. For large spaces too, unlike a grid."""

    name: Literal["brute_force"] = "brute_force"


class NSGA2Sampler(_Part):
    """A genetic algorithm (Deb et al. 2002), as in Optuna."""

    name: Literal["nsga2"] = "nsga2"
    population: Annotated[Int, Field(ge=2, le=10_000)] = 50
    """Trials a generation."""
    mutation: Annotated[Float, Field(ge=0, le=1)] | None = None
    """Probability that a parameter mutates; 1 / parameters where it is not given."""
    crossover: Annotated[Float, Field(ge=0, le=1)] = 0.9
    """Probability that a child has two parents."""


class NSGA3Sampler(_Part):
    """A genetic algorithm that spreads over reference points (Deb and Jain 2014), as in Optuna; for many objectives."""

    name: Literal["nsga3"] = "nsga3"
    population: Annotated[Int, Field(ge=2, le=10_000)] = 50
    """Trials a generation."""
    mutation: Annotated[Float, Field(ge=0, le=1)] | None = None
    """Probability that a parameter mutates; 1 / parameters where it is not given."""
    crossover: Annotated[Float, Field(ge=0, le=1)] = 0.9
    """Probability that a child has two parents."""
    divisions: Annotated[Int, Field(ge=1, le=100)] = 3
    """Reference points along each objective."""


class AutoSampler(_Part):
    """Chosen by hpsearch, from the space and the budget; the study's `chosen` says what and why."""

    name: Literal["auto"] = "auto"
    version: Literal[1, 2] = 2
    """Of the rules: a study keeps those that it was made with."""


class AutoPruner(_Part):
    """Chosen by hpsearch, from what it knows of the objective's epochs; the study's `chosen` says what and why."""

    name: Literal["auto"] = "auto"
    version: Literal[1, 2] = 2
    """Of the rules: a study keeps those that it was made with."""


SamplerSpec = Annotated[
    TPESampler
    | GPSampler
    | RandomSampler
    | CMAESSampler
    | QMCSampler
    | GridSampler
    | BruteForceSampler
    | NSGA2Sampler
    | NSGA3Sampler
    | AutoSampler,
    Field(discriminator="name"),
]
PrunerSpec = Annotated[AnyPruner | AutoPruner, Field(discriminator="name")]


class Confirm(_Part):
    """What is trained again after the search, to see what the best configurations are worth."""

    top: Annotated[Int, Field(ge=1, le=100)] = 3
    """How many of the best configurations (those with the same parameters count once)."""
    seeds: Annotated[Int, Field(ge=2, le=100)] = 5
    """How often each, on fresh seeds: the same ones for all, so that they can be compared in pairs."""


def _confirm_tag(value: object) -> str | None:
    return "some" if isinstance(value, Mapping | Confirm) else "none" if value == "none" else None


ConfirmSpec = Annotated[
    Annotated[Confirm, Tag("some")] | Annotated[Literal["none"], Tag("none")],
    Discriminator(
        _confirm_tag,
        custom_error_type="confirm",
        custom_error_message="must be an object with top and seeds, or 'none'",
    ),
]
CONFIRM_EVERY = 20
"""Without a word on it, one configuration is confirmed for so many trials of the budget: by five runs each, at most a
quarter of the search again."""


class Budget(_Part):
    """When the study ends: at whichever comes first."""

    trials: Annotated[Int, Field(ge=1, le=MOST_TRIALS)] | None = None
    """Finished trials, exactly: complete, pruned and failed ones count."""
    wall_clock: Annotated[Float, Field(gt=0), BeforeValidator(_seconds)] | None = None
    """Seconds from the first claim (or "90s", "10m", "2h", "1d"), pauses included."""
    compute_seconds: Annotated[Float, Field(gt=0), BeforeValidator(_seconds)] | None = None
    """Seconds (or "90s", "10m", "2h", "1d") for which workers have held trials, summed over all; to about a second."""
    no_improvement: Annotated[Int, Field(ge=1, le=MOST_TRIALS)] | None = None
    """So many finished trials in a row without a better value."""
    target: Float | None = None
    """The value of the metric that is good enough."""


class StudySpec(_Part):
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
            raise _fault_at("space", f"must have parameters for {objective.name!r} to search")
        return space

    @field_validator("space")
    @classmethod
    def _conditions_make_sense(cls, space: dict[str, SpaceParameter]) -> dict[str, SpaceParameter]:
        faults = condition_faults(space)
        if faults:
            raise _faults_found(faults)
        return space

    @field_validator("space")
    @classmethod
    def _priors_make_sense(cls, space: dict[str, SpaceParameter]) -> dict[str, SpaceParameter]:
        faults = prior_faults(space)
        if faults:
            raise _faults_found(faults)
        return space

    @field_validator("constraints")
    @classmethod
    def _constraints_make_sense(cls, constraints: tuple[str, ...], info: Any) -> tuple[str, ...]:
        if {"space", "objective"} <= info.data.keys():
            faults = list(constraint_faults(constraints, info.data["space"], info.data["objective"].settings))
            if faults:
                raise _faults_found(faults)
        return constraints

    @field_validator("sampler")
    @classmethod
    def _sampler_fits_space(cls, sampler: SamplerSpec, info: Any) -> SamplerSpec:
        if _has_several(info) and sampler.name in OF_ONE_METRIC:
            problem = f"cannot be {sampler.name} for several metrics; tpe, nsga2 and nsga3 search them together"
            raise _fault_at("sampler.name", problem)
        space: Mapping[str, SpaceParameter] = info.data.get("space", {})
        believed = [name for name, parameter in space.items() if prior_of(parameter)]
        if believed and sampler.name not in HEEDED_BY:
            problem = f"cannot be: {sampler.name} heeds no priors, but {', '.join(HEEDED_BY)} do"
            raise _faults_found([Fault(f"space.{name}.prior", problem) for name in believed])
        if isinstance(sampler, GridSampler | BruteForceSampler):
            for name, parameter in space.items():
                if _is_endless(parameter):
                    raise _fault_at(
                        f"space.{name}.step", "is missing: a grid of floats needs the distance of its points"
                    )
            if {"constraints", "objective"} <= info.data.keys():
                limits = limits_of(info.data["constraints"], space, info.data["objective"].settings)
                _check_countable(Grid(space, limits), sampler.name)
        elif isinstance(sampler, CMAESSampler) and space and sum(map(is_steady_number, space.values())) < 2:
            problem = "cmaes needs at least two numbers to search that are always there; tpe does with less"
            raise _fault_at("sampler.name", problem)
        return sampler

    @field_validator("earlier")
    @classmethod
    def _earlier_studies_can_be_used(cls, earlier: tuple[str, ...], info: Any) -> tuple[str, ...]:
        sampler: SamplerSpec | None = info.data.get("sampler")
        if earlier and _has_several(info):
            raise _fault_at("earlier", "cannot be for several metrics: earlier studies are compared by one ranking")
        if earlier and sampler is not None and sampler.name not in TAKES_EARLIER:
            problem = f"cannot be: {sampler.name} learns from no earlier studies, but {' and '.join(TAKES_EARLIER)} do"
            raise _fault_at("earlier", problem)
        faults = [
            Fault(
                f"earlier.{position}",
                f"{name!r} is {'there already' if name in earlier[:position] else 'this study itself'}",
            )
            for position, name in enumerate(earlier)
            if name in earlier[:position] or name == info.data.get("name")
        ]
        if faults:
            raise _faults_found(faults)
        return earlier

    @field_validator("pruner")
    @classmethod
    def _pruner_knows_one_metric(cls, pruner: PrunerSpec, info: Any) -> PrunerSpec:
        if _has_several(info) and pruner.name not in ("none", "auto"):
            problem = f"cannot be {pruner.name} for several metrics: a trial that is hopeless in the first may be best"
            raise _fault_at("pruner.name", f"{problem} in another; none or auto")
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
                    raise _fault_at(f"budget.{name}", "looks at one metric, and this study searches several")
        return budget

    @field_validator("confirm")
    @classmethod
    def _confirms_one_metric(cls, confirm: ConfirmSpec | None, info: Any) -> ConfirmSpec | None:
        if isinstance(confirm, Confirm) and _has_several(info):
            raise _fault_at("confirm", "ranks by one metric, and this study searches several; leave it out")
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
            raise _fault_at("budget.trials", f"{problem}, or the study would never end")
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
        raise _fault_at("sampler.name", f"cannot be {sampler}: {error}") from error
    if not points:
        raise _fault_at("constraints", "leave no point of the grid")


_VARIANTS: Mapping[str, Mapping[str, type[BaseModel]]] = {
    "space": KINDS,
    "sampler": {
        "tpe": TPESampler,
        "gp": GPSampler,
        "random": RandomSampler,
        "cmaes": CMAESSampler,
        "qmc": QMCSampler,
        "grid": GridSampler,
        "brute_force": BruteForceSampler,
        "nsga2": NSGA2Sampler,
        "nsga3": NSGA3Sampler,
        "auto": AutoSampler,
    },
    "pruner": PRUNERS | {"auto": AutoPruner},
    "confirm": {"some": Confirm, "none": Confirm},
}
_ALLOWED = "may hold letters, digits, '.', '_' and '-'"
_PATTERNS: Mapping[str, str] = {
    NAME: f"{_ALLOWED}, and starts with a letter or a digit",
    WORKER_NAME: "may hold letters, digits, '.', '_', ':', '@' and '-', and starts with a letter or a digit",
    NO_NUL: "must not contain NUL characters",
    PARAMETER_NAME: f"{_ALLOWED} (and '[' and ']'), and starts with a letter or '_'",
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
    fault = fault_of(details, location, model)
    if head in ("sampler", "pruner") and len(location) == 1 and isinstance(details["input"], str):
        name = near(details["input"], _VARIANTS[head])  # the name alone
        return replace(fault, suggestion=None if name is None else f"{{name: {name}}}")
    return fault


def fault_of(
    details: ErrorDetails, location: list[int | str] | None = None, model: type[BaseModel] | None = None
) -> Fault:
    """A pydantic error as a fault; `location` and `model` refine where it is and which names are known there."""
    path = [str(part) for part in (details["loc"] if location is None else location)]
    kind, context = details["type"], details.get("ctx", {})
    if kind != "extra_forbidden" and path[1:] and path[-1] == "[key]":
        path.pop()  # pydantic's mark of a wrong key, which a body may have for a name too
    if kind == "missing":
        return Fault(".".join(path), "is missing")
    if kind == "extra_forbidden":
        known = list(model.model_fields) if model else []
        return Fault(".".join(path), "is not known here" + _listed(known), near(path[-1], known))
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        field = str(context["discriminator"]).strip("'")
        known = [name.strip().strip("'") for name in str(context.get("expected_tags", "")).split(",") if name]
        known = known or list(_VARIANTS.get(path[0], ()))
        problem = "is missing" if kind == "union_tag_not_found" else f"{context['tag']!r} is not known"
        return Fault(".".join([*path, field]), problem + _listed(known), near(context.get("tag", ""), known))
    if kind == "fault_at":
        return Fault(".".join([*path[:-1], str(context["field"])]), str(context["problem"]))
    if kind == "string_pattern_mismatch":
        allowed = _PATTERNS.get(str(context.get("pattern")), _lower_first(details["msg"]))
        return Fault(".".join(path), f"{allowed}, not {_shown(details['input'])}")
    if kind in ("too_short", "too_long"):
        wanted = _PROBLEMS[kind].format(**context).replace(" 1 items", " 1 item")
        return Fault(".".join(path), f"{wanted}, not {context['actual_length']}")
    bounds = {name: f"{bound:g}" if isinstance(bound, float) else bound for name, bound in context.items()}
    problem = _PROBLEMS[kind].format(**bounds) if kind in _PROBLEMS else _lower_first(details["msg"])
    known = re.findall(r"'([^']*)'", str(context.get("expected", ""))) if kind in ("literal_error", "enum") else []
    suggestion = near(details["input"], known) if isinstance(details["input"], str) else None
    return Fault(".".join(path), f"{problem}, not {_shown(details['input'])}", suggestion)


_OBJECT = "must be an object with named fields"
_PROBLEMS: Mapping[str, str] = {
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "dict_type": _OBJECT,
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
}
"""What pydantic finds, in the words of who writes a study file."""


def _listed(known: list[str]) -> str:
    return f"; known: {', '.join(known)}" if known else ""


def _lower_first(message: str) -> str:
    return message[:1].lower() + message[1:]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


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
