"""The Gaussian process and what is drawn by it."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad
from scipy.stats import norm

from hpsearch.errors import InvalidSpec
from hpsearch.sampler_spec import GPSampler
from hpsearch.search import gp
from hpsearch.search.drawing import answer, question
from hpsearch.search.fronts import is_on_front
from hpsearch.search.gaussian import (
    GaussianProcess,
    Kernel,
    _implausibility,
    fitted,
    log_improvement,
    log_improvement_slopes,
)
from hpsearch.search.history import History
from hpsearch.search.samplers import suggest
from hpsearch.spec import StudySpec, parse_study
from hpsearch.trials import Observation, TrialState
from tests.conftest import loop_study

X = {"type": "float", "low": 0.0, "high": 1.0}


def study(space: Any = None, *, constraints: Any = (), **changes: Any) -> StudySpec:
    raw = loop_study(space=space or {"x": X, "y": X}, budget={"trials": 10_000}, **changes)
    return parse_study({"sampler": {"name": "gp"}} | raw | {"sampler": changes.get("sampler", {"name": "gp"}),
                                                            "constraints": constraints})  # fmt: skip


def told(number: int, parameters: Any, value: float | None, **changes: Any) -> Observation:
    state = changes.pop("state", TrialState.COMPLETE)
    return Observation(number, state, parameters, None if value is None else [value], changes.pop("last_step", None),
                       changes.pop("last_value", None), {}, number + 1, **changes)  # fmt: skip


def history_of(spec: StudySpec, count: int, value: Any, seed: int = 0) -> History:
    """Random trials and their values."""
    history = History(spec)
    rng = np.random.default_rng(seed)
    for number in range(count):
        parameters = {name: float(rng.random()) for name in spec.space}
        history.update([told(number, parameters, value(parameters))])
    return history


def drawn(history: History, count: int = 1) -> np.ndarray:
    return gp.draw(history.spec, gp.task_of(history, len(history), count), GPSampler())


def bowl(p: Any) -> float:
    return float(sum((value - 0.6) ** 2 for value in p.values()))


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    points = rng.random((20, 3))
    points[:, 2] = rng.integers(3, size=20)
    return points, rng.normal(size=20), np.array([False, False, True])


def test_derivatives_are_those_of_the_functions(data: Any) -> None:
    points, values, nominal = data
    apart = points.T[:, :, None] - points.T[:, None, :]
    apart[nominal] = apart[nominal] != 0
    logs, squares = np.array([0.3, -0.2, 0.5, 0.1, -2.0]), (apart**2).reshape(3, -1)
    slopes = _implausibility(logs, squares, values)[1]

    def implausible(at: np.ndarray) -> float:
        return _implausibility(at, squares, values)[0]

    differences = [(implausible(logs + d) - implausible(logs - d)) / 2e-6 for d in 1e-6 * np.eye(5)]
    assert slopes == pytest.approx(differences, rel=1e-5)
    process, point = fitted(points, values, nominal, is_exact=False), np.array([0.3, 0.4, 1.0])

    def improvement(at: np.ndarray) -> float:
        return float(log_improvement(*process.at(at[None]), -1.0)[0])

    value, slopes = log_improvement_slopes(*process.slopes_at(point), -1.0)
    assert value == pytest.approx(improvement(point))
    step = 1e-6 * np.eye(3)[:2]
    differences = [(improvement(point + d) - improvement(point - d)) / 2e-6 for d in step]
    assert slopes[:2] == pytest.approx(differences, rel=1e-4)
    assert slopes[2] == 0


def test_the_logarithm_of_the_improvement_is_right_near_and_far() -> None:
    for z in (-3.0, 0.0, 2.0):
        exact, _ = quad(lambda y, z=z: max(0.0, z - y) * norm.pdf(y), -12, z)
        assert float(log_improvement(np.zeros(1), np.ones(1), z)[0]) == pytest.approx(np.log(exact), rel=1e-6)
    far = -np.array([24.9, 25.1, 100.0, 1e4, 1e6, 1e9])
    found = np.array([log_improvement(np.zeros(1), np.ones(1), z)[0] for z in far])
    assert np.isfinite(found).all()
    assert found == pytest.approx(norm.logpdf(far) - 2 * np.log(-far), rel=1e-4)  # its first term


def test_a_process_goes_through_exact_values_and_knows_nothing_far_away(data: Any) -> None:
    points, values, nominal = data
    process = GaussianProcess(Kernel(np.array([9.0, 9.0, 1.0]), 2.0, 1e-6, nominal), points, values)
    means, variances = process.at(points)
    assert means == pytest.approx(values, abs=1e-3)
    assert variances.max() < 1e-4
    means, variances = process.at(points + 100)
    assert means == pytest.approx(0, abs=1e-9)
    assert variances == pytest.approx(2.0)
    believed = process.believing(points[:1] + 0.3)
    assert believed.at(points + 0.1)[0] == pytest.approx(process.at(points + 0.1)[0], abs=1e-3)
    assert (believed.at(points + 0.1)[1] <= process.at(points + 0.1)[1] + 1e-9).all()


def test_a_fit_tells_what_matters_and_how_much_is_noise() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((80, 2))
    clean = np.sin(6 * points[:, 0])
    for noise in (0.0, 0.7):
        values = clean + noise * rng.normal(size=80)
        process = fitted(points, (values - values.mean()) / values.std(), np.zeros(2, dtype=bool), is_exact=False)
        assert process.kernel.weights[0] > 5 * process.kernel.weights[1]
        assert (process.kernel.noise > 0.2) == bool(noise)


def test_it_comes_close_to_the_bottom_of_a_bowl_soon() -> None:
    history = history_of(study(), 8, bowl)
    for number in range(8, 16):
        (point,) = drawn(history)
        parameters = dict(zip("xy", map(float, point), strict=True))
        history.update([told(number, parameters, bowl(parameters))])
    assert history.losses.min() < 1e-4


def test_a_batch_is_what_single_draws_give_and_keeps_apart() -> None:
    history = history_of(study(), 8, bowl)
    batch = drawn(history, 4)
    for turn, point in enumerate(batch):
        assert drawn(history) == pytest.approx(point[None], abs=0)
        parameters = dict(zip("xy", map(float, point), strict=True))
        history.update([told(8 + turn, parameters, None, state=TrialState.RUNNING)])
    distances = [np.abs(a - b).max() for turn, a in enumerate(batch) for b in batch[:turn]]
    assert min(distances) > 1e-3


def test_a_task_is_the_same_after_its_journey() -> None:
    history = history_of(study(constraints=["loss <= 1"]), 12, bowl)
    history.update([told(12, {"x": 0.1, "y": 0.2}, None, state=TrialState.FAILED, diverged=True),
                    told(13, {"x": 0.3, "y": 0.2}, 1.0, violations={"loss <= 1": 2.0}),
                    told(14, {"x": 0.4, "y": 0.2}, None, state=TrialState.RUNNING)])  # fmt: skip
    task = gp.task_of(history, 15, 2)
    again = gp.Task.of_json(json.loads(json.dumps(task.as_json())))
    assert again.is_like(task)
    assert again.count == 2
    assert not again.is_like(task.after(np.array([[0.5, 0.5]])))
    asked = json.loads(json.dumps(question(history.spec, GPSampler(), task)))
    assert answer(asked)["points"] == gp.draw(history.spec, task, GPSampler()).tolist()
    assert "ValueError" in answer(asked | {"task": asked["task"] | {"losses": [[]]}})["problem"]


def test_of_a_long_history_the_best_and_the_newest_are_looked_at() -> None:
    history = history_of(study(), 1000, bowl)
    task = gp.task_of(history, 1000, 1)
    assert (len(task.points), task.told) == (gp.MOST_TOLD, 1000)
    assert (task.points[-150:] == history.points[-150:]).all()
    assert set(np.sort(history.losses[:850])[:150]) <= set(task.losses[:, 0])
    wide = study({f"x{number}": X for number in range(900)})
    assert len(gp.task_of(history_of(wide, 250, bowl), 250, 1).points) < 160


# --- several metrics -------------------------------------------------------------------------------------------------

METRICS = {"metrics": {"left": "minimize", "right": "maximize"}}
BOTH = parse_study(loop_study(space={"x": X, "y": X}, budget={"trials": 10_000}, sampler={"name": "gp"})
                   | {"objective": METRICS})  # fmt: skip


def both(p: Any) -> list[float]:
    """The best lie where y is 0, between 0.2 and 0.8 of x."""
    return [(p["x"] - 0.2) ** 2 + p["y"], -((p["x"] - 0.8) ** 2) - p["y"]]


def of_both(count: int) -> History:
    history, rng = History(BOTH), np.random.default_rng(0)
    for number in range(count):
        x, y = rng.random(2)
        history.update([tell_both(number, float(x), float(y))])
    return history


def tell_both(number: int, x: float, y: float) -> Observation:
    values = both({"x": x, "y": y})
    return Observation(number, TrialState.COMPLETE, {"x": x, "y": y}, values, None, None, {}, number + 1)


def test_several_metrics_are_searched_from_end_to_end_of_their_front() -> None:
    history = of_both(8)
    for number in range(8, 28):
        (point,) = drawn(history)
        history.update([tell_both(number, *map(float, point))])
    x, y = history.points[12:].T
    assert np.median(y) < 0.02
    assert np.mean((x > 0.15) & (x < 0.85)) > 0.85
    assert np.histogram(x, bins=3, range=(0.2, 0.8))[0].min() >= 2


def test_each_point_has_weights_of_its_own_by_its_number() -> None:
    history = of_both(12)
    batch = drawn(history, 3)
    spread = batch[:, 0].max() - batch[:, 0].min()
    assert spread > 0.05
    history.update([Observation(12 + turn, TrialState.RUNNING, {"x": float(x), "y": float(y)}, None, None, None, {}, 13)
                    for turn, (x, y) in enumerate(batch[:2])])  # fmt: skip
    assert drawn(history)[0] == pytest.approx(batch[2], abs=1e-6)


def test_a_task_of_several_metrics_is_the_same_after_its_journey() -> None:
    history = of_both(6)
    diverged = told(6, {"x": 0.5, "y": 0.9}, None, state=TrialState.FAILED, diverged=True)
    history.update(
        [diverged, told(7, {"x": 0.1, "y": 0.1}, None, state=TrialState.PRUNED, last_step=1, last_value=0.0)]
    )
    task = gp.task_of(history, 8, 2)
    assert task.losses.shape == (7, 2)  # of what was pruned the second metric is not known
    assert np.isinf(task.losses[6]).all()
    question_ = json.loads(json.dumps(question(history.spec, GPSampler(), task)))
    assert gp.Task.of_json(question_["task"]).is_like(task)
    assert answer(question_)["points"] == gp.draw(history.spec, task, GPSampler()).tolist()


def test_of_a_long_history_of_several_metrics_the_front_is_looked_at() -> None:
    history = of_both(1000)
    task = gp.task_of(history, 1000, 1)
    assert (len(task.points), task.told) == (gp.MOST_TOLD, 1000)
    front = history.points[:850][is_on_front(history.every_loss[:850])]
    seen = {tuple(point) for point in task.points}
    assert len(front) > 10
    assert all(tuple(point) in seen for point in front)


@given(
    losses=arrays(float, st.tuples(st.integers(2, 12), st.integers(2, 3)), elements=st.floats(-1e308, 1e308)),
    seed=st.integers(0, 99),
)
def test_what_is_better_in_every_metric_weighs_less(losses: np.ndarray, seed: int) -> None:
    weights = np.random.default_rng(seed).dirichlet(np.ones(losses.shape[1]))
    found = gp.weighed(losses, weights)
    assert np.isfinite(found).all()
    as_good = (losses[:, None] <= losses[None]).all(axis=2)
    assert (found[:, None] <= found[None] + 1e-9 * np.abs(found[None]))[as_good].all()


def test_what_diverged_weighs_most() -> None:
    losses = np.array([[1.0, 2.0], [np.inf, np.inf], [2.0, 1.0]])
    assert gp.weighed(losses, np.array([0.5, 0.5])).tolist() == pytest.approx([0.55, np.inf, 0.55], rel=0.2)
    assert np.isinf(gp.weighed(losses[1:2], np.array([0.5, 0.5]))).all()


# --- what is not wanted ----------------------------------------------------------------------------------------------


def test_it_avoids_where_trials_diverge_or_violate() -> None:
    """The lower the better, down to where it fails or is not allowed."""
    for failure in ("diverged", "violates"):
        spec = study({"x": X}, constraints=["cost <= 1"])
        history, places = History(spec), []
        for number, x in enumerate([0.9, 0.7, 0.5, 0.3, 0.1] + [None] * 8):
            place = float(drawn(history)[0, 0]) if x is None else x
            places.append(place)
            if place >= 0.4:
                history.update([told(number, {"x": place}, place)])
            elif failure == "diverged":
                history.update([told(number, {"x": place}, None, state=TrialState.FAILED, diverged=True)])
            else:
                history.update([told(number, {"x": place}, place, violations={"cost <= 1": 0.4 - place})])
        assert sum(place > 0.37 for place in places[5:]) >= 5, failure
        assert min(place for place in places[5:] if place >= 0.4) < 0.45, failure


def test_without_a_feasible_trial_it_looks_for_one() -> None:
    history = history_of(study(constraints=["cost <= 1"]), 0, bowl)
    rng = np.random.default_rng(0)
    for number in range(10):
        x = 0.5 * float(rng.random())
        history.update([told(number, {"x": x, "y": float(rng.random())}, 1.0, violations={"cost <= 1": 0.8 - x})])
    assert drawn(history)[0, 0] > 0.5


def test_what_was_pruned_is_known_to_be_no_better_than_half_of_the_others() -> None:
    history = history_of(study(), 9, bowl)
    history.update([told(9, {"x": 0.1, "y": 0.2}, None, state=TrialState.PRUNED, last_step=1, last_value=-5.0),
                    told(10, {"x": 0.1, "y": 0.2}, None, state=TrialState.PRUNED, last_step=1, last_value=7.0),
                    told(11, {"x": 0.1, "y": 0.2}, None, state=TrialState.PRUNED)])  # fmt: skip
    task = gp.task_of(history, 12, 1)
    assert list(task.losses[9:]) == [np.median(history.losses[:9]), 7.0]


def test_small_spaces_are_not_searched_twice() -> None:
    space = {"n": {"type": "int", "low": 1, "high": 4}, "cell": {"type": "categorical", "choices": ["a", "b", "c"]},
             "only": {"type": "constant", "value": 3}}  # fmt: skip
    history = History(study(space, sampler={"name": "gp", "startup_trials": 1}))
    seen = []
    for number in range(14):
        (suggestion,) = suggest(history, [{}])
        seen.append((suggestion.parameters["n"], suggestion.parameters["cell"]))
        history.update([told(number, suggestion.parameters, float(suggestion.parameters["n"]))])  # type: ignore[arg-type]
    assert len(set(seen)) == 12


def test_values_of_any_size_are_fitted() -> None:
    for values in ([1.0] * 9, [1e300] * 4 + [-1e300] * 5, [0.0] * 8 + [1e9], [np.inf] * 9, list(range(9))):
        history = History(study())
        for number, value in enumerate(values):
            lost = not np.isfinite(value)
            state = TrialState.FAILED if lost else TrialState.COMPLETE
            place = {"x": number / 9, "y": number / 9}
            history.update([told(number, place, None if lost else value, state=state, diverged=lost)])
        assert np.isfinite(drawn(history)).all()


def test_what_drew_a_trial_is_on_record() -> None:
    history = History(study(sampler={"name": "gp", "startup_trials": 2, "startup": "random"}))
    first = suggest(history, [{}, {}])
    assert [item.sampler_attributes for item in first] == [{"by": "random"}] * 2
    history.update([told(number, item.parameters, float(number)) for number, item in enumerate(first)])
    second = suggest(history, [{}, {}])
    assert [item.sampler_attributes["running"] for item in second] == [0, 1]
    assert second[0].sampler_attributes == {"by": "gp", "told": 2, "running": 0}
    (given,) = suggest(history, [{"x": 0.5}])
    assert given.sampler_attributes == {"by": "random"}


def test_options_are_checked() -> None:
    with pytest.raises(InvalidSpec) as caught:
        study(sampler={"name": "gp", "startup_trials": 0, "startup": "sobol", "determinstic": True})
    told_of = {fault.path: str(fault) for fault in caught.value.faults}
    assert set(told_of) == {"sampler.startup_trials", "sampler.startup", "sampler.determinstic"}
    assert "deterministic" in told_of["sampler.determinstic"]
