"""A network as one file that runs without hpsearch: TorchScript, or ONNX.

By tracing, the way of both that keeps batch size and steps free: `torch.export`, on which torch's newer ONNX exporter
rests, unrolls a recurrent layer over the steps of its example. Every architecture can be exported; what cannot is
training, and a language model's state: the exported network begins each call without a past.
"""

import io
import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hpsearch.errors import ConfigurationError, Fault, HpsearchError, InvalidInput
from hpsearch.objectives.rnn.data.batches import Batch
from hpsearch.objectives.rnn.network.architecture import Architecture
from hpsearch.objectives.rnn.network.model import SequenceModel
from hpsearch.objectives.rnn.network.pooling import sequence_mask
from hpsearch.objectives.rnn.training.checkpoint import write_file
from hpsearch.objectives.rnn.training.evaluation import recursive

OPSET = 17
"""Of ONNX: the first that has layer normalisation (2022)."""


class Exported(nn.Module):
    """A network that takes and gives plain tensors."""

    def __init__(self, network: SequenceModel, names: tuple[str, ...], steps_ahead: int) -> None:
        super().__init__()
        self.network, self.names, self.steps_ahead = network, names, steps_ahead

    def forward(self, *tensors: Tensor) -> Tensor:
        """Those of `input_names`, scaled as in training, to the network's outputs: logits, or scaled numbers; of tasks
        that tell each step 0 at padded steps."""
        given = dict(zip(self.names, tensors, strict=True))
        targets = given["inputs"].new_zeros(len(tensors[0]), self.steps_ahead)
        optional = (given.get(name) for name in ("statics", "categories", "context", "context_lengths"))
        batch = Batch(given["inputs"], given["lengths"], targets, *optional)
        if self.steps_ahead:
            return recursive(self.network, batch)
        values: Tensor = self.network(batch).values
        # or an exporter would leave out the lengths, which such networks need for nothing
        if values.dim() == 3:
            values = values * sequence_mask(batch.lengths, values.shape[1])[:, :, None]
        return values


def export_network(network: SequenceModel, path: Path, steps_ahead: int = 0) -> tuple[str, ...]:
    """Write a network as TorchScript (`.pt`) or ONNX (`.onnx`); returns the names of its inputs, in their order.

    `steps_ahead`: of a recursive forecast, whose steps become part of the network. Raises `InvalidInput` for another
    ending, `ConfigurationError` where ONNX's package is missing, `HpsearchError` where the file cannot be written.
    """
    writers: Mapping[str, Callable[[Exported], bytes]] = {".pt": _torchscript, ".onnx": _onnx}
    if path.suffix not in writers:
        problem = f"must end in .pt (TorchScript) or .onnx (ONNX), not {path.suffix or 'without an ending'}"
        raise InvalidInput(faults=[Fault("path", problem)])
    names = input_names(network.architecture)
    with torch.no_grad(), warnings.catch_warnings():
        # of tracing, which torch calls deprecated; of widths, which are the same in every batch
        warnings.simplefilter("ignore")
        content = writers[path.suffix](Exported(network, names, steps_ahead).eval())
    try:
        write_file(path, content)
    except OSError as error:
        raise HpsearchError(f"{path} cannot be written: {error.strerror or error}") from error
    return names


def input_names(architecture: Architecture) -> tuple[str, ...]:
    """`inputs` float32 [batch, steps, features], or int64 [batch, steps] of tokens; `lengths` int64 [batch]; and where
    the network reads such, `statics` float32 [batch, numbers], `categories` int64 [batch, categories], `context`
    float32 [batch, context steps, context features] and `context_lengths` int64 [batch]."""
    a = architecture
    names = ["inputs", "lengths"]
    names += ["statics"] if a.statics else []
    names += ["categories"] if a.category_sizes else []
    return (*names, *(["context", "context_lengths"] if a.context_features else []))


def _example(network: SequenceModel, steps: int) -> dict[str, Tensor]:
    """Two sequences of zeros, one shorter by a step."""
    a = network.architecture
    lengths = torch.tensor([steps, max(1, steps - 1)])
    return {
        "inputs": torch.zeros(2, steps, dtype=torch.int64) if a.vocabulary_size else torch.zeros(2, steps, a.inputs),
        "lengths": lengths,
        "statics": torch.zeros(2, a.statics),
        "categories": torch.zeros(2, len(a.category_sizes), dtype=torch.int64),
        "context": torch.zeros(2, 3, a.context_features),
        "context_lengths": torch.tensor([3, 2]),
    }


def _inputs(module: Exported) -> tuple[Tensor, ...]:
    example = _example(module.network, steps=4)
    return tuple(example[name] for name in module.names)


def _torchscript(module: Exported) -> bytes:
    traced = torch.jit.trace(module, _inputs(module))  # type: ignore[no-untyped-call]
    file = io.BytesIO()
    torch.jit.save(traced, file)
    return file.getvalue()


def _onnx(module: Exported) -> bytes:
    if find_spec("onnx") is None:
        raise ConfigurationError("an .onnx file needs the package onnx: pip install 'hpsearch[onnx]'; .pt needs none")
    free = {"inputs": {0: "batch", 1: "steps"}, "context": {0: "batch", 1: "context steps"}}
    axes = {name: free.get(name, {0: "batch"}) for name in module.names}
    outputs = {0: "batch", 1: "steps"} if module.network.architecture.is_per_step else {0: "batch"}
    file: Any = io.BytesIO()
    torch.onnx.export(
        module,
        _inputs(module),
        file,
        dynamo=False,
        input_names=list(module.names),
        output_names=["outputs"],
        dynamic_axes=axes | {"outputs": outputs},
        opset_version=OPSET,
    )
    content: bytes = file.getvalue()
    return content
