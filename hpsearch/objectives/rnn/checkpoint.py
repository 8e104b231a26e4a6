"""Everything that a trial needs to go on as if it had never stopped: one safetensors file, nothing unpickled."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hpsearch.errors import InvalidInput
from hpsearch.objectives.rnn.model import SequenceModel

NAME = "checkpoint.safetensors"


@dataclass(slots=True)
class Progress:
    """How far training has come, besides weights and random states."""

    epoch: int = 0
    best_epoch: int = 0
    best_value: float | None = None
    best_loss: float | None = None


Weights = dict[str, Tensor]


def write_file(path: Path, content: bytes) -> None:
    """Whole or not at all, also when the power goes."""
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def save_checkpoint(
    path: Path,
    model: SequenceModel,
    best: Weights,
    optimizer: torch.optim.Optimizer,
    shuffler: torch.Generator,
    progress: Progress,
) -> None:
    """Write the state of a trial between two epochs."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items() if value is not None}
    tensors |= {"random.torch": torch.get_rng_state(), "random.shuffler": shuffler.get_state()}
    content = save({name: value.contiguous() for name, value in tensors.items()}, {"progress": _json(asdict(progress))})
    write_file(path, content)


def load_checkpoint(
    path: Path, model: SequenceModel, optimizer: torch.optim.Optimizer, shuffler: torch.Generator
) -> tuple[Weights, Progress]:
    """Put a saved state in place; returns the best epoch's weights and the progress.

    Raises `InvalidInput` where the file is damaged or of another model.
    """
    try:
        tensors, progress = _read(path)
        model.load_state_dict(_part(tensors, "model."))
        optimizer.load_state_dict({**optimizer.state_dict(), "state": _optimizer_state(tensors)})
        shuffler.set_state(tensors["random.shuffler"])
        torch.set_rng_state(tensors["random.torch"])
    except (SafetensorError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise InvalidInput(f"the checkpoint cannot be gone on from: {error}") from error
    return _part(tensors, "best."), progress


def _read(path: Path) -> tuple[Weights, Progress]:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
        return tensors, Progress(**json.loads(file.metadata()["progress"]))


def _part(tensors: Mapping[str, Tensor], prefix: str) -> Weights:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _optimizer_state(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in _part(tensors, "optimizer.").items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    return state


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, allow_nan=False)
