"""`hpsearch worker`: client and agent put together."""

import logging
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec

from hpsearch.client import Client
from hpsearch.errors import ConfigurationError, near
from hpsearch.settings import Settings
from hpsearch.worker.agent import Agent, AgentOptions

OBJECTIVES = {"rnn": "hpsearch.objectives.rnn.objective:RnnObjective"}
"""What hpsearch brings. A worker runs what it was started with and nothing else, whatever a study names."""


GROUP = "hpsearch.objectives"
"""The entry points by which installed packages bring objectives: a name, and `package.module:function`."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Objectives to run, with their import paths."""

    built_in: Mapping[str, str]
    own: Mapping[str, str]


def choose(wanted: Sequence[str]) -> Chosen:
    """The objectives that `NAME=package.module:function`, `package.module:function` or the name of an installed one
    name; every installed one where nothing does. The second form is called `package.module.function`.

    Raises `ConfigurationError` where one is not understood, two have one name, or PyTorch is wanted and missing.
    """
    plugins = {point.name: point.value for point in entry_points(group=GROUP)}
    if not wanted:
        has_torch = find_spec("torch") is not None
        if not has_torch and not plugins:
            check_torch()
        return Chosen(built_in=OBJECTIVES if has_torch else {}, own=plugins)
    built_in: dict[str, str] = {}
    own: dict[str, str] = {}
    for text in wanted:
        name, path = _named(text, {**plugins, **OBJECTIVES})
        if name in built_in or name in own:
            raise ConfigurationError(f"--objective {text}: {name} is named twice; give one another name: NAME={path}")
        if OBJECTIVES.get(name) == path:
            built_in[name] = path
        elif name in OBJECTIVES:
            raise ConfigurationError(f"--objective {text}: {name} is hpsearch's own; give yours another name")
        else:
            own[name] = path
    if built_in:
        check_torch()
    return Chosen(built_in=built_in, own=own)


def _named(text: str, installed: Mapping[str, str]) -> tuple[str, str]:
    """Name and import path. Raises `ConfigurationError`."""
    name, equals, path = text.partition("=")
    if not equals and ":" not in text:
        if text in installed:
            return text, installed[text]
        close = near(text, installed)
        hint = f" (did you mean {close!r}?)" if close else ""
        known = f"installed are {', '.join(sorted(installed))}{hint}"
        raise ConfigurationError(f"--objective {text}: must be package.module:function, or a name; {known}")
    path = path if equals else text
    name = name if equals else path.replace(":", ".")
    if not _PATH.fullmatch(path):
        example = path.removesuffix(".py").replace("/", ".") if path.endswith(".py") else "package.module"
        right = f"{example}:function, a module and what is in it" if ":" not in path else "package.module:function"
        raise ConfigurationError(f"--objective {text}: must be {right}, not {path!r}")
    if not _NAME.fullmatch(name):
        problem = "a name may hold letters, digits, '.', '_' and '-', and starts with a letter or a digit"
        raise ConfigurationError(f"--objective {text}: {problem}, not {name!r}")
    return name, path


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_worker(
    settings: Settings, *, slots: int | None, name: str | None, threads: int, objectives: Sequence[str]
) -> None:
    """Work until a signal. Raises `ConfigurationError` where nothing can be trained here."""
    chosen = choose(objectives)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    secret = settings.token.get_secret_value() if settings.token else None
    options = AgentOptions(
        name=name or default_name(),
        objectives=chosen.built_in,
        own=chosen.own,
        slots=slots or cores(),
        data_roots=settings.data_roots,
        threads=threads,
        hang_seconds=settings.hang_seconds,
        grace_seconds=settings.grace_seconds,
    )
    # the agent has its own patience with a server that is away; a stuck call must not outlast a lease
    with Client(settings.server, secret, timeout=10.0, retries=0) as client:
        agent = Agent(client, options)
        agent.install_signal_handlers()
        agent.run()


def check_torch() -> None:
    """Raises `ConfigurationError` where nothing can be trained here."""
    if find_spec("torch") is None:
        raise ConfigurationError("training needs PyTorch: pip install 'hpsearch[rnn]'")


def default_name() -> str:
    """This machine's name and this process's number."""
    host = re.sub(r"[^A-Za-z0-9.-]+", "-", socket.gethostname()).strip("-.") or "worker"
    return f"{host}-{os.getpid()}"
