"""Objectives as users write them."""

import os
import signal
from pathlib import Path
from typing import Annotated

from hpsearch import Context, Float, Int


def bowl(x: Annotated[float, Float(-10, 10)], steps: Annotated[int, Int(1, 9)] = 3, *, context: Context) -> float:
    """A bowl."""
    for step in range(1, steps + 1):
        context.report(step, x**2 + 1 / step, seed=context.seed % 1000)
    return x**2


def wrong(x: Annotated[float, Float(-10, 10)]) -> float:
    return {"y": x}["x"]


def diverging(x: Annotated[float, Float(-10, 10)], context: Context) -> float:
    try:
        context.report(1, float("nan"))
    except Exception:
        return 0.0
    return 1.0


def endless(x: Annotated[float, Float(-10, 10)]) -> float:
    return float("inf")


class Patient:
    """Goes on from where it was."""

    def __call__(self, x: Annotated[float, Float(-10, 10)], context: Context) -> dict[str, float]:
        before = context.checkpoint.load()
        start = int((before / "step").read_text()) if before else 0
        step = start
        context.checkpoint.keep(lambda folder: (folder / "step").write_text(str(step)))
        while step < 4:
            step += 1
            context.report(step, x, start=start)
            if context.attempt == 1 and step == 2:
                while True:  # until the study is paused
                    context.report(step, x)
        return {"value": x, "start": start}


class Doomed:
    """Its process is killed in the middle of the first attempt; each step is kept."""

    def __call__(self, x: Annotated[float, Float(-10, 10)], context: Context) -> dict[str, float]:
        before = context.checkpoint.load()
        start = int(before.read_text()) if before else 0
        for step in range(start + 1, 5):
            (context.folder / "step").write_text(str(step))
            context.checkpoint.save(context.folder / "step")
            context.report(step, x, start=start)
            if context.attempt == 1 and step == 3:
                os.kill(os.getpid(), signal.SIGKILL)
        return {"value": x, "start": start}


def surroundings(x: Annotated[float, Float(-10, 10)], context: Context) -> dict[str, float]:
    path = context.folder / "environment"
    path.write_text(f"{os.environ.get('MY_DATA')} {os.environ.get('HPSEARCH_TOKEN')} {Path.cwd()}")
    context.log_artifact(path)
    return {"value": x}


def several(x: Annotated[float, Float(-10, 10)]) -> tuple[float, float] | dict[str, float]:
    """Two metrics, in order or by name; far out the second is not finite, or forgotten."""
    if x > 8:
        return {"error": x**2}
    if x < -8:
        return {"error": x**2, "size": float("nan")}
    return (x**2, abs(x - 2)) if x > 0 else {"size": abs(x - 2), "error": x**2}
