"""Figures: valid for Plotly, right in their numbers, small for large studies, and safe with anybody's text."""

import json
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from hpsearch.figures import KINDS, Look
from hpsearch.figures.look import main_range
from hpsearch.figures.style import text
from hpsearch.insights import Outcome
from hpsearch.search.importances import importances
from hpsearch.search.table import GrowingTable, Table
from hpsearch.spec import parse_study
from hpsearch.trials import TrialState
from tests.conftest import loop_study

EVIL = '</script><img src=x onerror="alert(1)"> 日本 & %{x}'
SPACE: dict[str, Any] = {
    "rate": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
    "units": {"type": "int", "low": 1, "high": 64},
    "cell": {"type": "categorical", "choices": ["lstm", EVIL, None, True, 3]},
    "momentum": {"type": "float", "low": 0.0, "high": 1.0},  # of some trials alone
    "only": {"type": "int", "low": 7, "high": 7},
}


def table_of(count: int, space: Any = None, direction: str = "minimize") -> Table:
    """Trials of every state; the worker and the reasons have names that are markup."""
    spec = parse_study(loop_study(space=SPACE if space is None else space) | {
        "objective": {"metric": EVIL, "direction": direction}
    })  # fmt: skip
    random, growing = np.random.default_rng(0), GrowingTable(spec)
    states = [TrialState.COMPLETE] * 6 + [TrialState.PRUNED, TrialState.FAILED, TrialState.RUNNING, TrialState.WAITING]
    draws = random.random((count, 4))
    for number in range(count):
        state, (rate, units, cell, momentum) = states[number % 10], draws[number]
        given: dict[str, Any] = {
            "rate": float(10 ** (4 * rate - 4)),
            "units": 1 + int(63 * units),
            "cell": SPACE["cell"]["choices"][int(5 * cell)],
            "only": 7,
        } | ({"momentum": float(momentum)} if number % 3 else {})
        waits, ended = state is TrialState.WAITING, state.is_finished
        growing.update(
            [
                Outcome(
                    number=number,
                    state=state,
                    parameters=given,
                    values=(float(rate + 0.1 * units),) if state is TrialState.COMPLETE else None,
                    last_step=None if waits else 3,
                    last_value=None if waits else float(rate + 0.2),
                    started_at=None if waits else 1e9 + number,
                    finished_at=1e9 + number + 5 if ended else None,
                    worker=None if waits else f"box {EVIL} {number % 3}",
                    reason=EVIL if state is TrialState.FAILED else None,
                    revision=number + 1,
                )
            ]
        )
    return growing.table()


def look_at(table: Table, *parameters: str) -> Look:
    def curves(numbers: Any) -> dict[int, tuple[list[int], list[float]]]:
        return {number: ([1, 2, 3], [3.0, 2.0, float(table.last_values[number])]) for number in numbers}

    return Look(table=table, parameters=parameters, importances=lambda: importances(table, "ped_anova"), curves=curves)


def drawn(kind: str, table: Table, *parameters: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The numbers and the figure, both as JSON carries them."""
    data = json.loads(json.dumps(KINDS[kind].data(look_at(table, *parameters)), allow_nan=False))
    return data, json.loads(json.dumps(KINDS[kind].draw(data), allow_nan=False))


@pytest.fixture(scope="module")
def table() -> Table:
    return table_of(200)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 1, 2, 200])
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_every_figure_is_valid_for_plotly(kind: str, count: int, direction: str) -> None:
    _, figure = drawn(kind, table_of(count, direction=direction))
    go.Figure(figure)
    if count == 200:
        assert figure["data"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_script_without_a_space_and_one_parameter_draw_too(kind: str) -> None:
    for space in ({}, {"rate": SPACE["rate"]}):
        go.Figure(drawn(kind, table_of(40, space))[1])


@pytest.mark.parametrize("kind", KINDS)
def test_users_text_is_never_markup(kind: str, table: Table) -> None:
    """Plotly takes some HTML in texts, and %{…} in templates for hovering."""

    def texts(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            for name, item in value.items():
                yield from texts(item, name)
        elif isinstance(value, list):
            for item in value:
                yield from texts(item, key)
        elif isinstance(value, str):
            yield key, value

    _, figure = drawn(kind, table)
    for key, said in texts(figure):
        assert "<" not in said.replace("<extra></extra>", "")
        assert "onerror" not in said or not key.endswith("template")


def test_text_is_escaped_and_cut() -> None:
    assert text("<b>&\n") == "&lt;b&gt;&amp; "
    assert text("x" * 100) == "x" * 59 + "…"


def test_history_is_of_the_best_so_far(table: Table) -> None:
    data, _ = drawn("history", table)
    complete = table.complete()
    assert data["numbers"] == complete.tolist()
    assert data["values"] == pytest.approx(table.values[complete].tolist())
    best = dict(zip(data["best"]["numbers"], data["best"]["values"], strict=True))
    assert min(best.values()) == table.values[complete].min()
    assert list(best.values())[:-1] == sorted(set(best.values()), reverse=True)[: len(best) - 1]
    upside_down, _ = drawn("history", table_of(200, direction="maximize"))
    assert upside_down["best"]["values"][-1] == table.values[complete].max()


def test_the_shares_of_values_go_from_the_best_to_all(table: Table) -> None:
    data, _ = drawn("edf", table)
    assert data["values"] == sorted(data["values"])
    assert (data["shares"][0], data["shares"][-1]) == (1 / len(table.complete()), 1.0)


def test_slices_and_contours_show_what_was_asked_for(table: Table) -> None:
    assert [item["name"] for item in drawn("slices", table)[0]["parameters"]] == ["rate", "units", "cell", "momentum"]
    assert [item["name"] for item in drawn("slices", table, "only", "cell")[0]["parameters"]] == ["only", "cell"]
    assert drawn("contour", table)[0]["parameters"][0]["name"] == "rate"  # the most important one
    data, figure = drawn("contour", table, "cell", "momentum")
    assert [item["name"] for item in data["parameters"]] == ["cell", "momentum"]
    assert all(value is not None for value in data["parameters"][1]["values"])  # trials without it are not there
    assert figure["layout"]["xaxis"]["ticktext"][2:] == ["null", "true", "3"]


def test_a_contour_lies_between_the_values_of_its_trials(table: Table) -> None:
    data, _ = drawn("contour", table, "rate", "units")
    surface = np.array(data["surface"]["values"])
    assert surface.shape == (32, 32)
    assert min(data["values"]) <= surface.min() <= surface.max() <= max(data["values"])
    assert surface[:, 0].mean() < surface[:, -1].mean()  # less at low rates


def test_ranks_are_from_the_best_to_the_worst(table: Table) -> None:
    data, _ = drawn("ranks", table)
    by_rank = [number for _, number in sorted(zip(data["ranks"], data["numbers"], strict=True))]
    assert by_rank == table.ranked().tolist()


def test_parallel_coordinates_show_an_absent_parameter_below_its_range(table: Table) -> None:
    _, figure = drawn("parallel_coordinates", table, "momentum", "rate")
    momentum, rate = figure["data"][0]["dimensions"][1:]
    assert min(momentum["values"]) < 0
    assert "none" in momentum["ticktext"]
    assert min(rate["values"]) >= 0


def test_learning_curves_are_few_and_the_best_stands_out(table: Table) -> None:
    data, figure = drawn("learning_curves", table)
    assert len(data["curves"]) == 60
    assert [curve["number"] for curve in data["curves"] if curve["is_best"]] == [int(table.ranked()[0])]
    assert "60 of 180 trials" in figure["layout"]["title"]["subtitle"]["text"]


def test_the_timeline_has_a_row_for_each_trial_that_a_worker_runs_at_a_time(table: Table) -> None:
    data, figure = drawn("timeline", table)
    assert len(data["bars"]) == 180
    for row in range(len(data["rows"])):
        bars = sorted((bar["start"], bar["start"] + bar["seconds"]) for bar in data["bars"] if bar["row"] == row)
        assert all(before[1] <= after[0] for before, after in pairwise(bars))
    assert {trace["name"] for trace in figure["data"]} == {"complete", "pruned", "failed", "running"}


def test_a_value_far_out_does_not_flatten_the_rest() -> None:
    values = np.array([1.0, 2.0, 1.5, 1.2, 1.7, 1.1, 1.9, 1.3, 1e9])
    assert main_range(values[:-1], 1.0) is None
    low, high = main_range(values, 1.0) or (0.0, 0.0)
    assert low < 1.0 < 2.0 < high < 10
    low, high = main_range(-values, -1.0) or (0.0, 0.0)
    assert -10 < low < -2.0 < -1.0 < high


def test_a_study_of_many_trials_makes_small_figures_that_say_so() -> None:
    large = table_of(6000)
    best = int(large.ranked()[0])
    for kind in KINDS:
        data, figure = drawn(kind, large)
        assert len(json.dumps(figure)) < 500_000
        if kind not in ("importances", "edf"):
            assert " of " in figure["layout"]["title"]["subtitle"]["text"]
        if "numbers" in data:
            assert len(data["numbers"]) <= 2000
            assert best in data["numbers"] or kind == "contour"
