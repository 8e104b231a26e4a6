"""Pruners as functions of a trial's standing among its peers; where Optuna has the same one, it decides the same."""

import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy import stats

from hpsearch.pruner_spec import (
    AnyPruner,
    ASHAPruner,
    HyperbandPruner,
    MedianPruner,
    NoPruner,
    PatientPruner,
    PercentilePruner,
    ThresholdPruner,
    WilcoxonPruner,
)
from hpsearch.search.pruners import Standing, Verdict, bracket_of, brackets, judge, judged_steps, looks_at, rungs
from hpsearch.search.pruners.wilcoxon import p_value, taken_apart
from hpsearch.trials import Pruning, TrialState


class Lists:
    """A record of trials by number: their values by step. The first of `complete` is the best."""

    def __init__(
        self,
        number: int,
        trials: Mapping[int, Mapping[int, float]],
        complete: Sequence[int] = (),
        violating: Collection[int] = (),
    ) -> None:
        self.number, self.trials, self.complete, self.violating = number, trials, complete, violating

    def others(self, step: int, states: Sequence[TrialState] = ()) -> list[tuple[int, float, bool]]:
        chosen = self.complete if states else self.trials
        reached = [n for n in chosen if n != self.number and step in self.trials[n]]
        return [(n, self.trials[n][step], n in self.violating) for n in reached]

    def rank(self, step: int, value: float, direction: str, *, violates: bool) -> tuple[int, int]:
        sign = -1 if direction == "maximize" else 1
        peers = [(breaks, sign * peer) for _, peer, breaks in self.others(step)]
        return len(peers), sum(peer < (violates, sign * value) for peer in peers)

    def nth(self, step: int, place: int, direction: str) -> float:
        sign = -1 if direction == "maximize" else 1
        return sign * sorted((breaks, sign * peer) for _, peer, breaks in self.others(step))[place][1]

    def own(self) -> Mapping[int, float]:
        return self.trials[self.number]

    def leader(self) -> Mapping[int, float]:
        return self.trials[self.complete[0]] if self.complete else {}


def verdict(pruner: Any, direction: Any, own: Sequence[float], *others: Sequence[float], complete: int = 0) -> Any:
    """Of trial 0 with its values at steps 1, 2 …, among others, the first `complete` of which are complete."""
    trials = {n: dict(enumerate(values, 1)) for n, values in enumerate([own, *others])}
    record = Lists(0, trials, range(1, complete + 1))
    return judged(pruner, direction, record)


def judged(pruner: Any, direction: Any, record: Lists) -> Verdict | None:
    own = record.own()
    step = max(own)
    best = max(own.values()) if direction == "maximize" else min(own.values())
    if not looks_at(pruner, record.number, step):
        return None
    standing = Standing(number=record.number, step=step, value=own[step], best=best, complete=len(record.complete),
                        violates=record.number in record.violating)  # fmt: skip
    return judge(pruner, direction, standing, record)


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_none_never_prunes() -> None:
    assert not looks_at(NoPruner(), 0, 1)
    assert verdict(NoPruner(), "minimize", [1e9], [0.0], complete=1) is None


def test_rungs_are_powers_of_the_reduction_factor() -> None:
    assert [step for step in range(60) if step in rungs(2, 3, None)] == [2, 6, 18, 54]
    assert [step for step in range(60) if looks_at(ASHAPruner(min_resource=2, max_resource=18), 0, step)] == [2, 6]


def test_the_median_looks_after_its_warmup_at_its_interval() -> None:
    pruner = MedianPruner(warmup_steps=3, interval_steps=2)
    assert [step for step in range(10) if looks_at(pruner, 0, step)] == [4, 6, 8]


@pytest.mark.parametrize(
    "pruner",
    [
        NoPruner(),
        ASHAPruner(),
        ASHAPruner(min_resource=3, reduction_factor=2, max_resource=48),
        HyperbandPruner(min_resource=2, max_resource=54),
    ],
)
def test_the_steps_that_are_judged_are_those_that_are_looked_at(pruner: AnyPruner) -> None:
    for number in range(8):
        judged = judged_steps(pruner, number)
        assert judged is not None
        looked_at = [step for step in range(200) if looks_at(pruner, number, step)]
        assert [step for step in judged if step < 200] == looked_at
        assert all(looks_at(pruner, number, step) for step in judged)


def test_a_pruner_that_may_look_at_any_step_names_none() -> None:
    assert judged_steps(MedianPruner(), 0) is None
    assert judged_steps(PatientPruner(pruner=ASHAPruner(), patience=1), 0) is None


@pytest.mark.parametrize(
    ("direction", "best", "pruned"), [("maximize", 0.4, True), ("maximize", 0.6, False), ("minimize", 0.6, True)]
)
def test_the_median_prunes_what_is_worse(direction: Any, best: float, pruned: bool) -> None:
    found = verdict(MedianPruner(startup_trials=3), direction, [best], [0.1], [0.5], [0.9], complete=3)
    assert (found is not None) is pruned


def test_the_median_waits_for_its_first_trials() -> None:
    assert verdict(MedianPruner(startup_trials=2), "maximize", [0.0], [1.0], complete=1) is None
    assert verdict(MedianPruner(startup_trials=0), "maximize", [0.0]) is None
    assert verdict(MedianPruner(startup_trials=1, min_trials=2), "maximize", [0.0], [1.0], complete=1) is None


@pytest.mark.parametrize(("violating", "pruned"), [((), True), ((1, 2), False), ((1, 2, 3), False), ((0, 1, 2), True)])
def test_the_median_of_what_keeps_the_constraints(violating: Sequence[int], pruned: bool) -> None:
    """0.6 is worse than most, but not than what keeps them; what violates one itself is held against all."""
    trials = {n: {1: value} for n, value in enumerate([0.6, 0.1, 0.2, 0.8])}
    record = Lists(0, trials, [1, 2, 3], violating)
    assert (judged(MedianPruner(startup_trials=1), "minimize", record) is not None) is pruned


def test_a_percentile_keeps_the_best_share() -> None:
    """Of 1, 2, 3, 4, 5 the best quarter ends at 2 where less is better, at 4 where more is."""
    others = [[float(value)] for value in range(1, 6)]
    pruner = PercentilePruner(percentile=25)
    assert verdict(pruner, "minimize", [2.0], *others, complete=5) is None
    found = verdict(pruner, "minimize", [2.5], *others, complete=5)
    assert found.pruning == Pruning(pruner="percentile", step=1, value=2.5, held_against=2.0, rank=3, of=6)
    assert found.words == "percentile: at step 1 its best, 2.5, is worse than 2, the best 25 % of 5 complete trials"
    assert verdict(pruner, "maximize", [4.0], *others, complete=5) is None
    assert verdict(pruner, "maximize", [3.5], *others, complete=5).pruning.held_against == 4.0


def test_asha_lets_the_best_of_a_rung_go_on() -> None:
    pruner, peers = ASHAPruner(), [[value] for value in (0.1, 0.2, 0.3, 0.4, 0.6)]
    assert verdict(pruner, "maximize", [0.5], *peers) is None
    found = verdict(pruner, "maximize", [0.25], *peers)
    assert found.words == "asha: on the rung at step 1 0.25 is number 4 of 6, 2 go on (cut at 0.4)"
    assert found.pruning == Pruning(pruner="asha", step=1, value=0.25, held_against=0.4, rank=4, of=6)
    assert not found.pauses
    assert verdict(ASHAPruner(promote=True), "maximize", [0.25], *peers).pauses
    assert verdict(pruner, "minimize", [0.15], *peers) is None
    assert verdict(pruner, "maximize", [0.9, 0.1], [0.9, 0.5], [0.9, 0.5]) is None  # step 2 is no rung


def test_asha_lets_the_first_and_its_equals_go_on() -> None:
    assert verdict(ASHAPruner(), "maximize", [0.0]) is None
    assert verdict(ASHAPruner(), "maximize", [0.5], [0.5], [0.5]) is None


def test_hyperbands_brackets_have_their_shares_in_every_run_of_trials() -> None:
    """R = 81, eta = 3: the table of Li et al. 2018 gives 81, 34, 15, 8 and 5 configurations."""
    pruner = HyperbandPruner(max_resource=81)
    assert brackets(pruner) == (81, 34, 15, 8, 5)
    first = Counter(bracket_of(pruner, number) for number in range(143))
    assert all(abs(first[bracket] - share) <= 2 for bracket, share in enumerate(brackets(pruner)))
    later = Counter(bracket_of(pruner, number) for number in range(10_000, 10_143))
    assert all(abs(later[bracket] - share) <= 2 for bracket, share in enumerate(brackets(pruner)))


def test_a_bracket_begins_later_and_holds_its_own_trials_against_each_other() -> None:
    pruner = HyperbandPruner(max_resource=9)
    members = {bracket: [n for n in range(60) if bracket_of(pruner, n) == bracket] for bracket in range(3)}
    for bracket, steps in ((0, [1, 3]), (1, [3]), (2, [])):
        number = members[bracket][0]
        assert [step for step in range(1, 30) if looks_at(pruner, number, step)] == steps
    # the trial is the worst of its bracket, and better than all of the other one
    mine, *peers = members[1][:4]
    trials = {n: {3: 0.1} for n in peers} | {mine: {3: 0.2}} | {n: {3: 0.9} for n in members[0]}
    found = judged(pruner, "minimize", Lists(mine, trials))
    assert found is not None
    assert found.pruning == Pruning(pruner="hyperband", step=3, value=0.2, held_against=0.1, rank=4, of=4, bracket=1)
    assert found.words == "hyperband: on the rung at step 3 of bracket 1 0.2 is number 4 of 4, 1 go on (cut at 0.1)"


def test_patience_lets_another_pruner_decide_only_about_what_stands_still() -> None:
    alone = PatientPruner(patience=1, min_delta=0.1)
    assert verdict(alone, "minimize", [0.5, 0.7]) is None  # nothing before the last two
    assert verdict(alone, "minimize", [0.5, 0.9, 0.6]) is None  # not by more than 0.1
    found = verdict(alone, "minimize", [0.5, 0.9, 0.7])
    assert found.pruning == Pruning(pruner="patient", step=3, value=0.7, held_against=0.5)
    assert verdict(alone, "maximize", [0.5, 0.9, 0.7]) is None
    around = PatientPruner(patience=1, pruner=ThresholdPruner(upper=0.8))
    assert verdict(around, "minimize", [0.5, 0.6, 0.7]) is None
    assert verdict(around, "minimize", [0.5, 0.9, 0.9]).pruning.pruner == "threshold"
    assert verdict(around, "minimize", [0.9, 0.9, 0.85]) is None  # out of bounds, but getting better


def test_a_threshold_is_left_on_either_side() -> None:
    pruner = ThresholdPruner(lower=0.0, upper=1.0, warmup_steps=1)
    assert verdict(pruner, "minimize", [2.0]) is None
    assert verdict(pruner, "minimize", [0.5, 1.0]) is None
    assert verdict(pruner, "minimize", [0.5, 1.5]).words == "threshold: at step 2 1.5 is above 1"
    assert verdict(pruner, "minimize", [0.5, -1.5]).words == "threshold: at step 2 -1.5 is below 0"
    assert verdict(ThresholdPruner(upper=1.0), "maximize", [-1e9]) is None


def test_wilcoxon_prunes_what_is_worse_fold_by_fold() -> None:
    """Five folds, each worse by another amount: all ranks on one side, 1 chance in 2^5."""
    pruner, best = WilcoxonPruner(), [0.9, 0.8, 0.7, 0.8, 0.9]
    worse = [value - 0.01 * fold for fold, value in enumerate(best, 1)]
    found = verdict(pruner, "maximize", worse, best, complete=1)
    assert found.pruning.p_value == pytest.approx(1 / 32)
    assert (found.pruning.value, found.pruning.held_against) == (pytest.approx(0.79), pytest.approx(0.82))
    assert verdict(pruner, "minimize", worse, best, complete=1) is None
    assert verdict(WilcoxonPruner(p_threshold=0.01), "maximize", worse, best, complete=1) is None
    assert verdict(pruner, "maximize", worse[:1], best, complete=1) is None
    assert verdict(WilcoxonPruner(startup_steps=6), "maximize", worse, best, complete=1) is None
    assert verdict(pruner, "maximize", worse) is None  # no complete trial yet


def test_wilcoxon_takes_running_means_apart() -> None:
    assert taken_apart({1: 2.0, 2: 3.0, 3: 3.0, 5: 9.0}) == {1: 2.0, 2: 4.0, 3: 3.0}
    single, best = [0.5, 0.3, 0.2, 0.1, 0.4], [0.9, 0.8, 0.7, 0.8, 0.9]
    means, of_best = ([float(np.mean(v[: n + 1])) for n in range(5)] for v in (single, best))
    one = verdict(WilcoxonPruner(), "maximize", single, best, complete=1)
    other = verdict(WilcoxonPruner(running_mean=True), "maximize", means, of_best, complete=1)
    assert other.pruning.p_value == one.pruning.p_value == stats.wilcoxon([1, 2, 3, 4, 5], alternative="greater").pvalue


@pytest.mark.parametrize("alike", [False, True])
def test_the_signed_rank_test_is_scipys(alike: bool) -> None:
    rng = np.random.default_rng(3)
    for count in (2, 5, 8, 60):
        differences = rng.integers(-3, 4, count) if alike else rng.normal(0.2, 1.0, count)
        expected = stats.wilcoxon(differences, alternative="greater", zero_method="zsplit").pvalue
        assert p_value(differences.tolist()) == pytest.approx(expected, rel=1e-9)


# --- beside Optuna's -------------------------------------------------------------------------------------------------

optuna.logging.set_verbosity(optuna.logging.WARNING)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    IMPATIENT = optuna.pruners.PatientPruner(None, 2, 0.2)
    IMPATIENT_MEDIAN = optuna.pruners.PatientPruner(optuna.pruners.MedianPruner(n_startup_trials=1), 1)
    WILCOXON = optuna.pruners.WilcoxonPruner()
PAIRS = [
    (MedianPruner(startup_trials=2), optuna.pruners.MedianPruner(n_startup_trials=2)),
    (
        MedianPruner(startup_trials=0, warmup_steps=2, interval_steps=3, min_trials=3),
        optuna.pruners.MedianPruner(n_startup_trials=0, n_warmup_steps=2, interval_steps=3, n_min_trials=3),
    ),
    (
        PercentilePruner(percentile=30, startup_trials=1),
        optuna.pruners.PercentilePruner(30, n_startup_trials=1),
    ),
    (PatientPruner(patience=2, min_delta=0.2), IMPATIENT),
    (PatientPruner(patience=1, pruner=MedianPruner(startup_trials=1)), IMPATIENT_MEDIAN),
    (
        ThresholdPruner(lower=-1, upper=1, warmup_steps=1, interval_steps=2),
        optuna.pruners.ThresholdPruner(lower=-1, upper=1, n_warmup_steps=1, interval_steps=2),
    ),
]
DIRECTIONS = st.sampled_from(["minimize", "maximize"])
CURVES = st.lists(st.lists(st.floats(-2, 2, width=16), min_size=1, max_size=8), min_size=1, max_size=8)


def optunas(direction: str, curves: Sequence[Sequence[float]], complete: int) -> tuple[Any, Any]:
    """Optuna's study of these trials, the first of which runs, and that trial. Its steps begin at 0."""
    study = optuna.create_study(direction=direction)
    running, *others = curves
    for place, values in enumerate(others):
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.COMPLETE if place < complete else optuna.trial.TrialState.RUNNING,
                value=values[-1] if place < complete else None,
                intermediate_values=dict(enumerate(values)),
            )
        )
    trial = study.ask()
    for step, value in enumerate(running):
        trial.report(value, step)
    return study, study._storage.get_trial(trial._trial_id)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda item: getattr(item, "name", type(item).__name__))
@hypothesis_settings(max_examples=50, deadline=None)
@given(direction=DIRECTIONS, curves=CURVES, complete=st.integers(0, 8))
def test_it_decides_as_optunas_does(ours: Any, theirs: Any, direction: Any, curves: Any, complete: int) -> None:
    complete = min(complete, len(curves) - 1)
    study, trial = optunas(direction, curves, complete)
    found = verdict(ours, direction, *curves, complete=complete)
    assert (found is not None) == bool(theirs.prune(study, trial))


@hypothesis_settings(max_examples=50, deadline=None)
@given(
    direction=DIRECTIONS,
    trials=st.lists(st.tuples(st.floats(-2, 2, width=16), st.booleans()), min_size=1, max_size=30),
    pruner=st.sampled_from([ASHAPruner(), HyperbandPruner(max_resource=3)]),
)
def test_at_a_rung_what_keeps_the_constraints_comes_first(
    direction: Any, trials: list[tuple[float, bool]], pruner: Any
) -> None:
    """Who goes on is as if every trial that violates one had a value worse than all others, by as much as it was."""
    worst = 100.0 if direction == "minimize" else -100.0
    shifted = {n: {1: value + worst * violates} for n, (value, violates) in enumerate(trials)}
    violating = [n for n, (_, violates) in enumerate(trials) if violates]
    record = Lists(0, {n: {1: value} for n, (value, _) in enumerate(trials)}, violating=violating)
    found, expected = judged(pruner, direction, record), judged(pruner, direction, Lists(0, shifted))
    assert (found is None) == (expected is None)
    if found and expected:
        assert (found.pruning.rank, found.pruning.of) == (expected.pruning.rank, expected.pruning.of)
        assert found.pruning.held_against in (expected.pruning.held_against, expected.pruning.held_against - worst)
        assert ("violates a constraint" in found.words) is (0 in violating)


@hypothesis_settings(max_examples=50, deadline=None)
@given(direction=DIRECTIONS, values=st.lists(st.floats(-2, 2, width=16), min_size=1, max_size=30))
def test_asha_decides_as_optunas_does(direction: Any, values: list[float]) -> None:
    """Trial after trial reaches the first rung; Optuna writes its rungs into the trials as it judges them."""
    study, theirs = optuna.create_study(direction=direction), optuna.pruners.SuccessiveHalvingPruner(1, 3)
    for reached, value in enumerate(values):
        trial = study.ask()
        trial.report(value, 1)
        expected = theirs.prune(study, study._storage.get_trial(trial._trial_id))
        found = verdict(ASHAPruner(), direction, [value], *[[other] for other in values[:reached]])
        assert (found is not None) == bool(expected)


@hypothesis_settings(max_examples=50, deadline=None)
@given(
    direction=DIRECTIONS,
    folds=st.lists(st.tuples(st.floats(-2, 2, width=16), st.floats(-2, 2, width=16)), min_size=1, max_size=7),
)
def test_wilcoxon_decides_as_optunas_does(direction: Any, folds: list[tuple[float, float]]) -> None:
    own, best = [pair[0] for pair in folds], [pair[1] for pair in folds]
    study, trial = optunas(direction, [own, best], complete=1)
    found = verdict(WilcoxonPruner(), direction, own, best, complete=1)
    assert (found is not None) == bool(WILCOXON.prune(study, trial))
