"""`hpsearch worker`: client and agent put together."""

import logging
import os
import re
import socket
from importlib.util import find_spec

from hpsearch.client import Client
from hpsearch.errors import ConfigurationError
from hpsearch.settings import Settings
from hpsearch.worker.agent import Agent, AgentOptions

OBJECTIVES = {"rnn": "hpsearch.objectives.rnn.objective:RnnObjective"}
"""What a worker runs; nothing else, whatever a study names."""


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_worker(settings: Settings, *, slots: int | None, name: str | None, threads: int) -> None:
    """Work until a signal. Raises `ConfigurationError` where nothing can be trained here."""
    check_torch()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    secret = settings.token.get_secret_value() if settings.token else None
    options = AgentOptions(
        name=name or default_name(),
        objectives=OBJECTIVES,
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
