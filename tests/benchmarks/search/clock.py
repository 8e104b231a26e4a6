"""Workers on a simulated clock: a search replayed over a task's curves, in milliseconds instead of days."""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from tests.benchmarks.search.tasks import Task


@dataclass(frozen=True, slots=True)
class Job:
    """A configuration that a worker is to train."""

    key: Any
    """What the search calls it."""
    parameters: Mapping[str, Any]
    start: int = 0
    """Epochs that are there already, from a checkpoint."""
    end: int | None = None
    """Train to this epoch; to the end of the curve without."""


class Search(Protocol):
    """A method as the clock drives it: one call at a time, by the order of the simulated time."""

    def ask(self) -> Job | None:
        """What a free worker is to do; None: nothing as long as others work."""

    def report(self, job: Job, epoch: int, loss: float) -> bool:
        """After each epoch of a curve, the last one included; whether to go on. Not called for tasks of one epoch."""

    def tell(self, job: Job, loss: float | None, *, stopped: bool) -> None:
        """The end of a job: its loss, or None where it diverged. `stopped`: by a report's answer."""


@dataclass(slots=True)
class Replay:
    """What a search found, and what it cost."""

    compute: list[float] = field(default_factory=list)
    """Spent when the best loss fell, in full curves; in the order of time."""
    losses: list[float] = field(default_factory=list)
    """The best loss then."""
    trials: list[int] = field(default_factory=list)
    """Configurations begun by then."""
    begun: int = 0
    """Configurations begun in all."""
    spent: float = 0.0
    """Full curves."""
    clock: float = 0.0
    """Simulated time at the end, in full curves of one worker."""


SPREAD = 0.25
"""Standard deviation of the logarithm of a configuration's seconds an epoch: workers do not march in step."""


def replay(task: Task, search: Search, workers: int, curves: float) -> Replay:
    """Search until so many full curves' worth of compute is spent, by all workers together.

    An epoch is charged when it ends. The best loss is that of any configuration at any epoch so far: training keeps
    its best weights.
    """
    found = Replay()
    speeds = np.exp(SPREAD * np.random.default_rng(12345).standard_normal(len(task.places)))
    events: list[tuple[float, int, Job, int, int]] = []
    idle, order, allowed = workers, 0, curves * task.epochs
    spent, clock, best = 0.0, 0.0, float("inf")

    def begin() -> None:
        nonlocal idle, order
        while idle and (job := search.ask()) is not None:
            row = task.nearest(job.parameters)
            if job.start == 0:
                found.begun += 1
            idle, order = idle - 1, order + 1
            heapq.heappush(events, (clock + seconds(row), order, job, row, job.start + 1))

    def seconds(row: int) -> float:
        return float(task.epoch_costs[row] * (speeds[row] if task.epochs > 1 else 1.0))

    begin()
    while events and spent < allowed:
        clock, _, job, row, epoch = heapq.heappop(events)
        spent += task.epoch_costs[row]
        loss = float(task.curves[row, epoch - 1])
        diverged = loss != loss
        if loss < best and spent <= allowed:
            best = loss
            found.compute.append(spent / task.epochs)
            found.losses.append(loss)
            found.trials.append(found.begun)
        end = job.end or task.epochs
        goes_on = not diverged and (task.epochs == 1 or search.report(job, epoch, loss))
        if goes_on and epoch < end:
            order += 1
            heapq.heappush(events, (clock + seconds(row), order, job, row, epoch + 1))
            continue
        search.tell(job, None if diverged else loss, stopped=not goes_on and not diverged)
        idle += 1
        begin()
    found.spent, found.clock = min(spent, allowed) / task.epochs, clock / task.epochs
    return found
