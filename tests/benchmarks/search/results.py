"""What replays say together: regret at points of the compute, compute to a regret, ranks."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Record = Mapping[str, Any]

BOOTSTRAPS = 1000
WORST = 5.0
"""Regret before anything is found, and at most: some first losses are astronomic."""


class Results:
    """Replays by method, task and number of workers; each is a list of records, one a seed, in the seeds' order."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.problems: dict[str, str] = {}
        self.cells: dict[tuple[str, str, int], list[Record]] = defaultdict(list)
        self.groups: dict[str, str] = {}
        for record in sorted(records, key=lambda record: int(record.get("seed", 0))):
            if "problem" in record:
                self.problems[record["method"]] = record["problem"]
            else:
                self.cells[record["method"], record["task"], record["workers"]].append(record)
                self.groups[record["task"]] = record["group"]

    def regrets(self, method: str, task: str, workers: int, compute: float) -> Floats:
        """The regret of each seed's best after so many full curves [seeds]."""
        return np.array([regret_at(record, compute) for record in self.cells.get((method, task, workers), ())])

    def cost_of(self, method: str, task: str, workers: int, regret: float, what: str = "compute") -> Floats:
        """Full curves (or `trials`) until each seed's regret was at most this [seeds]; infinite where it never was."""
        return np.array([cost_to(record, regret, what) for record in self.cells.get((method, task, workers), ())])


def regret_at(record: Record, compute: float) -> float:
    """The regret of a replay's best after so many full curves."""
    place = int(np.searchsorted(record["compute"], compute, side="right")) - 1
    return min(WORST, float(record["regrets"][place])) if place >= 0 else WORST


def cost_to(record: Record, regret: float, what: str) -> float:
    """What a replay had spent when its regret was first at most this."""
    place = int(np.searchsorted(-np.asarray(record["regrets"]), -regret, side="left"))
    return float(record[what][place]) if place < len(record["regrets"]) else float("inf")


def band(values: Floats, seed: int = 0) -> tuple[float, float, float]:
    """The median over seeds and its 95% confidence band, by the bootstrap."""
    if not len(values):
        return float("nan"), float("nan"), float("nan")
    drawn = np.random.default_rng(seed).choice(values, size=(BOOTSTRAPS, len(values)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5], method="nearest")
    return float(np.median(values)), float(low), float(high)


def rank_table(medians: Floats) -> tuple[Floats, float]:
    """Mean ranks [methods] of medians [blocks, methods], 1 the best, and the p-value of Friedman's test that all are
    alike (NaN with fewer than three methods or two blocks)."""
    ranks = stats.rankdata(medians, axis=1)
    if medians.shape[0] < 2 or medians.shape[1] < 3:
        return ranks.mean(axis=0), float("nan")
    return ranks.mean(axis=0), float(stats.friedmanchisquare(*medians.T).pvalue)


def probability_ahead(ours: Sequence[Floats], theirs: Sequence[Floats], seed: int = 0) -> float:
    """The share of bootstrap samples (of seeds, in each block) in which our median is below theirs in more blocks than
    above."""
    rng = np.random.default_rng(seed)
    wins = np.zeros(BOOTSTRAPS)
    for mine, other in zip(ours, theirs, strict=True):
        a = np.median(rng.choice(mine, size=(BOOTSTRAPS, len(mine))), axis=1)
        b = np.median(rng.choice(other, size=(BOOTSTRAPS, len(other))), axis=1)
        wins += np.sign(b - a)
    return float(np.mean(wins > 0) + 0.5 * np.mean(wins == 0))


def load(path: Path) -> list[Record]:
    """Records of a results file; none where there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
