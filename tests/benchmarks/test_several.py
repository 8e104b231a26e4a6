"""The benchmark of several metrics searches, and measures what it says."""

import numpy as np
import pytest

from tests.benchmarks import several


@pytest.mark.parametrize("method", ["tpe", "Optuna TPE multivariate"])
def test_a_search_comes_nearer_to_the_whole_front_than_chance(method: str) -> None:
    problem = several.problem_of("zdt1")
    (chance,) = several.shares_of(problem, "random", [60], seed=0)
    first, last = several.shares_of(problem, method, [10, 60], seed=0)
    assert 0 < first < last < 1
    assert chance < last


@pytest.mark.parametrize("name", ["zdt1", "zdt2"])
def test_the_front_itself_has_all_of_its_volume(name: str) -> None:
    problem = several.problem_of(name)
    corners = [problem.values({"x0": x, **{f"x{place}": 0.0 for place in range(1, 6)}}) for x in (0.0, 0.5, 1.0)]
    assert problem.share(problem.front) == 1
    assert 0.5 < problem.share(np.array(corners)) < 1
