"""Answers that take a while to find, kept until their study changes."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

MOST_KEPT = 256
SLOW_SECONDS = 0.2
PATIENCE = 10.0
"""An answer that took longer than `SLOW_SECONDS` is given again for so many times as long as it took, also where its
study has gone on: whoever polls a busy study takes no more than a tenth of a core."""


@dataclass
class _Kept:
    lock: threading.Lock = field(default_factory=threading.Lock)
    revision: int = -1
    answer: Any = None
    good_until: float = 0.0


class Answers:
    """By key. Thread-safe; two who ask the same at once wait for one finding."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()

    def get(self, key: Hashable, revision: int, find: Callable[[], T]) -> T:
        """The answer at a revision of its study, or at a somewhat older one (see `PATIENCE`)."""
        with self._lock:
            kept = self._kept.setdefault(key, _Kept())
            self._kept.move_to_end(key)
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        with kept.lock:
            began = self._clock()
            if kept.revision < revision and (kept.revision < 0 or began >= kept.good_until):
                kept.answer, kept.revision = find(), revision
                ended = self._clock()
                took = ended - began
                kept.good_until = ended + PATIENCE * took if took > SLOW_SECONDS else 0.0
            answer: T = kept.answer
            return answer
