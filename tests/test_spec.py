"""What a study may say, and what it is told where it says something wrong."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.errors import Fault, InvalidSpec
from hpsearch.objectives.check import study_faults
from hpsearch.spec import StudySpec, load_study_file, parse_study, study_schema
from tests.conftest import TOY, loop_study, toy_study


def faults_of(raw: object) -> dict[str, Fault]:
    """The faults of a description that has some, by path."""
    with pytest.raises(InvalidSpec) as caught:
        parse_study(raw, study_faults(raw, {TOY.name: TOY}))
    return {fault.path: fault for fault in caught.value.faults}


def with_parameter(**parameter: Any) -> dict[str, Any]:
    return loop_study(space={"x": parameter})


def test_a_study_keeps_what_it_says() -> None:
    spec = parse_study(toy_study(seed=7, budget={"trials": 3, "wall_clock": "2h", "target": 0.5}))
    assert (spec.name, spec.seed, spec.budget.wall_clock, spec.budget.target) == ("bowl", 7, 7200.0, 0.5)
    assert StudySpec.model_validate_json(spec.model_dump_json()) == spec


def test_every_fault_is_told_at_once_with_its_path() -> None:
    faults = faults_of(
        {
            "name": "no spaces please",
            "objective": {"name": "toy", "metric": "dept", "direction": "minimise", "settings": {"sise": 3}},
            "space": {
                "x": {"type": "float", "low": 3, "high": -3},
                "y": {"type": "itn", "low": 1, "high": 2},
                "kind": {"type": "categorical", "choices": ["round", "square"]},
            },
            "sampler": {"name": "tpee"},
            "pruner": {"name": "asha", "min_resorce": 2},
            "budget": {"trials": 0},
            "sead": 1,
        }
    )
    assert set(faults) == {
        "name",
        "objective.metric",
        "objective.direction",
        "objective.settings.sise",
        "space.x.high",
        "space.y",
        "space.y.type",
        "space.kind.choices.1",
        "sampler.name",
        "pruner.min_resorce",
        "budget.trials",
        "sead",
    }
    near = {path: fault.suggestion for path, fault in faults.items() if fault.suggestion}
    assert near == {
        "objective.metric": "depth",
        "objective.settings.sise": "size",
        "space.y.type": "int",
        "objective.direction": "minimize",
        "sampler.name": "tpe",
        "pruner.min_resorce": "min_resource",
        "sead": "seed",
    }


@pytest.mark.parametrize(
    ("parameter", "path"),
    [
        ({"type": "float", "low": float("nan"), "high": 1}, "space.x.low"),
        ({"type": "float", "low": 0, "high": float("inf")}, "space.x.high"),
        ({"type": "float", "low": "0", "high": 1}, "space.x.low"),
        ({"type": "float", "low": True, "high": 1}, "space.x.low"),
        ({"type": "float", "low": 0, "high": 1, "log": True}, "space.x.low"),
        ({"type": "float", "low": 1, "high": 2, "log": True, "step": 0.5}, "space.x.step"),
        ({"type": "float", "low": 0, "high": 1, "step": 0.3}, "space.x.high"),
        ({"type": "float", "low": 0, "high": 1, "step": -1}, "space.x.step"),
        ({"type": "float", "high": 1}, "space.x.low"),
        ({"type": "int", "low": 1.5, "high": 3}, "space.x.low"),
        ({"type": "int", "low": 0, "high": 10**30}, "space.x.high"),
        ({"type": "int", "low": 0, "high": 3, "log": True}, "space.x.low"),
        ({"type": "int", "low": 0, "high": 10, "step": 3}, "space.x.high"),
        ({"type": "categorical", "choices": []}, "space.x.choices"),
        ({"type": "categorical", "choices": [1, True]}, "space.x.choices.1"),
        ({"type": "categorical", "choices": [[1]]}, "space.x.choices.0"),
        ({"type": "categorical", "choices": "abc"}, "space.x.choices"),
        ({}, "space.x.type"),
    ],
)
def test_a_wrong_parameter_is_refused_at_its_field(parameter: dict[str, Any], path: str) -> None:
    assert any(found == path or found.startswith(path + ".") for found in faults_of(with_parameter(**parameter)))


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"name": ""}, "name"),
        ({"name": "ünïcode"}, "name"),
        ({"name": "../etc"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": 3}, "name"),
        ({"description": "nul\0"}, "description"),
        ({"description": "\ud800"}, "description"),
        ({"space": {"a b": {"type": "int", "low": 1, "high": 2}}}, "space.a b"),
        ({"budget": {}}, "budget.trials"),
        ({"budget": {"trials": -1}}, "budget.trials"),
        ({"budget": {"trials": 1.5}}, "budget.trials"),
        ({"budget": {"trials": 1, "wall_clock": "soon"}}, "budget.wall_clock"),
        ({"budget": {"trials": 1, "target": float("nan")}}, "budget.target"),
        ({"seed": -1}, "seed"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"sampler": "tpe"}, "sampler"),
    ],
)
def test_a_wrong_study_is_refused_at_its_field(changes: dict[str, Any], path: str) -> None:
    assert path in faults_of(loop_study(**changes))


@pytest.mark.parametrize(
    ("parameter", "path", "problem"),
    [
        ({"type": "float", "low": -1e308, "high": 1e308}, "space.x.high", "lies too far from low"),
        ({"type": "float", "low": -1e308, "high": 1e308, "step": 1e308}, "space.x.high", "lies too far from low"),
        ({"type": "float", "low": 0, "high": 1, "step": 1e-300}, "space.x.step", "must be at least 1.11e-16"),
        (
            {"type": "categorical", "choices": [["a"]]},
            "space.x.choices.0",
            "must be a text, a finite number, true, false or null, not",
        ),
        ({"type": "categorical", "choices": "ab"}, "space.x.choices", "must be a list, not 'ab'"),
        ({"type": "categorical", "choices": []}, "space.x.choices", "must have at least 1 item, not 0"),
        ({"type": "ordinal", "values": [1, None]}, "space.x.values.1", "and not null"),
        ({"type": "int", "low": 1.5, "high": 2}, "space.x.low", "must be a whole number, not 1.5"),
    ],
)
def test_a_wrong_parameter_is_told_what_would_be_right(parameter: dict[str, Any], path: str, problem: str) -> None:
    faults = faults_of(with_parameter(**parameter))
    assert set(faults) == {path}
    assert problem in faults[path].problem


@pytest.mark.parametrize(
    ("changes", "path", "problem", "suggestion"),
    [
        ({"budget": {"wall_clock": "2x"}}, "budget.wall_clock", "90s, 10m, 2h or 1d, not '2x'", None),
        (
            {"objective": {"metric": "depth", "direction": "minimise"}},
            "objective.direction",
            "must be 'minimize' or",
            "minimize",
        ),
        ({"space": {"0x": {"type": "float", "low": 0, "high": 1}}}, "space.0x", "starts with a letter or '_'", None),
        ({"constraints": "x < 1"}, "constraints", "must be a list", None),
        ({"name": 5}, "name", "must be a text, not 5", None),
        ({"sampler": "tpe"}, "sampler", "must be an object", "{name: tpe}"),
        ({"pruner": "midian"}, "pruner", "must be an object", "{name: median}"),
    ],
)
def test_what_is_wrong_is_told_in_the_words_of_a_study_file(
    changes: dict[str, Any], path: str, problem: str, suggestion: str | None
) -> None:
    faults = faults_of(loop_study() | changes)
    assert set(faults) == {path}
    assert problem in faults[path].problem
    assert faults[path].suggestion == suggestion


def test_a_grid_alone_needs_no_budget() -> None:
    study = loop_study(space={"x": {"type": "int", "low": 1, "high": 3}})
    del study["budget"]
    assert "budget.trials" in faults_of(study)
    assert parse_study(study | {"sampler": {"name": "grid"}}).budget_trials == 3


@pytest.mark.parametrize("raw", [None, [], "study", 3, {}, {"name": None}])
def test_what_is_no_study_is_refused(raw: object) -> None:
    assert faults_of(raw)


def test_the_objective_is_asked_what_it_thinks_of_its_parameters() -> None:
    faults = faults_of(
        toy_study(
            objective={"name": "toy", "metric": "depth", "direction": "maximize", "settings": {"size": 0, "kind": 3}},
            space={
                "x": {"type": "float", "low": -11, "high": 10},
                "size": {"type": "float", "low": 1, "high": 2},
                "file": {"type": "categorical", "choices": ["a", "b"]},
            },
        )
    )
    assert set(faults) == {
        "objective.direction",
        "objective.settings.size",
        "objective.settings.kind",
        "space.x.low",
        "space.size",
        "space.size.type",
        "space.file",
    }


def test_an_unknown_objective_is_named_with_a_near_one() -> None:
    faults = faults_of(toy_study(objective={"name": "toyy", "metric": "depth", "direction": "minimize"}))
    assert faults["objective.name"].suggestion == "toy"


def test_the_schema_says_what_the_model_checks() -> None:
    schema = study_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(toy_study(), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(toy_study(sampler={"name": "tpee"}), schema)


def test_study_files_are_yaml_1_2(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("low: 1e-4\nanswer: no\n")
    assert load_study_file(path) == {"low": 1e-4, "answer": "no"}  # 1.1 would say "1e-4" and False


NOT_YAML = [
    "name: a\nname: b\n",
    "{",
    "\tname: a",
    "a: &x [*x",
    "a: " + "[" * 500,
    "a: " + "9" * 5000,
]


@pytest.mark.parametrize("text", NOT_YAML)
def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(InvalidSpec, match=r"study\.yaml"):
        load_study_file(path)


@pytest.mark.parametrize(("text", "path"), [("a: {b: .nan}", "a.b"), ("a: {1: b}", "a.1"), ("a: &x [*x]", "a")])
def test_a_file_that_json_cannot_say_is_refused_where_it_is_wrong(tmp_path: Path, text: str, path: str) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(text)
    with pytest.raises(InvalidSpec) as caught:
        load_study_file(file)
    assert caught.value.faults[0].path.startswith(path)


def test_a_key_that_is_there_twice_is_found_by_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("name: a\nname: b\n")
    with pytest.raises(InvalidSpec, match=r'line 2, column 1: .*found duplicate key "name"') as caught:
        load_study_file(file)
    assert "suppress" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="cannot read"):
        load_study_file(tmp_path / "none.yaml")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["name", "objective", "space", "sampler", "pruner", "budget", "seed", "extra"]), json_values)
def test_anything_at_all_is_either_a_study_or_refused_with_faults(field: str, value: Any) -> None:
    raw = toy_study(**{field: value})
    try:
        spec = parse_study(raw, study_faults(raw, {TOY.name: TOY}))
    except InvalidSpec as error:
        assert len(error.faults) > 0  # noqa: PT017
    else:
        json.dumps(spec.model_dump(mode="json"), allow_nan=False)


def test_a_space_may_be_empty_where_scripts_define_it() -> None:
    assert parse_study(loop_study(space={})).space == {}
    assert "space" in faults_of(toy_study(space={}))


@pytest.mark.parametrize(
    ("pruner", "path", "problem"),
    [
        ({"name": "ahsa"}, "pruner.name", "known: none, median, percentile, asha, hyperband, patient, wilcoxon"),
        ({"name": "asha", "max_resource": 1}, "pruner.max_resource", "above min_resource (1), not 1"),
        ({"name": "asha", "reduction_factor": 1}, "pruner.reduction_factor", "must be at least 2"),
        ({"name": "asha", "promote": "yes"}, "pruner.promote", "must be true or false"),
        ({"name": "asha", "promotte": True}, "pruner.promotte", "known: name, min_resource"),
        ({"name": "hyperband"}, "pruner.max_resource", "is missing"),
        ({"name": "hyperband", "max_resource": 3, "min_resource": 9}, "pruner.max_resource", "above min_resource (9)"),
        ({"name": "percentile"}, "pruner.percentile", "is missing"),
        ({"name": "percentile", "percentile": 101}, "pruner.percentile", "must be at most 100"),
        ({"name": "percentile", "percentile": float("nan")}, "pruner.percentile", "finite"),
        ({"name": "median", "min_trials": 0}, "pruner.min_trials", "must be at least 1"),
        ({"name": "wilcoxon", "p_threshold": 0}, "pruner.p_threshold", "must be above 0"),
        ({"name": "wilcoxon", "p_threshold": "0.1"}, "pruner.p_threshold", "must be a number"),
        ({"name": "threshold"}, "pruner", "must have lower, upper, or both"),
        ({"name": "threshold", "lower": 1, "upper": 0}, "pruner.upper", "above lower (1), not 0"),
        ({"name": "threshold", "lower": float("-inf")}, "pruner.lower", "finite"),
        ({"name": "patient"}, "pruner.patience", "is missing"),
        ({"name": "patient", "patience": 1, "min_delta": -1}, "pruner.min_delta", "must be at least 0"),
        ({"name": "patient", "patience": 1, "pruner": {"name": "none"}}, "pruner.pruner.name", "'none' is not known"),
        ({"name": "patient", "patience": 1, "pruner": {"name": "asha", "eta": 3}}, "pruner.pruner.eta", "known: name"),
        (
            {"name": "patient", "patience": 1, "pruner": {"name": "asha", "promote": True}},
            "pruner.pruner.promote",
            "cannot be combined with patient",
        ),
    ],
)
def test_a_pruners_faults_are_told_where_they_are(pruner: dict[str, Any], path: str, problem: str) -> None:
    faults = faults_of(toy_study(pruner=pruner))
    assert path in faults, faults
    assert problem in faults[path].problem


@pytest.mark.parametrize(
    ("pruner", "settings", "expected"),
    [
        ({"name": "wilcoxon"}, {"folds": 3}, True),
        ({"name": "wilcoxon"}, {"repeats": 3}, True),
        ({"name": "wilcoxon"}, {"folds": 1}, False),
        ({"name": "wilcoxon"}, {}, False),
        ({"name": "wilcoxon", "running_mean": False}, {"folds": 3}, False),
    ],
)
@pytest.mark.parametrize("patient", [False, True])
def test_wilcoxon_knows_that_rnn_reports_means_of_its_folds(
    pruner: dict[str, Any], settings: dict[str, Any], expected: bool, patient: bool
) -> None:
    if patient:
        pruner = {"name": "patient", "patience": 1, "pruner": pruner}
    objective = {"name": "rnn", "metric": "validation_loss", "direction": "minimize", "settings": settings}
    found = parse_study(loop_study() | {"objective": objective, "pruner": pruner}).pruner
    assert parse_study(loop_study() | {"objective": objective, "pruner": found.model_dump()}).pruner == found
    told = found.model_dump()
    assert (told["pruner"] if patient else told)["running_mean"] is expected


def test_a_pruner_stored_by_an_older_version_is_still_the_same() -> None:
    """As 0.1 wrote it, without what came later."""
    asha = {"name": "asha", "min_resource": 2, "reduction_factor": 3}
    median = {"name": "median", "startup_trials": 5, "warmup_steps": 0, "interval_steps": 1}
    for pruner in (asha, median, {"name": "none"}):
        stored = parse_study(toy_study()).model_dump(mode="json") | {"pruner": pruner}
        assert StudySpec.model_validate_json(json.dumps(stored)) == parse_study(toy_study(pruner=pruner))


def test_a_field_may_have_the_name_of_pydantics_mark_of_a_wrong_key() -> None:
    with pytest.raises(InvalidSpec) as error:
        parse_study(loop_study(space={"0x": {"type": "float", "low": 0, "high": 1}}) | {"[key]": None})
    assert {fault.path for fault in error.value.faults} == {"[key]", "space.0x"}


def test_what_is_empty_is_told_so() -> None:
    faults = faults_of(loop_study(constraints=[""]))
    assert {path: fault.problem for path, fault in faults.items()} == {"constraints.0": "must not be empty"}
