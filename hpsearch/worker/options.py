"""How a worker works."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """What an agent is told when it is made."""

    name: str
    """Under which it registers; no two live processes may share one."""
    objectives: Mapping[str, str]
    """Names of the objectives that it runs, each with the import path of its class: `package.module:Class`."""
    own: Mapping[str, str] = field(default_factory=dict)
    """The same of users' functions and classes (`package.module:function`), which the agent publishes."""
    slots: int = 1
    """Trials at a time."""
    data_roots: tuple[Path, ...] = ()
    """Trials read data files below these folders alone."""
    threads: int = 1
    """Computing threads a slot."""
    hang_seconds: float = 900.0
    """A trial that computes for so long without a report is killed."""
    grace_seconds: float = 8.0
    """After the first stop, trials may finish for so long before they are handed back."""
    poll_seconds: float = 1.0
    """How often an idle slot asks for work."""
    workspace: Path | None = None
    """The folder for the trials' temporary folders; the system's own without."""
