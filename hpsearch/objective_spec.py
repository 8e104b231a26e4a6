"""What a study says of its objective: who runs it, and which measurements are searched in which direction."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from hpsearch.names import Name
from hpsearch.parameters import ParameterName, Part, Value, fault_at

Direction = Literal["minimize", "maximize"]
MetricName = Annotated[str, Field(strict=True, min_length=1, max_length=200)]
MOST_METRICS = 100
"""Of a study. What is searched well is two or three."""


def _direction_or_metrics(schema: dict[str, Any]) -> None:
    schema["required"] = [name for name in schema["required"] if name != "direction"]
    schema["anyOf"] = [{"required": ["direction"]}, {"required": ["metrics"]}]


class ObjectiveSpec(Part):
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
            raise fault_at("metrics", "must name at least two; one alone is said by metric and direction")
        return metrics

    @field_validator("metrics")
    @classmethod
    def _one_metric_leads(cls, metrics: dict[str, Direction] | None, info: Any) -> dict[str, Direction] | None:
        for name, field in (("metric", 0), ("direction", 1)):
            first = next(iter(metrics.items()))[field] if metrics else None
            if first is not None and info.data.get(name, first) != first:
                problem = f"is said by objective.metrics already, whose first one has {first!r}: leave it out"
                raise fault_at(name, problem)
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
