"""Real processes: servers and workers as a user starts them, killed as machines kill them."""

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hpsearch.client import Client
from hpsearch.errors import HpsearchError
from tests import zygote
from tests.waiting import wait_until


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cluster:
    """A server and workers on one home and one database."""

    def __init__(self, home: Path, database_url: str | None) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("HPSEARCH_")}
        self.environment |= {"HPSEARCH_HOME": str(home), "HPSEARCH_LEASE_SECONDS": "2"}
        if database_url:
            self.environment["HPSEARCH_DATABASE_URL"] = database_url
        self.processes: list[subprocess.Popen[bytes]] = []
        self.client = Client(self.url)

    def start_server(self) -> subprocess.Popen[bytes]:
        """Returns when the server is ready."""
        process = self.start("serve", "--port", str(self.port))
        wait_until(self._is_ready, "the server is ready")
        return process

    def start_worker(self, name: str, slots: int = 1, *more: str, **options: Any) -> subprocess.Popen[bytes]:
        return self.start("worker", "--server", self.url, "--slots", str(slots), "--name", name, *more, **options)

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """A command of hpsearch, in a process group of its own."""
        log = (self.home / f"{len(self.processes)}-{arguments[0]}.log").open("wb")
        process = zygote.start(
            ["hpsearch", *arguments],
            env=self.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **options,
        )
        log.close()
        self.processes.append(process)
        return process

    def _is_ready(self) -> bool:
        try:
            list(self.client.studies())
        except HpsearchError:
            return False
        return True

    def close(self) -> None:
        self.client.close()
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[Callable[[str | None], Cluster]]:
    made: list[Cluster] = []

    def make(database_url: str | None = None) -> Cluster:
        made.append(Cluster(tmp_path, database_url))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()


def digits_study(**changes: Any) -> dict[str, Any]:
    """A real study, small: an LSTM on digits, a few epochs a trial."""
    study: dict[str, Any] = {
        "name": "digits",
        "objective": {
            "name": "rnn",
            "metric": "validation_accuracy",
            "direction": "maximize",
            "settings": {"dataset": "digits", "max_epochs": 4, "hidden_layers": 1, "batch_size": 64},
        },
        "space": {
            "learning_rate": {"type": "float", "low": 1e-3, "high": 1e-1, "log": True},
            "hidden_units": {"type": "int", "low": 8, "high": 32, "log": True},
        },
        "sampler": {"name": "tpe"},
        "pruner": {"name": "none"},
        "budget": {"trials": 12},
        "max_attempts": 5,
    }
    return study | changes
