"""Our tree-structured Parzen estimator against Optuna's: the same densities, the same suggestions in distribution."""

from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import default_weights
from scipy import stats

from hpsearch.sampler_spec import TPESampler
from hpsearch.search import tpe
from hpsearch.search.distributions import distributions_of
from hpsearch.search.history import History
from hpsearch.search.parzen import ParzenEstimator, recency_weights
from hpsearch.search.samplers import suggest
from hpsearch.spec import StudySpec, parse_study
from hpsearch.trials import Observation, TrialState
from tests.conftest import loop_study

SPACE = {
    "x": {"type": "float", "low": -5, "high": 5},
    "rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
    "grid": {"type": "float", "low": 0.0, "high": 0.9, "step": 0.3},
    "units": {"type": "int", "low": 8, "high": 512, "log": True},
    "layers": {"type": "int", "low": 1, "high": 9, "step": 2},
    "cell": {"type": "categorical", "choices": ["lstm", "gru", None]},
}
PARAMETERS = _ParzenEstimatorParameters(
    prior_weight=1.0, consider_magic_clip=True, consider_endpoints=False, weights=default_weights, multivariate=True
)


def study(**changes: Any) -> StudySpec:
    return parse_study(loop_study(**({"space": SPACE} | changes)))


def value_of(parameters: Any) -> float:
    units, rate = float(parameters["units"]), float(parameters["rate"])
    far = abs(np.log(rate / 3e-3)) + abs(np.log(units / 96)) + (parameters["x"] - 1) ** 2 + parameters["grid"]
    return float(far + 0.3 * abs(parameters["layers"] - 5) + (parameters["cell"] != "gru"))


def filled(spec: StudySpec, trials: int, running: int = 0, pruned_every: int = 0) -> History:
    """A history of random trials with values."""
    history, rng = History(spec), np.random.default_rng(7)
    points = history.space.points_at(rng.random((trials + running, len(history.space))))
    found = []
    for number in range(trials + running):
        parameters = history.space.parameters(points[number], {})
        value = value_of(parameters)
        state = TrialState.COMPLETE if number < trials else TrialState.RUNNING
        step = None
        if state is TrialState.COMPLETE and pruned_every and number % pruned_every == 0:
            state, step = TrialState.PRUNED, number % 5
        values = [value] if state is TrialState.COMPLETE else None
        found.append(Observation(number, state, parameters, values, step, value if step else None, {}, number + 1))
    history.update(found)
    return history


def optunas(history: History, **options: Any) -> Callable[[int], dict[str, Any]]:
    """Suggestions of Optuna's own sampler on the same trials, by seed."""
    distributions = distributions_of(history.spec.space)
    frozen = []
    running = set(history.running())
    pruned = set(history.pruned())
    for number in range(len(history)):
        parameters = history.space.parameters(history.points[number], {})
        state = optuna.trial.TrialState.COMPLETE
        intermediate = {}
        if number in running:
            state = optuna.trial.TrialState.RUNNING
        elif number in pruned:
            state = optuna.trial.TrialState.PRUNED
            if history.last_steps[number] >= 0:
                intermediate = {int(history.last_steps[number]): float(history.last_losses[number])}
        value = float(history.losses[number]) if state is optuna.trial.TrialState.COMPLETE else None
        frozen.append(
            optuna.trial.create_trial(
                state=state,
                value=value,
                params=parameters,
                distributions=distributions,
                intermediate_values=intermediate,
            )
        )
    storage = optuna.storages.InMemoryStorage()
    whole = optuna.create_study(storage=storage)
    whole.add_trials(frozen)

    def ask(seed: int) -> dict[str, Any]:
        sampler = optuna.samplers.TPESampler(seed=seed, **options)
        probe = optuna.study.Study(whole.study_name, storage, sampler=sampler)
        trial = optuna.trial.create_trial(state=optuna.trial.TrialState.WAITING)
        trial.number = len(frozen)
        if options.get("multivariate", True):
            return sampler._sample_relative(probe, trial, distributions)
        return {name: sampler.sample_independent(probe, trial, name, item) for name, item in distributions.items()}

    return ask


@given(st.integers(0, 60), st.integers(0, 2**32 - 1))
def test_densities_are_optunas(count: int, seed: int) -> None:
    history, rng = History(study()), np.random.default_rng(seed)
    dimensions = history.space.dimensions
    points = history.space.points_at(rng.random((count, len(dimensions))))
    elsewhere = history.space.points_at(rng.random((40, len(dimensions))))
    distributions = distributions_of(history.spec.space)
    names = list(distributions)
    theirs = _ParzenEstimator({name: points[:, i] for i, name in enumerate(names)}, distributions, PARAMETERS)
    ours = ParzenEstimator(dimensions, points, recency_weights(count))
    expected = theirs.log_pdf({name: elsewhere[:, i] for i, name in enumerate(names)})
    np.testing.assert_allclose(ours.log_density(elsewhere), expected, rtol=1e-6, atol=1e-6)


def test_weights_are_optunas() -> None:
    for count in (0, 1, 24, 25, 26, 300):
        np.testing.assert_array_equal(recency_weights(count), default_weights(count))


@pytest.mark.parametrize("multivariate", [True, False])
@pytest.mark.parametrize(("trials", "running", "pruned_every"), [(40, 0, 0), (60, 6, 3)])
def test_suggestions_are_distributed_as_optunas(
    trials: int, running: int, pruned_every: int, multivariate: bool
) -> None:
    spec = study(sampler={"name": "tpe", "multivariate": multivariate})
    history = filled(spec, trials, running, pruned_every)
    draws = 250
    ask = optunas(history, multivariate=multivariate)
    theirs = [ask(seed) for seed in range(draws)]
    free = range(len(history.space))
    ours = np.array(
        [
            tpe.suggest(history, TPESampler(multivariate=multivariate), np.random.default_rng(s), free, 1)[0]
            for s in range(draws)
        ]
    )
    for index, dimension in enumerate(history.space.dimensions):
        other = np.array([dimension.coordinate(found[dimension.name]) for found in theirs])
        found = stats.ks_2samp(dimension.scaled(ours[:, index]) if dimension.log else ours[:, index],
                               dimension.scaled(other) if dimension.log else other)  # fmt: skip
        assert found.pvalue > 1e-4, dimension.name


def test_a_long_history_is_sampled_to_nearly_the_same_density() -> None:
    history = filled(study(), 5000)
    good, bad, weights = tpe._split(history, TPESampler())
    assert len(good) == tpe.MOST_GOOD
    assert len(bad) == tpe.NEAREST_BAD + tpe.SAMPLED_BAD
    everyone = np.setdiff1d(np.arange(5000), good)
    assert weights.sum() == pytest.approx(recency_weights(len(everyone)).sum())
    dimensions = history.space.dimensions
    elsewhere = history.space.points_at(np.random.default_rng(0).random((500, len(dimensions))))
    whole = ParzenEstimator(dimensions, history.points[everyone], recency_weights(len(everyone)))
    thinned = ParzenEstimator(dimensions, history.points[bad], weights)
    difference = thinned.log_density(elsewhere) - whole.log_density(elsewhere)
    assert abs(np.mean(difference)) < 0.5  # nats
    assert np.corrcoef(thinned.log_density(elsewhere), whole.log_density(elsewhere))[0, 1] > 0.6


def test_who_is_sampled_stays_sampled_as_trials_join() -> None:
    history = filled(study(), 2000)
    before = set(tpe._split(history, TPESampler())[1].tolist())
    parameters = history.space.parameters(history.points[0], {})
    history.update([Observation(2000, TrialState.COMPLETE, parameters, [1e9], None, None, {}, 2001)])
    after = set(tpe._split(history, TPESampler())[1].tolist())
    assert len(before & after) >= len(before) - 2


def test_suggestions_of_one_call_keep_apart() -> None:
    history = filled(study(), 300)
    points = tpe.suggest(history, TPESampler(), np.random.default_rng(0), range(6), 16)
    alone = np.concatenate(
        [tpe.suggest(history, TPESampler(), np.random.default_rng(seed), range(6), 1) for seed in range(16)]
    )

    def spread(found: Any) -> float:
        gaps = [abs(a - b) for i, a in enumerate(found[:, 0]) for b in found[:i, 0]]
        return float(np.median(gaps))

    assert len({tuple(point) for point in points}) == 16
    assert spread(points) > 0.7 * spread(alone)


def test_a_liar_keeps_away_from_what_runs() -> None:
    """With a constant liar a point that many trials stand on at present is suggested less."""
    space = {"x": {"type": "float", "low": 0, "high": 1}}
    apart = {}
    for liar in (True, False):
        spec = parse_study(loop_study(space=space, sampler={"name": "tpe", "constant_liar": liar}))
        history = History(spec)
        trials = [
            Observation(n, TrialState.COMPLETE, {"x": n / 40}, [abs(n / 40 - 0.5)], None, None, {}, n + 1)
            for n in range(40)
        ]
        busy = [Observation(40 + n, TrialState.RUNNING, {"x": 0.5}, None, None, None, {}, 41 + n) for n in range(20)]
        history.update(trials + busy)
        options = TPESampler(constant_liar=liar)
        found = [tpe.suggest(history, options, np.random.default_rng(s), [0], 1)[0, 0] for s in range(100)]
        apart[liar] = float(np.mean(np.abs(np.array(found) - 0.5)))
    assert apart[True] > apart[False]


def test_trials_that_lack_a_parameter_are_left_out() -> None:
    history = filled(study(), 30)
    history.update([Observation(30, TrialState.COMPLETE, {"x": 0.0}, [-100.0], None, None, {}, 31)])
    (suggestion,) = suggest(history, [{}])
    assert set(suggestion.parameters) == set(SPACE)


def test_pruned_trials_are_ranked_by_step_or_by_value() -> None:
    """A complete trial that was merely the first on its rungs is the best one by step, and not by value."""
    spec = parse_study(loop_study(space={"x": {"type": "float", "low": 0, "high": 1}}))
    history = History(spec)
    complete = [Observation(0, TrialState.COMPLETE, {"x": 0.9}, [5.0], 9, 5.0, {}, 1)]
    pruned = [(1, 3.0), (3, 2.0), (3, 1.0), (None, None), (9, 4.0)]
    history.update(complete + [Observation(1 + n, TrialState.PRUNED, {"x": 0.1 * n}, None, step, value, {}, 2 + n)
                               for n, (step, value) in enumerate(pruned)])  # fmt: skip
    everyone = history.complete(), history.pruned()
    assert tpe._best(history, *everyone, 9).tolist() == [0, 5, 3, 2, 1, 4]
    assert tpe._best_by_value(history, *everyone, 9).tolist() == [3, 2, 1, 5, 0, 4]
    assert tpe._best_by_value(history, *everyone, 2).tolist() == [3, 2]
    maximize = loop_study(space={"x": {"type": "float", "low": 0, "high": 1}})
    maximize["objective"]["direction"] = "maximize"
    upwards = History(parse_study(maximize))
    upwards.update([Observation(n, TrialState.PRUNED, {"x": 0.5}, None, 1, float(n), {}, n + 1) for n in range(3)])
    assert tpe._best_by_value(upwards, upwards.complete(), upwards.pruned(), 9).tolist() == [2, 1, 0]
