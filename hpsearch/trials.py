"""A trial and the values around it: frozen, without I/O. Every process of hpsearch speaks in these."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from hpsearch.errors import IllegalTransition

Scalar = str | int | float | bool | None
"""What one parameter's value may be."""

Parameters = Mapping[str, Scalar]
Metrics = Mapping[str, float | None]
"""Named measurements; None stands for one that was not finite."""


class TrialState(StrEnum):
    """Where a trial is in its life."""

    WAITING = "waiting"  # enqueued, or handed back: parameters are fixed, nobody holds it
    RUNNING = "running"  # leased
    PAUSED = "paused"  # at a rung, not among the best there: nobody holds it, and it goes on if it is promoted
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    CANCELLED = "cancelled"  # its study was stopped first; does not count as finished

    @property
    def is_finished(self) -> bool:
        """Whether the trial counts against the budget as done."""
        return self in FINISHED


class TrialKind(StrEnum):
    """Which trials are meant."""

    SEARCH = "search"  # what the sampler suggested or a user enqueued: the budget, the best and the counts are of these
    CONFIRM = "confirm"  # the best configurations, trained again on fresh seeds once the search is over
    ALL = "all"


FINISHED = frozenset({TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED})

TRANSITIONS: Mapping[TrialState, frozenset[TrialState]] = {
    TrialState.WAITING: frozenset({TrialState.RUNNING, TrialState.CANCELLED}),
    TrialState.RUNNING: frozenset(
        # to RUNNING: its worker came back under its name and takes it up again as a new attempt
        {TrialState.RUNNING, TrialState.WAITING, TrialState.PAUSED, TrialState.CANCELLED} | FINISHED
    ),
    # to PRUNED: its study ended, and nobody had promoted it
    TrialState.PAUSED: frozenset({TrialState.RUNNING, TrialState.PRUNED}),
    TrialState.COMPLETE: frozenset(),
    TrialState.PRUNED: frozenset(),
    TrialState.FAILED: frozenset({TrialState.WAITING}),  # tried again, at a user's word
    TrialState.CANCELLED: frozenset(),
}


CHECKPOINTS = ("checkpoint.safetensors", "checkpoint.tar")
"""The artifact that the next attempt of a trial goes on from: of the recurrent objective, and of users' own."""
DIVERGED = "diverged"
"""The reason of a failed trial whose training diverged, alone or before a colon. Samplers learn from such trials."""


def has_diverged(state: TrialState, reason: str | None) -> bool:
    """Whether a trial failed because something became infinite or not a number."""
    return state is TrialState.FAILED and reason is not None and reason.partition(":")[0] == DIVERGED


def check_transition(present: TrialState, to: TrialState) -> None:
    """Raise `IllegalTransition` unless a trial may go from `present` to `to`."""
    if to not in TRANSITIONS[present]:
        raise IllegalTransition(f"a {present} trial cannot become {to}")


class Decision(StrEnum):
    """What a worker is to do with a trial: the answer to a report or a renewal."""

    CONTINUE = "continue"
    PRUNE = "prune"  # end it and tell it as pruned
    PAUSE = "pause"  # checkpoint it, hand it back: its study pauses, or the trial itself does
    LOST = "lost"  # the lease is gone (expired, stopped, deleted): drop it, tell nothing


class Receipt(StrEnum):
    """The answer to a tell or a release."""

    ACCEPTED = "accepted"  # also when the very same was told before
    LOST = "lost"  # the lease is gone, nothing was written
    CONFLICT = "conflict"  # told before under this lease, with another result


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to work on one trial; fences every write to it."""

    study: str
    number: int
    token: str
    """Random; a write with any other token is refused."""
    attempt: int
    """1 for the first worker that takes the trial up, one more for each that follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file kept with a trial."""

    name: str
    size: int
    """Bytes."""
    sha256: str
    attempt: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """Why a pruner had a trial end or pause, in figures; the trial's reason says the same in words."""

    pruner: str
    step: int
    """Where it was judged; its rung, where the pruner has rungs."""
    value: float
    """Its own: at the step, or what the pruner makes of its values up to there."""
    held_against: float | None
    """What that had to reach: the cut of a rung, the median, a bound. None stands for one that was not finite."""
    rank: int | None = None
    """Its place among those it was held against, the best at 1, itself counted."""
    of: int | None = None
    """How many those were, itself counted."""
    bracket: int | None = None
    """Of hyperband."""
    p_value: float | None = None
    """Of a test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One configuration, tried once to its end."""

    study: str
    number: int
    """0, 1, 2 … in the order of creation, without gaps."""
    state: TrialState
    parameters: Parameters
    seed: int
    """What every random state of the trial derives from: `trial_seed(study seed, number)`, or `confirm_seed` of a run
    that confirms."""
    confirms: int | None = None
    """The searched trial whose configuration it trains again on a fresh seed; None for a trial of the search."""
    values: tuple[float, ...] | None = None
    """The objective's values in the study's order; None until complete (a pruned trial has its last report's)."""
    value: float | None = None
    """The first (mostly the only) of them."""
    metrics: Metrics = field(default_factory=dict)
    """What else was measured at the end."""
    violations: Mapping[str, float | None] = field(default_factory=dict)
    """The study's constraints that it violates, and by how much; None: by what could not be measured. A trial with any
    is never the best."""
    reason: str | None = None
    """Why it failed, was pruned, cancelled, or is waiting again."""
    pruning: Pruning | None = None
    """Why the study's pruner wanted it pruned, in figures; None where no pruner did."""
    diverged: bool = False
    """Whether it failed because something became infinite or not a number; samplers hold such a trial for bad."""
    attempt: int = 0
    """How many workers have taken it up so far."""
    worker: str | None = None
    """Who holds it or held it last."""
    last_step: int | None = None
    last_value: float | None = None
    """The report of the furthest step."""
    enqueued: bool = False
    """Whether its parameters were given by a user rather than suggested by the sampler."""
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    revision: int
    """The study's revision at this trial's newest change of state: a cursor for whoever follows the study."""
    seen: int | None = None
    """The study's revision that the sampler looked at: what it suggested follows from the events up to there and the
    study's seed. None where no sampler was asked: copies, what confirms, Optuna's scripts."""
    together: int | None = None
    """How many trials it was asked for at once, from the first number on that there was not at that revision."""
    sampler_attributes: Mapping[str, Any] = field(default_factory=dict)
    """What the sampler wants to remember of its suggestion."""


@dataclass(frozen=True, slots=True)
class Observation:
    """As much of a trial as samplers look at."""

    number: int
    state: TrialState
    parameters: Parameters
    values: Sequence[float] | None
    last_step: int | None
    last_value: float | None
    sampler_attributes: Mapping[str, Any]
    revision: int
    diverged: bool = False
    violations: Mapping[str, float] = field(default_factory=dict)
    """Of the study's constraints, and by how much; infinite where that could not be measured."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Parameters for a new trial, with what the sampler wants to remember of them."""

    parameters: Parameters
    sampler_attributes: Mapping[str, Any] = field(default_factory=dict)
    seen: int | None = None
    together: int | None = None
    """See `Trial`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One measurement of a running trial; a report renews the lease."""

    lease: Lease
    step: int
    """1, 2, 3 …: epochs for the recurrent objective."""
    value: float
    """The searched metric at this step; finite."""
    metrics: Metrics = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A trial's end, as its worker tells it."""

    lease: Lease
    state: TrialState
    """COMPLETE, PRUNED or FAILED."""
    values: tuple[float, ...] | None = None
    """Finite; required for COMPLETE and only for it."""
    metrics: Metrics = field(default_factory=dict)
    reason: str | None = None
    """`diverged`, or `diverged: …`, where a failed trial's training did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A trial handed back before its end; it goes on elsewhere."""

    lease: Lease
    reason: str
    crashed: bool = False
    """True: the attempt counts, and the last one allowed fails the trial. False (a worker that shuts down): it does
    not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intermediate:
    """A report on record."""

    step: int
    value: float
    metrics: Metrics
    attempt: int
    decision: Decision
    reported_at: datetime


def trial_seed(study_seed: int, number: int) -> int:
    """The seed of one trial: 63 bits that depend on the study's seed and the trial's number alone."""
    return _seed(f"hpsearch trial {study_seed} {number}")


def confirm_seed(study_seed: int, run: int) -> int:
    """The seed of run 0, 1, 2 … of every configuration that is confirmed: the same for all of them, so that they can be
    compared in pairs, and none that the search has used."""
    return _seed(f"hpsearch confirm {study_seed} {run}")


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
