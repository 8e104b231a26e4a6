"""What the agent and a slot's child process say to each other over their pipe: plain frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hpsearch.errors import HpsearchError
from hpsearch.objectives.objective import ObjectiveInfo
from hpsearch.trials import Decision, Metrics, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Briefing:
    """To the child, first of all."""

    objectives: Mapping[str, str]
    """Import paths by name, of classes that keep the whole contract."""
    own: Mapping[str, str] = field(default_factory=dict)
    """The same of users' functions and classes; imported from the current folder too."""
    threads: int
    folder: Path
    """The agent's own, to be removed if the agent dies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """To the child: run this trial."""

    objective: str
    parameters: Mapping[str, Scalar]
    seed: int
    metrics: Mapping[str, Literal["minimize", "maximize"]]
    """What is searched; the first is reported."""
    workspace: Path
    data_roots: tuple[Path, ...]
    checkpoint: Path | None
    number: int
    attempt: int
    study: str = ""
    slot: int = 0


Reply = Decision | HpsearchError
"""To the child: the answer to `Measured`, `Saving` or `Fetching`. An error is raised where the objective waits."""


@dataclass(frozen=True, slots=True)
class Ready:
    """From the child: every objective is imported."""

    published: tuple[ObjectiveInfo, ...] = ()
    """What the users' own say of themselves."""


@dataclass(frozen=True, slots=True)
class Broken:
    """From the child: an objective cannot be imported; the process ends."""

    reason: str


@dataclass(frozen=True, slots=True)
class Measured:
    """From the child: a report; it waits for the reply."""

    step: int
    value: float
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Saving:
    """From the child: a file to keep with the trial; it waits for the reply."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Fetching:
    """From the child: it wants a file of another trial, written to `path`; it waits for the reply."""

    study: str
    number: int | None
    """None: the study's best trial."""
    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Ended:
    """From the child: the trial is over, and it is ready for the next one."""

    state: Literal["complete", "pruned", "failed"]
    value: float | None = None
    metrics: Metrics = field(default_factory=dict)
    reason: str | None = None
    traceback: str | None = None


FromChild = Ready | Broken | Measured | Saving | Fetching | Ended
