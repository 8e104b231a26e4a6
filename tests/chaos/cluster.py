"""The real processes that the storm rages over: servers and workers, with a bad network between them."""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hpsearch.client import Client
from hpsearch.errors import HpsearchError
from hpsearch.studies import Study
from tests import zygote
from tests.acceptance.conftest import free_port
from tests.chaos.databases import Database
from tests.chaos.proxy import Proxy, Weather
from tests.waiting import wait_until

LEASE_SECONDS = 2.0
WORKERS_A_PROCESS = 4
STUDY = "chaos"


class Process:
    """A command of ours, in a process group of its own; what it says goes to a file."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], log: Path) -> None:
        with log.open("ab") as file:
            self.popen = zygote.start(command, env=environment, stdout=file, stderr=file, start_new_session=True)

    @property
    def is_alive(self) -> bool:
        return self.popen.poll() is None

    def send(self, number: int) -> None:
        if self.is_alive:
            os.kill(self.popen.pid, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.popen.wait()


class Server:
    """`hpsearch serve` on a port that it keeps; started again whenever it is dead, as by a supervisor."""

    def __init__(self, port: int, environment: dict[str, str], log: Path) -> None:
        self.port = port
        self.log = log
        self.client = Client(f"http://127.0.0.1:{port}", timeout=5.0, retries=0)
        self._environment = environment
        self._was_ready = False
        self._process = self._start()

    def _start(self) -> Process:
        self._was_ready = False
        return Process(["hpsearch", "serve", "--port", str(self.port)], self._environment, self.log)

    def tend(self) -> str | None:
        """Start it again if it is dead. Returns what was noticed: it `died` by itself, or its `start` was `refused`."""
        if self._process.is_alive:
            self._was_ready = self._was_ready or self.study() is not None
            return None
        noticed = "servers that died by themselves" if self._was_ready else "server starts that failed"
        self._process = self._start()
        return noticed

    def study(self) -> Study | None:
        """The study, if the server can tell."""
        with suppress(HpsearchError):
            return self.client.study(STUDY).info
        return None

    def can_answer(self) -> bool:
        try:
            list(self.client.studies())
        except HpsearchError:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL, and another one in its place."""
        self._process.kill()
        self._process = self._start()

    def strike(self) -> None:
        """SIGKILL from whatever thread; whoever tends it comes later."""
        self._was_ready = False
        self._process.send(signal.SIGKILL)

    def close(self) -> None:
        self.client.close()
        self._process.send(signal.SIGTERM)
        try:
            self._process.popen.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()


class WorkerGroup:
    """A process with some simulated workers."""

    def __init__(self, names: Sequence[str], command: Sequence[str], environment: dict[str, str], log: Path) -> None:
        self._names = names
        self._command = command
        self._environment = environment
        self._log = log
        self._lives = 0
        self._stalled_until: float | None = None
        self._process = self._start()

    def _start(self) -> Process:
        names = [name if self._lives == 0 else f"{name}.{self._lives}" for name in self._names]
        return Process([*self._command, "--names", *names], self._environment, self._log)

    def kill(self, *, under_new_names: bool) -> None:
        """SIGKILL; then another process, whose workers are the same or new ones."""
        self._process.kill()
        self._stalled_until = None
        self._lives += under_new_names
        self._process = self._start()

    def stall(self) -> None:
        """SIGSTOP for longer than a lease."""
        self._stalled_until = time.monotonic() + 1.5 * LEASE_SECONDS
        self._process.send(signal.SIGSTOP)

    def tend(self) -> str | None:
        """Go on after a stall that is over."""
        if self._stalled_until is not None and time.monotonic() >= self._stalled_until:
            self._stalled_until = None
            self._process.send(signal.SIGCONT)
        return None if self._process.is_alive else "worker processes that died by themselves"

    def close(self) -> None:
        self._process.send(signal.SIGCONT)
        self._process.send(signal.SIGTERM)
        try:
            self._process.popen.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()


class Cluster:
    """Servers, workers, the network between them and the database under them."""

    def __init__(self, folder: Path, database: Database, *, servers: int, workers: int, seed: int) -> None:
        self.database = database
        self.journals = folder / "journals"
        self.journals.mkdir()
        self.noticed: Counter[str] = Counter()
        """What went wrong without our doing."""
        self._environment = _environment(folder / "home", database.url)
        self._logs = folder
        self.servers = [
            Server(free_port(), self._environment, folder / f"server-{number}.log") for number in range(servers)
        ]
        self.proxy = Proxy([server.port for server in self.servers], Weather(), seed)
        self.groups: list[WorkerGroup] = []
        self._worker_names = [f"worker-{number}" for number in range(workers)]
        self._seed = seed

    def start_workers(self) -> None:
        """Begin the work."""
        command = ["tests.chaos.workers", "--server", f"http://127.0.0.1:{self.proxy.port}"]
        command += ["--folder", str(self.journals), "--seed", str(self._seed)]
        for first in range(0, len(self._worker_names), WORKERS_A_PROCESS):
            names = self._worker_names[first : first + WORKERS_A_PROCESS]
            self.groups.append(WorkerGroup(names, command, self._environment, self._logs / "workers.log"))

    def tend(self) -> None:
        """Start what is dead, wake what is stalled."""
        for process in [*self.servers, *self.groups]:
            if noticed := process.tend():
                self.noticed[noticed] += 1

    def wait_for_servers(self) -> None:
        """Returns when all of them answer."""

        def all_answer() -> bool:
            self.tend()
            return all(server.can_answer() for server in self.servers)

        wait_until(all_answer, "all servers answer")

    def wait_for_ambush(self) -> None:
        """Returns when no server is about to be killed in the middle of a request."""

        def is_over() -> bool:
            self.tend()
            return not self.proxy.is_in_ambush

        wait_until(is_over, "the ambush is over")

    def study(self) -> Study | None:
        """The study as any server tells it; None while none can."""
        return next((study for server in self.servers if (study := server.study())), None)

    def stop_workers(self) -> None:
        """End the workers, and let everything arrive that is still on its way."""
        for group in self.groups:
            group.close()
        self.groups.clear()
        self.proxy.calm()

    def close(self) -> None:
        for group in self.groups:
            group.close()
        self.proxy.close()
        for server in self.servers:
            server.close()


def _environment(home: Path, database_url: str | None) -> dict[str, str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("HPSEARCH_")}
    root = str(Path(__file__).parents[2])
    ours = {"HPSEARCH_HOME": str(home), "HPSEARCH_LEASE_SECONDS": str(LEASE_SECONDS), "PYTHONPATH": root}
    return outside | ours | ({"HPSEARCH_DATABASE_URL": database_url} if database_url else {})
