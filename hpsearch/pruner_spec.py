"""What a study says of its pruner: its name and its options."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

Step = Annotated[int, Field(strict=True, ge=1, le=2**53)]
Steps = Annotated[int, Field(strict=True, ge=0, le=2**53)]
Trials = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
Factor = Annotated[int, Field(strict=True, ge=2, le=1_000_000)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]


def _fault_at(field: str, problem: str) -> PydanticCustomError:
    return PydanticCustomError("fault_at", "{problem}", {"field": field, "problem": problem})


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class NoPruner(_Part):
    """Every trial runs to its end."""

    name: Literal["none"] = "none"


class MedianPruner(_Part):
    """Prunes a trial whose best value so far is worse than the median of the others' at the same step."""

    name: Literal["median"] = "median"
    startup_trials: Trials = 5
    """No pruning before so many trials are complete."""
    warmup_steps: Steps = 0
    """No pruning up to this step."""
    interval_steps: Step = 1
    """Steps from one look to the next."""
    min_trials: Annotated[Trials, Field(ge=1)] = 1
    """No pruning at a step that fewer complete trials have reported."""


class PercentilePruner(_Part):
    """Prunes a trial whose best value so far is not among the best `percentile` percent of the others' at the same
    step; `median` is the one with 50."""

    name: Literal["percentile"] = "percentile"
    percentile: Annotated[Number, Field(ge=0, le=100)]
    """Percent of the complete trials: 25 keeps the best quarter."""
    startup_trials: Trials = 5
    """No pruning before so many trials are complete."""
    warmup_steps: Steps = 0
    """No pruning up to this step."""
    interval_steps: Step = 1
    """Steps from one look to the next."""
    min_trials: Annotated[Trials, Field(ge=1)] = 1
    """No pruning at a step that fewer complete trials have reported."""


class ASHAPruner(_Part):
    """Asynchronous successive halving (Li et al. 2020): at each rung only the best 1 / reduction_factor go on."""

    name: Literal["asha"] = "asha"
    min_resource: Step = 1
    """The first rung's step; the next ones are reduction_factor times further each."""
    reduction_factor: Factor = 3
    max_resource: Step | None = None
    """A whole trial's steps: there is no rung there, nor beyond. None: rungs without end."""
    promote: Flag = False
    """False: who is not among the best at a rung is pruned. True: it pauses there with its checkpoint, and goes on, on
    any worker, once results of others put it among the best; what is paused at the study's end is pruned then."""

    @field_validator("max_resource")
    @classmethod
    def _some_rung_is_left(cls, value: int | None, info: Any) -> int | None:
        return _above_min(value, info.data)


class HyperbandPruner(_Part):
    """Hyperband (Li et al. 2018), asynchronous: several successive halvings side by side, of which the first begins to
    prune at min_resource, each next one reduction_factor times later. A trial's number says which one it is in."""

    name: Literal["hyperband"] = "hyperband"
    min_resource: Step = 1
    """The first rung's step in the bracket that prunes earliest."""
    max_resource: Step
    """A whole trial's steps, such as max_epochs: there is no rung there, nor beyond."""
    reduction_factor: Factor = 3

    @field_validator("max_resource")
    @classmethod
    def _some_rung_is_left(cls, value: int, info: Any) -> int:
        _above_min(value, info.data)
        return value


def _above_min(value: int | None, fields: dict[str, Any]) -> int | None:
    least = fields.get("min_resource")
    if value is not None and least is not None and value <= least:
        raise _fault_at("max_resource", f"must be above min_resource ({least}), not {value}: there would be no rung")
    return value


class WilcoxonPruner(_Part):
    """For trials whose steps are folds or seeds: prunes a trial that a signed-rank test (Wilcoxon 1945) holds to be
    worse than the best trial over the same steps."""

    name: Literal["wilcoxon"] = "wilcoxon"
    p_threshold: Annotated[Number, Field(gt=0, lt=1)] = 0.1
    """Prunes below this p-value: less is more careful."""
    startup_steps: Steps = 2
    """No pruning before so many steps; with fewer than two there is no test."""
    running_mean: Flag = False
    """True where each report is the mean of all folds so far, numbered 1, 2, 3 …, rather than the one fold's own value.
    Where it is left out: true with `folds` or `repeats` of the objective rnn."""


class ThresholdPruner(_Part):
    """Prunes a trial whose value leaves its bounds."""

    name: Literal["threshold"] = "threshold"
    lower: Number | None = None
    """Prunes below it."""
    upper: Number | None = None
    """Prunes above it."""
    warmup_steps: Steps = 0
    """No pruning up to this step."""
    interval_steps: Step = 1
    """Steps from one look to the next."""

    @field_validator("upper")
    @classmethod
    def _upper_is_above_lower(cls, upper: float | None, info: Any) -> float | None:
        lower = info.data.get("lower")
        if upper is not None and lower is not None and upper <= lower:
            raise _fault_at("upper", f"must be above lower ({lower:g}), not {upper:g}")
        return upper

    @model_validator(mode="after")
    def _has_a_bound(self) -> "ThresholdPruner":
        if self.lower is None and self.upper is None:
            raise PydanticCustomError("no_bound", "Must have lower, upper, or both")
        return self


InnerPruner = Annotated[
    MedianPruner | PercentilePruner | ASHAPruner | HyperbandPruner | WilcoxonPruner | ThresholdPruner,
    Field(discriminator="name"),
]


class PatientPruner(_Part):
    """Lets another pruner decide only about trials that have not improved for a while."""

    name: Literal["patient"] = "patient"
    pruner: InnerPruner | None = None
    """The other pruner; without one, a trial that has not improved is pruned."""
    patience: Steps
    """Reports without improvement that are let pass."""
    min_delta: Annotated[Number, Field(ge=0)] = 0.0
    """A trial stands still only where it has become worse by more than this."""

    @field_validator("pruner")
    @classmethod
    def _inner_prunes(cls, pruner: Any) -> Any:
        if isinstance(pruner, ASHAPruner) and pruner.promote:
            raise _fault_at("pruner.promote", "cannot be combined with patient: a rung's ranks would be incomplete")
        return pruner


AnyPruner = (
    NoPruner
    | MedianPruner
    | PercentilePruner
    | ASHAPruner
    | HyperbandPruner
    | PatientPruner
    | WilcoxonPruner
    | ThresholdPruner
)
PRUNERS: dict[str, type[BaseModel]] = {
    "none": NoPruner,
    "median": MedianPruner,
    "percentile": PercentilePruner,
    "asha": ASHAPruner,
    "hyperband": HyperbandPruner,
    "patient": PatientPruner,
    "wilcoxon": WilcoxonPruner,
    "threshold": ThresholdPruner,
}
