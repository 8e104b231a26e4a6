"""What a worker needs of the service. `Service` gives it in process, `Client` over HTTP; one suite tests both."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from hpsearch.objective_spec import ObjectiveSpec
from hpsearch.objectives.objective import ObjectiveInfo
from hpsearch.trials import Artifact, Decision, Lease, Parameters, Receipt, Release, Report, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A worker process, as it introduces itself."""

    name: str
    """Stable across restarts where the user wants it so: a worker that comes back under its name gets its own live
    trials first."""
    session: str
    """Random, new for each process. The last process to register under a name is the worker; others are told
    `WorkerReplaced`."""
    host: str
    pid: int
    slots: int
    objectives: tuple[str, ...]
    """Names of the objectives it runs; it is given trials of these alone."""
    version: str = ""
    published: tuple[ObjectiveInfo, ...] = ()
    """What those of them that are the user's own say of themselves: studies are checked against it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the service tells a worker that registered."""

    lease_seconds: float
    """A lease ends this long after the last claim, report or renewal."""
    renew_seconds: float
    """Renew this often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A trial to run, with all that is needed to run it."""

    lease: Lease
    objective: ObjectiveSpec
    parameters: Parameters
    seed: int
    """`trial_seed(study seed, number)`."""
    checkpoint: Artifact | None = None
    """The newest checkpoint of an earlier attempt."""
    judged_steps: tuple[int, ...] | None = None
    """The only steps at which the study's pruner may end the trial or have it pause; None: any. At others whoever
    trains need not wait for the answer to a report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """A worker as the service knows it."""

    name: str
    host: str
    pid: int
    slots: int
    objectives: tuple[str, ...]
    version: str
    registered_at: datetime
    seen_at: datetime
    running: int = 0
    """Trials it holds a lease on."""
    finished: int = 0
    """Trials it finished."""
    studies: tuple[str, ...] = field(default=())
    """Studies of the trials it holds."""


class Gateway(Protocol):
    """Every call is safe to repeat after a lost answer: it does what it did, once.

    Raises `ServerUnreachable` or `StoreUnavailable` when nothing could be said; the caller tries again.
    Lists answer in the order of what was sent; a lost lease is an answer, not an error.
    """

    def register(self, worker: Registration) -> Terms:
        """Introduce a worker. The latest session under a name holds it."""

    def claim(self, worker: str, session: str, holding: Sequence[str], limit: int) -> list[Assignment]:
        """Up to `limit` trials to run: the worker's own live ones that are not among the tokens it is `holding`,
        then waiting ones, then new suggestions. An empty list where there is nothing to do now.

        Raises `WorkerReplaced`; `WorkerNotFound` where the worker must register (again) first.
        """

    def renew(self, leases: Sequence[Lease]) -> list[Decision]:
        """Extend leases; each answer is CONTINUE, PAUSE or LOST."""

    def report(self, reports: Sequence[Report]) -> list[Decision]:
        """Record measurements and extend their leases. A report of a step on record under the same attempt is
        answered as it was then."""

    def tell(self, results: Sequence[Result]) -> list[Receipt]:
        """Finish trials."""

    def release(self, releases: Sequence[Release]) -> list[Receipt]:
        """Hand trials back."""

    def put_artifact(self, lease: Lease, name: str, path: Path) -> Artifact:
        """Keep a file with a trial, replacing an older one of the same name.

        Raises `LeaseLost`, `TooLarge`.
        """

    def get_artifact(self, study: str, number: int | None, name: str, path: Path) -> Artifact:
        """Write an artifact's bytes to `path`, atomically and checked against its digest. Without a number it is the
        study's best trial's, as that stands now.

        Raises `StudyNotFound`, `TrialNotFound` (also where no trial is complete yet), `ArtifactNotFound` (also where
        the bytes are gone or damaged).
        """
