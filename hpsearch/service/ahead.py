"""Points of expensive samplers, drawn in a process of their own: no request's thread computes them, and no transaction
or history is held meanwhile.

Whoever finds none ready goes away and comes again (`soon` says when). With one worker each point is drawn from all that
was told before it, so that a study can be repeated; with more, one may be drawn from a little less (`Ahead.points`).
Whatever happens to the process, trials are made: quasi-random ones if there is no other way, and they say so.
"""

import contextlib
import json
import logging
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import IO, Any

import numpy as np

from hpsearch.sampler_spec import GPSampler, QMCSampler
from hpsearch.search import gp, quasi_random
from hpsearch.search.drawing import BOOT, question
from hpsearch.search.history import History
from hpsearch.search.space import Floats
from hpsearch.spec import StudySpec

logger = logging.getLogger(__name__)

MOST_WAIT = 10.0
"""Seconds that a study's trials wait for the process. Then they are made without it."""
MOST_DRAW = 60.0
"""Seconds that a draw may take."""
MOST_AHEAD = 16
"""Points drawn beyond those that are wanted."""
FADING = 0.98
"""Of the number of parallel trials, with each look for a point."""
RESTART_SECONDS = 5.0
"""After the process died, until another is started."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class _Batch:
    """What was drawn for a task."""

    task: gp.Task
    points: Floats
    """None, where the draw failed."""

    def unused(self, history: History) -> tuple[Floats, int]:
        """Points that no trial has yet, and the place of the first."""
        taken = {row.tobytes() for row in history.points[self.task.number :]}
        free = [place for place, point in enumerate(self.points) if point.tobytes() not in taken]
        return self.points[free], free[0] if free else len(self.points)


class Ahead:
    """By study, the newest points that were drawn. Thread-safe. The process starts with the first study that wants it.

    `clock` replaces the time in tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Condition()
        self._wanted: dict[int, tuple[StudySpec, GPSampler, gp.Task]] = {}
        self._drawing: tuple[int, gp.Task] | None = None
        self._batches: dict[int, _Batch] = {}
        self._waiting_since: dict[int, float] = {}
        self._breadth: dict[int, float] = {}
        """By study, how many trials run besides one: lately, as those who wait for a point run none."""
        self._soon: Future[None] | None = None
        self._thread: threading.Thread | None = None
        self._process: _Process | None = None
        self._is_closed = False

    @property
    def soon(self) -> Future[None] | None:
        """Done with the next draw; None where none is under way."""
        with self._lock:
            return self._soon

    def warm(self) -> None:
        """Start the process, unless it is there: its imports take a second."""
        with self._lock:
            if self._thread is None and not self._is_closed:
                self._thread = threading.Thread(target=self._draw_forever, name="ahead", daemon=True)
                self._thread.start()

    def points(self, study_id: int, history: History, options: GPSampler, task: gp.Task) -> gp.Drawn:
        """Points for a task, as many as there are, up to its count; a `gp.Model`.

        A point is good as long as the results that it lacks are at most half as many as trials are running, or were
        lately: those it cannot know in any case. With one worker none is lacking. What is missing is asked for.
        """
        self.warm()
        with self._lock:
            breadth = max(float(len(task.running)), FADING * self._breadth.get(study_id, 0.0))
            self._breadth[study_id] = breadth
            batch = self._batches.get(study_id)
            found, place = batch.unused(history) if batch else (np.empty((0, 0)), 0)
            is_exact = batch is not None and batch.task.after(batch.points[:place]).is_like(task)
            if batch and is_exact and not len(batch.points):
                return self._without(study_id, history, task, "the draw failed")
            if not (is_exact and len(found)):
                self._ask(study_id, history.spec, options, task)
            behind = abs(task.told - batch.task.told) if batch else 0
            if batch and len(found) and behind <= breadth // 2:
                self._waiting_since.pop(study_id, None)
                given = list(found[: task.count])
                late = {"behind": behind} if behind else {}
                return given, [batch.task.record(place + turn) | late for turn in range(len(given))]
            since = self._waiting_since.setdefault(study_id, self._clock())
            if self._clock() - since >= MOST_WAIT:
                return self._without(study_id, history, task, "the draw came late")
            return [], []

    def _without(self, study_id: int, history: History, task: gp.Task, why: str) -> gp.Drawn:
        self._waiting_since.pop(study_id, None)
        found = quasi_random.draw(history, QMCSampler(), task.number, task.count)
        return found, [{"by": "qmc", "why": why} for _ in found]

    def _ask(self, study_id: int, spec: StudySpec, options: GPSampler, task: gp.Task) -> None:
        """Have it drawn, unless it is drawn just now. Only a study's newest task counts."""
        if self._drawing and self._drawing[0] == study_id and self._drawing[1].is_like(task):
            return
        more = replace(task, count=task.count + min(int(self._breadth[study_id] // 2), MOST_AHEAD))
        self._wanted[study_id] = (spec, options, more)
        self._soon = self._soon or Future()
        self._lock.notify_all()

    def forget(self, study_id: int) -> None:
        """The study was deleted."""
        with self._lock:
            for kept in (self._wanted, self._batches, self._waiting_since, self._breadth):
                kept.pop(study_id, None)

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._is_closed = True
            self._lock.notify_all()
            if self._process is not None:
                self._process.kill()
        if self._thread is not None:
            self._thread.join()

    # --- the thread that speaks with the process ---------------------------------------------------------------------

    def _draw_forever(self) -> None:
        self._started()
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._is_closed or self._wanted)
                if self._is_closed:
                    break
                study_id = next(iter(self._wanted))
                spec, options, task = self._wanted.pop(study_id)
                self._drawing = study_id, task
            process = self._started()
            answer = process.answer(question(spec, options, task)) if process else {"problem": "it does not start"}
            if "points" not in answer and not self._is_closed:
                logger.warning("no point was drawn for study %r: %s", spec.name, answer.get("problem"))
            points = np.array(answer.get("points", []), dtype=float).reshape(-1, task.points.shape[1])
            with self._lock:
                self._drawing = None
                self._batches[study_id] = _Batch(task, points)
                done, self._soon = self._soon, Future() if self._wanted else None
            if done is not None:
                done.set_result(None)
        with self._lock:
            if self._soon is not None:
                self._soon.set_result(None)
            if self._process is not None:
                self._process.bury()

    def _started(self) -> "_Process | None":
        """The process, started again where it died, but not at once."""
        with self._lock:
            if self._is_closed:
                return None
            if self._process is None or (
                not self._process.is_alive and self._clock() >= self._process.died_at + RESTART_SECONDS
            ):
                self._process = _Process.start(self._clock)
            return self._process


class _Process:
    """The process (`hpsearch.search.drawing`), and how one speaks with it: a line of JSON each way."""

    def __init__(self, process: "subprocess.Popen[str]", clock: Callable[[], float]) -> None:
        self._process, self._clock = process, clock
        self.is_alive = True
        self.died_at = 0.0
        self._is_ready = False

    @classmethod
    def start(cls, clock: Callable[[], float]) -> "_Process | None":
        """None where it does not start."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HPSEARCH_")}
        try:
            process = subprocess.Popen(  # noqa: S603 (our own program)
                [sys.executable, "-P", "-c", BOOT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=kept | dict.fromkeys(_THREADS, "1"),
                text=True,
                start_new_session=True,  # out of the terminal's reach: it ends with its input
            )
        except OSError as error:
            logger.error("the process that draws cannot be started: %s", error)
            return None
        found = cls(process, clock)
        found._write(sys.path)
        return found

    def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What it answers. Where it is dead, or takes too long and is killed: why there is no answer."""
        if not self.is_alive:
            return {"problem": "it died"}
        deadline = time.monotonic() + MOST_DRAW
        if not self._is_ready:
            self._is_ready = self._line(deadline) is not None
        self._write(asked)
        line = self._line(deadline)
        if line is None:
            self.bury()
            return {"problem": f"the process died, or took longer than {MOST_DRAW:.0f} s"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _write(self, message: object) -> None:
        stdin: IO[str] | None = self._process.stdin
        with contextlib.suppress(OSError, ValueError):  # it is dead: nothing will be read
            if stdin is not None:
                print(json.dumps(message), file=stdin, flush=True)

    def _line(self, deadline: float) -> str | None:
        """A line of its; None where it is dead or has said nothing by then."""
        stdout: IO[str] | None = self._process.stdout
        if stdout is None or not select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return None
        return stdout.readline() or None

    def kill(self) -> None:
        """End it. Whoever waits for its answer learns that there will be none."""
        self.is_alive, self.died_at = False, self._clock()
        self._process.kill()

    def bury(self) -> None:
        """Kill it, unless it is dead, and leave nothing of it behind. For the thread that speaks with it."""
        self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what it never read
                    pipe.close()
