"""Small data sets, and a trial's context that remembers what it was told."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from hpsearch.objectives.objective import TrialContext, TrialResult
from hpsearch.objectives.rnn.objective import RnnObjective
from hpsearch.trials import Decision, Metrics, Scalar


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As a worker's slot has it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass
class Recorder:
    """What one trial reported and saved."""

    folder: Path
    data_roots: tuple[Path, ...] = ()
    decide: Callable[[int], Decision] = lambda step: Decision.CONTINUE
    reports: list[tuple[int, float, Metrics]] = field(default_factory=list)
    saved: dict[str, bytes] = field(default_factory=dict)
    """Artifacts, as they were when they were saved."""

    def report(self, step: int, value: float, metrics: Metrics) -> Decision:
        self.reports.append((step, value, metrics))
        return self.decide(step)

    def save_artifact(self, name: str, path: Path) -> None:
        self.saved[name] = path.read_bytes()

    @property
    def values(self) -> list[float]:
        return [value for _, value, _ in self.reports]

    def run(
        self,
        parameters: Mapping[str, Scalar],
        *,
        metric: str = "validation_loss",
        direction: Literal["minimize", "maximize"] = "minimize",
        seed: int = 3,
        checkpoint: Path | None = None,
        objective: RnnObjective | None = None,
    ) -> TrialResult:
        context = TrialContext(
            seed=seed,
            metric=metric,
            direction=direction,
            workspace=self.folder,
            data_roots=self.data_roots,
            report=self.report,
            save_artifact=self.save_artifact,
            checkpoint=checkpoint,
        )
        return (objective or RnnObjective())(parameters, context)


MakeRecorder = Callable[..., Recorder]


@pytest.fixture
def recorder(tmp_path: Path, data: Path) -> MakeRecorder:
    """Makes recorders, each with a workspace of its own, that may read below `data`."""

    def make(**arguments: Any) -> Recorder:
        folder = tmp_path / f"workspace {len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return Recorder(folder, (data,), **arguments)

    return make


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with `classes.npz`, `numbers.npz` and `series.csv`."""
    folder = tmp_path / "data"
    folder.mkdir()
    generator = np.random.default_rng(0)
    lengths = generator.integers(2, 9, size=80)
    labels = np.arange(80) % 2
    x = generator.normal(size=(80, 8, 2)) + (2.0 * labels - 1)[:, None, None]
    np.savez(folder / "classes.npz", x=x, y=labels, lengths=lengths)
    inside = np.arange(8) < lengths[:, None]
    sums = np.where(inside, x[:, :, 0], 0.0).sum(axis=1)
    np.savez(folder / "numbers.npz", x=x, y=1000.0 + 50.0 * sums, lengths=lengths)
    hours = np.arange(300)
    temperature = 50 + 10 * np.sin(hours * 2 * np.pi / 24)
    lines = [f"{hour:04d},{value:.4f},{hour % 7}" for hour, value in zip(hours, temperature, strict=True)]
    (folder / "series.csv").write_text("\n".join(["hour,temperature,day", *lines]))
    return folder


CLASSES: Mapping[str, Scalar] = {"dataset": "classes.npz", "hidden_units": 8, "max_epochs": 3, "batch_size": 16}
"""A trial of a tenth of a second."""
