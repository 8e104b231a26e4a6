"""What an earlier study is worth: `python -m tests.benchmarks.earlier [--pairs SOURCE:TARGET …] [--seeds N]`.

Each study is a replay of real learning curves by our engine, one worker, without a pruner: first one of another task
(100 trials of `tpe`), then the same search of a task without it, with it, and with its ranks turned round, which is as
wrong as an earlier study can be. Regret is 0 for the best loss of the table and 1 for its median configuration's. The
tasks are those that were not looked at when the numbers in `hpsearch.search.earlier` were chosen.
"""

import argparse
from dataclasses import replace

import numpy as np

from hpsearch.earlier import Found
from hpsearch.search.earlier import MOST_BEST, MOST_OTHERS
from hpsearch.search.heeding import ended_of
from hpsearch.search.history import History
from hpsearch.search.space import Floats
from tests.benchmarks.search.clock import replay
from tests.benchmarks.search.ours import Engine, spec_of
from tests.benchmarks.search.tasks import TASKSET, Task, task_of
from tests.benchmarks.tables import print_table

PAIRS = tuple(f"{TASKSET[source]}:{TASKSET[target]}" for source, target in ((1, 5), (5, 7)))
SOURCE_TRIALS = 100
TPE = {"sampler": {"name": "tpe"}, "pruner": {"name": "none"}}
AFTER = (5, 10, 20, 40, 60)
"""Full curves."""


class _Known(Engine):
    """An engine that says what it found."""

    def found(self) -> Found:
        history: History = self._history
        ended = ended_of(history, np.sort(np.concatenate([history.complete(), history.diverged()])))
        places, shares = ended.chosen(MOST_BEST, MOST_OTHERS)
        points = history.points[ended.numbers[places]]
        return Found(
            study="earlier",
            trials=len(ended.numbers),
            configurations=tuple(history.space.parameters(point, {}) for point in points),
            shares=tuple(shares.tolist()),
        )


def main() -> None:
    """Replay, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.earlier", description=__doc__)
    parser.add_argument("--pairs", nargs="+", default=PAIRS, metavar="SOURCE:TARGET")
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    rows = []
    for pair in given.pairs:
        source, target = map(task_of, pair.split(":"))
        regrets = np.array([_regrets(source, target, seed) for seed in range(given.seeds)])
        for place, known in enumerate(("nothing", "the earlier study", "the same, turned round")):
            rows.append([source.name, target.name, known, *map(_mean, regrets[:, place].T)])
    print_table(("earlier study", "study", "known", *(f"regret after {curves}" for curves in AFTER)), rows)
    print(f"mean and standard error over {given.seeds} seeds; after so many full curves")


def _mean(values: Floats) -> str:
    return f"{values.mean():.3f} ± {values.std(ddof=1) / np.sqrt(len(values)):.3f}"


def _regrets(source: Task, target: Task, seed: int) -> list[list[float]]:
    """By what is known, and after so many curves."""
    first = _Known(spec_of(source, 10_000 + seed, TPE))
    replay(source, first, workers=1, curves=SOURCE_TRIALS)
    found = first.found()
    turned = replace(found, configurations=found.configurations[::-1], shares=tuple(1 - x for x in found.shares[::-1]))
    return [_after(target, seed, *known) for known in ((), (found,), (turned,))]


def _after(task: Task, seed: int, *known: Found) -> list[float]:
    engine = Engine(spec_of(task, seed, TPE), known)
    found = replay(task, engine, workers=1, curves=max(AFTER))
    bests = [
        min((loss for spent, loss in zip(found.compute, found.losses, strict=True) if spent <= curves), default=np.inf)
        for curves in AFTER
    ]
    return [task.regret(min(best, task.median)) for best in bests]


if __name__ == "__main__":
    main()
