"""What the objective publishes of itself, and what it says to parameters that are wrong."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpsearch.errors import InvalidInput
from hpsearch.objectives.check import study_faults
from hpsearch.objectives.objective import with_defaults
from hpsearch.objectives.rnn.parameters import INFO
from hpsearch.spec import load_study_file, parse_study
from hpsearch.trials import Scalar
from tests.objectives.conftest import CLASSES, MakeRecorder

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))


def test_publishing_needs_neither_torch_nor_numpy() -> None:
    script = "import sys, hpsearch.objectives.rnn.parameters; sys.exit(bool({'torch', 'numpy'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_parameter_says_what_it_means_and_its_default_is_one_of_its_values() -> None:
    for parameter in INFO.parameters:
        assert len(parameter.meaning) > 5
        assert parameter.required or parameter.problem_with(parameter.default) is None, parameter.name
    assert [parameter.name for parameter in INFO.parameters if parameter.required] == ["dataset"]


def test_only_validation_metrics_and_the_size_may_be_searched() -> None:
    assert all(
        metric.name.startswith("validation_") is metric.is_reported and metric.meaning for metric in INFO.metrics
    )
    assert [metric.name for metric in INFO.metrics if not metric.is_reported] == ["model_parameters"]


@pytest.mark.parametrize(
    ("objective", "path"),
    [
        ({"metric": "model_parameters", "direction": "minimize"}, "objective.metric"),
        ({"metrics": {"model_parameters": "minimize", "validation_loss": "minimize"}},
         "objective.metrics.model_parameters"),
        ({"metrics": {"validation_loss": "minimize", "validation_accuracy": "minimize"}},
         "objective.metrics.validation_accuracy"),
        ({"metrics": {"validation_loss": "minimize", "test_loss": "minimize"}}, "objective.metrics.test_loss"),
    ],
)  # fmt: skip
def test_metrics_that_cannot_be_searched_so_are_told(objective: dict[str, Any], path: str) -> None:
    raw = {"objective": {"name": "rnn", "settings": {"dataset": "digits"}} | objective}
    assert [fault.path for fault in study_faults(raw, {"rnn": INFO})] == [path]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_study_files_are_right(path: Path) -> None:
    raw = load_study_file(path)
    spec = parse_study(raw, study_faults(raw, {"rnn": INFO}))
    assert spec.name == path.stem
    assert path.read_text().startswith("# yaml-language-server: $schema=study.schema.json\n")


def test_three_study_files_are_there() -> None:
    assert {"digits", "japanese_vowels", "seattle_temps"} <= {path.stem for path in STUDIES}


def test_all_faults_are_told_at_once_with_near_names(recorder: MakeRecorder) -> None:
    with pytest.raises(InvalidInput) as caught:
        recorder().run({"hiden_units": 8, "dropout": 1.5, "cell": "lstmm"})
    faults = {fault.path.rpartition(".")[2]: fault for fault in caught.value.faults}
    assert set(faults) == {"hiden_units", "dropout", "cell", "dataset"}
    assert faults["hiden_units"].suggestion == "hidden_units"
    assert "from 0 to 0.95" in faults["dropout"].problem


@pytest.mark.parametrize(
    ("dataset", "metric", "right"),
    [
        ("classes.npz", "validation_rmse", "validation_accuracy"),
        ("numbers.npz", "validation_accuracy", "validation_rmse"),
    ],
)
def test_a_metric_of_another_task_is_refused_naming_the_right_ones(
    recorder: MakeRecorder, dataset: str, metric: str, right: str
) -> None:
    with pytest.raises(InvalidInput, match=right) as caught:
        recorder().run({**CLASSES, "dataset": dataset}, metric=metric)
    assert caught.value.faults[0].path == "objective.metric"


@pytest.mark.parametrize(
    "changed",
    [
        {"cell": "gru"},
        {"cell": "rnn_tanh"},
        {"cell": "rnn_relu"},
        {"bidirectional": True},
        {"hidden_layers": 2},
        {"hidden_units": 9},
        {"dropout": 0.5},
        {"optimizer": "adamw", "weight_decay": 0.5},
        {"optimizer": "sgd"},
        {"optimizer": "rmsprop"},
        {"learning_rate": 0.01},
        {"batch_size": 8},
        {"weight_decay": 0.1},
        {"clip_norm": 0.01},
        {"validation_fraction": 0.4},
        {"test_fraction": 0.4},
        {"split_seed": 1},
    ],
    ids=lambda changed: ",".join(f"{name}={value}" for name, value in changed.items()),
)
def test_every_parameter_changes_the_training(recorder: MakeRecorder, changed: dict[str, Scalar]) -> None:
    usual, other = recorder(), recorder()
    usual.run(CLASSES)
    result = other.run({**CLASSES, **changed})
    assert result.state == "complete"
    assert other.values != usual.values


def test_a_clip_norm_of_zero_or_null_is_none(recorder: MakeRecorder) -> None:
    off, zero, far = recorder(), recorder(), recorder()
    off.run({**CLASSES, "clip_norm": None})
    zero.run({**CLASSES, "clip_norm": 0.0})
    far.run({**CLASSES, "clip_norm": 1e9})
    assert off.values == zero.values == far.values


def test_window_and_horizon_shape_a_forecast(recorder: MakeRecorder) -> None:
    series: dict[str, Scalar] = {"dataset": "series.csv", "target": "temperature", "max_epochs": 1, "hidden_units": 4}
    runs = {}
    for name, changed in (("usual", {}), ("window", {"window": 12}), ("horizon", {"horizon": 5})):
        runs[name] = recorder()
        runs[name].run({**series, **changed})
    assert len({run.values[0] for run in runs.values()}) == 3


def test_defaults_are_complete() -> None:
    assert set(with_defaults(INFO, {"dataset": "digits"})) == {parameter.name for parameter in INFO.parameters}


def test_units_may_be_said_layer_by_layer(recorder: MakeRecorder) -> None:
    layered: dict[str, Scalar] = {"hidden_layers": 3, "hidden_units[0]": 5, "hidden_units[2]": 7, "hidden_units[9]": 3}
    recording = recorder()
    result = recording.run({**CLASSES, "max_epochs": 1, **layered})
    assert result.state == "complete"
    said = json.loads(recording.saved["model.json"])
    assert said["architecture"]["units"] == [5, 8, 7]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"hidden_units[16]": 8}, "is no parameter of rnn"),
        ({"hidden_units[01]": 8}, "is no parameter of rnn"),
        ({"hidden_units[-1]": 8}, "is no parameter of rnn"),
        ({"hidden_units[]": 8}, "is no parameter of rnn"),
        ({"dropout[0]": 0.5}, "is no parameter of rnn"),
        ({"hidden_units[0]": 0}, "from 1 to 8192"),
        ({"hidden_units[0]": 8, "layer_units": "8,8"}, "so does hidden_units[0]"),
    ],
)
def test_wrong_units_of_a_layer_are_told(recorder: MakeRecorder, settings: dict[str, Scalar], problem: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        recorder().run({**CLASSES, **settings})
    assert problem in str(caught.value)


def test_a_space_of_layers_conditions_and_every_kind_is_one_for_rnn() -> None:
    units = {"type": "ordinal", "values": [16, 32, 64]}
    raw = {
        "name": "layers",
        "objective": {"name": "rnn", "metric": "validation_loss", "direction": "minimize",
                      "settings": {"dataset": "digits"}},
        "space": {
            "hidden_layers": {"type": "int", "low": 1, "high": 2},
            "hidden_units[0]": units,
            "hidden_units[1]": {**units, "when": {"hidden_layers": {"min": 2}}},
            "cell": {"type": "categorical", "choices": ["lstm", "gru"]},
            "forget_bias": {"type": "constant", "value": 1.5, "when": {"cell": "lstm"}},
        },
        "budget": {"trials": 3},
    }  # fmt: skip
    assert list(study_faults(raw, {"rnn": INFO})) == []
    parse_study(raw)
    raw["space"]["hidden_units[1]"] = {**units, "values": [16, 0]}  # type: ignore[index]
    raw["space"]["forget_bias"]["value"] = "much"  # type: ignore[index]
    raw["space"]["layer_norm"] = {"type": "int", "low": 0, "high": 1}  # type: ignore[index]
    found = {fault.path for fault in study_faults(raw, {"rnn": INFO})}
    assert found == {"space.hidden_units[1].values.1", "space.forget_bias.value", "space.layer_norm.type"}


@pytest.mark.parametrize(
    ("constraint", "problem"),
    [
        ("hidden_units <= 100", "neither in space nor in objective.settings"),
        ("hidden_units[1] <= 100", "neither in space nor in objective.settings"),
        ("test_loss <= 1", "no search may look at the test split"),
        ("validaton_loss <= 1", "did you mean 'validation_loss'?"),
        ("bach_size <= 8", "did you mean 'batch_size'?"),
        ("size_of_batches <= 8", "neither takes for a parameter nor measures"),
        ("batch <= 8", "did you mean 'batch_size'?"),
    ],
)
def test_a_constraint_over_what_rnn_does_not_know_is_refused(constraint: str, problem: str) -> None:
    raw = {
        "objective": {"name": "rnn", "metric": "validation_loss", "direction": "minimize",
                      "settings": {"dataset": "digits", "max_epochs": 5}},
        "space": {"batch_size": {"type": "int", "low": 8, "high": 64}},
        "constraints": ["batch_size * max_epochs <= 200", "model_parameters < 1e6", constraint, 3, "*", "epochs < 4"],
    }  # fmt: skip
    (fault,) = study_faults(raw, {"rnn": INFO})
    assert fault.path == "constraints.2"
    assert problem in str(fault)
