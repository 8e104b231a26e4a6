"""What training the best configurations again says of them: mean, deviation, rank, a paired test, the winner's curse.

The test is the paired t test (Student 1908) over the seeds that two configurations share, which takes out what the
seeds have in common (Bouthillier et al. 2021, "Accounting for variance in machine learning benchmarks"). Not Wilcoxon's
signed ranks: with five pairs their two-sided p cannot fall below 2 / 2**5 = 0.06, whatever the difference.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.special import stdtr

from hpsearch.confirmation import Confirmed, Spread
from hpsearch.objective_spec import Direction
from hpsearch.trials import Trial, TrialState

LEAST_RUNS = 2
"""A configuration with fewer runs has no deviation, and ranks behind those that have."""
TEST_METRIC = "test_"


def confirmed_of(direction: Direction, searched: Sequence[Trial], runs: Iterable[Trial]) -> tuple[Confirmed, ...]:
    """The configurations of `searched` trials, whose `runs` on fresh seeds say `confirms`, by rank."""
    sign = -1.0 if direction == "maximize" else 1.0  # times a value: less is better
    of_trial: dict[int | None, list[Trial]] = {}
    for run in runs:
        of_trial.setdefault(run.confirms, []).append(run)
    by_value = sorted((t for t in searched if t.value is not None), key=lambda t: (sign * (t.value or 0.0), t.revision))
    found = [_summary(sign, trial, rank, of_trial.get(trial.number, [])) for rank, trial in enumerate(by_value, 1)]
    found.sort(key=lambda item: _place(sign, item))
    by_seed = {item.trial: _by_seed(of_trial.get(item.trial, [])) for item in found}
    return tuple(
        _against(replace(item, rank=rank), by_seed[item.trial], by_seed[found[0].trial])
        for rank, item in enumerate(found, 1)
    )


def _place(sign: float, item: Confirmed) -> tuple[bool, bool, bool, float, int]:
    """What configurations are ranked by. What violates a constraint on one seed is no answer, however good."""
    mean = sign * (item.mean or 0.0)
    return item.violating > 0, item.n < LEAST_RUNS, item.mean is None, mean, item.searched_rank


def _summary(sign: float, trial: Trial, searched_rank: int, runs: Sequence[Trial]) -> Confirmed:
    done = [run for run in runs if run.state is TrialState.COMPLETE and run.value is not None]
    values = [run.value or 0.0 for run in done]
    spread = _spread(values)
    searched = trial.value or 0.0
    names = sorted({name for run in done for name in run.metrics if name.startswith(TEST_METRIC)})
    tests = {name: _spread([value for run in done if (value := run.metrics.get(name)) is not None]) for name in names}
    return Confirmed(
        trial=trial.number,
        parameters=trial.parameters,
        rank=0,
        n=len(done),
        failed=sum(run.state in (TrialState.FAILED, TrialState.PRUNED) for run in runs),
        violating=sum(bool(run.violations) for run in done),
        mean=spread.mean if spread else None,
        deviation=spread.deviation if spread else None,
        searched_value=searched,
        searched_rank=searched_rank,
        optimism=None if spread is None else _finite(sign * (spread.mean - searched)),
        metrics={name: test for name, test in tests.items() if test is not None},
        values=tuple(values),
        runs=tuple(run.number for run in done),
        best_run=_best_run(sign, done),
    )


def _best_run(sign: float, done: Sequence[Trial]) -> int | None:
    best = min(done, key=lambda run: (bool(run.violations), sign * (run.value or 0.0), run.number), default=None)
    return None if best is None else best.number


def _spread(values: Sequence[float]) -> Spread | None:
    """None where there are none, or they are too large to be added."""
    if not values:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        mean = _finite(float(np.mean(values)))
        deviation = _finite(float(np.std(values, ddof=1))) if len(values) >= LEAST_RUNS else None
    return None if mean is None else Spread(n=len(values), mean=mean, deviation=deviation)


def _by_seed(runs: Sequence[Trial]) -> dict[int, float]:
    return {run.seed: run.value for run in runs if run.state is TrialState.COMPLETE and run.value is not None}


def _against(item: Confirmed, values: Mapping[int, float], first: Mapping[int, float]) -> Confirmed:
    """With the mean difference to the first over the shared seeds, and the p value of the paired t test."""
    differences = [values[seed] - first[seed] for seed in values if seed in first]
    spread = _spread(differences) if item.rank > 1 else None
    if spread is None:
        return item
    p_value = None if spread.deviation is None else paired_t(differences)
    return replace(item, difference=spread.mean, p_value=p_value)


def paired_t(differences: Sequence[float]) -> float | None:
    """The two-sided p value of the mean of paired differences [pairs] being 0; None where it cannot be computed.

    Differences that are all the same leave no doubt: 1 where they are 0, otherwise 0.
    """
    n, mean, deviation = len(differences), float(np.mean(differences)), float(np.std(differences, ddof=1))
    if deviation == 0.0:
        return 1.0 if mean == 0.0 else 0.0
    return _finite(float(2.0 * stdtr(n - 1, -abs(mean) / (deviation / np.sqrt(n)))))


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
