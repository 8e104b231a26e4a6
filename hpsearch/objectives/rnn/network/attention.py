"""Attention that every step pays: to the other steps of its sequence, or to a second sequence."""

import math

import torch
from torch import Tensor, nn

from hpsearch.objectives.rnn.faults import setting_fault
from hpsearch.objectives.rnn.network.dropout import Dropout
from hpsearch.objectives.rnn.network.pooling import masked_softmax, sequence_mask


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence's steps to each other, with the encoder layer's residual connection and layer
    normalisation: LayerNorm(h + Dropout(attention(h))) (Vaswani et al. 2017, sections 3.1, 3.2 and 5.4).

    `causal`: a step attends to itself and the steps before it alone. Raises `InvalidInput` where the heads do not
    divide the width.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, causal: bool = False) -> None:
        super().__init__()
        if width % heads:
            raise setting_fault("attention_heads", _uneven(width, heads))
        self.heads, self.causal = heads, causal
        self.scale = 1 / math.sqrt(width // heads)
        self.projection = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.dropout = Dropout(dropout, variational=False)
        self.norm = nn.LayerNorm(width)
        # as torch's nn.MultiheadAttention begins
        nn.init.xavier_uniform_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)
        nn.init.zeros_(self.output.bias)

    def forward(self, values: Tensor, lengths: Tensor, with_weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """[batch, steps, width] and [batch] to [batch, steps, width] and, where they are asked for, the weights [batch,
        heads, steps attending, steps attended to], which sum to 1 over the last axis and are 0 in the padding. What
        stands at padded steps means nothing. The weights cost memory and time; to rounding, the result is the same
        without."""
        # a stream that has ended has no steps: it attends to the first, lest there be nothing to attend to
        mask = sequence_mask(lengths.clamp(min=1), values.shape[1])
        # states of the padding may have overflowed, and 0 times infinity is not 0
        values = values.masked_fill(~mask[:, :, None], 0.0)
        query, key, value = self._split(self.projection(values))
        weights = self._weights(query, key, mask) if with_weights else None
        if weights is not None:
            attended = weights @ value
        else:
            # causal needs no mask: padding comes after every step that counts
            attended = nn.functional.scaled_dot_product_attention(
                query, key, value, attn_mask=None if self.causal else mask[:, None, None, :], is_causal=self.causal
            )
        merged = self.output(attended.transpose(1, 2).flatten(2))
        return self.norm(values + self.dropout(merged)), weights

    def _split(self, projected: Tensor) -> tuple[Tensor, ...]:
        """[batch, steps, 3 * width] to three of [batch, heads, steps, width / heads]."""
        return projected.view(*projected.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)

    def _weights(self, query: Tensor, key: Tensor, mask: Tensor) -> Tensor:
        allowed = mask[:, None, None, :]
        if self.causal:
            allowed = allowed & mask.new_ones(mask.shape[1], mask.shape[1]).tril()
        return masked_softmax(query @ key.transpose(2, 3) * self.scale, allowed)


def _uneven(width: int, heads: int) -> str:
    fitting = ", ".join(str(count) for count in range(1, width + 1) if width % count == 0)
    lower, upper = width // heads * heads, -(-width // heads) * heads
    widths = f"{lower} or {upper}" if lower else f"{upper}"
    return (
        f"must divide the {width} features of the last layer (its units times its directions), which {heads} does not: "
        f"features of {widths} would do, or heads of {fitting}"
    )


class ContextAttention(nn.Module):
    """Attention of every step to a second sequence, which an encoder has read: tanh(W [c; h]) with the states h and
    the contexts c that they attend to (Luong et al. 2015, equation 5).

    `units` are those of the encoder's outputs, and of the space in which they are compared. By `kind`: additive scores
    are v . tanh(W q + U k) (Bahdanau et al. 2015), which takes memory for batch * steps * context steps * units; those
    of dot_product are q . k / sqrt(units) (Vaswani et al. 2017, equation 1), the queries being states projected and the
    keys the encoder's outputs.
    """

    def __init__(self, width: int, units: int, kind: str, encoder: nn.Module) -> None:
        """`encoder` is a recurrent layer: [batch, context steps, context features] to ([batch, context steps, units],
        …), reading forwards."""
        super().__init__()
        self.kind = kind
        self.scale = 1 / math.sqrt(units)
        self.encoder = encoder
        self.query = nn.Linear(width, units)
        if kind == "additive":
            self.key = nn.Linear(units, units, bias=False)
            self.score = nn.Linear(units, 1, bias=False)
        self.output = nn.Linear(width + units, width)

    def forward(self, values: Tensor, context: Tensor, context_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, steps, width], [batch, context steps, context features] and [batch] to [batch, steps, width] and the
        weights [batch, steps, context steps], which sum to 1 and are 0 in the padding. A context of no steps counts as
        one of one step."""
        mask = sequence_mask(context_lengths.clamp(min=1), context.shape[1])
        # states of the padding may have overflowed, and 0 times infinity is not 0
        encoded = self.encoder(context)[0].masked_fill(~mask[:, :, None], 0.0)
        weights = masked_softmax(self._scores(self.query(values), encoded), mask[:, None])
        return torch.tanh(self.output(torch.cat([weights @ encoded, values], dim=2))), weights

    def _scores(self, query: Tensor, encoded: Tensor) -> Tensor:
        """[batch, steps, context steps]."""
        if self.kind == "additive":
            pairs = torch.tanh(query[:, :, None] + self.key(encoded)[:, None])
            return self.score(pairs).squeeze(3)  # type: ignore[no-any-return]
        return query @ encoded.transpose(1, 2) * self.scale
