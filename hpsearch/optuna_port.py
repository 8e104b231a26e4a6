"""What Optuna's storage interface needs of the service. `service.optuna_port` gives it in process, `client.optuna_port`
over HTTP; Optuna's own suite of storage tests runs over both.

Nothing of Optuna in here. What only Optuna understands (distributions, attributes, values that are not finite) travels
as JSON text by Python's json, which knows NaN and infinities, inside strict JSON.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from hpsearch.trials import Metrics, Pruning, TrialState

Kind = Literal["parameter", "intermediate", "user", "system"]
"""What of a trial is set: a parameter (`{"internal": …, "distribution": …}`), an intermediate value (by step), an
attribute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptunaStudy:
    """A study, as Optuna's interface sees it."""

    id: int
    name: str
    directions: tuple[str, ...]
    """`minimize` or `maximize`, one an objective."""
    user: str = "{}"
    system: str = "{}"
    """Attributes: a JSON object each."""
    space: str = "{}"
    """The spec's space as JSON; empty where scripts define it as they run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptunaTrial:
    """A trial, as Optuna's interface sees it."""

    number: int
    revision: int
    """Grows with every change made through this interface, and with every change of state."""
    state: str
    """`running`, `complete`, `pruned`, `fail` or `waiting`."""
    document: str
    """A JSON object: `parameters` (values by name), `internal`, `distributions`, `user`, `system`, `values`,
    `intermediate` (by step), `start`, `complete` (naive local times, ISO)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """What only we know of a trial; in a template's document under `ours`."""

    state: TrialState
    metrics: Metrics = field(default_factory=dict)
    reason: str | None = None
    pruning: Pruning | None = None
    enqueued: bool = False
    attempt: int = 0
    worker: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The right to write to a trial, for the one who made or took it."""

    number: int
    token: str | None
    """None where the trial is finished or waits: nobody holds it."""


class OptunaPort(Protocol):
    """Every call is safe to repeat after a lost answer.

    Raises `StudyNotFound`, `TrialNotFound`; `TrialFinished` for a write to a trial that has ended; `LeaseLost` for one
    to a trial that somebody else holds; `InvalidInput` for a parameter that does not fit.
    """

    def create_study(self, name: str, directions: Sequence[str], request_id: str) -> int:
        """A study whose space its scripts define. Raises `StudyExists`."""

    def delete_study(self, study_id: int) -> None:
        """Remove a study with all that belongs to it."""

    def find_study(self, name: str) -> int:
        """A study's id by its name."""

    def get_study(self, study_id: int) -> OptunaStudy:
        """A study by its id."""

    def list_studies(self) -> list[OptunaStudy]:
        """Every study."""

    def set_study(self, study_id: int, kind: Kind, key: str, value: str) -> None:
        """Set a user or a system attribute."""

    def create_trials(self, study_id: int, documents: Sequence[str | None], request_id: str) -> list[Taken]:
        """New trials: running and without parameters where there is no document (as in `OptunaTrial`, with `state`).

        Raises `StudyEnded`, `BudgetExceeded`, `IllegalTransition` where the study is paused.
        """

    def take_trial(self, study_id: int, number: int, request_id: str) -> Taken | None:
        """Hold a waiting trial; None where it does not wait (any more)."""

    def list_trials(self, study_id: int, revision: int, limit: int) -> list[OptunaTrial]:
        """Trials that changed after a revision, in the order of their changes."""

    def get_trial(self, study_id: int, number: int) -> OptunaTrial:
        """A trial by its number."""

    def set_trial(self, study_id: int, number: int, token: str | None, kind: Kind, key: str, value: str) -> None:
        """Set a parameter, an intermediate value or an attribute of a trial that has not ended."""

    def end_trial(self, study_id: int, number: int, token: str | None, state: str, values: str) -> None:
        """End a trial, or hand it back (`waiting`). `values`: a JSON list or null."""

    def beat(self, study_id: int, number: int, token: str | None) -> None:
        """A sign of life: a minute without one, or another write, hands the trial back."""
