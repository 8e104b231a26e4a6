"""The child process of a slot: imports the objectives once, then runs trial after trial as the agent sends them.

It speaks to the agent over a pipe and to nobody else: no HTTP, no token.
"""

import math
import operator
import os
import re
import select
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NoReturn

from hpsearch.errors import ConfigurationError, HpsearchError, LeaseLost, NotFound
from hpsearch.objectives.objective import Objective, ObjectiveInfo, TrialContext, TrialResult
from hpsearch.trials import DIVERGED, Decision, Metrics
from hpsearch.worker.messages import Briefing, Broken, Ended, Fetching, FromChild, Measured, Ready, Reply, Saving, Task

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What a study and an artifact may be called."""


class Diverged(BaseException):
    """An objective reported a value that is not finite. Not an `Exception`: no objective's own `except` shall keep it
    from ending the trial."""


def run_slot(connection: Connection) -> None:
    """A child process's life, from the imports until the agent lets go of the connection."""
    briefing: Briefing = connection.recv()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # stopping is the agent's business
    threading.Thread(target=_die_with_agent, args=(connection, briefing.folder), daemon=True).start()
    try:
        loaded = {name: _load(path) for name, path in briefing.objectives.items()}
        published = _load_own(briefing.own, loaded)
    except ConfigurationError as error:
        _say(connection, Broken(str(error)))
        return
    except Exception as error:
        _say(connection, Broken(_described(error)))
        return
    _say(connection, Ready(published))
    while True:
        task: Task = _hear(connection)
        _limit_torch(briefing.threads)
        _say(connection, _run_trial(loaded[task.objective], task, connection))


def _die_with_agent(connection: Connection, folder: Path) -> None:
    """Wait until the agent has gone, however it went; then end this process and all that the objective started."""
    line = select.poll()
    line.register(connection.fileno(), 0)  # no event but the hang-up: what the agent says is read elsewhere
    line.poll()
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def _say(connection: Connection, message: FromChild) -> None:
    try:
        connection.send(message)
    except OSError:
        _await_the_end()


def _hear(connection: Connection) -> Any:
    try:
        return connection.recv()
    except (EOFError, OSError):
        _await_the_end()


def _await_the_end() -> NoReturn:
    """The agent has gone: `_die_with_agent` is at work."""
    while True:
        signal.pause()


def _load(path: str) -> Objective:
    objective: Objective = resolve_name(path)()
    return objective


def _load_own(paths: Mapping[str, str], loaded: dict[str, Objective]) -> tuple[ObjectiveInfo, ...]:
    """Load users' functions, and return what they publish. Raises `ConfigurationError`."""
    if not paths:
        return ()
    from hpsearch.objectives.own.loading import load_own

    sys.path.insert(
        0, str(Path.cwd())
    )  # as `python -m` has it; only now, so that no file there takes the place of ours
    own = {name: load_own(name, path) for name, path in paths.items()}
    loaded.update(own)
    return tuple(objective.info for objective in own.values())


def _limit_torch(threads: int) -> None:
    """Hold torch to its threads, whatever an objective set; the environment sees to numpy and the like."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)


def _run_trial(objective: Objective, task: Task, connection: Connection) -> Ended:
    """Run one trial to whatever end it takes, short of the process's own."""
    line = _Line(connection, task.workspace.parent)
    context = TrialContext(
        seed=task.seed,
        metric=next(iter(task.metrics)),
        direction=next(iter(task.metrics.values())),
        metrics=task.metrics,
        workspace=task.workspace,
        data_roots=task.data_roots,
        report=line.report,
        save_artifact=line.save_artifact,
        fetch_artifact=line.fetch_artifact,
        checkpoint=task.checkpoint,
        study=task.study,
        number=task.number,
        attempt=task.attempt,
        slot=task.slot,
    )
    try:
        return _ended(objective(task.parameters, context))
    except Diverged as error:
        return Ended("failed", reason=str(error))
    except HpsearchError as error:  # says what is wrong; where it was raised adds nothing
        return Ended("failed", reason=_described(error))
    except (Exception, SystemExit) as error:
        return Ended("failed", reason=_described(error), traceback=traceback.format_exc())


class _Line:
    """What a running trial says to the agent, and hears."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        self._connection = connection
        self._folder = folder
        self._verdict: Decision | None = None

    def report(self, step: int, value: float, metrics: Metrics) -> Decision:
        """See `TrialContext.report`."""
        if self._verdict is not None:
            return self._verdict
        step, value = operator.index(step), float(value)
        if not math.isfinite(value):
            raise Diverged(f"{DIVERGED}: reported {value} at step {step}")
        decision = Decision(self._ask(Measured(step, value, _plain(metrics))))
        if decision in (Decision.PAUSE, Decision.LOST):
            self._verdict = decision
        return decision

    def save_artifact(self, name: str, path: Path) -> None:
        """See `TrialContext.save_artifact`."""
        path = Path(path).absolute()
        if not path.is_file():
            raise FileNotFoundError(f"artifact {name!r}: there is no file {path}")
        if self._verdict is not Decision.LOST and self._ask(Saving(name, path)) is Decision.LOST:
            self._verdict = Decision.LOST

    def fetch_artifact(self, study: str, number: int | None, name: str) -> Path:
        """See `TrialContext.fetch_artifact`. Raises `LeaseLost` where the trial is no longer ours."""
        number = None if number is None else operator.index(number)
        if not (_NAME.fullmatch(study) and _NAME.fullmatch(name)) or (number is not None and number < 0):
            raise NotFound(f"there can be no artifact {name!r} of study {study!r}")  # nor a file of that name here
        # a folder for each: two studies' models have one name
        path = Path(tempfile.mkdtemp(prefix="fetched-", dir=self._folder)) / name
        if self._verdict is not Decision.LOST and self._ask(Fetching(study, number, name, path)) is Decision.LOST:
            self._verdict = Decision.LOST
        if self._verdict is Decision.LOST:
            raise LeaseLost
        return path

    def _ask(self, message: Measured | Saving | Fetching) -> Decision:
        _say(self._connection, message)
        reply: Reply = _hear(self._connection)
        if isinstance(reply, HpsearchError):
            raise reply
        return reply


def _ended(result: object) -> Ended:
    """What an objective returned, made plain and checked."""
    if not isinstance(result, TrialResult):
        return Ended("failed", reason=f"TypeError: the objective returned {result!r:.200}, not a TrialResult")
    metrics = _plain(result.metrics)
    if result.state != "complete":
        return Ended(result.state, metrics=metrics, reason=result.reason)
    if result.value is None or not math.isfinite(result.value):
        why = (
            "ended with the value None" if result.value is None else f"{DIVERGED}: ended with the value {result.value}"
        )
        return Ended("failed", metrics=metrics, reason=why)
    return Ended("complete", float(result.value), metrics, result.reason)


def _plain(metrics: Metrics) -> dict[str, float | None]:
    """Metrics as Python's own floats, None for what is not finite: no numpy or torch scalar leaves this process."""
    plain = {str(name): None if value is None else float(value) for name, value in metrics.items()}
    return {name: value if value is None or math.isfinite(value) else None for name, value in plain.items()}


def _described(error: BaseException) -> str:
    """An exception in one line: its type and message, and what was noted on it."""
    message = str(error)
    described = f"{type(error).__name__}: {message}" if message else type(error).__name__
    notes = "; ".join(map(str, getattr(error, "__notes__", ())))
    return f"{described} ({notes})" if notes else described
