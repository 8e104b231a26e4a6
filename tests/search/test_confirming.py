"""What the runs say: mean, deviation, rank and test, as scipy and by hand."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from hpsearch.confirmation import Confirmation
from hpsearch.objective_spec import Direction
from hpsearch.search.confirming import confirmed_of, paired_t
from hpsearch.trials import Trial, TrialState


def trial(number: int, value: float | None, **changes: Any) -> Trial:
    known: dict[str, Any] = {
        "study": "s",
        "number": number,
        "state": TrialState.COMPLETE if value is not None else TrialState.FAILED,
        "parameters": {"x": number},
        "seed": number,
        "value": value,
        "values": None if value is None else (value,),
        "created_at": datetime.now(UTC),
        "revision": number,
    }
    return Trial(**known | changes)


def runs_of(confirms: int, values: Sequence[float | None], **changes: Any) -> list[Trial]:
    return [
        trial(100 * (confirms + 1) + run, value, confirms=confirms, seed=run, **changes)
        for run, value in enumerate(values)
    ]


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=2, max_size=9))
def test_the_test_is_scipys(pairs: list[tuple[float, float]]) -> None:
    first, second = np.array(pairs).T
    if np.ptp(first - second) > 1e-6:  # scipy warns of differences that are alike
        assert paired_t(first - second) == pytest.approx(ttest_rel(first, second).pvalue, abs=1e-12)


def test_differences_without_a_deviation_leave_no_doubt() -> None:
    assert (paired_t([0.0, 0.0]), paired_t([0.5, 0.5, 0.5])) == (1.0, 0.0)


def test_what_violates_a_constraint_on_one_seed_is_not_the_best() -> None:
    searched = [trial(0, 1.0), trial(1, 2.0), trial(2, 3.0)]
    small, large = runs_of(0, [1.0, 2.0]), runs_of(0, [0.5], violations={"size <= 9": 1.0})
    found = confirmed_of("minimize", searched, [*small, *large, *runs_of(1, [3.0, 5.0]), *runs_of(2, [2.0])])
    assert [(item.trial, item.rank, item.violating) for item in found] == [(1, 1, 0), (2, 2, 0), (0, 3, 1)]
    assert (found[2].n, found[2].best_run) == (3, small[0].number)  # a model that satisfies them
    assert Confirmation(study="s", planned=6, finished=6, metric="loss", configurations=found).best == found[0]
    only = Confirmation(study="s", planned=3, finished=3, metric="loss", configurations=found[2:])
    assert only.best is None


@pytest.mark.parametrize(("direction", "order"), [("minimize", [0, 1]), ("maximize", [1, 0])])
def test_the_best_mean_comes_first(direction: Direction, order: list[int]) -> None:
    searched = [trial(0, 1.0), trial(1, 2.0)]
    found = confirmed_of(direction, searched, [*runs_of(0, [1.0, 3.0]), *runs_of(1, [2.0, 6.0])])
    assert [item.trial for item in found] == order
    assert [item.rank for item in found] == [1, 2]
    assert [item.searched_rank for item in found] == [1, 2]
    by_trial = {item.trial: item for item in found}
    sign = 1.0 if direction == "minimize" else -1.0
    assert (by_trial[0].mean, by_trial[0].optimism, by_trial[1].optimism) == (2.0, sign * 1.0, sign * 2.0)
    assert found[1].difference == sign * 2.0


def test_failed_runs_are_shown_and_in_no_mean_and_pairs_share_a_seed() -> None:
    searched = [trial(0, 1.0), trial(1, 2.0), trial(2, 0.0)]
    runs = [*runs_of(0, [1.0, None, 2.0]), *runs_of(1, [4.0, 9.0, 7.0]), *runs_of(2, [-5.0, None, None])]
    first, second, last = confirmed_of("minimize", searched, runs)
    assert (first.trial, first.n, first.failed, first.mean) == (0, 2, 1, 1.5)
    assert (second.trial, second.n, second.difference) == (1, 3, 4.0)  # (4 - 1, 7 - 2): the second has no partner
    assert (last.trial, last.n, last.deviation, last.p_value) == (2, 1, None, None)  # one run is no proof
    (nothing,) = confirmed_of("minimize", [trial(0, 1.0)], runs_of(0, [None, None]))
    assert (nothing.n, nothing.mean, nothing.best_run, nothing.optimism) == (0, None, None, None)


def test_test_metrics_are_summed_up_beside() -> None:
    runs = [
        *runs_of(0, [1.0], metrics={"test_a": 1.0, "train_a": 5.0, "test_b": None}),
        trial(200, 2.0, confirms=0, seed=9, metrics={"test_a": 2.0}),
    ]
    (found,) = confirmed_of("minimize", [trial(0, 1.0)], runs)
    assert found.metrics.keys() == {"test_a"}
    assert (found.metrics["test_a"].n, found.metrics["test_a"].mean) == (2, 1.5)
    assert found.metrics["test_a"].deviation == pytest.approx(0.5**0.5)


def test_numbers_too_large_to_be_added_are_no_crash() -> None:
    searched = [trial(0, 1.7e308), trial(1, -1.7e308)]
    found = confirmed_of("minimize", searched, [*runs_of(0, [1.7e308] * 3), *runs_of(1, [-1.7e308] * 3)])
    assert [item.mean for item in found] == [None, None]
