"""Whole trials: what they report, keep, and give again to the bit."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load

from hpsearch.errors import InvalidInput
from hpsearch.objectives.objective import with_defaults
from hpsearch.objectives.rnn.data.batches import Split
from hpsearch.objectives.rnn.data.prepared import Prepared, prepare
from hpsearch.objectives.rnn.data.readers import read_dataset
from hpsearch.objectives.rnn.network.architecture import Architecture
from hpsearch.objectives.rnn.network.model import SequenceModel
from hpsearch.objectives.rnn.objective import RnnObjective
from hpsearch.objectives.rnn.parameters import INFO
from hpsearch.objectives.rnn.training.evaluation import Evaluator
from hpsearch.objectives.rnn.training.losses import loss_of
from hpsearch.trials import Decision, Scalar
from tests.objectives.conftest import CLASSES, MakeRecorder, Recorder

DIGITS: dict[str, Scalar] = {"dataset": "digits", "max_epochs": 8, "hidden_units": 64, "bidirectional": True}


def test_digits_are_learnt(recorder: MakeRecorder) -> None:
    result = recorder().run({**DIGITS, "learning_rate": 0.01}, metric="validation_accuracy", direction="maximize")
    assert result.state == "complete"
    assert result.value is not None
    assert result.value > 0.93
    assert (result.metrics["test_accuracy"] or 0) > 0.9


@pytest.mark.parametrize("settings", [{}, {"folds": 2, "refit": True}, {"bptt_steps": 4}], ids=str)
def test_all_that_it_measures_is_what_it_says_it_measures(recorder: MakeRecorder, settings: dict[str, Any]) -> None:
    trial = recorder()
    result = trial.run({**CLASSES, **settings})
    assert result.state == "complete", result.reason
    measured = {name for metrics in (*(item for _, _, item in trial.reports), result.metrics) for name in metrics}
    assert {name for name in measured if not name.startswith("test_") and not INFO.may_measure(name)} == set()
    assert "test_loss" in measured
    assert not INFO.may_measure("test_loss")


def test_numbers_are_learnt_in_their_own_unit(recorder: MakeRecorder) -> None:
    parameters: dict[str, Scalar] = {"dataset": "numbers.npz", "max_epochs": 60, "patience": None, "batch_size": 8}
    result = recorder().run({**parameters, "learning_rate": 0.01}, metric="validation_rmse")
    targets = read_dataset(with_defaults(INFO, parameters), recorder().data_roots).train.targets
    assert result.value is not None
    assert 0 < result.value < 0.4 * targets.std()


def test_a_forecast_stands_beside_the_naive_one(recorder: MakeRecorder) -> None:
    parameters: dict[str, Scalar] = {"dataset": "series.csv", "target": "temperature", "horizon": 6, "max_epochs": 20}
    result = recorder().run({**parameters, "learning_rate": 0.01}, metric="validation_rmse")
    metrics = {name: value or math.nan for name, value in result.metrics.items()}
    assert metrics["test_rmse"] < 0.5 * metrics["test_naive_rmse"]


def test_each_epoch_is_reported_with_the_searched_metric(recorder: MakeRecorder) -> None:
    trial = recorder()
    result = trial.run(CLASSES, metric="validation_accuracy", direction="maximize")
    assert [step for step, _, _ in trial.reports] == [1, 2, 3]
    for _, value, metrics in trial.reports:
        assert value == metrics["validation_accuracy"]
        assert {"train_loss", "validation_loss", "gradient_norm"} <= set(metrics)
        assert not any(name.startswith("test_") for name in metrics)
    assert result.value == max(trial.values)


def test_train_validation_and_test_are_measured_apart(recorder: MakeRecorder) -> None:
    metrics = recorder().run(CLASSES).metrics
    assert {f"{part}_{name}" for part in ("train", "validation", "test") for name in ("loss", "accuracy")} <= set(
        metrics
    )
    assert len({metrics[f"{part}_loss"] for part in ("train", "validation", "test")}) == 3


def test_what_is_saved_is_the_best_epochs_model(recorder: MakeRecorder) -> None:
    trial = recorder()
    bumpy = {"max_epochs": 20, "learning_rate": 0.2, "patience": None, "dropout": 0.5, "cell": "rnn_relu"}
    result = trial.run({**CLASSES, **bumpy})
    assert result.metrics["best_epoch"] != result.metrics["epochs"]  # else this shows nothing
    card = json.loads(trial.saved["model.json"])
    model = SequenceModel(Architecture.from_json(card["architecture"]))
    model.load_state_dict(load(trial.saved["model.safetensors"]))
    prepared = prepared_of(card["parameters"], trial.data_roots)
    loss = loss_of(card["parameters"], prepared.task)
    measured = Evaluator(prepared, loss, card["parameters"]).validation(model)
    assert measured["loss"] == result.value == min(trial.values)
    assert card["scaling"] == prepared.scaler.as_json()
    assert card["classes"] == ["0", "1"]


def prepared_of(options: Mapping[str, Any], roots: tuple[Path, ...]) -> Prepared:
    (prepared,) = prepare(read_dataset(options, roots), options, torch.device("cpu"))
    return prepared


def test_of_equal_epochs_the_one_of_lower_loss_is_kept(recorder: MakeRecorder) -> None:
    trial = recorder()
    result = trial.run(
        {**CLASSES, "max_epochs": 12, "patience": None}, metric="validation_accuracy", direction="maximize"
    )
    losses = [metrics["validation_loss"] for _, value, metrics in trial.reports if value == result.value]
    assert len(losses) > 1
    assert result.metrics["validation_loss"] == min(loss for loss in losses if loss is not None)


def test_training_ends_after_the_patience(recorder: MakeRecorder) -> None:
    trial = recorder()
    result = trial.run({**CLASSES, "max_epochs": 500, "patience": 3, "learning_rate": 0.1})
    epochs, best = result.metrics["epochs"], result.metrics["best_epoch"]
    assert epochs is not None
    assert best is not None
    assert epochs == best + 3 == len(trial.reports) < 500


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "nadam", "sgd", "rmsprop"])
def test_each_cell_learns_with_each_optimizer(recorder: MakeRecorder, cell: str, optimizer: str) -> None:
    rate = 0.1 if optimizer == "sgd" else 0.01
    parameters = {**CLASSES, "cell": cell, "optimizer": optimizer, "learning_rate": rate, "max_epochs": 12}
    result = recorder().run(parameters, metric="validation_accuracy", direction="maximize")
    assert result.value is not None
    assert result.value >= 0.85


@pytest.mark.parametrize("cell", ["lstm", "rnn_relu"])
def test_divergence_fails_the_trial_with_its_reason(recorder: MakeRecorder, cell: str) -> None:
    trial = recorder()
    parameters: dict[str, Scalar] = {
        "dataset": "numbers.npz",
        "optimizer": "sgd",
        "learning_rate": 100.0,
        "clip_norm": None,
    }
    result = trial.run({**parameters, "cell": cell, "max_epochs": 200, "patience": None})
    assert result.state == "failed"
    assert result.reason is not None
    assert result.reason.startswith("diverged: ")
    assert result.reason.endswith(f"in epoch {len(trial.reports) + 1}")
    assert all(map(math.isfinite, trial.values))
    assert not trial.saved


def test_a_pruned_trial_ends_at_once(recorder: MakeRecorder) -> None:
    trial = recorder(decide=lambda step: Decision.PRUNE if step == 2 else Decision.CONTINUE)
    assert trial.run(CLASSES).state == "pruned"
    assert len(trial.reports) == 2
    assert not trial.saved


@pytest.mark.parametrize("several", [{}, {"repeats": 3}])
def test_a_trial_that_has_come_to_its_end_is_not_pruned(recorder: MakeRecorder, several: dict[str, int]) -> None:
    parameters = {**CLASSES, "max_epochs": 3, "patience": None, **several}
    expected = recorder().run(parameters)
    trial = recorder(decide=lambda step: Decision.PRUNE if step == 3 else Decision.CONTINUE)
    assert trial.run(parameters) == expected
    assert (expected.state, len(trial.reports)) == ("complete", 3)


def test_a_lost_trial_ends_at_once_and_saves_nothing(recorder: MakeRecorder) -> None:
    trial = recorder(decide=lambda step: Decision.LOST)
    trial.run(CLASSES)
    assert len(trial.reports) == 1
    assert not trial.saved


def test_the_same_trial_again_gives_the_same_to_the_bit(recorder: MakeRecorder) -> None:
    objective, parameters = RnnObjective(), {**CLASSES, "dropout": 0.3, "bidirectional": True}
    first, again, other = recorder(), recorder(), recorder()
    result = first.run(parameters, objective=objective)
    other.run(parameters, objective=objective, seed=4)  # between the two, and from the same cache
    assert again.run(parameters, objective=objective) == result
    assert again.reports == first.reports
    assert again.saved == first.saved
    assert other.values != first.values


def test_another_process_gives_the_same_to_the_bit(recorder: MakeRecorder, data: Path, tmp_path: Path) -> None:
    trial = recorder()
    trial.run({**CLASSES, "dropout": 0.3})
    script = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from pathlib import Path\n"
        "from tests.objectives.conftest import CLASSES, Recorder\n"
        "trial = Recorder(Path(sys.argv[1]), (Path(sys.argv[2]),))\n"
        "trial.run({**CLASSES, 'dropout': 0.3})\n"
        "print(*(value.hex() for value in trial.values))\n"
    )
    root = Path(__file__).parents[2]
    output = subprocess.run(
        [sys.executable, "-c", script, tmp_path, data], check=True, capture_output=True, text=True, cwd=root
    ).stdout
    assert output.split() == [value.hex() for value in trial.values]


@pytest.mark.parametrize("dataset", ["classes.npz", "numbers.npz"])
def test_an_epoch_sees_every_sequence_once(data: Path, dataset: str) -> None:
    part = prepared_of(with_defaults(INFO, {"dataset": dataset}), (data,)).splits["train"]
    assert isinstance(part, Split)
    generator = torch.Generator().manual_seed(0)
    epochs = [
        torch.cat([part.batch(piece).inputs[:, 0, 0] for piece in part.epoch(16, None, generator)]).tolist()
        for _ in range(2)
    ]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(part.data.inputs[:, 0, 0].tolist())
    assert epochs[0] != epochs[1]


class TestCheckpoints:
    """A trial that is handed back and gone on with."""

    PARAMETERS: ClassVar[dict[str, Scalar]] = {
        **CLASSES,
        "max_epochs": 6,
        "dropout": 0.3,
        "hidden_layers": 2,
        "patience": None,
    }

    def handed_back(self, recorder: MakeRecorder, after: int, **parameters: Scalar) -> Recorder:
        trial = recorder(decide=lambda step: Decision.PAUSE if step == after else Decision.CONTINUE)
        trial.run({**self.PARAMETERS, **parameters})
        return trial

    @pytest.mark.parametrize("optimizer", ["adam", "adamw", "nadam", "sgd", "rmsprop"])
    @pytest.mark.parametrize("after", [1, 4, 6])
    def test_gone_on_with_it_ends_as_if_never_stopped(self, recorder: MakeRecorder, after: int, optimizer: str) -> None:
        unbroken, resumed = recorder(), recorder()
        expected = unbroken.run({**self.PARAMETERS, "optimizer": optimizer})
        paused = self.handed_back(recorder, after, optimizer=optimizer)
        checkpoint = resumed.folder / "fetched.safetensors"
        checkpoint.write_bytes(paused.saved["checkpoint.safetensors"])
        torch.manual_seed(99)  # whatever ran in between
        result = resumed.run({**self.PARAMETERS, "optimizer": optimizer}, checkpoint=checkpoint)
        assert result == expected
        assert paused.reports + resumed.reports == unbroken.reports
        assert resumed.saved["model.safetensors"] == unbroken.saved["model.safetensors"]

    def test_the_patience_is_remembered(self, recorder: MakeRecorder) -> None:
        parameters = {"max_epochs": 500, "patience": 3, "learning_rate": 0.1}
        unbroken, resumed = recorder(), recorder()
        expected = unbroken.run({**self.PARAMETERS, **parameters})
        paused = self.handed_back(recorder, len(unbroken.reports) - 1, **parameters)
        checkpoint = resumed.folder / "fetched.safetensors"
        checkpoint.write_bytes(paused.saved["checkpoint.safetensors"])
        assert resumed.run({**self.PARAMETERS, **parameters}, checkpoint=checkpoint) == expected
        assert len(resumed.reports) == 1

    def test_one_is_saved_as_often_as_asked(self, recorder: MakeRecorder) -> None:
        seen: list[int] = []
        trial = recorder()
        keep = trial.save_artifact
        trial.save_artifact = lambda name, path: (seen.append(len(trial.reports)), keep(name, path))[1]  # type: ignore
        trial.run({**self.PARAMETERS, "checkpoint_seconds": 0.0})
        assert seen == [1, 2, 3, 4, 5, 6, 6]  # after each epoch but the last; then the model's two files

    def test_no_half_written_file_is_left(self, recorder: MakeRecorder) -> None:
        paused = self.handed_back(recorder, 2)
        assert [path.name for path in paused.folder.iterdir()] == ["checkpoint.safetensors"]

    @pytest.mark.parametrize("keep", [0, 7, 500, -1])
    def test_a_damaged_one_is_refused(self, recorder: MakeRecorder, keep: int) -> None:
        paused, resumed = self.handed_back(recorder, 2), recorder()
        checkpoint = resumed.folder / "fetched.safetensors"
        checkpoint.write_bytes(paused.saved["checkpoint.safetensors"][:keep])
        with pytest.raises(InvalidInput, match="checkpoint"):
            resumed.run(self.PARAMETERS, checkpoint=checkpoint)

    def test_one_of_another_model_is_refused(self, recorder: MakeRecorder) -> None:
        paused, resumed = self.handed_back(recorder, 2), recorder()
        checkpoint = resumed.folder / "fetched.safetensors"
        checkpoint.write_bytes(paused.saved["checkpoint.safetensors"])
        with pytest.raises(InvalidInput, match="checkpoint"):
            resumed.run({**self.PARAMETERS, "hidden_units": 9}, checkpoint=checkpoint)


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    objective, recorder = RnnObjective(), Recorder(tmp_path, data_roots=(tmp_path,))

    def write(scale: float) -> None:
        inputs = generator.normal(size=(40, 5, 2))
        np.savez(tmp_path / "data.npz", x=inputs, y=scale * inputs.sum(axis=(1, 2)))

    errors = []
    for number, scale in enumerate((1.0, 1000.0)):
        write(scale)
        os.utime(tmp_path / "data.npz", (number, number))
        options = {"dataset": "data.npz", "max_epochs": 1, "hidden_units": 4}
        result = recorder.run(options, metric="validation_rmse", objective=objective)
        errors.append(result.value)
    assert errors[1] > 100 * errors[0]
