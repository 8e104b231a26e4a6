"""The recurrent network: layers over padded sequences, attention where it is asked for, and a head.

Padding never changes a result: forwards it comes after all that counts, backwards each sequence is turned around within
its own length, and attention and pooling leave it out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from hpsearch.objectives.rnn.data.batches import Batch
from hpsearch.objectives.rnn.network.architecture import Architecture
from hpsearch.objectives.rnn.network.attention import ContextAttention, SelfAttention
from hpsearch.objectives.rnn.network.dropout import Dropout
from hpsearch.objectives.rnn.network.head import Head
from hpsearch.objectives.rnn.network.layers import State, recurrent_layer
from hpsearch.objectives.rnn.network.pooling import Pooling
from hpsearch.objectives.rnn.network.statics import StaticFeatures


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a network says of a batch."""

    values: Tensor
    """[batch, outputs], or [batch, steps, outputs] where each step is told."""
    states: tuple[State, ...]
    """Of the forward layers, from the first on."""
    attention: dict[str, Tensor] = field(default_factory=dict)
    """Weights by what they are of: `pooling` [batch, steps], `self` [batch, heads, steps, steps], `context`
    [batch, steps, context steps]."""


class SequenceModel(nn.Module):
    """Stacked recurrent layers, in one direction or both."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = a = architecture
        self.embedding = nn.Embedding(a.vocabulary_size, a.embedding_units) if a.vocabulary_size else None
        self.input_dropout = Dropout(a.input_dropout, a.variational_dropout)
        widths = [units * (1 + a.bidirectional) for units in a.units]
        sizes = list(zip([a.embedding_units if a.vocabulary_size else a.inputs, *widths], a.units, strict=False))
        self.forwards = _layers(a, sizes)
        self.backwards = _layers(a, sizes) if a.bidirectional else nn.ModuleList()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths if a.layer_norm)
        shares = [a.dropout] * (len(widths) - 1) + [a.output_dropout]
        self.dropouts = nn.ModuleList(Dropout(share, a.variational_dropout) for share in shares)
        self.self_attention = _self_attention(a)
        self.context_attention = _context_attention(a)
        self.pooling = None if a.is_per_step else Pooling(a.pooling, a.width, a.bidirectional)
        has_statics = a.statics or a.category_sizes
        self.statics = StaticFeatures(a.statics, a.category_sizes) if has_statics else None
        width = a.width + (self.statics.out_width if self.statics else 0)
        self.head = Head(width, a.outputs, a.head_units, a.head_activation)

    @property
    def size(self) -> int:
        """How many weights there are."""
        return sum(weights.numel() for weights in self.parameters())

    def forward(self, batch: Batch, states: Sequence[State] | None = None, *, attention: bool = False) -> Outputs:
        """The outputs for a batch; `states` go on from an earlier one; the weights of attention where asked for."""
        values, last = self._recur(batch, states)
        weights: dict[str, Tensor] = {}
        if self.self_attention is not None:
            values, found = self.self_attention(values, batch.lengths, with_weights=attention)
            weights |= {} if found is None else {"self": found}
        if self.context_attention is not None:
            values, weights["context"] = self.context_attention(values, batch.context, batch.context_lengths)
        if self.pooling is not None:
            values, found = self.pooling(values, batch.lengths, batch.is_even)
            weights |= {} if found is None else {"pooling": found}
        values = self.head(self._with_statics(values, batch))
        return Outputs(values, last, weights if attention else {})

    def _recur(self, batch: Batch, states: Sequence[State] | None) -> tuple[Tensor, tuple[State, ...]]:
        """The last layer's outputs [batch, steps, width], and each layer's state."""
        values = batch.inputs if self.embedding is None else self.embedding(batch.inputs)
        values = self.input_dropout(values)
        order = reversal(batch.lengths, values.shape[1]) if self.backwards else None
        last = []
        for position, layer in enumerate(self.forwards):
            found, state = self._run(layer, values, states[position] if states else None)
            last.append(state)
            if order is not None:
                back, _ = self._run(self.backwards[position], _reorder(values, order), None)
                found = torch.cat([found, _reorder(back, order)], dim=2)
            if self.architecture.residual and found.shape == values.shape:
                found = found + values
            if self.norms:
                found = self.norms[position](found)
            values = self.dropouts[position](found)
        return values, tuple(last)

    def _run(self, layer: nn.Module, values: Tensor, state: State | None) -> tuple[Tensor, State]:
        """One layer over all steps; in training its gradients go back `bptt_steps` at most."""
        steps = self.architecture.bptt_steps
        if steps is None or not self.training or values.shape[1] <= steps:
            return layer(values, state)  # type: ignore[no-any-return]
        first, *others = torch.split(values, steps, dim=1)
        found, last = layer(first, state)
        parts = [found]
        for part in others:
            found, last = layer(part, detached(last))
            parts.append(found)
        return torch.cat(parts, dim=1), last

    def _with_statics(self, values: Tensor, batch: Batch) -> Tensor:
        if self.statics is None:
            return values
        found = self.statics(batch.statics, batch.categories)
        if values.dim() == 3:
            found = found[:, None].expand(-1, values.shape[1], -1)
        return torch.cat([values, found], dim=-1)


def detached(state: State) -> State:
    """The same state, from which no gradient goes back."""
    return (state[0].detach(), state[1].detach()) if isinstance(state, tuple) else state.detach()


def reversal(lengths: Tensor, steps: int) -> Tensor:
    """Indices that turn each sequence around within its own length: [batch, steps]. Padding stays where it is, and
    turning twice gives the first order back."""
    position = torch.arange(steps, device=lengths.device)
    turned = lengths[:, None] - 1 - position
    return torch.where(turned >= 0, turned, position)


def _reorder(values: Tensor, order: Tensor) -> Tensor:
    """[batch, steps, features] by [batch, steps]."""
    return values[torch.arange(values.shape[0], device=values.device)[:, None], order]


def _layers(a: Architecture, sizes: Sequence[tuple[int, int]]) -> nn.ModuleList:
    return nn.ModuleList(
        recurrent_layer(
            a.cell,
            size,
            units,
            initialisation=a.recurrent_initialisation,
            forget_bias=a.forget_bias,
            weight_dropout=a.weight_dropout,
        )
        for size, units in sizes
    )


def _self_attention(a: Architecture) -> SelfAttention | None:
    return SelfAttention(a.width, a.attention_heads, a.output_dropout, a.is_per_step) if a.attention_heads else None


def _context_attention(a: Architecture) -> ContextAttention | None:
    """The second sequence is encoded by one layer of the network's own kind, as wide as its last."""
    if not a.context_features:
        return None
    encoder = recurrent_layer(a.cell, a.context_features, a.units[-1], initialisation=a.recurrent_initialisation)
    return ContextAttention(a.width, a.units[-1], a.context_attention, encoder)
