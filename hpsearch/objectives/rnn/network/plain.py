"""Gradients of plain networks without autograd, whose graph takes longer than a small network's products.

Plain is a network of recurrent layers one on another, read forwards, whose last state goes into a linear head, with
nothing between and nothing left out by chance.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from hpsearch.objectives.rnn.data.batches import Batch
from hpsearch.objectives.rnn.network.architecture import Architecture
from hpsearch.objectives.rnn.network.layers import RecurrentLayer
from hpsearch.objectives.rnn.network.model import SequenceModel
from hpsearch.objectives.rnn.network.native import backward_pass, forward_pass

_OF_NO_EFFECT = (
    "inputs", "units", "embedding_units", "recurrent_initialisation", "forget_bias", "context_attention",
    "head_activation", "variational_dropout", "bptt_steps",
)  # fmt: skip
"""What may be as it likes: sizes, first values, and ways of what is not there."""


def is_plain(a: Architecture) -> bool:
    """Whether a network is: all else is as it is by default, off."""
    default = Architecture(task=a.task, outputs=a.outputs, cell=a.cell)
    return not a.is_per_step and a == replace(default, **{name: getattr(a, name) for name in _OF_NO_EFFECT})


class PlainNetwork:
    """A plain network's weights, as its gradients are found with."""

    def __init__(self, model: SequenceModel) -> None:
        self._layers = [layer for layer in model.forwards if isinstance(layer, RecurrentLayer)]
        self._weights = [
            [layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0] for layer in self._layers
        ]
        self._head = model.head.output
        self._steps = model.architecture.bptt_steps

    def takes(self, batch: Batch) -> bool:
        """Whether all layers go through `native` with these sequences, and their gradients all the way back."""
        if self._steps is not None and batch.inputs.shape[1] > self._steps:
            return False
        return all(layer.is_native(batch.inputs, layer.weight_hh_l0) for layer in self._layers)

    @torch.no_grad()
    def gradients(self, batch: Batch, loss: Callable[[Tensor, Batch], Tensor]) -> tuple[Tensor, dict[Tensor, Tensor]]:
        """The loss of a batch, and its gradient by each weight. Loss: of outputs [batch, outputs], a scalar."""
        values, passes = batch.inputs, []
        for layer, weights in zip(self._layers, self._weights, strict=True):
            results, kept = forward_pass(layer.cell, values, weights)
            passes.append((layer.cell, kept, values.shape, weights))
            values, last = results[0], results[1:]
        ends = _Ends(values, last, batch)
        value, outer = _by_outputs(torch.addmm(self._head.bias, ends.states, self._head.weight.t()), batch, loss)
        found = {self._head.weight: outer.t() @ ends.states, self._head.bias: outer.sum(0)}
        by_outputs, by_last = ends.gradients(outer @ self._head.weight)
        for position in range(len(passes) - 1, -1, -1):
            cell, kept, shape, weights = passes[position]
            by_outputs, by_weights, _ = backward_pass(
                cell, kept, shape, weights, by_outputs, by_last, values=position > 0
            )
            found |= zip(weights, by_weights, strict=True)
            by_last = [None] * len(last)
        return value, found


class _Ends:
    """The last layer's states where each sequence ends."""

    def __init__(self, outputs: Tensor, last: Sequence[Tensor], batch: Batch) -> None:
        """Of outputs [batch, steps, units] and the last states [1, batch, units], which are these where all sequences
        have all steps."""
        self._outputs, self._others = outputs, len(last) - 1
        self._places: Tensor | None = None
        if batch.is_even:
            self.states = last[0][0]
        else:
            self._places = (batch.lengths.clamp(min=1) - 1)[:, None, None].expand(-1, 1, outputs.shape[2])
            self.states = outputs.gather(1, self._places).squeeze(1)

    def gradients(self, by_states: Tensor) -> tuple[Tensor | None, list[Tensor | None]]:
        """By the outputs and by the last states, None being zero, from that by `states`, [batch, units]."""
        if self._places is None:
            return None, [by_states[None], *[None] * self._others]
        by_outputs = torch.zeros_like(self._outputs).scatter_(1, self._places, by_states[:, None])
        return by_outputs, [None] * (1 + self._others)


def _by_outputs(outputs: Tensor, batch: Batch, loss: Callable[[Tensor, Batch], Tensor]) -> tuple[Tensor, Tensor]:
    """The loss, and its gradient by the outputs."""
    with torch.enable_grad():
        value = loss(outputs.requires_grad_(), batch)
    return value.detach(), torch.autograd.grad(value, [outputs])[0]
