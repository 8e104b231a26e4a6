"""What every side trains: one network on one data set, and the pipe on which a side is told so.

PyTorch and numpy alone: peers have their own environments.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

SPACE = {"learning_rate": (1e-3, 1e-2), "batch_size": (16, 32), "hidden_units": (32, 64)}
"""What a search searches: a logarithm from low to high, one of these, an integer from low to high."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One training."""

    dataset: str
    """As our objective names it."""
    folder: str
    """Where `<dataset>.splits.npz` is, and `dataset` itself where it is a file."""
    cell: str
    units: int
    batch_size: int
    learning_rate: float
    epochs: int


@dataclass(slots=True)
class Trained:
    """What came of it."""

    ends: list[float] = field(default_factory=list)
    """When each epoch, with its validation, was over (`time.perf_counter`)."""
    losses: list[float] = field(default_factory=list)
    """On the validation split, after each epoch."""

    def note(self, loss: float) -> None:
        """An epoch is over."""
        self.ends.append(time.perf_counter())
        self.losses.append(loss)

    @property
    def seconds(self) -> list[float]:
        """Of each epoch but the first, in which everything is warmed up."""
        return [after - before for before, after in zip(self.ends, self.ends[1:], strict=False)]


def answer(train: Callable[[Work], Trained], version: str) -> None:
    """Be a side: a line of JSON in for each training, one out."""
    out, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is no answer
    _say(out, {"version": version})
    for line in sys.stdin:
        _say(out, asdict(train(Work(**json.loads(line)))))


def _say(out: Any, answer: dict[str, Any]) -> None:
    print(json.dumps(answer), file=out, flush=True)
