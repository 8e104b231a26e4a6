"""Python processes without the second that their imports take: forked from one that has imported hpsearch (Linux).

What is started is a process like any other: in its own session, with its own environment, folder, streams and signals,
a child of the process of the tests, which waits for it and kills it. Only what an interpreter does before its first
line is the zygote's: `PYTHON*` variables are not read again. What hpsearch itself starts begins from nothing, and so do
`tests/cli/test_help.py`, `tests/test_readme.py` and what is started `from_nothing`: they show that imports are right.
"""

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import inspect
import json
import os
import runpy
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COMMANDS = (
    *("hpsearch.cli.commands", "hpsearch.cli.serve", "hpsearch.cli.worker", "hpsearch.cli.run"),
    *("alembic.command", "httptools", "uvloop", "uvicorn.protocols.http.httptools_impl", "psycopg", "ruamel.yaml"),
)
"""What hpsearch's own commands import."""
PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
MOST_BYTES = 1 << 17
"""Of a request, whose largest part is the environment."""
_EXECUTE = inspect.signature(subprocess.Popen._execute_child)  # type: ignore[attr-defined]
_one_at_a_time = threading.Lock()


def start(arguments: Sequence[str], *, imported: tuple[str, ...] = COMMANDS, **options: Any) -> "subprocess.Popen[Any]":
    """`python -m ARGUMENTS`; with the options of `subprocess.Popen` for streams, environment, folder and session.

    There is a zygote for each set of modules that are wanted `imported`.
    """
    command = [sys.executable, "-m", *arguments]
    return _Forked(imported, command, **options) if sys.platform == "linux" else subprocess.Popen(command, **options)


class _Forked(subprocess.Popen[Any]):
    """Differs in how the process comes to be."""

    def __init__(self, imported: tuple[str, ...], command: Sequence[str], **options: Any) -> None:
        self._imported = imported
        super().__init__(command, **options)

    def _execute_child(self, *given: Any) -> None:
        asked = _EXECUTE.bind(self, *given).arguments
        streams = [asked[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        request = {
            "arguments": asked["args"][2:],
            "environment": dict(os.environ if asked["env"] is None else asked["env"]),
            "folder": str(asked["cwd"] or Path.cwd()),
            "has_own_session": asked["start_new_session"],
        }
        self.pid = _born(
            self._imported, request, [own if stream == -1 else stream for own, stream in enumerate(streams)]
        )
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(asked[name] for name in pipes))  # type: ignore[attr-defined]


def _born(imported: tuple[str, ...], request: Mapping[str, Any], streams: Sequence[int]) -> int:
    """The id of a new child of this process."""
    with _one_at_a_time, _adopting():
        zygote = _zygote(imported)
        socket.send_fds(zygote, [json.dumps(request).encode()], streams)
        pid = zygote.recv(MOST_BYTES)
        assert pid, "the zygote has died"
        return int(pid)


@contextlib.contextmanager
def _adopting() -> Any:
    """Within the block, orphans below this process become its own children; at other times init's, as usual."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    yield
    prctl(PR_SET_CHILD_SUBREAPER, 0)


@functools.cache
def _zygote(imported: tuple[str, ...]) -> socket.socket:
    """Where a zygote of this process listens; it ends with this process, however that ends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HPSEARCH_")}
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(theirs.fileno()), *imported],
            env=environment | {"OPENBLAS_NUM_THREADS": "1"},  # no threads: they would not be forked along
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
    atexit.register(lambda: (ours.close(), process.wait()))
    return ours


def _listen(requests: socket.socket) -> None:
    """In the zygote: fork for each request, until the tests are gone. Returns in each new process, made ready."""
    while True:
        message, streams, _, _ = socket.recv_fds(requests, MOST_BYTES, 3)
        if not message:
            sys.exit()
        parent = os.fork()
        if parent == 0:
            parent = os.getpid()
            if os.fork():
                os._exit(0)  # the tests adopt the orphan
            while os.getppid() == parent:
                time.sleep(0.001)
            requests.send(str(os.getpid()).encode())
            requests.close()
            _become(streams, **json.loads(message))
            return
        os.waitpid(parent, 0)
        for stream in streams:
            os.close(stream)


def _become(
    streams: Sequence[int],
    arguments: list[str],
    environment: Mapping[str, str],
    folder: str,
    has_own_session: bool,
) -> None:
    """In the new process: what a program finds as its own at its start."""
    if has_own_session:
        os.setsid()
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [folder, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = ["-m", *arguments[1:]]
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()  # Python's own generator does so by itself
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    for module in sys.argv[2:]:
        importlib.import_module(module)
    assert threading.active_count() == len(list(Path("/proc/self/task").iterdir())) == 1, "threads are not forked along"
    gc.freeze()  # no collection writes to the pages that are shared
    _listen(socket.socket(fileno=int(sys.argv[1])))
