"""What practitioners reach for, each seen to do in a whole trial what it says."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean, pstdev

import numpy as np
import pytest
import torch
from safetensors.torch import load, save_file
from torch import Tensor

from hpsearch.errors import InvalidInput, NotFound
from hpsearch.objectives.objective import TrialContext
from hpsearch.objectives.rnn.network.transfer import start_file
from hpsearch.trials import Decision, Scalar
from tests.objectives.conftest import CLASSES, MakeRecorder, Recorder


def weights_of(trial: Recorder) -> dict[str, Tensor]:
    return load(trial.saved["model.safetensors"])


# --- several trainings a trial ---------------------------------------------------------------------------------------


def test_a_trial_of_several_folds_is_worth_their_mean(recorder: MakeRecorder) -> None:
    trial = recorder()
    result = trial.run({**CLASSES, "folds": 3})
    assert [step for step, _, _ in trial.reports] == [1, 2, 3]
    assert result.value == trial.values[-1]
    singles = [3 * trial.values[2] - 2 * trial.values[1], 2 * trial.values[1] - trial.values[0], trial.values[0]]
    assert result.value == pytest.approx(mean(singles))
    assert result.metrics["value_deviation"] == pytest.approx(pstdev(singles))
    assert result.metrics["value_deviation"] > 0


def test_the_first_of_several_seeds_is_the_trial_without_them(recorder: MakeRecorder) -> None:
    single, several = recorder(), recorder()
    expected = single.run(CLASSES)
    several.run({**CLASSES, "repeats": 2})
    assert several.values[0] == expected.value
    assert several.values[1] != expected.value


def test_a_trial_is_pruned_between_folds(recorder: MakeRecorder) -> None:
    trial = recorder(decide=lambda step: Decision.PRUNE if step == 2 else Decision.CONTINUE)
    assert trial.run({**CLASSES, "folds": 4}).state == "pruned"
    assert len(trial.reports) == 2
    assert not trial.saved


def test_the_folds_of_a_forecast_roll_on(recorder: MakeRecorder) -> None:
    parameters: dict[str, Scalar] = {"dataset": "series.csv", "target": "temperature", "max_epochs": 2, "folds": 3}
    result = recorder().run(parameters, metric="validation_rmse")
    assert result.metrics["value_deviation"] is not None


# --- refit ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [{}, {"folds": 3}, {"repeats": 2, "averaging": "ema", "schedule": "plateau"}])
def test_a_refit_leaves_the_trials_value(recorder: MakeRecorder, parameters: Mapping[str, Scalar]) -> None:
    trial, plain = recorder(), recorder()
    result, without = trial.run({**CLASSES, **parameters, "refit": True}), plain.run({**CLASSES, **parameters})
    assert (result.value, trial.reports) == (without.value, plain.reports)
    assert result.metrics["refit_epochs"] == max(1, round(without.metrics["best_epoch"] or 0))
    changed = {name for name, value in without.metrics.items() if result.metrics[name] != value}
    assert "test_loss" in changed
    assert all(name.startswith("test_") for name in changed)
    assert not all(map(torch.equal, weights_of(trial).values(), weights_of(plain).values()))


def test_a_refit_is_a_training_on_all_but_the_test_split(recorder: MakeRecorder, data: Path) -> None:
    """The same weights as where the data have all of that for training."""
    with np.load(data / "classes.npz") as classes:
        x, y = classes["x"], classes["y"]
    known = {"x_test": x[-9:], "y_test": y[-9:]}
    np.savez(data / "divided.npz", x_train=x[:-9], y_train=y[:-9], **known)
    np.savez(data / "whole.npz", x_train=x[:-9], y_train=y[:-9], x_validation=x[:-9], y_validation=y[:-9], **known)
    refitted, whole = recorder(), recorder()
    result = refitted.run({**CLASSES, "dataset": "divided.npz", "refit": True})
    epochs = int(result.metrics["refit_epochs"] or 0)
    expected = whole.run({**CLASSES, "dataset": "whole.npz", "max_epochs": epochs})
    assert expected.metrics["best_epoch"] == epochs
    assert refitted.saved["model.safetensors"] == whole.saved["model.safetensors"]
    assert result.metrics["test_loss"] == expected.metrics["test_loss"]
    cards = [json.loads(trial.saved["model.json"]) for trial in (refitted, whole)]
    assert cards[0]["scaling"] == cards[1]["scaling"]


# --- transfer --------------------------------------------------------------------------------------------------------


@pytest.fixture
def earlier(recorder: MakeRecorder, data: Path) -> dict[str, Tensor]:
    """The weights of a trained model, which lie in `earlier.safetensors` too."""
    trial = recorder()
    trial.run({**CLASSES, "hidden_layers": 2})
    save_file(weights_of(trial), data / "earlier.safetensors")
    return weights_of(trial)


def same(names: str, first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    chosen = [name for name in first if name.startswith(names)]
    assert chosen
    return all(torch.equal(first[name], second[name]) for name in chosen)


@pytest.mark.parametrize(
    ("held", "fast", "free"),
    [
        ({"freeze": "body", "freeze_epochs": 3}, "forwards.", "head."),
        ({"body_learning_rate": 0.0}, "forwards.", "head."),
        ({"freeze": "1", "freeze_epochs": 3}, "forwards.0.", "forwards.1."),
        ({"freeze": "head., forwards.1.", "freeze_epochs": 3}, "head.", "forwards.0."),
    ],
)
def test_what_is_held_fast_stays_as_it_was(
    recorder: MakeRecorder, earlier: Mapping[str, Tensor], held: Mapping[str, Scalar], fast: str, free: str
) -> None:
    trial = recorder()
    trial.run({**CLASSES, "hidden_layers": 2, "start_from": "earlier.safetensors", **held})
    assert same(fast, earlier, weights_of(trial))
    assert not same(free, earlier, weights_of(trial))


def test_a_model_tells_which_weights_it_began_with(
    recorder: MakeRecorder, earlier: Mapping[str, Tensor], data: Path
) -> None:
    first, second = recorder(), recorder()
    first.run({**CLASSES, "hidden_layers": 2, "start_from": "earlier.safetensors"})
    second.run(CLASSES)
    digest = hashlib.sha256((data / "earlier.safetensors").read_bytes()).hexdigest()
    told = [json.loads(trial.saved["model.json"])["start_from_sha256"] for trial in (first, second)]
    assert told == [digest, None]


def test_what_was_frozen_thaws(recorder: MakeRecorder, earlier: Mapping[str, Tensor]) -> None:
    trial = recorder()
    thaw = {"freeze": "body", "freeze_epochs": 1, "learning_rate": 0.01}
    trial.run({**CLASSES, "hidden_layers": 2, "start_from": "earlier.safetensors", **thaw})
    assert not same("forwards.", earlier, weights_of(trial))


def test_weights_of_another_size_are_left_out(recorder: MakeRecorder, earlier: Mapping[str, Tensor]) -> None:
    trial = recorder()
    trial.run({**CLASSES, "start_from": "earlier.safetensors", "freeze": "1", "freeze_epochs": 3, "hidden_layers": 3})
    assert same(
        "forwards.0.", {name: earlier[name] for name in earlier if name in weights_of(trial)}, weights_of(trial)
    )
    with pytest.raises(InvalidInput, match="no weight of earlier"):
        recorder().run({**CLASSES, "start_from": "earlier.safetensors", "hidden_units": 3, "cell": "gru"})


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"freeze": "boddy", "freeze_epochs": 1}, "they begin with forwards, head"),
        ({"freeze": "head.,forwards.", "freeze_epochs": 1}, "nothing would be trained"),
        ({"start_from": "nowhere.safetensors"}, "no file 'nowhere.safetensors'"),
        ({"start_from": "classes.npz"}, "cannot be read"),
        ({"start_from": "study:digits"}, "has no model"),
        ({"layer_units": "8,x"}, "joined by commas"),
        ({"attention_heads": 3}, "attention_heads"),
        ({"loss": "mse"}, "does not fit classification"),
    ],
)
def test_what_cannot_be_done_is_refused(recorder: MakeRecorder, parameters: Mapping[str, Scalar], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        recorder().run({**CLASSES, **parameters})


def test_the_best_model_of_a_study_is_asked_for_by_its_name(tmp_path: Path) -> None:
    asked = []

    def fetch(study: str, number: int | None, name: str) -> Path:
        asked.append((study, number, name))
        if study == "empty":
            raise NotFound("there is no best trial yet")
        return tmp_path / name

    context = TrialContext(
        seed=0, metric="m", direction="minimize", workspace=tmp_path, data_roots=(),
        report=lambda *_: Decision.CONTINUE, save_artifact=lambda *_: None,
    )  # fmt: skip
    context = replace(context, fetch_artifact=fetch)
    assert start_file("study:digits", context) == tmp_path / "model.safetensors"
    start_file("study:digits/7", context)
    assert asked == [("digits", None, "model.safetensors"), ("digits", 7, "model.safetensors")]
    with pytest.raises(InvalidInput, match="no best trial yet"):
        start_file("study:empty", context)
    with pytest.raises(InvalidInput, match="study:NAME/NUMBER"):
        start_file("study:digits/best", context)


# --- gradients -------------------------------------------------------------------------------------------------------


def test_exploding_gradients_mark_the_trial(recorder: MakeRecorder) -> None:
    wild: dict[str, Scalar] = {"dataset": "numbers.npz", "cell": "rnn_relu", "clip_norm": None, "optimizer": "sgd"}
    result = recorder().run({**wild, "learning_rate": 10.0, "max_epochs": 3})
    assert result.state == "failed"
    assert result.metrics["exploding_gradients"] == 1.0


def test_an_orderly_trial_is_not_marked(recorder: MakeRecorder) -> None:
    metrics = recorder().run(CLASSES).metrics
    assert metrics["exploding_gradients"] == metrics["vanishing_gradients"] == 0.0


# --- tasks -----------------------------------------------------------------------------------------------------------


def test_several_labels_are_learnt(recorder: MakeRecorder, data: Path) -> None:
    x = np.random.default_rng(0).normal(size=(300, 6, 2))
    np.savez(data / "labels.npz", x=x, y=(x.mean(axis=1) > 0).astype(np.int64))
    parameters: dict[str, Scalar] = {"dataset": "labels.npz", "max_epochs": 30, "learning_rate": 0.02}
    result = recorder().run(parameters, metric="validation_macro_f1", direction="maximize")
    assert result.value is not None
    assert result.value > 0.9


def test_the_next_step_is_learnt(recorder: MakeRecorder, data: Path) -> None:
    """Each note follows from the one before: the entropy of a guess is 4 log 2."""
    first = np.random.default_rng(0).integers(0, 4, size=120)
    rolls = np.eye(4)[(first[:, None] + np.arange(9)) % 4]
    np.savez(data / "rolls.npz", x=rolls)
    parameters: dict[str, Scalar] = {"dataset": "rolls.npz", "task": "next_step", "max_epochs": 20}
    result = recorder().run({**parameters, "learning_rate": 0.02})
    assert result.value is not None
    assert result.value < 0.1
    assert result.metrics["test_frame_accuracy"] == 1.0


def test_a_text_is_learnt_letter_by_letter(recorder: MakeRecorder, data: Path) -> None:
    (data / "text.txt").write_text("to be or not to be, " * 300)
    parameters: dict[str, Scalar] = {"dataset": "text.txt", "max_epochs": 12, "learning_rate": 0.02, "bptt_steps": 16}
    result = recorder().run({**parameters, "batch_size": 8}, metric="validation_perplexity")
    assert result.value is not None
    assert result.value < 1.2
    assert result.metrics["test_bits_per_character"] == pytest.approx(result.metrics["test_bits_per_token"])


@pytest.mark.parametrize("strategy", ["direct", "recursive"])
def test_a_forecast_of_several_steps_beats_the_naive_ones(recorder: MakeRecorder, data: Path, strategy: str) -> None:
    hours = np.arange(600)
    np.savez(data / "waves.npz", x=10 + 3 * np.sin(hours * 2 * np.pi / 12) + 0.01 * hours)
    parameters: dict[str, Scalar] = {"dataset": "waves.npz", "horizon": 4, "season": 12, "forecast_strategy": strategy}
    result = recorder().run({**parameters, "max_epochs": 25, "learning_rate": 0.01}, metric="validation_mase")
    metrics = {name: value or math.nan for name, value in result.metrics.items()}
    assert metrics["test_rmse"] < 0.5 * metrics["test_naive_rmse"]
    assert metrics["test_seasonal_naive_rmse"] == pytest.approx(0.12, rel=0.01)


def test_static_features_are_used(recorder: MakeRecorder, data: Path) -> None:
    """The class is told by them alone."""
    generator = np.random.default_rng(0)
    y = generator.integers(0, 2, size=200)
    categories = np.stack([1 + (y ^ (statics := generator.integers(0, 2, size=200)))], axis=1)
    arrays = {"x": generator.normal(size=(200, 4, 1)), "y": y, "categories": categories}
    np.savez(data / "statics.npz", statics=statics[:, None].astype(float), **arrays)
    parameters: dict[str, Scalar] = {
        "dataset": "statics.npz",
        "max_epochs": 25,
        "learning_rate": 0.02,
        "head_units": 16,
    }
    result = recorder().run(parameters, metric="validation_accuracy", direction="maximize")
    assert result.value is not None
    assert result.value > 0.95


@pytest.mark.parametrize("kind", ["additive", "dot_product"])
def test_a_second_sequence_is_attended_to(recorder: MakeRecorder, data: Path, kind: str) -> None:
    """The class is told by the second sequence alone."""
    generator = np.random.default_rng(0)
    y = generator.integers(0, 2, size=200)
    context = generator.normal(size=(200, 5, 1)) + (2.0 * y - 1)[:, None, None]
    np.savez(data / "both.npz", x=generator.normal(size=(200, 4, 1)), y=y, context=context)
    parameters: dict[str, Scalar] = {"dataset": "both.npz", "max_epochs": 15, "learning_rate": 0.02}
    result = recorder().run(
        {**parameters, "context_attention": kind}, metric="validation_accuracy", direction="maximize"
    )
    assert result.value is not None
    assert result.value > 0.9


@pytest.mark.parametrize(
    "parameters",
    [
        {"layer_units": "6,4", "residual": True, "layer_norm": True},
        {"cell": "rnn_relu", "recurrent_initialisation": "identity"},
        {"variational_dropout": True, "dropout": 0.3, "input_dropout": 0.2, "weight_dropout": 0.3},
        {"averaging": "ema"},
        {"averaging": "swa", "averaging_start": 0.2},
        {"schedule": "cosine", "warmup_epochs": 0.5, "optimizer": "nadam", "l1": 1e-5, "weight_decay": 1e-3},
        {"schedule": "one_cycle", "clip_value": 0.5, "clip_norm": None, "bptt_steps": 3},
        {"label_smoothing": 0.1, "class_weights": "balanced", "head_units": 8, "head_activation": "gelu"},
        {"jitter": 0.1, "magnitude_scaling": 0.1, "window_slice": 0.8, "time_mask": 0.2, "time_warp": 0.2},
        {"pooling": "additive", "attention_heads": 2, "bidirectional": True},
        {"scaling": "robust"},
        {"scaling": "min_max", "scaling_scope": "training_set"},
    ],
    ids=" ".join,
)
def test_each_technique_learns(recorder: MakeRecorder, parameters: Mapping[str, Scalar]) -> None:
    options = {**CLASSES, "learning_rate": 0.01, "max_epochs": 12, **parameters}
    trial = recorder()
    result = trial.run(options, metric="validation_accuracy", direction="maximize")
    assert result.value is not None
    assert result.value >= 0.85
    assert json.loads(trial.saved["model.json"])["parameters"]["learning_rate"] == 0.01
