"""Everything that a trial needs to go on as if it had never stopped: one safetensors file, nothing unpickled."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hpsearch.errors import InvalidInput

NAME = "checkpoint.safetensors"

Weights = dict[str, Tensor]


def write_file(path: Path, content: bytes) -> None:
    """Whole or not at all, also when the power goes."""
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
    """Write a trial's tensors, and what else it remembers (plain JSON, no NaN)."""
    # clones where two names share one storage: safetensors refuses those
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_file(path, save(plain, {"progress": json.dumps(progress, allow_nan=False)}))


def load_checkpoint(path: Path) -> tuple[Weights, dict[str, Any]]:
    """What was saved. Raises `InvalidInput` where the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
            return tensors, json.loads(file.metadata()["progress"])
    except (SafetensorError, OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise unusable(error) from error


def unusable(error: Exception) -> InvalidInput:
    """The error for a checkpoint that is damaged, or of another model."""
    return InvalidInput(f"the checkpoint cannot be gone on from: {error}")


def part(tensors: Mapping[str, Tensor], prefix: str) -> Weights:
    """The tensors below a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> Weights:
    """The inverse: tensors under a prefix."""
    return {prefix + name: value for name, value in tensors.items()}
