"""What the courier's threads leave in the agent's mailbox: the service's answers."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpsearch.errors import HpsearchError
from hpsearch.gateway import Assignment, Terms
from hpsearch.trials import Decision, Lease, Receipt, Release, Report, Result

Item = Report | Result | Release
"""What a trial has to say to the service."""


@dataclass(frozen=True, slots=True, eq=False)
class Upload:
    """A file on its way to the service, to be kept with a trial."""

    lease: Lease
    name: str
    path: Path
    given_up: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True, eq=False)
class Download:
    """A file on its way from the service: a trial's own checkpoint, or what it wants of another trial."""

    study: str
    number: int | None
    """None: the study's best trial."""
    name: str
    path: Path
    is_checkpoint: bool
    given_up: threading.Event = field(default_factory=threading.Event)


Transfer = Upload | Download


@dataclass(frozen=True, slots=True)
class Registered:
    terms: Terms


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The service does not know this worker (any more): it must register again."""


@dataclass(frozen=True, slots=True)
class Claimed:
    assignments: Sequence[Assignment]
    """Empty also where the claim was given up."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The service answered a renewal with LOST."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Answered:
    item: Item
    answer: Decision | Receipt


@dataclass(frozen=True, slots=True)
class Refused:
    """The service will never take this item as it is."""

    item: Item
    error: HpsearchError


@dataclass(frozen=True, slots=True)
class Transferred:
    transfer: Transfer
    error: HpsearchError | None = None
    """Why the service refused it."""


@dataclass(frozen=True, slots=True)
class Fatal:
    """Nothing more can be done: the agent ends with this error."""

    error: HpsearchError


Letter = Registered | Forgotten | Claimed | Lost | Answered | Refused | Transferred | Fatal
