"""Results as Markdown."""

from collections.abc import Sequence

import numpy as np

from tests.benchmarks.search.methods import METHODS
from tests.benchmarks.search.results import Floats, Results, band, probability_ahead, rank_table
from tests.benchmarks.search.tasks import task_of
from tests.benchmarks.tables import print_table, print_title

CURVES_NOTE = """Regret of the best so far after {fractions} full curves' worth of compute, all workers together: 0 is
the table's best, 1 its median configuration. The median over {seeds} seeds, and its 95% band by the bootstrap."""
COST_NOTE = """Full curves (median over seeds) until a method has the regret that random search with one worker has
after {curves:g} (median); in brackets the share of random search's compute. `-`: not within {curves:g}. The last row
is what no method can do better: all workers train, from the start, the configuration that is there first."""
RANK_NOTE = """Mean rank of the median regret over {blocks} blocks (tasks, numbers of workers, points of compute); 1 is
best. Friedman's test that all are alike: p = {p:.1g}. Ahead: the probability, by the bootstrap over seeds, that {ours}
beats the method in more blocks than it loses."""
SCALE_NOTE = """Configurations begun until the regret of {curves:g} full curves of random search, by number of workers
(median over seeds, then over tasks), and the same in compute."""


def print_report(
    results: Results, methods: Sequence[str], tasks: Sequence[str], workers: Sequence[int], curves: float
) -> None:
    """All tables."""
    points = [curves / 4, curves / 2, curves]
    present = [method for method in methods if any(key[0] == method for key in results.cells)]
    for method in [method for method in methods if method not in present]:
        print(f"\n{METHODS[method].title}: not run: {results.problems.get(method, 'not asked for')}")
    for count in workers:
        _print_regrets(results, present, tasks, count, points)
        _print_costs(results, present, tasks, count, curves)
    for group in sorted({results.groups[task] for task in tasks if task in results.groups}):
        _print_ranks(
            results, present, [task for task in tasks if results.groups.get(task) == group], workers, points, group
        )
    _print_ranks(results, present, tasks, workers, points, "all groups")
    if len(workers) > 1:
        _print_scale(results, present, tasks, workers, curves)


def _seeds(results: Results) -> int:
    return min((len(records) for records in results.cells.values()), default=0)


def _print_regrets(
    results: Results, methods: Sequence[str], tasks: Sequence[str], workers: int, points: Sequence[float]
) -> None:
    fractions = ", ".join(f"{point:g}" for point in points)
    print_title(f"Regret, {_workers(workers)}", CURVES_NOTE.format(fractions=fractions, seeds=_seeds(results)))
    rows = []
    for task in tasks:
        for method in methods:
            if results.cells.get((method, task, workers)):
                cells = [_with_band(results.regrets(method, task, workers, point)) for point in points]
                seconds = np.median([record["seconds"] for record in results.cells[method, task, workers]])
                rows.append([task, METHODS[method].title, *cells, f"{seconds:.1f} s"])
    print_table(("task", "method", *(f"{point:g}" for point in points), "a replay takes"), rows)


def _with_band(values: Floats) -> str:
    middle, low, high = band(values)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def _targets(results: Results, tasks: Sequence[str], curves: float) -> dict[str, float]:
    """The regret that random search with the fewest workers ends with, by task."""
    found = {}
    for task in tasks:
        counts = sorted(key[2] for key in results.cells if key[:2] == ("random", task))
        if counts:
            found[task] = float(np.median(results.regrets("random", task, counts[0], curves)))
    return found


def _print_costs(results: Results, methods: Sequence[str], tasks: Sequence[str], workers: int, curves: float) -> None:
    targets = _targets(results, tasks, curves)
    print_title(f"Compute to random search's regret, {_workers(workers)}", COST_NOTE.format(curves=curves))
    rows = []
    for method in methods:
        costs = [
            float(np.median(results.cost_of(method, task, workers, targets[task])))
            if task in targets and results.cells.get((method, task, workers))
            else float("nan")
            for task in tasks
        ]
        known = [cost for cost in costs if not np.isnan(cost)]
        middle = float(np.median(known)) if known else float("nan")
        rows.append([METHODS[method].title, *(_share(cost, curves) for cost in costs), _share(middle, curves)])
    floors = [_floor(task, workers, targets[task]) if task in targets else float("nan") for task in tasks]
    middle = float(np.median([floor for floor in floors if not np.isnan(floor)] or [np.nan]))
    rows.append(["(no method)", *(_share(floor, curves) for floor in floors), _share(middle, curves)])
    print_table(("method", *tasks, "median over tasks"), rows)


def _floor(name: str, workers: int, regret: float) -> float:
    """Full curves that so many workers spend, all at the same speed, until one of them can have this regret."""
    try:
        task = task_of(name)
    except (FileNotFoundError, ImportError):
        return float("nan")
    there = np.nan_to_num(task.curves, nan=np.inf) <= task.best + regret * (task.median - task.best)
    epochs = np.where(there.any(axis=1), there.argmax(axis=1) + 1.0, np.inf)
    return float(workers * (epochs * task.epoch_costs).min() / task.epochs)


def _share(cost: float, curves: float) -> str:
    if np.isnan(cost):
        return ""
    return f"{cost:.1f} ({cost / curves:.2f})" if np.isfinite(cost) else "-"


def _print_ranks(
    results: Results,
    methods: Sequence[str],
    tasks: Sequence[str],
    workers: Sequence[int],
    points: Sequence[float],
    title: str,
) -> None:
    blocks = [(task, count, point) for task in tasks for count in workers for point in points]
    methods = [method for method in methods if all(results.cells.get((method, *block[:2])) for block in blocks)]
    if not methods or not blocks:
        return
    regrets = [[results.regrets(method, *block) for method in methods] for block in blocks]
    medians = np.array([[float(np.median(values)) for values in row] for row in regrets])
    ranks, p = rank_table(medians)
    first = next((method for method in methods if method.startswith("ours")), methods[0])
    ours = methods.index(first)
    note = RANK_NOTE.format(blocks=len(blocks), p=p, ours=METHODS[first].title)
    print_title(f"Ranks, {title}", note)
    rows = []
    for at in np.argsort(ranks):
        ahead = probability_ahead([row[ours] for row in regrets], [row[at] for row in regrets])
        rows.append([METHODS[methods[at]].title, f"{ranks[at]:.2f}", "" if at == ours else f"{ahead:.2f}"])
    print_table(("method", "mean rank", "ahead"), rows)


def _print_scale(
    results: Results, methods: Sequence[str], tasks: Sequence[str], workers: Sequence[int], curves: float
) -> None:
    targets = _targets(results, tasks, curves)
    print_title("Many workers", SCALE_NOTE.format(curves=curves))
    rows = []
    for method in methods:
        cells = []
        for what in ("trials", "compute"):
            for count in workers:
                costs = [
                    float(np.median(results.cost_of(method, task, count, targets[task], what)))
                    for task in tasks
                    if task in targets and results.cells.get((method, task, count))
                ]
                middle = float(np.median(costs)) if costs else float("inf")
                cells.append(f"{middle:.1f}" if np.isfinite(middle) else "-")
        rows.append([METHODS[method].title, *cells])
    heads = [f"{what}, {_workers(count)}" for what in ("trials", "compute") for count in workers]
    print_table(("method", *heads), rows)


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"
