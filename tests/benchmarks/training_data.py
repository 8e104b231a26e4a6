"""The data sets of the training benchmarks, as our objective divides and scales them, in a file for its peers."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from hpsearch.objectives.objective import with_defaults
from hpsearch.objectives.rnn.data.batches import Split
from hpsearch.objectives.rnn.data.prepared import prepare
from hpsearch.objectives.rnn.data.readers import read_dataset
from hpsearch.objectives.rnn.data.synthetic import adding
from hpsearch.objectives.rnn.parameters import INFO

ADDING = "adding.npz"


def write_adding(folder: Path, sequences: int, steps: int) -> None:
    """The adding problem in a file that our objective reads: a built-in epoch is 10,000 sequences, too long here."""
    data, arrays = adding(steps, 0), dict[str, Any]()
    assert data.validation
    assert data.test
    parts = {"train": (data.train, sequences), "validation": (data.validation, sequences // 4), "test": (data.test, 64)}
    for name, (part, count) in parts.items():
        arrays |= {f"x_{name}": part.inputs[:count], f"y_{name}": part.targets[:count]}
    np.savez(folder / ADDING, **arrays)


def write_splits(dataset: str, folder: Path) -> None:
    """`<dataset>.splits.npz` for the peers. Raises `InvalidInput` where the data are not to be had."""
    options = with_defaults(INFO, {"dataset": dataset})
    prepared = prepare(read_dataset(options, (folder,)), options, torch.device("cpu"))[0]
    arrays: dict[str, Any] = {"outputs": np.array(len(prepared.data.classes) or 1)}
    for name in ("train", "validation"):
        split = prepared.splits[name]
        assert isinstance(split, Split)
        batch = split.data
        arrays |= {f"x_{name}": batch.inputs.numpy(), f"y_{name}": batch.targets.numpy()}
        arrays |= {f"lengths_{name}": batch.lengths.numpy()}
    np.savez(folder / f"{dataset}.splits.npz", **arrays)
