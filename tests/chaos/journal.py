"""What a worker is about to do and what it was told, on disk before it acts: outlives a SIGKILL."""

import itertools
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hpsearch.errors import HpsearchError

T = TypeVar("T")


class Journal:
    """A file of one process; a line is one write, so that none is half there. Thread-safe.

    Times are of `CLOCK_MONOTONIC`, which all processes of a machine share.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._calls = itertools.count()

    def say(self, **entry: Any) -> None:
        line = json.dumps({"at": time.monotonic_ns()} | entry, separators=(",", ":")) + "\n"
        os.write(self._file, line.encode())

    def call(
        self, session: str, what: str, items: Sequence[Any], send: Callable[[], T], answer_of: Callable[[T], Any]
    ) -> T | HpsearchError:
        """Do `send` between two lines: what is sent, and what was answered or why nothing was."""
        call = f"{session}:{next(self._calls)}"
        self.say(call=call, session=session, what=what, items=list(items))
        try:
            answer = send()
        except HpsearchError as error:
            self.say(call=call, error=type(error).__name__, detail=str(error))
            return error
        self.say(call=call, answer=answer_of(answer))
        return answer
