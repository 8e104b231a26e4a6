"""The server and the worker that `hpsearch run` starts: children that outlive no Ctrl-C and leave a log."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from hpsearch.client import Client
from hpsearch.errors import HpsearchError, Unavailable

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
LOG_TAIL = 15
"""Lines of a dead child's log that are shown."""


class ChildDied(Unavailable):
    """A process that hpsearch run had started ended by itself."""


def _die_with_parent() -> None:
    """In the child, before it runs: have the kernel send SIGTERM when this command is gone, however it went (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Child:
    """`hpsearch …` as a child process."""

    def __init__(self, arguments: list[str], log: Path, environment: Mapping[str, str]) -> None:
        self._log = log
        self._name = arguments[0]
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            # a session of its own: Ctrl-C in the terminal is for this command, which then says what is to be done
            self._process = subprocess.Popen(  # noqa: S603  # our own command
                # -P: a file named like a module in the user's folder shall not take its place
                [sys.executable, "-P", "-m", "hpsearch", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  # nothing else runs yet in this process
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raises `ChildDied` with the end of its log where it has ended."""
        code = self._process.poll()
        if code is not None:
            lines = self._log.read_text(errors="replace").splitlines()[-LOG_TAIL:]
            how = f"by signal {-code}" if code < 0 else f"with code {code}"
            raise ChildDied(f"the {self._name} ended {how}; the end of {self._log}:\n  " + "\n  ".join(lines))

    def stop(self, seconds: float) -> None:
        """Ask it to end, and wait; Ctrl-C meanwhile, or the end of the time, ends it at once."""
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        except KeyboardInterrupt:
            self._signal(signal.SIGTERM)  # the second one: at once
            try:
                self._process.wait(5)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                self.kill()
            raise

    def kill(self) -> None:
        """End it now, with whatever it has started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: int) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)


def running_server(file: Path, token: str | None, pid: int | None = None) -> str | None:
    """The URL of the server that the file tells of, if it answers; of the process `pid` alone where one is named."""
    try:
        told = json.loads(file.read_text())
        if pid is not None and told["pid"] != pid:
            return None
        os.kill(told["pid"], 0)
        with Client(told["url"], token, timeout=5, retries=0) as client:
            client.objectives()
        return str(told["url"])
    except (OSError, ValueError, KeyError, HpsearchError):
        return None


def wait_for_server(server: Child, file: Path, token: str | None, seconds: float = 60.0) -> str:
    """The URL of a server that is starting. Raises `ChildDied`, `Unavailable`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        server.check()
        if url := running_server(file, token, server.pid):
            return url
        time.sleep(0.05)
    raise Unavailable(f"the server did not answer within {seconds:g} s")
