"""A trial that is killed at any moment and gone on with elsewhere ends as if nothing had happened, to the bit."""

import random
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from hpsearch.objectives.rnn.training import loop
from hpsearch.trials import Decision, Scalar
from tests import zygote
from tests.objectives.conftest import CLASSES, MakeRecorder

ROOT = Path(__file__).parents[2]
KINDS: Mapping[str, Mapping[str, Scalar]] = {
    "everything at once": {
        "dataset": "classes.npz",
        "cell": "gru",
        "hidden_layers": 2,
        "dropout": 0.3,
        "weight_dropout": 0.2,
        "jitter": 0.1,
        "time_mask": 0.3,
        "averaging": "ema",
        "schedule": "one_cycle",
        "optimizer": "nadam",
        "l1": 1e-4,
    },
    "plateau and swa": {
        "dataset": "numbers.npz",
        "schedule": "plateau",
        "schedule_epochs": 1,
        "averaging": "swa",
        "averaging_start": 0.3,
        "optimizer": "sgd",
        "learning_rate": 0.05,
        "freeze": "body",
        "freeze_epochs": 2,
    },
    "language model": {"dataset": "text.txt", "bptt_steps": 16, "dropout": 0.2, "cell": "lstm"},
    "shifted text": {"dataset": "text.txt", "bptt_steps": 16, "shift_streams": True, "averaging": "ema"},
    "folds and seeds": {"dataset": "classes.npz", "folds": 2, "repeats": 2},
    "refit of folds": {"dataset": "classes.npz", "folds": 2, "refit": True, "schedule": "plateau", "averaging": "swa"},
    "refit of a text": {"dataset": "text.txt", "bptt_steps": 16, "refit": True, "averaging": "ema"},
}
COMMON: Mapping[str, Scalar] = {"hidden_units": 6, "batch_size": 8, "max_epochs": 5, "patience": None}


@pytest.fixture
def data(data: Path) -> Path:
    generator = np.random.default_rng(0)
    (data / "text.txt").write_text("".join(generator.choice(list("abc d"), 3000)))
    return data


@pytest.mark.parametrize("kind", KINDS)
def test_gone_on_with_from_any_checkpoint(recorder: MakeRecorder, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints within epochs too: every one of a whole training leads to the same end."""
    unbroken, parameters = recorder(), {**COMMON, **KINDS[kind]}
    expected = unbroken.run(parameters)
    monkeypatch.setattr(loop.time, "monotonic", _Ticks())
    eager = recorder()
    kept: list[tuple[int, bytes]] = []
    save = eager.save_artifact

    def keep(name: str, path: Path) -> None:
        save(name, path)
        if name == "checkpoint.safetensors":
            kept.append((len(eager.reports), path.read_bytes()))

    eager.save_artifact = keep  # type: ignore[method-assign]
    assert eager.run({**parameters, "checkpoint_seconds": 3.0}) == expected  # to save changes nothing
    assert len(kept) > 6
    for reports, content in kept[:: max(1, len(kept) // 6)]:
        resumed = recorder()
        checkpoint = resumed.folder / "fetched.safetensors"
        checkpoint.write_bytes(content)
        torch.manual_seed(99)  # whatever ran in between
        assert resumed.run(parameters, checkpoint=checkpoint) == expected
        assert resumed.reports == unbroken.reports[reports:]
        assert resumed.saved["model.safetensors"] == unbroken.saved["model.safetensors"]


class _Ticks:
    """A clock that goes on by a second whenever it is looked at."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        self._now += 1.0
        return self._now


def test_killed_at_random_moments(data: Path, tmp_path: Path) -> None:
    kind, draw = "everything at once", random.Random(7)
    unbroken = _attempt(kind, data, tmp_path / "unbroken", None)
    for _ in range(3):
        assert _attempt(kind, data, tmp_path / "broken", draw) is None
    assert _attempt(kind, data, tmp_path / "broken", None) == unbroken is not None


def _attempt(kind: str, data: Path, folder: Path, draw: random.Random | None) -> str | None:
    """What one attempt says of its result; None where it was killed, some time after some checkpoint."""
    folder.mkdir(exist_ok=True)
    command = ["tests.objectives.attempt", kind, str(data), str(folder)]
    imported = ("hpsearch.objectives.rnn.objective", "pytest")
    with zygote.start(command, imported=imported, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        if draw is not None:
            for _ in range(draw.randint(1, 12)):
                assert process.stdout.readline() == "saved\n"
            time.sleep(draw.uniform(0, 0.03))
            process.kill()
        said = process.stdout.read()
    assert draw is None or process.returncode == -signal.SIGKILL
    return next((line for line in said.splitlines() if line.startswith("result")), None)


def test_a_trial_of_several_runs_is_handed_back_between_them(recorder: MakeRecorder) -> None:
    parameters = {**CLASSES, "repeats": 3}
    unbroken, resumed = recorder(), recorder()
    expected = unbroken.run(parameters)
    paused = recorder(decide=lambda step: Decision.PAUSE if step == 2 else Decision.CONTINUE)
    paused.run(parameters)
    checkpoint = resumed.folder / "fetched.safetensors"
    checkpoint.write_bytes(paused.saved["checkpoint.safetensors"])
    assert resumed.run(parameters, checkpoint=checkpoint) == expected
    assert paused.reports + resumed.reports == unbroken.reports
    assert resumed.saved["model.safetensors"] == unbroken.saved["model.safetensors"]
