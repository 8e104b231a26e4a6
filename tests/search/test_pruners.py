"""Pruners as functions of a trial's standing among its peers."""

from typing import Any

import pytest

from hpsearch.search.pruners import Standing, is_rung, looks_at, why_prune
from hpsearch.spec import ASHAPruner, MedianPruner, NoPruner


def standing(**changes: Any) -> Standing:
    return Standing(**({"step": 1, "value": 0.5, "best": 0.5, "peers": (), "complete": 9} | changes))


def test_none_never_prunes() -> None:
    assert not looks_at(NoPruner(), 1)
    assert why_prune(NoPruner(), "minimize", standing(value=1e9)) is None


def test_rungs_are_powers_of_the_reduction_factor() -> None:
    pruner = ASHAPruner(min_resource=2, reduction_factor=3)
    assert [step for step in range(60) if is_rung(pruner, step)] == [2, 6, 18, 54]


def test_the_median_looks_after_its_warmup_at_its_interval() -> None:
    pruner = MedianPruner(warmup_steps=3, interval_steps=2)
    assert [step for step in range(10) if looks_at(pruner, step)] == [4, 6, 8]


@pytest.mark.parametrize(
    ("direction", "best", "pruned"), [("maximize", 0.4, True), ("maximize", 0.6, False), ("minimize", 0.6, True)]
)
def test_the_median_prunes_what_is_worse(direction: Any, best: float, pruned: bool) -> None:
    reason = why_prune(MedianPruner(), direction, standing(best=best, peers=(0.1, 0.5, 0.9)))
    assert (reason is not None) is pruned


def test_the_median_waits_for_its_first_trials() -> None:
    assert why_prune(MedianPruner(startup_trials=5), "maximize", standing(best=0.0, peers=(1.0,), complete=4)) is None
    assert why_prune(MedianPruner(), "maximize", standing(best=0.0, peers=())) is None


def test_asha_lets_the_best_of_a_rung_go_on() -> None:
    pruner = ASHAPruner(min_resource=1, reduction_factor=3)
    peers = (0.1, 0.2, 0.3, 0.4, 0.6)
    assert why_prune(pruner, "maximize", standing(value=0.5, peers=peers)) is None
    reason = why_prune(pruner, "maximize", standing(value=0.25, peers=peers))
    assert reason == "asha: on the rung at step 1 0.25 is number 4 of 6, 2 go on (cut at 0.4)"
    assert why_prune(pruner, "minimize", standing(value=0.15, peers=peers)) is None


def test_asha_lets_the_first_and_its_equals_go_on() -> None:
    assert why_prune(ASHAPruner(), "maximize", standing(value=0.0)) is None
    assert why_prune(ASHAPruner(), "maximize", standing(value=0.5, peers=(0.5, 0.5))) is None
