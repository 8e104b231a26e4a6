"""What is forked from a zygote is a process like any other."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import zygote

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes are started, not forked")

Run = Callable[..., "subprocess.Popen[str]"]
SEEN = """
import json, os, random, sys
import numpy
print(json.dumps({
    "parent": os.getppid(), "session": os.getsid(0), "folder": os.getcwd(), "environment": dict(os.environ),
    "arguments": sys.argv[1:], "name": __name__, "path": sys.path[0], "drawn": [random.random(), numpy.random.rand()],
}))
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a program in a folder of its own."""

    def run(program: str, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        (tmp_path / "program.py").write_text(program)
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return zygote.start(["program", *arguments], cwd=tmp_path, **streams, **options)

    return run


def test_it_finds_what_a_new_interpreter_finds(run: Run, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "OF_THE_TEST": "1"}
    with run(SEEN, "--a", "b", env=environment, start_new_session=True) as process:
        seen = json.loads(process.communicate(timeout=20)[0])
    assert process.returncode == 0
    assert (seen["parent"], seen["session"]) == (os.getpid(), process.pid)
    assert seen["environment"] == environment
    assert (seen["folder"], seen["path"]) == (str(tmp_path), str(tmp_path))
    assert (seen["arguments"], seen["name"]) == (["--a", "b"], "__main__")


def test_no_two_draw_the_same_numbers(run: Run) -> None:
    first, second = (json.loads(run(SEEN).communicate(timeout=20)[0])["drawn"] for _ in range(2))
    assert not set(first) & set(second)


@pytest.mark.parametrize(("program", "code"), [("pass", 0), ("import sys; sys.exit(3)", 3), ("1 / 0", 1)])
def test_it_ends_as_it_says(run: Run, program: str, code: int) -> None:
    process = run(program)
    _, complaints = process.communicate(timeout=20)
    assert process.returncode == code
    assert ("ZeroDivisionError" in complaints) == (code == 1)


def test_it_is_really_killed(run: Run) -> None:
    process = run("import time; print('up', flush=True); time.sleep(600)")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    assert process.poll() is None
    process.kill()
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
