"""Every error that hpsearch raises, as one tree. Nothing here knows of HTTP: `api/problems.py` maps the tree to it.

HpsearchError
├── InvalidInput            (what was sent is wrong; carries every fault with its path)
│   └── InvalidSpec
├── NotFound
│   ├── StudyNotFound
│   ├── TrialNotFound
│   ├── ArtifactNotFound
│   ├── ObjectiveNotFound
│   └── WorkerNotFound
├── Conflict                (right in itself, but not in the present state)
│   ├── StudyExists
│   ├── StudyEnded
│   ├── BudgetExceeded
│   ├── LeaseLost
│   ├── TrialFinished
│   ├── IllegalTransition
│   └── WorkerReplaced
├── TooLarge
├── Unauthorized
├── Unavailable             (try again later)
│   ├── StoreUnavailable
│   └── ServerUnreachable
└── ConfigurationError      (a setting or a flag is wrong; nothing was started)
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with an input."""

    path: str
    """Where, as a dotted path: `space.learning_rate.low`; empty for the whole."""
    problem: str
    """What is wrong, and what would be right."""
    suggestion: str | None = None
    """The near name, where one was misspelt."""

    def __str__(self) -> str:
        hint = f" (did you mean {self.suggestion!r}?)" if self.suggestion else ""
        return f"{self.path or '(whole)'}: {self.problem}{hint}"


def near(name: object, known: Iterable[str]) -> str | None:
    """The known name most like a misspelt one, or None where none comes near."""
    matches = get_close_matches(str(name), sorted(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


class HpsearchError(Exception):
    """hpsearch could not do what was asked."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])


class InvalidInput(HpsearchError):
    """The input has faults."""

    def __init__(self, message: str | None = None, faults: Iterable[Fault] = ()) -> None:
        self.faults = tuple(faults)
        super().__init__(message or ("; ".join(map(str, self.faults)) or None))


class InvalidSpec(InvalidInput):
    """The study's description has faults."""


class NotFound(HpsearchError):
    """There is no such thing."""


class StudyNotFound(NotFound):
    """There is no study of this name."""


class TrialNotFound(NotFound):
    """The study has no trial of this number."""


class ArtifactNotFound(NotFound):
    """The trial has no artifact of this name."""


class ObjectiveNotFound(NotFound):
    """There is no objective of this name."""


class WorkerNotFound(NotFound):
    """No worker has registered under this name."""


class Conflict(HpsearchError):
    """The present state does not allow this."""


class StudyExists(Conflict):
    """A study of this name exists with another description."""


class StudyEnded(Conflict):
    """The study has ended."""


class BudgetExceeded(Conflict):
    """The study's budget leaves no room for this."""


class LeaseLost(Conflict):
    """The lease on this trial is no longer yours: it expired, was handed on, or the study ended."""


class TrialFinished(Conflict):
    """The trial has finished with another result."""


class IllegalTransition(Conflict):
    """A study or a trial cannot go from its present state to that one."""


class WorkerReplaced(Conflict):
    """Another worker process registered under the same name later."""


class TooLarge(HpsearchError):
    """What was sent is larger than this server takes."""


class Unauthorized(HpsearchError):
    """This server wants a bearer token: set HPSEARCH_TOKEN, or pass --token."""


class Unavailable(HpsearchError):
    """Not available at present; try again."""


class StoreUnavailable(Unavailable):
    """The database cannot be reached or is out of room; try again."""


class ServerUnreachable(Unavailable):
    """The server cannot be reached."""


class ConfigurationError(HpsearchError):
    """A setting is wrong."""


PROBLEM_PREFIX = "urn:hpsearch:problem:"
"""Before an error's name, where it is told as a problem's type (RFC 9457)."""


def problem_type(error: type[HpsearchError]) -> str:
    """The stable name of an error on the wire: `LeaseLost` is `lease-lost`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", error.__name__).lower()


def error_tree(root: type[HpsearchError] = HpsearchError) -> list[type[HpsearchError]]:
    """Every class of the tree, the root first."""
    return [root, *(error for child in root.__subclasses__() for error in error_tree(child))]
