"""A side of the training benchmark: a process that trains when it is told to, with one thread."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from tests.benchmarks.training_work import Trained, Work

ROOT = Path(__file__).parents[2]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def environment(threads: int | None) -> Mapping[str, str]:
    """A process's environment: with so many computing threads, or as many as libraries take by themselves."""
    kept = {name: value for name, value in os.environ.items() if name not in THREADS}
    kept |= {"PYTHONPATH": str(ROOT)}
    return kept if threads is None else kept | dict.fromkeys(THREADS, str(threads))


class Side:
    """`python -m MODULE`, spoken to by lines of JSON."""

    def __init__(self, process: "subprocess.Popen[str]", errors: IO[str]) -> None:
        self._process, self._errors = process, errors
        try:
            self.version: str | None = self._hear()["version"]
            self.problem = ""
        except RuntimeError as error:
            self.version, self.problem = None, str(error)

    def train(self, work: Work) -> Trained:
        """One training. Raises `RuntimeError` with the last words of a side that died of it."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(asdict(work)) + "\n")
        self._process.stdin.flush()
        return Trained(**self._hear())

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            raise RuntimeError((self._errors.read().strip().splitlines() or ["it said nothing"])[-1])
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def side(module: str, python: str = sys.executable) -> Iterator[Side]:
    """A side within the block; without a version where it cannot even start (a package is missing, say)."""
    command = [python, "-m", f"tests.benchmarks.{module}"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, cwd=ROOT, env=environment(1), stderr=errors, **pipes)
        try:
            yield Side(process, errors)
        finally:
            process.kill()
            process.communicate()
