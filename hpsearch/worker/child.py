"""The child process of a slot, as the agent sees it.

A plain subprocess rather than `multiprocessing`: that runs the main module again in every child, and what it imports
(numpy, say) before a word about threads could be said; it hands on the whole environment; and a Ctrl-C in the terminal
reaches its children before they can ignore it. Only its `Connection` is used.
"""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection

from hpsearch.worker.messages import Briefing, FromChild, Ready, Reply, Task

logger = logging.getLogger("hpsearch.worker")

BOOT = """
import sys
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
sys.path[:] = connection.recv()
from hpsearch.worker.runner import run_slot
run_slot(connection)
"""
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
FIRST_RESTART_SECONDS = 0.5
MAX_RESTART_SECONDS = 30.0
BURIAL_SECONDS = 5.0


def environment(threads: int) -> Mapping[str, str]:
    """What a child process finds in its environment: none of our settings (the token, a database's password)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HPSEARCH_")}
    return kept | dict.fromkeys(THREAD_VARIABLES, str(threads))


class Child:
    """A process that can be started again after its death."""

    def __init__(self, briefing: Briefing) -> None:
        self._briefing = briefing
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._early_deaths = 0
        self._not_before = 0.0
        self.started_at = 0.0
        self.is_ready = False
        """Whether it has imported its objectives."""
        self.was_ever_ready = False

    @property
    def is_started(self) -> bool:
        """Whether there is a process; a dead one counts until `bury`."""
        return self._process is not None

    @property
    def waitables(self) -> list[Connection]:
        """What becomes readable when it speaks or dies."""
        return [] if self._connection is None else [self._connection]

    def start(self) -> None:
        """Start a process, unless it is too early after one that died before it was ready."""
        if time.monotonic() < self._not_before:
            return
        ours, theirs = socket.socketpair()
        try:
            self._process = self._spawn(theirs)
        except OSError as error:  # no memory or no process left for one more
            ours.close()
            logger.error("a slot's process cannot be started: %s", error)
            self._start_later()
            return
        self._connection = Connection(ours.detach())
        self.started_at = time.monotonic()
        self._send(sys.path)
        self._send(self._briefing)

    def _spawn(self, theirs: socket.socket) -> "subprocess.Popen[bytes]":
        with theirs:
            return subprocess.Popen(  # noqa: S603 (our own program)
                [sys.executable, "-P", "-c", BOOT, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=environment(self._briefing.threads),
                start_new_session=True,  # a process group to kill as one, out of the terminal's reach
            )

    def _start_later(self) -> None:
        """After an early death: wait longer each time."""
        wait = min(MAX_RESTART_SECONDS, FIRST_RESTART_SECONDS * 2 ** min(self._early_deaths, 16))
        self._early_deaths += 1
        self._not_before = time.monotonic() + wait

    def send(self, message: Task | Reply) -> None:
        """Speak to it; to a dead one without effect."""
        self._send(message)

    def _send(self, message: object) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.send(message)

    def receive(self) -> Iterator[FromChild]:
        """What it has said, also its last words."""
        with contextlib.suppress(EOFError, OSError):
            while self._connection is not None and self._connection.poll():
                message: FromChild = self._connection.recv()
                if isinstance(message, Ready):
                    self.is_ready = self.was_ever_ready = True
                    self._early_deaths = 0
                yield message

    @property
    def is_dead(self) -> bool:
        """Whether it has ended by itself. It stays a zombie until `bury`, so that its id stays its own."""
        if self._process is None:
            return False
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def bury(self) -> str:
        """Kill it, if it still lives, and everything that it started; returns how it ended."""
        if self._process is None or self._connection is None:
            return "it had not started"
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # one that hangs in a device driver outlives even this
            self._process.wait(BURIAL_SECONDS)
        self._connection.close()
        if not self.is_ready:
            self._start_later()
        code = self._process.returncode
        self._process, self._connection, self.is_ready = None, None, False
        return _epitaph(code)


def _epitaph(code: int | None) -> str:
    """A process's return code in words."""
    if code is None:
        return "it cannot be killed"
    if code >= 0:
        return f"exit code {code}"
    name = (signal.strsignal(-code) or "unknown").lower()
    return f"exit signal {-code} ({name}{'; out of memory?' if code == -signal.SIGKILL else ''})"
