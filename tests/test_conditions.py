"""Conditional parameters in a study's description: what they may say, and what they mean."""

from typing import Any

import pytest
from hypothesis import given, settings

from hpsearch.errors import InvalidSpec
from hpsearch.search.distributions import configuration_faults
from hpsearch.spec import StudySpec, parse_study
from tests.conftest import loop_study
from tests.spaces import CELL, LAYERED, combinations, conditional_spaces

INT = {"type": "int", "low": 1, "high": 3}
SIZE = {"type": "ordinal", "values": ["small", "medium", "large"]}


def study(space: Any, **changes: Any) -> StudySpec:
    return parse_study(loop_study(space=space, budget={"trials": 10**6}, **changes))


def faults_of(space: Any, **changes: Any) -> dict[str, str]:
    with pytest.raises(InvalidSpec) as caught:
        study(space, **changes)
    return {fault.path: str(fault) for fault in caught.value.faults}


def test_a_conditional_space_goes_through_json_as_it_is() -> None:
    spec = study(LAYERED)
    assert StudySpec.model_validate_json(spec.model_dump_json()) == spec
    assert spec.space["units[1]"].when is not None


def test_a_spec_of_before_conditions_is_still_one() -> None:
    raw = study({"x": INT}).model_dump(mode="json")
    del raw["space"]["x"]["when"]
    assert StudySpec.model_validate(raw) == study({"x": INT})


@pytest.mark.parametrize(
    ("when", "path", "problem"),
    [
        ({}, "when", "at least 1 item"),
        ("cell", "when", "object with named fields"),
        ({"cel": "lstm"}, "when.cel", "did you mean 'cell'?"),
        ({"x": 1}, "when.x", "itself"),
        ({"cell": "lstmm"}, "when.cell", "did you mean 'lstm'?"),
        ({"cell": ["lstm", "gur"]}, "when.cell.1", "did you mean 'gru'?"),
        ({"cell": ["lstm", "lstm"]}, "when.cell.1", "there already"),
        ({"cell": {"min": 1}}, "when.cell", "have no order"),
        ({"cell": []}, "when.cell", "a list of values"),
        ({"cell": {}}, "when.cell", "a range such as"),
        ({"cell": {"mn": 1}}, "when.cell", "a range such as"),
        ({"cell": [["lstm"]]}, "when.cell", "a list of values"),
        ({"cell": None}, "when.cell", "must be one of"),
        ({"layers": 4}, "when.layers", "from 1 to 3"),
        ({"layers": True}, "when.layers", "not True"),
        ({"layers": {"min": 4}}, "when.layers", "never holds"),
        ({"layers": {"min": 2.1, "max": 2.9}}, "when.layers", "never holds"),
        ({"layers": {"min": 3, "max": 2}}, "when.layers", "never holds"),
        ({"layers": {"min": "two"}}, "when.layers.min", "a number"),
        ({"layers": float("nan")}, "when.layers", "not nan"),
        ({"layers": {"min": float("inf")}}, "when.layers", "a range such as"),
        ({"layers": 10**400}, "when.layers", "a value"),
        ({"rate": 0.5}, "when.rate", "must be a range"),
        ({"size": {"min": "smal"}}, "when.size.min", "must be one of"),
        ({"a b": 1}, "when.a b", "may hold letters"),
    ],
    ids=str,
)
def test_a_condition_that_makes_no_sense_is_refused_at_its_place(when: Any, path: str, problem: str) -> None:
    rate = {"type": "float", "low": 0, "high": 1}
    faults = faults_of({"cell": CELL, "layers": INT, "rate": rate, "size": SIZE, "x": {**INT, "when": when}})
    assert problem in faults[f"space.x.{path}"]


def test_every_fault_of_the_conditions_is_told_at_once() -> None:
    faults = faults_of({"cell": CELL, "x": {**INT, "when": {"cel": 1}}, "y": {**INT, "when": {"cell": "rnn"}}})
    assert set(faults) == {"space.x.when.cel", "space.y.when.cell"}


def test_a_circle_is_named() -> None:
    space = {"x": {**INT, "when": {"z": 1}}, "y": {**INT, "when": {"x": 1}}, "z": {**INT, "when": {"y": 1}}}
    (fault,) = faults_of(space | {"w": {**INT, "when": {"x": 2}}}).values()
    assert "depends on itself: x → z → y → x" in fault


def test_a_parameter_that_can_never_be_there_is_refused() -> None:
    space = {"cell": CELL, "x": {**INT, "when": {"cell": "lstm"}}, "y": {**INT, "when": {"x": 1, "cell": "gru"}}}
    assert "can never be there" in faults_of(space)["space.y.when"]


def test_a_long_chain_of_conditions_is_no_matter() -> None:
    space: dict[str, Any] = {"x0": INT}
    space |= {f"x{n}": {**INT, "when": {f"x{n - 1}": {"min": 2}}} for n in range(1, 200)}
    assert len(study(space).space) == 200


@pytest.mark.parametrize(
    ("parameter", "path"),
    [
        ({"type": "ordinal", "values": []}, "space.x.values"),
        ({"type": "ordinal", "values": [1, 1.0]}, "space.x.values.1"),
        ({"type": "ordinal", "values": ["a", None]}, "space.x.values.1"),
        ({"type": "constant"}, "space.x.value"),
        ({"type": "constant", "value": [1]}, "space.x.value"),
        ({"type": "constant", "value": float("nan")}, "space.x.value"),
    ],
)
def test_wrong_ordinals_and_constants_are_refused_at_their_field(parameter: Any, path: str) -> None:
    assert any(found == path or found.startswith(path + ".") for found in faults_of({"x": parameter}))


@pytest.mark.parametrize(
    ("given_ones", "problems"),
    [
        ({"cell": "lstm", "forget": 1.0}, {}),
        ({"cell": "gru", "forget": 1.0}, {"forget": "there only when cell is 'lstm', not 'gru'"}),
        ({"forget": 1.0}, {"forget": "give cell too"}),
        ({"layers": 1, "units[1]": 8}, {"units[1]": "at least 2"}),
        ({"layers": 3, "units[2]": 64, "narrow": True}, {"narrow": "at most 16"}),
        ({"units[2]": 8, "narrow": True}, {"units[2]": "give layers too"}),
        ({"layers": 3, "units[2]": 8, "narrow": True}, {}),
        ({"units[0]": 9}, {"units[0]": "must be one of 8, 16, 64"}),
        ({"layers": 3, "units[2]": 8, "narrow": False}, {"narrow": "must be True"}),
    ],
)
def test_given_configurations_are_held_against_the_conditions(given_ones: Any, problems: dict[str, str]) -> None:
    found = {fault.path: fault.problem for fault in configuration_faults(study(LAYERED), given_ones, "c")}
    assert found.keys() == {f"c.{name}" for name in problems}
    assert all(problem in found[f"c.{name}"] for name, problem in problems.items())


@settings(max_examples=50, deadline=None)
@given(conditional_spaces())
def test_a_grid_has_each_distinct_configuration_once(space: dict[str, Any]) -> None:
    try:
        spec = study(space, sampler={"name": "grid"})
    except InvalidSpec as error:
        assert all("can never be there" in fault.problem for fault in error.faults)  # noqa: PT017
        return
    expected = combinations(space)
    assert spec.budget_trials == len(expected)
    assert {tuple(spec.grid.point(index).items()) for index in range(len(expected))} == expected


def test_a_grid_too_large_to_be_counted_is_refused() -> None:
    wide = {"type": "int", "low": 1, "high": 10**6}
    faults = faults_of({"x": wide, "y": {**INT, "when": {"x": {"min": 3}}}}, sampler={"name": "grid"})
    assert "more than 10000 values" in faults["sampler.name"]
    assert study({"x": wide, "y": INT}, sampler={"name": "grid"}).budget_trials == 10**6


def test_cma_es_wants_numbers_that_are_always_there() -> None:
    space = {"cell": CELL, "x": INT, "y": {**INT, "when": {"cell": "lstm"}}}
    assert "always there" in faults_of(space, sampler={"name": "cmaes"})["sampler.name"]
