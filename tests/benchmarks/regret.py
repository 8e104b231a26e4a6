"""Whether our TPE (or GP) finds what Optuna's finds: regret on functions of known minimum, both in one run.

    python -m tests.benchmarks.regret [--seeds 20] [--trials 200] [--long 1500]
    python -m tests.benchmarks.regret --sampler gp --trials 50 --long 0

`--trials` stays below the length from which we look at a sample of the history, `--long` goes above it (0 leaves it
out: Optuna takes minutes there). A row a function and a number of trials: the median regret of each, the ratio
(Optuna's over ours: above 1 we are ahead), and the p-value of a Mann-Whitney test that they differ.
"""

import argparse
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import optuna
from scipy import stats

from hpsearch.search.distributions import distributions_of
from hpsearch.search.history import History
from hpsearch.search.samplers import suggest
from hpsearch.spec import StudySpec, parse_study
from hpsearch.trials import Observation, TrialState

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """A function of known minimum (0) over a space."""

    name: str
    space: dict[str, Any]
    value: Callable[[Parameters], float]


def training(p: Parameters) -> float:
    """Something like a training run: rates on a log scale, sizes, a choice; the best rate depends on the batch."""
    rate = math.log10(p["learning_rate"]) + 2.5 - 0.3 * math.log2(p["batch_size"] / 64)
    units = math.log2(p["hidden_units"] / 96)
    cell = {"lstm": 0.0, "gru": 0.15, "rnn": 0.6}[p["cell"]]
    return rate**2 + 0.2 * units**2 + 0.3 * abs(p["hidden_layers"] - 2) + 2 * (p["dropout"] - 0.2) ** 2 + cell


_H_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_H_P = 1e-4 * np.array([[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
                        [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]])  # fmt: skip


def hartmann(p: Parameters) -> float:
    """Hartmann's function of six variables."""
    x = np.array([p[f"x{index}"] for index in range(6)])
    return float(3.32237 - np.exp(-(_H_A * (x - _H_P) ** 2).sum(axis=1)) @ np.array([1.0, 1.2, 3.0, 3.2]))


def rosenbrock(p: Parameters) -> float:
    """Rosenbrock's valley in four dimensions, on a log scale of values."""
    x = [p[f"x{index}"] for index in range(4)]
    return math.log1p(sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in pairwise(x)))


def branin(p: Parameters) -> float:
    """Branin's function, with three minima."""
    a, b = p["a"], p["b"]
    bowl = (b - 5.1 / (4 * math.pi**2) * a * a + 5 / math.pi * a - 6) ** 2
    return bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10 - 0.397887


PROBLEMS = (
    Problem(
        "branin",
        {"a": {"type": "float", "low": -5.0, "high": 10.0}, "b": {"type": "float", "low": 0.0, "high": 15.0}},
        branin,
    ),
    Problem(
        "training",
        {
            "learning_rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
            "batch_size": {"type": "int", "low": 8, "high": 512, "log": True},
            "hidden_units": {"type": "int", "low": 8, "high": 512, "log": True},
            "hidden_layers": {"type": "int", "low": 1, "high": 4},
            "dropout": {"type": "float", "low": 0.0, "high": 0.6},
            "cell": {"type": "categorical", "choices": ["lstm", "gru", "rnn"]},
        },
        training,
    ),
    Problem("hartmann6", {f"x{index}": {"type": "float", "low": 0.0, "high": 1.0} for index in range(6)}, hartmann),
    Problem(
        "rosenbrock4", {f"x{index}": {"type": "float", "low": -2.0, "high": 2.0} for index in range(4)}, rosenbrock
    ),
)


def spec_of(problem: Problem, seed: int, sampler: str = "tpe") -> StudySpec:
    raw = {"name": "regret", "objective": {"direction": "minimize"}, "space": problem.space, "seed": seed}
    return parse_study(raw | {"budget": {"trials": 1_000_000}, "sampler": {"name": sampler}})


def ours(problem: Problem, seed: int, trials: int, together: int, sampler: str = "tpe") -> np.ndarray:
    """The best value so far after each trial; `together` suggestions a call."""
    history, values = History(spec_of(problem, seed, sampler)), []
    while len(values) < trials:
        for suggestion in suggest(history, [{}] * together):
            values.append(problem.value(suggestion.parameters))
            number = len(values) - 1
            told = Observation(
                number, TrialState.COMPLETE, suggestion.parameters, values[-1:], None, None, {}, number + 1
            )
            history.update([told])
    return np.minimum.accumulate(values[:trials])


def optunas(problem: Problem, seed: int, trials: int, together: int, sampler: str = "tpe") -> np.ndarray:
    """The same by Optuna's sampler of that name with its defaults, in memory."""
    distributions = distributions_of(spec_of(problem, seed).space)
    theirs = {"tpe": optuna.samplers.TPESampler, "gp": optuna.samplers.GPSampler}[sampler]
    study = optuna.create_study(sampler=theirs(seed=seed))
    values: list[float] = []
    while len(values) < trials:
        for trial in [study.ask(distributions) for _ in range(together)]:
            values.append(problem.value(trial.params))
            study.tell(trial, values[-1])
    return np.minimum.accumulate(values[:trials])


def rows(problem: Problem, seeds: int, trials: int, together: int, sampler: str = "tpe") -> list[str]:
    """Lines of the table for one problem."""
    started = time.perf_counter()
    mine = np.array([ours(problem, seed, trials, together, sampler) for seed in range(seeds)])
    between = time.perf_counter()
    theirs = np.array([optunas(problem, seed, trials, together, sampler) for seed in range(seeds)])
    costs = (between - started) / seeds / trials, (time.perf_counter() - between) / seeds / trials
    found = []
    for at in sorted({trials // 4, trials // 2, trials}):
        a, b = mine[:, at - 1], theirs[:, at - 1]
        p = stats.mannwhitneyu(a, b).pvalue
        ratio = np.median(b) / max(np.median(a), 1e-12)
        found.append(
            f"| {problem.name} | {at} | {together} | {np.median(a):.4f} | {np.median(b):.4f} | {ratio:.2f} | {p:.2f} "
            f"| {1e3 * costs[0]:.1f} / {1e3 * costs[1]:.1f} |"
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--long", type=int, default=1500)
    parser.add_argument("--long-seeds", type=int, default=8)
    parser.add_argument("--sampler", choices=("tpe", "gp"), default="tpe")
    parser.add_argument("--problems", nargs="*", choices=[problem.name for problem in PROBLEMS], default=None)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print(
        f"optuna {optuna.__version__}; median regret over {options.seeds} seeds ({options.long_seeds} of long runs)\n"
    )
    print("| function | trials | asked together | ours | Optuna | ratio | p | ms a trial, ours / Optuna |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for problem in PROBLEMS:
        if options.problems and problem.name not in options.problems:
            continue
        for together in (1, 8):
            print("\n".join(rows(problem, options.seeds, options.trials, together, options.sampler)), flush=True)
        if options.long:
            print(rows(problem, options.long_seeds, options.long, 1, options.sampler)[-1], flush=True)


if __name__ == "__main__":
    main()
