"""Every parameter that the objective publishes reaches the training: changed alone, it leaves other weights."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load

from hpsearch.objectives.rnn.parameters import INFO
from hpsearch.trials import Scalar
from tests.objectives.conftest import CLASSES, MakeRecorder

Settings = Mapping[str, Scalar]

SERIES: Settings = {"dataset": "series.csv", "target": "temperature", "max_epochs": 2, "hidden_units": 4}
TABLE: Settings = {"dataset": "table.csv", "group": "g", "target": "label", "max_epochs": 2, "hidden_units": 4}
TEXTS: Settings = {"dataset": "table.csv", "text": "words", "target": "label", "max_epochs": 2, "hidden_units": 4}
LETTERS: Settings = {"dataset": "letters.txt", "max_epochs": 2, "hidden_units": 4}
START: Settings = {"start_from": "start.safetensors"}
ALIKE: Settings = {"optimizer": "sgd", "learning_rate": 0.1}

EFFECTS: Mapping[str, tuple[Settings, Scalar]] = {
    "dataset": ({}, "others.npz"),
    "task": (TABLE, "regression"),
    "target": (TABLE, "sign"),
    "features": (TABLE, "a"),
    "group": (TABLE, "h"),
    "order": (TABLE, "rank"),
    "window": (SERIES, 7),
    "horizon": (SERIES, 3),
    "forecast_strategy": ({**SERIES, "features": "temperature", "horizon": 2}, "recursive"),
    "statics": (TABLE, "weight"),
    "categories": (TABLE, "kind"),
    "text": (TEXTS, "others"),
    "tokenizer": (TEXTS, "words"),
    "vocabulary_size": ({**TEXTS, "tokenizer": "words"}, 5),
    "max_tokens": (TEXTS, 2),
    "validation_fraction": ({}, 0.4),
    "test_fraction": ({}, 0.4),
    "split_by": ({}, "blocks"),
    "split_seed": ({}, 1),
    "scaling": ({}, "min_max"),
    "scaling_scope": ({}, "series"),
    "folds": ({}, 2),
    "refit": ({}, True),
    "cell": ({}, "gru"),
    "bidirectional": ({}, True),
    "hidden_layers": ({}, 2),
    "hidden_units": ({}, 5),
    "layer_units": ({}, "6,4"),
    "embedding_units": (TEXTS, 5),
    "residual": ({"hidden_layers": 2}, True),
    "layer_norm": ({}, True),
    "recurrent_initialisation": ({}, "identity"),
    "forget_bias": ({}, 0.0),
    "pooling": ({}, "mean"),
    "attention_heads": ({}, 2),
    "context_attention": ({"dataset": "both.npz"}, "dot_product"),
    "head_units": ({}, 4),
    "head_activation": ({"head_units": 4}, "gelu"),
    "input_dropout": ({}, 0.5),
    "dropout": ({}, 0.5),
    "output_dropout": ({"dropout": 0.5}, 0.0),
    "variational_dropout": ({"input_dropout": 0.5}, True),
    "weight_dropout": ({}, 0.5),
    "l1": ({}, 0.1),
    "weight_decay": ({}, 0.1),
    "label_smoothing": ({}, 0.3),
    "averaging": ({}, "ema"),
    "averaging_decay": ({"averaging": "ema"}, 0.1),
    "averaging_start": ({"averaging": "swa"}, 0.0),
    "jitter": ({}, 0.3),
    "magnitude_scaling": ({}, 0.3),
    "window_slice": ({}, 0.5),
    "time_mask": ({}, 0.5),
    "time_warp": ({}, 0.5),
    "token_dropout": (TEXTS, 0.5),
    "shift_streams": (LETTERS, True),
    "loss": ({"dataset": "numbers.npz"}, "mae"),
    "huber_delta": ({"dataset": "numbers.npz", "loss": "huber"}, 0.1),
    "class_weights": ({"dataset": "others.npz"}, "balanced"),
    "optimizer": ({}, "nadam"),
    "momentum": (ALIKE, 0.5),
    "learning_rate": ({}, 0.02),
    "body_learning_rate": ({}, 0.1),
    "schedule": ({}, "cosine"),
    "schedule_epochs": ({"schedule": "step"}, 1),
    "schedule_factor": ({"schedule": "exponential"}, 0.1),
    "warmup_epochs": ({}, 1.0),
    "batch_size": ({}, 4),
    "clip_norm": (ALIKE, 0.01),
    "clip_value": (ALIKE, 0.001),
    "bptt_steps": ({}, 2),
    "max_epochs": ({}, 1),
    "start_from": ({}, "start.safetensors"),
    "freeze": ({**START, "freeze_epochs": 2}, "body"),
    "freeze_epochs": ({**START, "freeze": "body"}, 2),
}
"""By parameter: settings beside it, and a value that is not its default."""

ELSEWHERE: Mapping[str, str] = {
    "season": "changes the baselines, not the weights: test_techniques",
    "repeats": "keeps the best seed's weights, which may be the first's: test_techniques",
    "lr_range_test": "is the command's, before the study: tests/cli/test_rnn.py",
    "patience": "ends a training that no longer improves: test_training",
    "checkpoint_seconds": "leaves the training as it is: test_resume",
    "evaluation_streams": "changes what is measured: test_streams",
    "dynamic_evaluation": "measures beside: test_dynamic",
    "dynamic_decay": "measures beside: test_dynamic",
    "device": "test_training; another device needs a GPU",
    "mixed_precision": "acts on a GPU alone, and none runs these tests",
}


def test_every_parameter_is_looked_at() -> None:
    assert sorted([*EFFECTS, *ELSEWHERE]) == sorted(parameter.name for parameter in INFO.parameters)


@pytest.mark.parametrize("name", EFFECTS)
def test_a_parameter_changed_alone_leaves_other_weights(recorder: MakeRecorder, more: Path, name: str) -> None:
    beside, changed = EFFECTS[name]
    settings = {**CLASSES, "max_epochs": 2, **beside}
    known = INFO.parameter(name)
    assert known is not None
    assert settings.get(name, known.default) != changed
    trials = []
    for options in (settings, settings, settings | {name: changed}):
        trials.append(recorder())
        result = trials[-1].run(options)
        assert result.state == "complete", result.reason
        assert result.value is not None
        assert math.isfinite(result.value)
    first, again, other = (load(trial.saved["model.safetensors"]) for trial in trials)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert first.keys() != other.keys() or not all(
        first[key].shape == other[key].shape and torch.equal(first[key], other[key]) for key in first
    )


@pytest.fixture
def more(data: Path, recorder: MakeRecorder) -> Path:
    """Besides: `others.npz`, with one class rarer, `both.npz`, with a context, `table.csv`, `letters.txt`, and
    `start.safetensors`."""
    chance = np.random.default_rng(1)
    y = (np.arange(60) % 4 == 0).astype(int)
    x = chance.normal(size=(60, 8, 2)) + (2.0 * y - 1)[:, None, None]
    np.savez(data / "others.npz", x=x, y=y)
    np.savez(data / "both.npz", x=x, y=y, context=chance.normal(size=(60, 5, 3)))
    rows = ["g,h,label,sign,weight,kind,rank,a,b,words,others"]
    for i in range(160):
        g, h = i // 4, i // 8
        numbers = f"{chance.normal():.3f},{chance.normal():.3f}"
        # what holds for a group of four holds for one of eight, too
        whole = f"{h % 2},{h // 2 % 2},{h / 7:.3f},{'abc'[h % 3]}"
        words, others = (" ".join(chance.choice(list("uvwxyz"), 5)) for _ in range(2))
        rows.append(f"{g},{h},{whole},{chance.integers(1000)},{numbers},{words},{others}")
    (data / "letters.txt").write_text("".join(chance.choice(list("uvwxyz"), 900)))
    (data / "table.csv").write_text("\n".join(rows) + "\n")
    start = recorder()
    start.run({**CLASSES, "max_epochs": 1}, seed=99)
    (data / "start.safetensors").write_bytes(start.saved["model.safetensors"])
    return data
