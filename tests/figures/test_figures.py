"""Figures: valid for Plotly, right in their numbers, small for large studies, and safe with anybody's text."""

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.figures import KINDS, Look
from hpsearch.figures import fronts as fronts_figures
from hpsearch.figures.look import main_range
from hpsearch.figures.parameters import MOST_INTERACTIONS
from hpsearch.figures.style import text
from hpsearch.insights import Method, Outcome
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


SEVERAL = ("pareto", "hypervolume")
"""Kinds that are of more metrics than one."""


def objective_of(metrics: int, direction: str = "minimize") -> dict[str, Any]:
    """So many metrics, the first as it is said and the others of both directions; their names are markup."""
    if metrics == 1:
        return {"metric": EVIL, "direction": direction}
    others = {f"{EVIL} {place}": ("minimize", "maximize")[place % 2] for place in range(1, metrics)}
    return {"metrics": {EVIL: direction} | others}


def metrics_for(kind: str) -> int:
    return 2 if kind in SEVERAL else 1


def table_of(count: int, space: Any = None, direction: str = "minimize", metrics: int = 1) -> Table:
    """Trials of every state, some infeasible; the worker and the reasons have names that are markup."""
    objective = objective_of(metrics, direction)
    spec = parse_study(loop_study(space=SPACE if space is None else space) | {"objective": objective})
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
        values = [float(rate + 0.1 * units), *(float(draws[number, 1 + place % 3]) for place in range(metrics - 1))]
        growing.update(
            [
                Outcome(
                    number=number,
                    state=state,
                    parameters=given,
                    values=values if state is TrialState.COMPLETE else None,
                    last_step=None if waits else 3,
                    last_value=None if waits else float(rate + 0.2),
                    started_at=None if waits else 1e9 + number,
                    finished_at=1e9 + number + 5 if ended else None,
                    worker=None if waits else f"box {EVIL} {number % 3}",
                    reason=EVIL if state is TrialState.FAILED else None,
                    revision=number + 1,
                    is_feasible=metrics == 1 or number % 7 != 1,
                )
            ]
        )
    return growing.table()


def look_at(table: Table, *parameters: str, method: Method = "ped_anova") -> Look:
    def curves(numbers: Any) -> dict[int, tuple[list[int], list[float]]]:
        return {number: ([1, 2, 3], [3.0, 2.0, float(table.last_values[number])]) for number in numbers}

    return Look(table=table, parameters=parameters, importances=lambda: importances(table, method), curves=curves)


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
    _, figure = drawn(kind, table_of(count, direction=direction, metrics=metrics_for(kind)))
    go.Figure(figure)
    if count == 200:
        assert figure["data"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_script_without_a_space_and_one_parameter_draw_too(kind: str) -> None:
    for space in ({}, {"rate": SPACE["rate"]}):
        go.Figure(drawn(kind, table_of(40, space))[1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metrics", [1, 2, 3, 4])
def test_users_text_is_never_markup(kind: str, metrics: int) -> None:
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

    _, figure = drawn(kind, table_of(200, metrics=metrics))
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


def test_a_contour_of_equal_values_is_flat(table: Table) -> None:
    flat = replace(table, every_value=np.where(np.isnan(table.every_value), np.nan, 0.850585))
    data, _ = drawn("contour", flat, "rate", "units")
    assert {value for row in data["surface"]["values"] for value in row} == {0.850585}


def test_importances_are_drawn_with_what_pairs_have_together(table: Table) -> None:
    data = KINDS["importances"].data(look_at(table, method="fanova"))
    assert data["method"] == "fanova"
    assert 0 < len(data["interactions"]) <= MOST_INTERACTIONS
    bars = KINDS["importances"].draw(data)
    alone, pairs = len(data["parameters"]), len(data["interactions"])
    assert len(bars["data"][0]["x"]) == alone + pairs
    assert bars["layout"]["yaxis"]["ticktext"][alone] == " with ".join(data["interactions"][0]["parameters"])
    assert KINDS["importances"].data(look_at(table))["interactions"] == []


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
    one, two = table_of(6000), table_of(6000, metrics=2)
    best = int(one.ranked()[0])
    for kind in KINDS:
        data, figure = drawn(kind, one if metrics_for(kind) == 1 else two)
        assert len(json.dumps(figure)) < 500_000
        if kind not in ("importances", "edf"):
            assert " of " in figure["layout"]["title"]["subtitle"]["text"]
        if "numbers" in data:
            assert len(data["numbers"]) <= 2000
            assert best in data["numbers"] or kind == "contour"


def losses_table(values: Any, infeasible: Any = (), **metrics: str) -> Table:
    """Complete trials with these values by metric."""
    spec = parse_study(loop_study() | {"objective": {"metrics": metrics}})
    growing = GrowingTable(spec)
    growing.update(
        Outcome(
            number=number,
            state=TrialState.COMPLETE,
            parameters={"x": 0.0},
            values=tuple(map(float, row)),
            last_step=None,
            last_value=None,
            started_at=None,
            finished_at=None,
            worker=None,
            reason=None,
            revision=number + 1,
            is_feasible=number not in infeasible,
        )
        for number, row in enumerate(values)
    )
    return growing.table()


KNOWN = [(0.5, 10), (0.9, 40), (0.4, 20), (0.9, 50), (0.7, 20), (0.95, 5)]
"""Accuracy, the more the better, and size; the last one is not allowed."""


def test_the_front_is_drawn_from_the_best_first_metric_on_and_apart_from_the_others() -> None:
    table = losses_table(KNOWN, infeasible=[5], accuracy="maximize", size="minimize")
    data, figure = drawn("pareto", table)
    assert data["front"] == {"numbers": [1, 4, 0], "values": [[0.9, 0.7, 0.5], [40, 20, 10]]}
    assert data["others"] == {"numbers": [2, 3], "values": [[0.4, 0.9], [20, 50]]}
    assert data["infeasible"] == {"numbers": [5], "values": [[0.95], [5]]}
    assert data["note"] is None
    others, infeasible, front = figure["data"]
    assert (others["name"], infeasible["name"], front["name"]) == (
        "other complete trials",
        "violates a constraint",
        "Pareto front",
    )
    assert front["text"] == ["trial 1", "trial 4", "trial 0"]
    assert front["line"]["shape"] == "hv"
    assert figure["layout"]["xaxis"]["title"]["text"] == "accuracy (maximize)"
    go.Figure(figure)


def test_the_hypervolume_is_a_share_of_the_box_between_best_and_worst() -> None:
    """Of accuracy 0.4 to 0.9 and size 10 to 50: by 0.1 and by 10 twenty cells."""
    table = losses_table(KNOWN, infeasible=[5], accuracy="maximize", size="minimize")
    data, figure = drawn("hypervolume", table)
    assert data["counts"] == [1, 2, 3, 4, 5, 6]
    cells = [4, 4 + 4, 8, 8, 8 + 4, 12]
    assert data["shares"] == pytest.approx([count / 20 for count in cells])
    go.Figure(figure)


def test_one_metric_and_no_feasible_trial_have_no_front_and_say_why() -> None:
    for kind in SEVERAL:
        _, figure = drawn(kind, table_of(50))
        assert "searches one" in figure["layout"]["annotations"][0]["text"]
        _, figure = drawn(kind, losses_table([(1, 2), (2, 1)], infeasible=[0, 1], a="minimize", b="minimize"))
        assert "satisfies the constraints" in figure["layout"]["annotations"][0]["text"]
        _, figure = drawn(kind, losses_table([], a="minimize", b="minimize"))
        assert figure["layout"]["annotations"][0]["text"] == "no complete trial yet"


@pytest.mark.parametrize(("metrics", "kind"), [(2, "scatter"), (3, "scatter3d"), (4, "parcoords"), (15, "parcoords")])
def test_a_front_of_any_number_of_metrics_is_drawn(metrics: int, kind: str) -> None:
    _, figure = drawn("pareto", table_of(200, metrics=metrics))
    go.Figure(figure)
    assert {trace["type"] for trace in figure["data"]} == {kind}
    _, volume = drawn("hypervolume", table_of(200, metrics=metrics))
    go.Figure(volume)
    if metrics > 3:
        assert f"searches {metrics}" in volume["layout"]["annotations"][0]["text"]
        assert len(figure["data"][0]["dimensions"]) == min(metrics, 12)
    else:
        assert volume["data"][0]["x"][-1] == len(table_of(200).complete())


def test_on_parallel_axes_the_better_is_up() -> None:
    _, figure = drawn("pareto", table_of(200, metrics=4))
    down, up, *_ = (axis["range"] for axis in figure["data"][0]["dimensions"])
    assert down[0] > down[1]  # minimised
    assert up[0] < up[1]


def test_sizes_are_on_a_logarithmic_axis_and_what_is_far_out_is_cut_but_never_the_front() -> None:
    random = np.random.default_rng(0)
    loss, size = random.random(100), 10 ** random.uniform(2, 6, 100)
    loss[7], size[7] = 1e6, size.min() / 2  # far out, and on the front
    loss[8], size[8] = 1e9, size.max()
    data, figure = drawn("pareto", losses_table(zip(loss, size, strict=True), loss="minimize", size="minimize"))
    assert [metric["log"] for metric in data["metrics"]] == [False, True]
    assert figure["layout"]["yaxis"]["type"] == "log"
    assert 7 in data["front"]["numbers"]
    low, high = data["metrics"][0]["range"]
    assert low < loss.min() < 1e6 < high < 1e9


def test_a_trial_far_out_does_not_flatten_the_hypervolume() -> None:
    random = np.random.default_rng(0)
    values = random.random((60, 2))
    spoilt = np.concatenate([values, [[1e9, 0.5]]])
    plain, _ = drawn("hypervolume", losses_table(values, a="minimize", b="minimize"))
    fenced, figure = drawn("hypervolume", losses_table(spoilt, a="minimize", b="minimize"))
    assert fenced["shares"][0] < 0.97
    assert fenced["shares"][-1] > plain["shares"][-1]  # of a box that ends where others are far out
    assert "far out left out" in figure["layout"]["title"]["subtitle"]["text"]


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 3).flatmap(lambda metrics: st.lists(st.tuples(*[st.integers(0, 6)] * metrics), min_size=1)))
def test_the_hypervolume_never_falls_and_ends_as_that_of_the_whole(values: list[tuple[int, ...]]) -> None:
    ways = {f"m{place}": ("minimize", "maximize")[place % 2] for place in range(len(values[0]))}
    table = losses_table(values, infeasible=[2], **ways)
    data, _ = drawn("hypervolume", table)
    assert data["shares"] == sorted(data["shares"])
    assert all(0 <= share <= 1 for share in data["shares"])
    losses = table.losses(np.setdiff1d(np.arange(len(table)), [2]))
    cells = np.maximum(np.ptp(losses, axis=0), 1)
    if len(losses) < 8:  # with more, some may be far out
        shares = (losses - losses.min(axis=0)) / cells
        assert data["shares"][-1] == pytest.approx(cells_dominated(shares, cells), abs=1e-9)


def cells_dominated(shares: Any, cells: Any) -> float:
    """The hypervolume by counting the cells of a grid that some point is at or below of in every metric."""
    axes = [(np.arange(int(count)) + 0.5) / count for count in cells]
    middles = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(cells))
    return float((shares[None, :, :] <= middles[:, None, :]).all(axis=2).any(axis=1).mean())


@pytest.mark.parametrize("metrics", [2, 3])
def test_the_hypervolume_of_a_front_without_end_is_at_least_told_in_part(metrics: int) -> None:
    """Every trial is on the front."""
    points = np.abs(np.random.default_rng(0).normal(size=(3000, metrics)))
    values = 1 - points / np.linalg.norm(points, axis=1, keepdims=True)
    data, _ = drawn("hypervolume", losses_table(values, **{f"m{place}": "minimize" for place in range(metrics)}))
    assert f"at least, of {fronts_figures.MOST_CARRIED[metrics]} trials" in data["note"]
    assert data["shares"] == sorted(data["shares"])
    whole = {2: np.pi / 4, 3: np.pi / 6}[metrics]  # that of the ball's part, which all of the sphere dominates
    assert 0.9 * whole < data["shares"][-1] < whole


def test_figures_by_another_metric_are_of_that_metric() -> None:
    table = table_of(200, metrics=2)
    second = table.of(f"{EVIL} 1")
    data, _ = drawn("history", second)
    assert (data["metric"], data["direction"]) == (f"{EVIL} 1", "maximize")
    assert data["pruned"]["numbers"] == []  # their reports are of the first
    assert data["values"] == pytest.approx(table.every_value[table.complete(), 1].tolist())
    _, figure = drawn("importances", second)
    assert figure["layout"]["xaxis"]["title"]["text"].startswith("importance for &lt;/script&gt;")
    assert drawn("importances", table_of(200))[1]["layout"]["xaxis"]["title"]["text"] == "importance"
