"""Beliefs about parameters: checked, heeded by samplers, and forgotten where trials say otherwise."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from hpsearch.errors import InvalidSpec
from hpsearch.search.beliefs import UNIFORM, Beliefs, strength_of
from hpsearch.search.history import History
from hpsearch.search.samplers import suggest
from hpsearch.spec import StudySpec, parse_study, study_schema
from hpsearch.trials import Observation, TrialState
from tests.conftest import loop_study

RATE = {"type": "float", "low": 1e-5, "high": 1e-1, "log": True}
UNITS = {"type": "int", "low": 8, "high": 64, "step": 8}
CELL = {"type": "categorical", "choices": ["lstm", "gru", None, 1]}
SIZE = {"type": "ordinal", "values": ["s", "m", "l", "xl"]}


def study(space: Any, sampler: str = "tpe", trials: int | None = 100, **options: Any) -> StudySpec:
    budget = {"wall_clock": 60.0} if trials is None else {"trials": trials}
    return parse_study(loop_study(space=space, sampler={"name": sampler} | options, budget=budget))


def faults_of(parameter: Any, prior: Any, sampler: str = "tpe") -> dict[str, str]:
    with pytest.raises(InvalidSpec) as caught:
        study({"p": parameter | {"prior": prior}}, sampler)
    return {fault.path: str(fault) for fault in caught.value.faults}


@pytest.mark.parametrize(
    ("parameter", "prior", "path", "problem"),
    [
        (RATE, {}, "space.p.prior", "must have either a value or a region"),
        (RATE, {"value": 1e-3, "min": 1e-4}, "space.p.prior", "must have either a value or a region"),
        (RATE, {"value": 2.0}, "space.p.prior.value", "must be a number from 1e-05 to 0.1, not 2.0"),
        (RATE, {"value": "high"}, "space.p.prior.value", "must be a number from"),
        (RATE, {"value": True}, "space.p.prior.value", "must be a number from"),
        (RATE, {"value": [1e-3, 1e-2]}, "space.p.prior.value", "must be one value"),
        (RATE, {"min": 1e-2, "max": 1e-3}, "space.p.prior.max", "must not come before min (0.01)"),
        (RATE, {"min": -1, "max": 7}, "space.p.prior.min", "must be a number from"),
        (RATE, {"value": 1e-3, "confidence": "utter"}, "space.p.prior.confidence", "'low', 'medium' or 'high'"),
        (RATE, {"value": 1e-3, "confidense": "high"}, "space.p.prior.confidense", "did you mean 'confidence'?"),
        (RATE, {"value": float("nan")}, "space.p.prior.value", "must be a value, or a list of values"),
        (RATE, 1e-3, "space.p.prior", "must be an object with named fields, not 0.001"),
        (RATE, {"value": []}, "space.p.prior.value", "must be a value, or a list of values"),
        (RATE, {"min": 1e400}, "space.p.prior.min", "must be a text, a finite number"),
        (RATE, {"min": [1]}, "space.p.prior.min", "must be"),
        (RATE, {"value": {"a": 1}}, "space.p.prior.value", "must be a value, or a list of values"),
        (UNITS, {"value": 100}, "space.p.prior.value", "must be a whole number from 8 to 64, not 100"),
        (CELL, {"value": "tanh"}, "space.p.prior.value", "must be one of 'lstm', 'gru', None, 1, not 'tanh'"),
        (CELL, {"value": ["gru", "é", True]}, "space.p.prior.value.1", "must be one of"),
        (CELL, {"min": "lstm"}, "space.p.prior.min", "choices have no order"),
        (SIZE, {"min": "l", "max": "s"}, "space.p.prior.max", "must not come before min ('l')"),
        ({"type": "constant", "value": 3}, {"value": 3}, "space.p.prior", "is not known here"),
    ],
)
def test_a_wrong_prior_is_refused_at_its_place(parameter: Any, prior: Any, path: str, problem: str) -> None:
    faults = faults_of(parameter, prior)
    assert problem in faults[path], faults


def test_all_faults_are_told_at_once_and_right_ones_are_taken() -> None:
    both = faults_of(RATE, {"min": 0, "max": 7})
    assert set(both) == {"space.p.prior.min", "space.p.prior.max"}
    study({
        "a": RATE | {"prior": {"value": 1e-3}}, "b": UNITS | {"prior": {"value": 30, "confidence": "high"}},
        "c": CELL | {"prior": {"value": [None, "gru"]}}, "d": SIZE | {"prior": {"min": "m"}},
        "e": RATE | {"prior": {"max": 1e-3}}, "f": CELL | {"prior": {"value": "lstm"}},
    })  # fmt: skip
    assert "Prior" in study_schema()["$defs"]


@pytest.mark.parametrize("sampler", ["cmaes", "nsga2", "grid"])
def test_a_sampler_that_heeds_no_prior_is_refused(sampler: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        study({"p": UNITS | {"prior": {"value": 8}}, "q": UNITS}, sampler)
    faults = {fault.path: str(fault) for fault in caught.value.faults}
    assert f"{sampler} heeds no priors, but tpe, gp, random, qmc, auto do" in faults["space.p.prior"]


@pytest.mark.parametrize(
    ("parameter", "prior"),
    [
        (RATE, {"value": 1e-3, "confidence": "high"}),
        (RATE, {"min": 1e-5, "max": 1e-4}),
        (UNITS, {"value": 8}),
        (SIZE, {"min": "m", "max": "l", "confidence": "high"}),
        (CELL, {"value": ["gru", 1], "confidence": "low"}),
    ],
)
def test_what_is_drawn_is_distributed_as_the_density_says(parameter: Any, prior: Any) -> None:
    spec = study({"p": parameter | {"prior": prior}})
    history = History(spec)
    quantiles = (np.arange(40_000) + 0.5)[:, None] / 40_000
    points = history.space.points_at(history.beliefs.drawn(quantiles))
    places = history.space.points_at((np.arange(4000) + 0.5)[:, None] / 4000)
    weights = np.exp(history.beliefs.log_density(places))
    assert weights.min() >= UNIFORM - 1e-12
    assert weights.mean() == pytest.approx(1.0, abs=0.05)  # of steps the density is that of their middle
    shares = history.space.dimensions[0].cell_shares
    distance = stats.wasserstein_distance(shares(points[:, 0]), shares(places[:, 0]), None, weights)
    assert distance < 0.02


def test_a_belief_is_strong_where_it_says() -> None:
    space = {"p": RATE | {"prior": {"value": 1e-3}}, "q": RATE | {"prior": {"min": 1e-2}}, "c": CELL,
             "r": CELL | {"prior": {"value": "gru", "confidence": "high"}}}  # fmt: skip
    history = History(study(space))

    def density(**values: Any) -> float:
        whole = {"p": 1e-3, "q": 3e-2, "c": 1, "r": "gru"} | values
        return float(history.beliefs.log_density(np.array([history.space.point(whole)]))[0])

    assert density(p=1e-3) > density(p=3e-3) > density(p=1e-2) > density(p=1e-1)
    assert density(p=3e-4) == pytest.approx(density(p=1e-3 / 0.3), abs=1e-2)
    assert density(q=3e-2) > density(q=1e-2) > density(q=1e-4)
    assert density(c="lstm") == density(c=None)
    assert density(r="gru") - density(r=1) == pytest.approx(np.log(8))
    del space["p"]["prior"], space["q"]["prior"], space["r"]["prior"]
    assert not History(study(space)).beliefs


def test_slopes_are_those_of_the_density() -> None:
    history = History(study({"p": RATE | {"prior": {"value": 1e-3, "confidence": "high"}}, "c": CELL}))
    dimension = history.space.dimensions[0]
    for share in (0.05, 0.4, 0.51, 0.9):
        value, slope = history.beliefs.at_share(0, share)
        point = np.array([[dimension.snapped(np.array([np.log(1e-5) + share * np.log(1e4)]))[0], 1.0]])
        assert value == pytest.approx(history.beliefs.log_density(point)[0])
        assert slope == pytest.approx(
            (history.beliefs.at_share(0, share + 1e-6)[0] - history.beliefs.at_share(0, share - 1e-6)[0]) / 2e-6,
            rel=1e-4, abs=1e-6)  # fmt: skip
    assert history.beliefs.at_share(1, 0.5) == (0.0, 0.0)


def test_its_strength_is_a_tenth_of_the_budget_within_bounds() -> None:
    found = [strength_of(study({"p": UNITS}, trials=trials)) for trials in (None, 10, 200, 100_000)]
    assert found == [10.0, 5.0, 20.0, 100.0]


def run(spec: StudySpec, trials: int, value: Any) -> list[float]:
    history, found = History(spec), []
    for number in range(trials):
        (suggestion,) = suggest(history, [{}])
        loss = value(suggestion.parameters)
        found.append(loss)
        history.update([Observation(number, TrialState.COMPLETE, suggestion.parameters, [loss], None, None,
                                    suggestion.sampler_attributes, number + 1)])  # fmt: skip
    return found


def loss_of(p: Any) -> float:
    return float(np.log10(p["rate"] / 2e-3) ** 2 + np.log10(p["other"] / 1e-2) ** 2 + (p["cell"] != "gru"))


SAMPLERS: list[dict[str, Any]] = [{"sampler": "random"}, {"sampler": "tpe"}, {"sampler": "gp", "startup_trials": 5},
                                  {"sampler": "qmc"}]  # fmt: skip


@pytest.mark.parametrize("options", SAMPLERS, ids=str)
def test_a_right_belief_saves_trials(options: Any) -> None:
    plain = {"rate": RATE, "other": RATE, "cell": CELL}
    believed = {"rate": RATE | {"prior": {"value": 1e-3, "confidence": "high"}},
                "other": RATE | {"prior": {"min": 5e-3, "max": 5e-2}},
                "cell": CELL | {"prior": {"value": "gru", "confidence": "high"}}}  # fmt: skip
    seeds = range(5 if options["sampler"] != "gp" else 3)

    def best(space: Any, seed: int) -> float:
        spec = study(space, **options).model_copy(update={"seed": seed})
        return min(run(spec, 12, loss_of))

    assert np.median([best(believed, seed) for seed in seeds]) < np.median([best(plain, seed) for seed in seeds])


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_a_model_weighs_it_in_and_ever_less(sampler: str) -> None:
    """Where trials say nothing of the good places, what is suggested after them follows the belief."""
    prior = {"value": 0.5, "confidence": "high"}
    flat = {"type": "float", "low": 0.0, "high": 1.0}

    def far(parameter: Any, trials: int, seed: int) -> float:
        history = History(study({"p": parameter, "q": flat}, sampler).model_copy(update={"seed": seed}))
        rng = np.random.default_rng(seed)
        for number in range(trials):
            places = {"p": float(rng.random()), "q": float(rng.random())}
            history.update([Observation(number, TrialState.COMPLETE, places, [float(rng.random())], None, None, {},
                                        number + 1)])  # fmt: skip
        return abs(float(suggest(history, [{}])[0].parameters["p"]) - 0.5)  # type: ignore[arg-type]

    seeds = range(16 if sampler == "tpe" else 8)
    plain, early = (np.mean([far(item, 12, seed) for seed in seeds]) for item in (flat, flat | {"prior": prior}))
    assert early < 0.15 < plain
    late = np.mean([far(flat | {"prior": prior}, 150, seed) for seed in seeds])
    assert late > 1.2 * early


@pytest.mark.parametrize("options", [{"sampler": "tpe"}, {"sampler": "gp", "startup_trials": 5}], ids=str)
def test_a_wrong_belief_is_forgotten(options: Any) -> None:
    wrong = {"rate": RATE | {"prior": {"value": 1e-5, "confidence": "high"}}, "other": RATE, "cell": CELL}
    found = run(study(wrong, trials=40, **options), 40, loss_of)
    assert min(found) < 0.2


def test_random_draws_follow_it_ever_less() -> None:
    spec = study({"p": RATE | {"prior": {"value": 1e-5, "confidence": "high"}}}, "random", trials=100)
    history = History(spec)
    rates = np.array([float(item.parameters["p"]) for item in suggest(history, [{}] * 1000)])  # type: ignore[arg-type]
    low = rates < 1e-4
    assert low[:10].mean() > 0.5  # of uniform ones a quarter
    assert 0.2 < low[500:].mean() < 0.35


def test_without_a_prior_nothing_is_other_than_it_was() -> None:
    assert not Beliefs(study({"p": RATE}).space, History(study({"p": RATE})).space)


def test_a_conditional_parameter_is_believed_of_where_it_is_there() -> None:
    space = {"cell": CELL, "rate": RATE | {"when": {"cell": "gru"}, "prior": {"value": 1e-5, "confidence": "high"}}}
    for options in SAMPLERS[:3]:
        spec = study(space, **options)
        found = run(spec, 14, lambda p: float(p.get("rate", 0.05)) + (p["cell"] == "lstm"))
        assert len(found) == 14
        assert History(spec).beliefs.log_density(np.array([[0.0, np.nan]])) == [0.0]
