"""What the objective publishes of itself, and what it says to parameters that are wrong."""

import subprocess
import sys
from pathlib import Path

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


def test_only_validation_metrics_may_be_searched() -> None:
    assert all(metric.name.startswith("validation_") and metric.meaning for metric in INFO.metrics)


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
