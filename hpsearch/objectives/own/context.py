"""What a user's function is handed of its trial."""

import operator
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from hpsearch.errors import InvalidInput
from hpsearch.objectives.objective import TrialContext
from hpsearch.trials import Decision, Scalar

CHECKPOINT = "checkpoint.tar"
"""The artifact that the next attempt of a trial goes on from."""
CHECKPOINT_SECONDS = 60.0


class Pruned(BaseException):
    """The trial is not worth going on with: let this through, it ends it as pruned.

    `Context.report` raises it; a function may raise it by a rule of its own, with a reason. No `Exception`, so that no
    `except Exception` of a training loop keeps it.
    """


class HandedBack(BaseException):
    """The trial goes on elsewhere or later (the study is paused, the worker stops), or is this worker's no more.

    `Context.report` raises it after the checkpoint that `Checkpoint.keep` asks for.
    """


class Context:
    """A running trial, as a user's function sees it."""

    def __init__(self, trial: TrialContext, parameters: Mapping[str, Scalar]) -> None:
        self._trial = trial
        self.parameters: dict[str, Any] = dict(parameters)
        """The study's settings and the trial's own parameters."""
        self.study = trial.study
        self.number = trial.number
        """The trial's, in its study: 0, 1, 2 …"""
        self.attempt = trial.attempt
        """1; one more each time that a worker takes it up again."""
        self.seed = trial.seed & 0x7FFF_FFFF
        """Of the trial alone, the same in each attempt: 31 bits, which every library takes."""
        self.metric = trial.metric
        self.direction: Literal["minimize", "maximize"] = trial.direction
        self.metrics = tuple(trial.metrics) or (trial.metric,)
        """Every metric that the study searches, the first of them `metric`."""
        self.folder = trial.workspace
        """An empty folder of the trial's own, removed after it."""
        self.checkpoint = Checkpoint(trial)
        self.best_value: float | None = None
        """Of the values reported in this attempt."""
        self.was_pruned = False

    def report(self, step: int, value: float, /, **metrics: float | None) -> None:
        """Say how it goes: steps 1, 2, 3 …, the searched metric's value, and all else measured, by name.

        Raises `Pruned` where the trial is not worth going on with, and `HandedBack` where it goes on elsewhere: let
        both through. A value that is not finite ends the trial as failed.
        """
        try:
            step = operator.index(step)
        except TypeError as error:
            raise TypeError(f"report(step, value): the step must be a whole number, not {step!r}") from error
        value = plain(value)
        measured = {name: None if item is None else plain(item) for name, item in metrics.items()}
        decision = self._trial.report(step, value, measured)
        best = min if self.direction == "minimize" else max
        self.best_value = value if self.best_value is None else best(self.best_value, value)
        if decision is Decision.PRUNE:
            self.was_pruned = True
            raise Pruned
        self.checkpoint.reported(is_last=decision is Decision.PAUSE)
        if decision is not Decision.CONTINUE:
            raise HandedBack(decision.value)

    def log_artifact(self, path: str | Path, name: str | None = None) -> None:
        """Keep a file with the trial, under its own name or another.

        Raises `FileNotFoundError`; `InvalidInput` where the name holds more than letters, digits, `.`, `_` and `-`, or
        is that of a checkpoint; `TooLarge`.
        """
        name = name or Path(path).name
        if name.startswith("checkpoint."):
            raise InvalidInput(f"artifact {name!r}: checkpoints are saved by context.checkpoint")
        self._trial.save_artifact(name, Path(path))

    @cached_property
    def device(self) -> str:
        """Where to compute, in PyTorch's words: a GPU of the slot's own as far as there are enough (`cuda:1`), `mps`,
        or `cpu`; without PyTorch always `cpu`."""
        if find_spec("torch") is None:
            return "cpu"
        import torch

        if torch.cuda.is_available():
            return f"cuda:{self._trial.slot % torch.cuda.device_count()}"
        return "mps" if torch.backends.mps.is_available() else "cpu"

    def log(self, *words: object) -> None:
        """Write a line to the worker's log."""
        print(f"study {self.study}: trial {self.number}:", *words, file=sys.stderr, flush=True)  # noqa: T201


def plain(number: Any) -> float:
    """A number of Python's, numpy's or torch's as Python's. Raises `TypeError`, `ValueError` where it is none."""
    # torch warns of losses that still have their graph
    return float(number.detach() if hasattr(number, "detach") else number)


class Checkpoint:
    """What a trial goes on from when its worker died or handed it back, on whichever machine: a file, or a folder."""

    def __init__(self, trial: TrialContext) -> None:
        self._trial = trial
        self._save: Callable[[Path], Any] | None = None
        self._seconds = CHECKPOINT_SECONDS
        self._saved_at = time.monotonic()

    def load(self) -> Path | None:
        """The newest one that an earlier attempt saved, the file or the folder; None where there is none."""
        archive = self._trial.checkpoint
        if archive is None:
            return None
        folder = Path(tempfile.mkdtemp(prefix="checkpoint-", dir=self._trial.workspace))
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        if (folder / "folder").is_dir():
            return folder / "folder"
        return next((folder / "file").iterdir())

    def save(self, path: str | Path) -> None:
        """Save a file or a folder; it takes the place of the one before.

        Call it before the step's report, or with the step in it: reports after it are forgotten when the trial goes
        on. Raises `FileNotFoundError`, `TooLarge`.
        """
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"checkpoint: there is no file or folder {path}")
        folder = Path(tempfile.mkdtemp(prefix="saving-", dir=self._trial.workspace))
        try:
            with tarfile.open(folder / CHECKPOINT, "w", dereference=True) as tar:
                tar.add(path, "folder" if path.is_dir() else f"file/{path.name}")
            self._trial.save_artifact(CHECKPOINT, folder / CHECKPOINT)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._saved_at = time.monotonic()

    def keep(self, save: Callable[[Path], Any], seconds: float = CHECKPOINT_SECONDS) -> None:
        """Have checkpoints saved within `report`: every so many seconds, and when the trial is handed back.

        `save(folder)` writes what there is to go on from, as of the step just reported, into an empty folder, which is
        what `load` gives then.
        """
        self._save, self._seconds = save, seconds

    def reported(self, *, is_last: bool) -> None:
        """A report was answered; `is_last`: the trial is handed back."""
        if self._save is None or not (is_last or time.monotonic() - self._saved_at >= self._seconds):
            return
        folder = Path(tempfile.mkdtemp(prefix="kept-", dir=self._trial.workspace))
        try:
            self._save(folder)
            self.save(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
