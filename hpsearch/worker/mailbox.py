"""Where the agent's other threads and its signal handlers leave word for its main loop."""

import contextlib
import os
from collections.abc import Iterator
from multiprocessing import Pipe
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """A queue that `multiprocessing.connection.wait` can wait on, beside pipes and processes."""

    def __init__(self) -> None:
        self._letters: SimpleQueue[T] = SimpleQueue()
        # never closed by hand: the last thread that still knows the mailbox lets go of the pipe
        self._reader, self._writer = Pipe(duplex=False)
        for end in (self._reader, self._writer):
            os.set_blocking(end.fileno(), False)

    def fileno(self) -> int:
        """Readable while there is something to collect."""
        return self._reader.fileno()

    def post(self, letter: T) -> None:
        """Leave a letter. Safe from any thread."""
        self._letters.put(letter)
        self.wake()

    def wake(self) -> None:
        """Wake the main loop without a letter. Safe from a signal handler."""
        with contextlib.suppress(BlockingIOError):  # full: it will wake anyway
            os.write(self._writer.fileno(), b"\0")

    def collect(self) -> Iterator[T]:
        """All letters that are there."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader.fileno(), 65536)
        with contextlib.suppress(Empty):
            while True:
                yield self._letters.get_nowait()
