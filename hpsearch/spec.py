"""What a study file and a POST body say: one source for validation, OpenAPI and the editor's schema."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
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
)
from pydantic_core import ErrorDetails, PydanticCustomError

from hpsearch.errors import Fault, InvalidSpec, near

Direction = Literal["minimize", "maximize"]
Int = Annotated[int, Field(strict=True, ge=-(2**53), le=2**53)]  # what JSON readers of every language keep exact
Float = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Bool = Annotated[bool, Field(strict=True)]
Name = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
ParameterName = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z_][A-Za-z0-9_.\[\]-]*$", max_length=100)]
Value = str | Int | Float | Bool | None

N = TypeVar("N", int, float)
S = TypeVar("S", int, float | None)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _seconds(value: object) -> object:
    """`90`, `"90s"`, `"10m"`, `"2h"` or `"1d"` as seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", value) if isinstance(value, str) else None
    return float(match[1]) * _UNITS[match[2]] if match else value


def _fault_at(field: str, problem: str) -> PydanticCustomError:
    """A fault found by one field's validator that belongs to `field`, seen from the same parent."""
    return PydanticCustomError("fault_at", "{problem}", {"field": field, "problem": problem})


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class FloatParameter(_Part):
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

    @field_validator("high")
    @classmethod
    def _high_is_above_low(cls, high: float, info: Any) -> float:
        return _check_high(high, info.data)

    @field_validator("log")
    @classmethod
    def _log_needs_positive_low(cls, log: bool, info: Any) -> bool:
        if log and info.data.get("low", 1) <= 0:
            raise _fault_at("low", "must be above 0 where log is true")
        return log

    @field_validator("step")
    @classmethod
    def _step_divides(cls, step: float | None, info: Any) -> float | None:
        if step is not None and info.data.get("log"):
            raise _fault_at("step", "cannot be combined with log")
        return _check_step(step, info.data)


class IntParameter(_Part):
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

    @field_validator("high")
    @classmethod
    def _high_is_above_low(cls, high: int, info: Any) -> int:
        return _check_high(high, info.data)

    @field_validator("log")
    @classmethod
    def _log_needs_positive_low(cls, log: bool, info: Any) -> bool:
        if log and info.data.get("low", 1) < 1:
            raise _fault_at("low", "must be at least 1 where log is true")
        return log

    @field_validator("step")
    @classmethod
    def _step_divides(cls, step: int, info: Any) -> int:
        if step != 1 and info.data.get("log"):
            raise _fault_at("step", "cannot be combined with log")
        return _check_step(step, info.data)


def _check_high(high: N, fields: Mapping[str, Any]) -> N:
    if "low" in fields and high < fields["low"]:
        raise _fault_at("high", f"must be at least low ({fields['low']:g}), not {high:g}")
    return high


def _check_step(step: S, fields: Mapping[str, Any]) -> S:
    if step is not None and {"low", "high"} <= fields.keys():
        low, high = fields["low"], fields["high"]
        steps = (high - low) / step
        if not math.isclose(steps, round(steps), rel_tol=1e-9, abs_tol=1e-9):
            right = low + math.floor(steps) * step
            raise _fault_at("high", f"must be low plus a multiple of step ({step:g}): {right:.12g}, say, not {high:g}")
    return step


class CategoricalParameter(_Part):
    """One of a list of values without an order."""

    type: Literal["categorical"]
    choices: Annotated[tuple[Value, ...], Field(min_length=1, max_length=10_000)]
    """Strings, numbers, booleans or null; no two alike."""

    @field_validator("choices")
    @classmethod
    def _choices_differ(cls, choices: tuple[Value, ...]) -> tuple[Value, ...]:
        # 1, 1.0 and true compare equal and would be told apart by nobody downstream
        for position, choice in enumerate(choices):
            if choice in choices[:position]:
                raise _fault_at(
                    f"choices.{position}", f"{choice!r} is there already, as {choices[choices.index(choice)]!r}"
                )
        return choices


SpaceParameter = Annotated[FloatParameter | IntParameter | CategoricalParameter, Field(discriminator="type")]


class ObjectiveSpec(_Part):
    """What is to be made best."""

    name: Name | None = None
    """The objective that workers run, such as `rnn`; none where an outside loop asks and tells."""
    metric: Annotated[str, Field(strict=True, min_length=1, max_length=200)] = "value"
    """The measurement that is searched."""
    direction: Direction
    """Whether less or more of it is better."""
    settings: dict[ParameterName, Value] = {}
    """Parameters of the objective that stay as they are in every trial."""


class TPESampler(_Part):
    """Tree-structured Parzen estimator (Bergstra et al. 2011), as in Optuna."""

    name: Literal["tpe"] = "tpe"
    startup_trials: Annotated[Int, Field(ge=0, le=1_000_000)] = 10
    """Trials at random before the model is used."""
    multivariate: Bool = True
    """Model the parameters together rather than one by one."""
    constant_liar: Bool = True
    """Count running trials as bad, so that parallel workers keep apart."""


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


class NSGA2Sampler(_Part):
    """A genetic algorithm (Deb et al. 2002), as in Optuna."""

    name: Literal["nsga2"] = "nsga2"
    population: Annotated[Int, Field(ge=2, le=10_000)] = 50
    """Trials a generation."""
    mutation: Annotated[Float, Field(ge=0, le=1)] | None = None
    """Probability that a parameter mutates; 1 / parameters where it is not given."""
    crossover: Annotated[Float, Field(ge=0, le=1)] = 0.9
    """Probability that a child has two parents."""


class NoPruner(_Part):
    """Every trial runs to its end."""

    name: Literal["none"] = "none"


class MedianPruner(_Part):
    """Prunes a trial whose best value so far is worse than the median of the others' at the same step."""

    name: Literal["median"] = "median"
    startup_trials: Annotated[Int, Field(ge=0, le=1_000_000)] = 5
    """No pruning before so many trials are complete."""
    warmup_steps: Annotated[Int, Field(ge=0)] = 0
    """No pruning up to this step."""
    interval_steps: Annotated[Int, Field(ge=1)] = 1
    """Steps from one look to the next."""


class ASHAPruner(_Part):
    """Asynchronous successive halving (Li et al. 2020), the stopping variant: at each rung only the best
    1 / reduction_factor go on."""

    name: Literal["asha"] = "asha"
    min_resource: Annotated[Int, Field(ge=1)] = 1
    """The first rung's step; the next ones are reduction_factor times further each."""
    reduction_factor: Annotated[Int, Field(ge=2)] = 3


SamplerSpec = Annotated[
    TPESampler | RandomSampler | CMAESSampler | QMCSampler | GridSampler | NSGA2Sampler, Field(discriminator="name")
]
PrunerSpec = Annotated[NoPruner | MedianPruner | ASHAPruner, Field(discriminator="name")]


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

    trials: Annotated[Int, Field(ge=1, le=10_000_000)] | None = None
    """Finished trials, exactly: complete, pruned and failed ones count."""
    wall_clock: Annotated[Float, Field(gt=0), BeforeValidator(_seconds)] | None = None
    """Seconds from the first claim (or "90s", "10m", "2h", "1d"), pauses included."""
    compute_seconds: Annotated[Float, Field(gt=0), BeforeValidator(_seconds)] | None = None
    """Seconds (or "90s", "10m", "2h", "1d") for which workers have held trials, summed over all; to about a second."""
    no_improvement: Annotated[Int, Field(ge=1, le=10_000_000)] | None = None
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
    sampler: SamplerSpec = TPESampler()
    """What chooses the parameters of the next trial."""
    pruner: PrunerSpec = NoPruner()
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

    @field_validator("sampler")
    @classmethod
    def _sampler_fits_space(cls, sampler: SamplerSpec, info: Any) -> SamplerSpec:
        space: Mapping[str, SpaceParameter] = info.data.get("space", {})
        if isinstance(sampler, GridSampler):
            for name, parameter in space.items():
                if isinstance(parameter, FloatParameter) and parameter.step is None and parameter.low < parameter.high:
                    raise _fault_at(
                        f"space.{name}.step", "is missing: a grid of floats needs the distance of its points"
                    )
        elif isinstance(sampler, CMAESSampler) and info.data.get("space"):
            numbers = [parameter for parameter in space.values() if not isinstance(parameter, CategoricalParameter)]
            if len(numbers) < 2:
                raise _fault_at("sampler.name", "cmaes needs at least two numbers to search; tpe does with less")
        return sampler

    @field_validator("budget")
    @classmethod
    def _budget_ends(cls, budget: Budget, info: Any) -> Budget:
        ends_by_itself = isinstance(info.data.get("sampler"), GridSampler)
        ends = (budget.trials, budget.wall_clock, budget.compute_seconds, budget.no_improvement)
        if not any(ends) and not ends_by_itself:
            problem = "is missing: a budget needs trials, wall_clock, compute_seconds or no_improvement"
            raise _fault_at("budget.trials", f"{problem}, or the study would never end")
        return budget

    @cached_property
    def confirmation(self) -> Confirm | None:
        """What is confirmed after the search; None for nothing."""
        if self.confirm is None:  # a loop that asks and tells would not know: by default, workers alone confirm
            top = 0 if self.objective.name is None else min(3, (self.budget_trials or 0) // CONFIRM_EVERY)
            return Confirm(top=top) if top else None
        return self.confirm if isinstance(self.confirm, Confirm) else None

    @cached_property
    def budget_trials(self) -> int | None:
        """Finished trials that end the study: the budget's, or all the points of a grid, whichever are fewer."""
        if not isinstance(self.sampler, GridSampler):
            return self.budget.trials
        points = math.prod(_values_of(parameter) for parameter in self.space.values())
        return points if self.budget.trials is None else min(points, self.budget.trials)


def _values_of(parameter: SpaceParameter) -> int:
    """How many values a parameter of a grid has."""
    if isinstance(parameter, CategoricalParameter):
        return len(parameter.choices)
    return 1 + round((parameter.high - parameter.low) / (parameter.step or 1))


_VARIANTS: Mapping[str, Mapping[str, type[BaseModel]]] = {
    "space": {"float": FloatParameter, "int": IntParameter, "categorical": CategoricalParameter},
    "sampler": {
        "tpe": TPESampler,
        "random": RandomSampler,
        "cmaes": CMAESSampler,
        "qmc": QMCSampler,
        "grid": GridSampler,
        "nsga2": NSGA2Sampler,
    },
    "pruner": {"none": NoPruner, "median": MedianPruner, "asha": ASHAPruner},
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
        faults += [_study_fault(details) for details in error.errors(include_url=False)]
    faults += [fault for fault in more if not any(fault.path == known.path for known in faults)]
    if faults or spec is None:
        raise InvalidSpec(faults=faults)
    return spec


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
    if tag_at is not None and len(location) > tag_at and location[tag_at] in _VARIANTS[head]:
        model = _VARIANTS[head][str(location.pop(tag_at))]
    return fault_of(details, location, model)


def fault_of(
    details: ErrorDetails, location: list[int | str] | None = None, model: type[BaseModel] | None = None
) -> Fault:
    """A pydantic error as a fault; `location` and `model` refine where it is and which names are known there."""
    path = [str(part) for part in (details["loc"] if location is None else location) if part != "[key]"]
    kind, context = details["type"], details.get("ctx", {})
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
        problem = "may hold letters, digits, '.', '_' and '-', and starts with a letter or a digit"
        return Fault(".".join(path), f"{problem}, not {_shown(details['input'])}")
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return Fault(".".join(path), f"must be an object with named fields, not {_shown(details['input'])}")
    return Fault(".".join(path), f"{_lower_first(details['msg'])}, not {_shown(details['input'])}")


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

    Raises `InvalidSpec` where the file cannot be read, is not YAML, or names a key twice.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidSpec(f"cannot read {path}: {error.strerror}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise InvalidSpec(f"{path} is not YAML: {error}") from error
