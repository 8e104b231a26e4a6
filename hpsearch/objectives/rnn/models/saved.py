"""A trained network as two files: weights (safetensors), and all that is needed to use them (JSON)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from hpsearch import __version__
from hpsearch.errors import InvalidInput
from hpsearch.objectives.objective import TrialContext
from hpsearch.objectives.rnn.data.scalers import Scaler
from hpsearch.objectives.rnn.data.sequences import Sequences
from hpsearch.objectives.rnn.network.architecture import Architecture
from hpsearch.objectives.rnn.network.model import SequenceModel
from hpsearch.objectives.rnn.network.native import numba_version
from hpsearch.objectives.rnn.training.checkpoint import Weights, write_file
from hpsearch.objectives.rnn.training.runs import Runs
from hpsearch.trials import Metrics

WEIGHTS = "model.safetensors"
CARD = "model.json"
FORMAT = 2


@dataclass(frozen=True, slots=True)
class SavedModel:
    """What the two files say."""

    card: Mapping[str, Any]
    network: SequenceModel
    """On the CPU, for evaluation."""
    scaler: Scaler


def save_model(runs: Runs, options: Mapping[str, Any], metrics: Metrics, context: TrialContext) -> None:
    """Keep the best network with the trial."""
    prepared = runs.best_division
    data = prepared.data
    card = {
        "format": FORMAT,
        "task": data.task,
        "architecture": runs.architecture.as_json(),
        "classes": list(data.classes),
        "features": list(data.features),
        "vocabulary": data.vocabulary,
        "category_names": [list(names) for names in data.category_names],
        "seen_categories": _seen_categories(prepared.parts["train"]),
        "scaling": prepared.scaler.as_json(),
        "parameters": dict(options),
        "start_from_sha256": runs.start_digest,
        "seed": context.seed,
        "trial": {"number": context.number, "attempt": context.attempt},
        "versions": _versions(runs),
        "metrics": dict(metrics),
    }
    weights = {name: value.cpu().contiguous() for name, value in runs.best.items()}
    for name, content in ((WEIGHTS, save(weights)), (CARD, json.dumps(card, indent=2).encode())):
        path = context.workspace / name
        write_file(path, content)
        context.save_artifact(name, path)


def _versions(runs: Runs) -> dict[str, str]:
    """Of all that the numbers depend on."""
    found = {"hpsearch": __version__, "torch": str(torch.__version__)}
    network = runs.architecture
    numba = numba_version(network.cell, network.units) if runs.best_division.device.type == "cpu" else None
    return found if numba is None else found | {"numba": numba}


def _seen_categories(train: Sequences) -> list[list[int]]:
    """Of each category the indices that training sees: all others are unknown to the network."""
    return [] if train.categories is None else [np.unique(column).tolist() for column in train.categories.T]


def read_model(path: Path) -> SavedModel:
    """The network of a folder that holds both files, or of a `model.json` with the weights beside it.

    Raises `InvalidInput` where one is missing, damaged or of another format, or the weights do not fit.
    """
    file = path / CARD if path.is_dir() else path
    card = _card(file)
    try:
        architecture = Architecture.from_json(card["architecture"])
        scaler = Scaler.from_json(card["scaling"])
        # without memory, and without a draw from anybody's random generator
        with torch.device("meta"):
            network = SequenceModel(architecture)
        missing = {"task", "classes", "features", "vocabulary", "seen_categories", "parameters"} - card.keys()
        if missing:
            raise KeyError(", ".join(sorted(missing)))
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise InvalidInput(f"{file} does not describe a model: {type(error).__name__} {error}") from error
    _put(network, _weights(file.with_name(WEIGHTS)))
    return SavedModel(card, network.eval(), scaler)


def _card(file: Path) -> dict[str, Any]:
    content = _content(file)
    try:
        card = json.loads(content)
    except ValueError as error:
        raise InvalidInput(f"{file} is damaged: {error}") from error
    if not isinstance(card, dict) or "format" not in card:
        raise InvalidInput(f"{file} is no {CARD} of hpsearch")
    if card["format"] != FORMAT:
        made_by = (card.get("versions") or {}).get("hpsearch", "another version")
        raise InvalidInput(
            f"{file} is of format {card['format']} (hpsearch {made_by}); this is hpsearch {__version__}, which reads "
            f"format {FORMAT}"
        )
    return card


def _weights(file: Path) -> Weights:
    try:
        return load(_content(file))
    except SafetensorError as error:
        raise InvalidInput(f"{file} is damaged: {error}") from error


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {file}: {error.strerror or error}") from error


def _put(network: SequenceModel, weights: Weights) -> None:
    wrong = [name for name, value in weights.items() if value.dtype != torch.float32]
    if wrong:
        raise InvalidInput(f"{WEIGHTS} does not fit {CARD}: {wrong[0]} is {weights[wrong[0]].dtype}, not torch.float32")
    try:
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise InvalidInput(f"{WEIGHTS} does not fit {CARD}: {error}") from error
