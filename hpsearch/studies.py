"""A study as the service knows it: its description, where it stands, how far it has come."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, computed_field

from hpsearch.automatic import Choice, Progress, choice_of
from hpsearch.confirmation import Confirmed
from hpsearch.errors import IllegalTransition
from hpsearch.spec import StudySpec
from hpsearch.trials import Trial

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """A part of a list."""

    items: tuple[T, ...]
    next: str | None = None
    """The cursor of the page that follows; None at the end."""


class StudyState(StrEnum):
    """Where a study is in its life."""

    RUNNING = "running"  # searching: open to workers
    CONFIRMING = "confirming"  # the search is over, its best configurations are trained again on fresh seeds
    PAUSED = "paused"  # hands out nothing; running trials are handed back with their next report
    STOPPED = "stopped"  # ended by a user, before its budget
    COMPLETE = "complete"  # ended by its budget or its target

    @property
    def has_ended(self) -> bool:
        return self in (StudyState.STOPPED, StudyState.COMPLETE)

    @property
    def is_open(self) -> bool:
        """Whether trials are handed out."""
        return self in (StudyState.RUNNING, StudyState.CONFIRMING)


class EndReason(StrEnum):
    """Why a search ended, or stands still by itself."""

    TRIALS = "trials"  # the budget's trials are finished
    GRID = "grid"  # every point of the grid was tried
    WALL_CLOCK = "wall_clock"
    COMPUTE = "compute_seconds"
    NO_IMPROVEMENT = "no_improvement"
    TARGET = "target"
    STOPPED = "stopped"  # by a user
    FAILURES = "failures"  # not ended: it paused itself, for all that it tried failed alike


TRANSITIONS: Mapping[StudyState, frozenset[StudyState]] = {
    StudyState.RUNNING: frozenset({StudyState.CONFIRMING, StudyState.PAUSED, StudyState.STOPPED, StudyState.COMPLETE}),
    StudyState.CONFIRMING: frozenset({StudyState.RUNNING, StudyState.PAUSED, StudyState.STOPPED, StudyState.COMPLETE}),
    StudyState.PAUSED: frozenset({StudyState.RUNNING, StudyState.CONFIRMING, StudyState.STOPPED, StudyState.COMPLETE}),
    StudyState.STOPPED: frozenset(),
    StudyState.COMPLETE: frozenset({StudyState.RUNNING, StudyState.CONFIRMING}),  # failed trials are tried again
}


def check_transition(present: StudyState, to: StudyState) -> None:
    """Raise `IllegalTransition` unless a study may go from `present` to `to`."""
    if to not in TRANSITIONS[present]:
        raise IllegalTransition(f"a {present} study cannot become {to}")


class _Value(BaseModel):
    # models rather than dataclasses: what is computed goes over the wire too
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Counts(_Value):
    """How many trials of a study are in each state."""

    waiting: int = 0
    running: int = 0
    paused: int = 0
    """At a rung, where they may be promoted."""
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    cancelled: int = 0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def finished(self) -> int:
        """What the budget counts."""
        return self.complete + self.pruned + self.failed

    @property
    def created(self) -> int:
        """What the budget reserves: every trial but the cancelled ones."""
        return self.waiting + self.running + self.paused + self.finished


class Study(_Value):
    """A study and its progress."""

    id: int
    """Never used twice, unlike the name of a deleted study."""
    spec: StudySpec
    state: StudyState
    reason: str | None = None
    """Why it ended or is paused, in words."""
    ended_because: EndReason | None = None
    """Why the search ended, or paused itself. Where the study was stopped while it confirmed, the search's own end."""
    counts: Counts
    """Trials of the search: what the budget counts."""
    confirm_counts: Counts = Counts()
    """Runs that confirm the best configurations, counted apart."""
    compute_seconds: float = 0.0
    """For how long workers held trials of the search, summed up; claims that go on are not in it."""
    confirm_seconds: float = 0.0
    """The same of the runs that confirm."""
    best_number: int | None = None
    best_value: float | None = None
    revision: int
    """Grows with every change of a trial's or the study's state."""
    created_at: datetime
    started_at: datetime | None = None
    """The first claim: the wall clock of the budget starts here."""
    searched_at: datetime | None = None
    """When the search ended; what comes after confirms."""
    ended_at: datetime | None = None

    @property
    def has_confirming(self) -> bool:
        """Whether it has runs that confirm, in whatever state."""
        return self.confirm_counts.created + self.confirm_counts.cancelled > 0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def name(self) -> str:
        """The spec's name."""
        return self.spec.name

    @computed_field  # type: ignore[prop-decorator]
    @property
    def chosen(self) -> Choice:
        """The sampler and the pruner at work, and why, where they were left to hpsearch."""
        counts = self.counts
        progress = Progress(counts.complete + counts.pruned + counts.paused, counts.running + counts.waiting)
        return choice_of(self.spec, progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """A study made of another one, and what became of that one's trials."""

    study: Study
    copied: int
    """Trials that are complete, pruned or diverged, and are trials of the new study now."""
    outside: int
    """Such trials whose parameters are not of its space."""
    unfinished: int
    """Those that failed otherwise, were cancelled or have not ended: they tell nothing of the space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best complete trial so far, and whether more can come. There are two bests: the one that the search saw, and,
    once the study has ended, the one that holds on fresh seeds."""

    study: str
    state: StudyState
    reason: str | None = None
    ended_because: EndReason | None = None
    trial: Trial | None = None
    """The searched best: the trial with the best single value, which is better than it would be again (the winner's
    curse)."""
    confirmed: Confirmed | None = None
    """The confirmed best: the configuration with the best mean over fresh seeds. None before the study has ended, and
    where nothing was confirmed, or only what violates a constraint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A change of state: of a trial, or of the study itself."""

    revision: int
    """Grows from event to event within a study: the cursor of whoever follows it."""
    number: int | None = None
    """The trial's; None where the study itself changed."""
    state: str
    """What the trial or the study has become."""
    attempt: int | None = None
    worker: str | None = None
    value: float | None = None
    """Of a trial that ended with one; of several metrics the first's."""
    values: tuple[float, ...] | None = None
    """Of every searched metric, in the study's order."""
    reason: str | None = None
    happened_at: datetime
