"""Replays, one after another: `python -m tests.benchmarks.search.running` reads a plan and prints their results.

A plan is JSON on the standard input: `{"methods": […], "tasks": […], "workers": […], "seeds": […], "curves": …}`. A
peer's plan runs in the peer's own environment.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from tests.benchmarks.search.clock import replay
from tests.benchmarks.search.methods import METHODS
from tests.benchmarks.search.tasks import task_of

Cell = tuple[str, str, int, int]
"""Method, task, workers, seed."""


def cell_of(record: Mapping[str, Any]) -> Cell:
    return record["method"], record["task"], record["workers"], record["seed"]


def run(plan: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A record a replay; a problem in place of a method's replays where it cannot be run."""
    done = {tuple(cell) for cell in plan.get("done", ())}
    broken: set[str] = set()
    for name in plan["tasks"]:
        task = task_of(name)
        for method in plan["methods"]:
            if task.epochs == 1 and METHODS[method].curves_only:
                continue
            for workers in plan["workers"]:
                for seed in plan["seeds"]:
                    if method in broken or (method, name, workers, seed) in done:
                        continue
                    started = time.perf_counter()
                    try:
                        found = replay(task, METHODS[method].search(task, seed), workers, plan["curves"])
                    except Exception as error:
                        broken.add(method)
                        yield {"method": method, "problem": f"{type(error).__name__}: {error}"}
                        continue
                    seconds = time.perf_counter() - started
                    record = {"method": method, "task": name, "group": task.group, "workers": workers, "seed": seed}
                    regrets = [task.regret(loss) for loss in found.losses]
                    yield record | asdict(found) | {"regrets": regrets, "seconds": seconds, "curves": plan["curves"]}


def main() -> None:
    for record in run(json.load(sys.stdin)):
        print("\n" + json.dumps(record), flush=True)  # peers may have printed half a line


if __name__ == "__main__":
    main()
