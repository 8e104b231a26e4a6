"""What requests carry. Everything strict: an unknown field is a fault, with the near name where there is one."""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from hpsearch.names import NO_NUL, WORKER_NAME, Name
from hpsearch.objectives.objective import ObjectiveInfo
from hpsearch.parameters import Float, Int, ParameterName, Value

Text = Annotated[str, Field(strict=True, pattern=NO_NUL, max_length=10_000)]
WorkerName = Annotated[str, Field(strict=True, pattern=WORKER_NAME, max_length=200)]
MetricValues = dict[Text, Float | None]


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        problem = f"must be finite, not {value}; a trial that diverged is told as failed, with the reason 'diverged'"
        raise PydanticCustomError("fault_at", "{problem}", {"field": "value", "problem": problem})
    return value


ReportedValue = Annotated[Float, BeforeValidator(_finite)]


class Body(BaseModel):
    """A JSON object."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Enqueue(Body):
    """Configurations to try."""

    configurations: Annotated[list[dict[ParameterName, Value]], Field(min_length=1, max_length=1000)]
    """What is left out of one, the sampler fills in."""
    request_id: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    """Random, chosen by the caller: the same request again, after a lost answer, is given the same trials."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"configurations": [{"learning_rate": 0.003, "hidden_units": 64}]}]}
    )


class WarmStart(Body):
    """The best of another study, to try first."""

    source: Name
    """The other study."""
    best: Annotated[Int, Field(ge=1, le=1000)] = 5
    """How many of its best configurations."""
    request_id: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    """Random, chosen by the caller: the same request again, after a lost answer, is given the same trials."""


class Retry(Body):
    """Failed trials to try again."""

    numbers: list[Annotated[Int, Field(ge=0)]] | None = None
    """All failed ones where none is named."""


class Extend(Body):
    """A larger budget."""

    trials: Annotated[Int, Field(ge=1)]
    """Finished trials in all, those that there are among them."""


class CloneBody(Body):
    """A study made of another one."""

    name: Name
    """Of the new study."""
    description: dict[str, Any] | None = None
    """The new study's, as a study file says it; without it, all is as in the first one."""
    counted: Annotated[bool, Field(strict=True)] = False
    """Whether the budget counts the copied trials."""


class Ask(Body):
    """A wish for trials, of a loop that is not ours."""

    count: Annotated[Int, Field(ge=1, le=1000)] = 1
    request_id: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    """Random, chosen by the caller: the same ask again, after a lost answer, is given the same trials."""
    worker: WorkerName | None = None
    """Who asks, for the record."""
    lease_seconds: Annotated[Float, Field(ge=0.1, le=7 * 86_400)] = 3600.0
    """Silent for so long, the trial goes to another; a report starts it anew."""


class Leased(Body):
    """A write under a lease, as the ask gave it."""

    token: Text
    attempt: Annotated[Int, Field(ge=1)] = 1


class ReportBody(Leased):
    """A measurement."""

    step: Annotated[Int, Field(ge=0)]
    value: ReportedValue
    """Finite: JSON has no NaN. A trial that diverged is told as failed, with the reason `diverged`."""
    metrics: MetricValues = {}

    model_config = ConfigDict(json_schema_extra={"examples": [{"token": "3f…", "step": 1, "value": 0.42}]})


class TellBody(Leased):
    """An end."""

    state: Literal["complete", "pruned", "failed"] = "complete"
    value: ReportedValue | None = None
    """Finite; required for a complete trial and for no other."""
    values: list[Float] | None = None
    """For studies of several objectives; otherwise `value` says the same."""
    metrics: MetricValues = {}
    reason: Text | None = None
    """Why it failed. `diverged`, or `diverged: …`, says that its value became infinite or not a number: the sampler
    keeps away from there."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"token": "3f…", "state": "complete", "value": 0.97}]})


class RegisterBody(Body):
    """A worker process."""

    name: WorkerName
    session: Text
    host: Text
    pid: Int
    slots: Annotated[Int, Field(ge=1, le=100_000)]
    objectives: list[Text]
    version: Text = ""
    published: Annotated[list[ObjectiveInfo], Field(max_length=1000)] = []
    """What the objectives of the user's own say of themselves."""


class ClaimBody(Body):
    """A wish for trials, of a worker."""

    session: Text
    holding: list[Text] = []
    """Tokens of the leases that the worker knows it holds."""
    limit: Annotated[Int, Field(ge=1, le=1000)] = 1
