"""Importances agree with what is known of the functions that were searched."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from optuna.importance._fanova._tree import _FanovaTree

from hpsearch.errors import InvalidInput
from hpsearch.insights import METHODS, Importances, Method, Outcome
from hpsearch.search import fanova, importances
from hpsearch.search.importances import score
from hpsearch.search.space import Space
from hpsearch.search.table import GrowingTable, Table, is_divergence
from hpsearch.spec import parse_study
from hpsearch.trials import TrialState
from tests.conftest import loop_study

UNIT = {"type": "float", "low": 0.0, "high": 1.0}
LSTM = {
    "learning_rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
    "hidden_units": {"type": "int", "low": 8, "high": 256, "log": True},
    "dropout": {"type": "float", "low": 0.0, "high": 0.6},
    "batch_size": {"type": "categorical", "choices": [16, 32, 64, 128]},
}
Function = Callable[[Mapping[str, Any]], float]


def outcome(number: int, parameters: Any, value: float | None, **changes: Any) -> Outcome:
    given: dict[str, Any] = {
        "number": number,
        "state": TrialState.COMPLETE,
        "parameters": parameters,
        "values": None if value is None else (value,),
        "last_step": None,
        "last_value": None,
        "started_at": 0.0,
        "finished_at": 1.0,
        "worker": "w",
        "reason": None,
        "revision": number + 1,
    }
    return Outcome(**(given | changes))


def table_of(space: Any, function: Function, count: int = 300, direction: str = "minimize", seed: int = 0) -> Table:
    """Trials at random."""
    objective = {"metric": "depth", "direction": direction}
    spec = parse_study(loop_study(space=space) | {"objective": objective})
    points = Space(spec.space).points_at(np.random.default_rng(seed).random((count, len(space))))
    growing = GrowingTable(spec)
    parameters = [Space(spec.space).parameters(point, {}) for point in points]
    growing.update(outcome(number, given, function(given)) for number, given in enumerate(parameters))
    return growing.table()


def ranking(found: Importances) -> list[str]:
    return [item.parameter for item in found.importances]


def shares(found: Importances) -> dict[str, float]:
    return {item.parameter: item.importance for item in found.importances}


def linear(given: Mapping[str, Any]) -> float:
    return float(10 * given["a"] + given["b"] + 0.1 * given["c"])


def training(given: Mapping[str, Any]) -> float:
    """Shaped like the loss of an LSTM: a valley in the logarithm of the learning rate, the rest beside it."""
    rate = np.log10(given["learning_rate"]) + 2.5
    units = np.log2(given["hidden_units"] / 128)
    noise = np.random.default_rng(int(given["learning_rate"] * 1e9)).normal(0, 0.02)
    return float(
        min(rate**2, 2.5) + 0.05 * units**2 + 0.4 * (given["dropout"] - 0.2) ** 2 + given["batch_size"] / 2000 + noise
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_linear_function_ranks_its_slopes(method: Method, direction: str) -> None:
    table = table_of(dict.fromkeys("bca", UNIT), linear, 400, direction)
    found = importances.importances(table, method)
    assert ranking(found)[0] == "a"
    assert shares(found)["a"] > 0.8
    if method != "ped_anova":  # what b leads to is below what chance does to densities among the best 40
        assert shares(found)["b"] > shares(found)["c"]
    assert found.used == found.of == 400


@pytest.mark.parametrize("method", METHODS)
def test_of_lstm_training_the_learning_rate_comes_first(method: Method) -> None:
    found = importances.importances(table_of(LSTM, training), method)
    assert ranking(found)[0] == "learning_rate"
    assert shares(found)["learning_rate"] > 0.6


def test_fanova_gives_the_shares_that_calculus_does() -> None:
    """Of a + b + 2 (a - ½)(b - ½) on the unit square: 1/12 each alone, 4/144 together."""
    table = table_of({"a": UNIT, "b": UNIT}, lambda x: x["a"] + x["b"] + 2 * (x["a"] - 0.5) * (x["b"] - 0.5), 800)
    found = importances.importances(table, "fanova")
    total = 2 / 12 + 4 / 144
    assert shares(found) == pytest.approx({"a": 1 / 12 / total, "b": 1 / 12 / total}, abs=0.03)
    (together,) = found.interactions
    assert together.parameters == ("a", "b")
    assert together.importance == pytest.approx(4 / 144 / total, abs=0.03)


@pytest.mark.parametrize(("factor", "offset"), [(1.0, 1e9), (1e307, -5e307), (1e-200, 0.0)])
@pytest.mark.parametrize("method", METHODS)
def test_shares_do_not_hang_on_where_values_lie(method: Method, factor: float, offset: float) -> None:
    space = {"a": UNIT, "b": UNIT, "c": UNIT}
    plain = importances.importances(table_of(space, linear), method)
    moved = importances.importances(table_of(space, lambda given: factor * linear(given) + offset), method)
    assert shares(moved) == pytest.approx(shares(plain), abs=0.01)


def test_an_interaction_without_any_effect_alone_is_found() -> None:
    """Exclusive or: neither says anything alone. Shapley parts it evenly."""
    table = table_of(dict.fromkeys("abc", UNIT), lambda x: float((x["a"] > 0.5) != (x["b"] > 0.5)), 300)
    found = importances.importances(table, "fanova")
    assert max(shares(found).values()) < 0.1
    assert set(found.interactions[0].parameters) == {"a", "b"}
    assert found.interactions[0].importance > 0.7
    parted = shares(importances.importances(table, "shapley"))
    assert parted["a"] == pytest.approx(parted["b"], abs=0.1)
    assert parted["c"] < 0.1
    assert sum(parted.values()) == pytest.approx(1)


def test_our_marginals_are_those_of_optunas_trees() -> None:
    """The same tree, walked value by value there, taken from its leaves' boxes here."""
    table = table_of(dict.fromkeys("abc", UNIT), lambda x: x["a"] * x["b"] + x["c"] ** 2, 60)
    forest = fanova.Forest(table.dimensions, table.points, table.values, 0)
    for tree in forest._forest.estimators_[:2]:
        theirs = _FanovaTree(tree.tree_, np.array([[0.0, 1.0]] * 3))
        ours = fanova.leaves_of(tree.tree_, 3)
        assert ours.variance == pytest.approx(theirs.variance)
        for index in range(3):
            alone = theirs.get_marginal_variance(np.array([index]))
            assert ours.marginal_variance(index) == pytest.approx(alone)
        both = theirs.get_marginal_variance(np.array([0, 1]))
        beyond = both - theirs.get_marginal_variance(np.array([0])) - theirs.get_marginal_variance(np.array([1]))
        assert ours.interaction_variance(0, 1) == pytest.approx(max(0.0, beyond))


@pytest.mark.parametrize("method", METHODS)
def test_parameters_of_every_kind_may_be_absent_from_some_trials(method: Method) -> None:
    """Conditional parameters: the momentum is sgd's alone, some choices appear once."""
    space = {
        "optimizer": {"type": "categorical", "choices": ["sgd", "adam", None, True]},
        "momentum": UNIT,
        "layers": {"type": "int", "low": 1, "high": 9, "step": 2},
        "only": {"type": "int", "low": 3, "high": 3},
    }
    spec = parse_study(loop_study(space=space))
    random, growing = np.random.default_rng(0), GrowingTable(spec)
    for number in range(120):
        given: dict[str, Any] = {"optimizer": ["sgd", "adam", "adam", None][random.integers(4)], "only": 3}
        value = {"sgd": 0.0, "adam": 1.0, None: 2.0}[given["optimizer"]]
        if given["optimizer"] == "sgd":
            given["momentum"] = float(random.random())
            value += given["momentum"]
        if number % 3:
            given["layers"] = int(random.choice([1, 3, 5, 7, 9]))
        if number == 7:
            given = {}
        growing.update([outcome(number, given, value)])
    found = importances.importances(growing.table(), method)
    assert set(ranking(found)) == set(space)
    # whether there is a momentum says as much as the optimizer does
    assert ranking(found)[0] in ("optimizer", "momentum")
    assert ranking(found)[2:] == ["layers", "only"]
    assert all(np.isfinite(item.importance) for item in found.importances)
    assert shares(found)["only"] == 0.0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "dimension",
    [
        {"type": "float", "low": -8e307, "high": 8e307},
        {"type": "float", "low": 1e-300, "high": 1e300, "log": True},
        {"type": "int", "low": -(2**53), "high": 2**53},
        {"type": "int", "low": 1, "high": 2**53, "log": True},
        {"type": "int", "low": 0, "high": 1},
        {"type": "categorical", "choices": [f"choice {number}" for number in range(3000)]},
        {"type": "categorical", "choices": ["", "</script>", "日本", None, False, -1.5]},
    ],
    ids=lambda item: f"{item['type']} {item.get('high', '')!s}",
)
def test_spaces_of_any_size_are_taken(method: Method, dimension: Any) -> None:
    random = np.random.default_rng(0)
    table = table_of({"x": dimension, "y": UNIT}, lambda x: x["y"] + 0.1 * random.random(), 60)
    found = importances.importances(table, method)
    assert ranking(found)[0] == "y"


def pruned_and_failed(count: int = 200) -> Table:
    """Ends of every kind: a below a half is pruned early, b above 0.9 diverges, and some fail for other reasons."""
    spec = parse_study(loop_study(space=dict.fromkeys("abc", UNIT)))
    random, growing = np.random.default_rng(0), GrowingTable(spec)
    for number in range(count):
        given = {name: float(random.random()) for name in "abc"}
        changes: dict[str, Any] = {}
        if given["b"] > 0.9:
            changes = {"state": TrialState.FAILED, "reason": f"diverged: loss is nan in epoch {number}"}
        elif number % 10 == 0:
            changes = {"state": TrialState.FAILED, "reason": "no such file: diverged.csv"}
        elif given["a"] < 0.5:
            changes = {"state": TrialState.PRUNED, "reason": "rung 1", "last_step": 1, "last_value": -99.0}
        elif number % 10 == 1:
            changes = {"state": TrialState.RUNNING, "last_step": 1, "last_value": -99.0}
        value = None if changes else 1 - given["a"]
        growing.update([outcome(number, given, value, **changes)])
    return growing.table()


def test_pruned_and_diverged_trials_count_as_bad_and_others_not_at_all() -> None:
    table = pruned_and_failed()
    scored = score(table)
    worst = scored.losses[scored.complete].max()
    assert set(scored.losses[~scored.complete]) == {worst}
    assert scored.counts == {
        "complete": len(table.complete()),
        "pruned": len(table.pruned()),
        "diverged": len(table.diverged()),
    }
    assert len(scored.numbers) == sum(scored.counts.values()) < len(table)
    assert min(scored.counts.values()) > 5
    for method in METHODS:
        assert ranking(importances.importances(table, method))[0] == "a"


def test_with_few_complete_trials_no_pruned_one_counts_as_among_the_best() -> None:
    """Successive halving completes fewer than a tenth; taken as the best tenth, pruned ones would drown them."""
    spec = parse_study(loop_study(space={"a": UNIT, "b": UNIT}))
    random, growing = np.random.default_rng(0), GrowingTable(spec)
    for number in range(400):
        given = {"a": float(random.random()), "b": float(random.random())}
        changes = {} if given["a"] > 0.97 else {"state": TrialState.PRUNED}
        growing.update([outcome(number, given, 1 - given["a"], **changes)])
    assert 2 <= len(growing.table().complete()) < 40
    found = importances.importances(growing.table(), "ped_anova")
    assert shares(found)["a"] > 0.7


@pytest.mark.parametrize(
    ("reason", "diverged"),
    [
        ("diverged: train_loss is nan in epoch 3", True),
        ("reported nan at step 7", True),
        ("reported -inf at step 7", True),
        ("reported nan in vain" + "x" * 100, True),
        ("the loss diverged", False),
        (None, False),
        ("", False),
    ],
)
def test_which_reasons_say_that_a_trial_diverged(reason: str | None, diverged: bool) -> None:
    assert is_divergence(reason) is diverged


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("count", "value"), [(0, 1.0), (9, None), (50, 1.0)])
def test_where_there_is_nothing_to_say_it_says_why(method: Method, count: int, value: float | None) -> None:
    random = np.random.default_rng(0)
    table = table_of({"a": UNIT}, lambda _: random.random() if value is None else value, max(count, 1))
    if count == 0:
        table = GrowingTable(table.spec).table()
    found = importances.importances(table, method)
    assert found.importances == ()
    assert ("same value" if count == 50 else "too few trials") in str(found.note)


def test_one_trial_that_fell_apart_does_not_hide_the_rest() -> None:
    table = table_of(dict.fromkeys("abc", UNIT), lambda x: 1e12 if x["c"] > 0.99 else linear(x), 300)
    assert ranking(importances.importances(table, "fanova"))[0] == "a"


def test_a_large_study_is_sampled_and_says_so() -> None:
    table = table_of(dict.fromkeys("abc", UNIT), linear, 6000)
    found = importances.importances(table, "ped_anova")
    assert (found.used, found.of) == (4000, 6000)
    assert found == importances.importances(table, "ped_anova")
    assert importances.importances(table, "fanova").used == 2000


def test_a_script_that_says_no_space_is_understood_from_what_it_tried() -> None:
    objective = {"metric": "depth", "direction": "minimize"}
    spec = parse_study(loop_study(space={}) | {"objective": objective})
    random, growing = np.random.default_rng(0), GrowingTable(spec)
    for number in range(100):
        given = {"rate": float(10 ** random.uniform(-5, 0)), "cell": str(random.choice(["lstm", "gru"])), "n": number}
        growing.update([outcome(number, given, abs(np.log10(given["rate"]) + 2))])
    table = growing.table()
    assert {item.name: (item.log, item.whole, item.choices is None) for item in table.dimensions} == {
        "rate": (True, False, True),
        "cell": (False, False, False),
        "n": (False, True, True),
    }
    for method in METHODS:
        assert ranking(importances.importances(table, method))[0] == "rate"


def test_without_scikit_learn_the_default_works_and_the_others_say_what_they_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = table_of(dict.fromkeys("abc", UNIT), linear, 50)
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    assert importances.importances(table, "ped_anova").importances
    for method in ("fanova", "shapley"):
        with pytest.raises(InvalidInput, match="scikit-learn"):
            importances.importances(table, method)


def test_a_table_that_grew_by_changes_is_the_one_that_was_read_at_once() -> None:
    spec = parse_study(loop_study(space={"a": UNIT}))
    grown, whole = GrowingTable(spec), GrowingTable(spec)
    first = [outcome(n, {"a": 0.5}, None, state=TrialState.RUNNING, worker=None, revision=n + 1) for n in range(700)]
    then = [outcome(n, {"a": 0.5}, float(n), revision=1000 + n) for n in range(0, 700, 2)]
    grown.update(first)
    before = grown.table()
    grown.update(then)
    latest = {item.number: item for item in [*first, *then]}
    whole.update(latest.values())
    assert (grown.revision, len(before.complete())) == (1698, 0)
    for column in ("points", "states", "values", "started"):
        assert np.array_equal(getattr(grown.table(), column), getattr(whole.table(), column), equal_nan=True)
