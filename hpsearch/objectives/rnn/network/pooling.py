"""From the states of a sequence's steps to one vector for the whole sequence."""

import math

import torch
from torch import Tensor, nn


def sequence_mask(lengths: Tensor, steps: int) -> Tensor:
    """Which steps count: bool [batch, steps] of lengths [batch]."""
    return torch.arange(steps, device=lengths.device) < lengths[:, None]


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last axis where the mask is true, exactly 0 elsewhere; the mask broadcasts to the scores and
    is true at least once in a row."""
    return scores.masked_fill(~mask, -math.inf).softmax(dim=-1)


def last_state(values: Tensor, lengths: Tensor, bidirectional: bool, is_even: bool = False) -> Tensor:
    """[batch, width] of [batch, steps, width]: forwards the state at the last step that counts, backwards (the second
    half of the width) the one at the first step, which was read last. Even: all steps count."""
    if is_even:
        last = values[:, -1]
    else:
        last = values.gather(1, (lengths - 1)[:, None, None].expand(-1, 1, values.shape[2])).squeeze(1)
    if not bidirectional:
        return last
    units = values.shape[2] // 2
    return torch.cat([last[:, :units], values[:, 0, units:]], dim=1)


class Pooling(nn.Module):
    """One vector a sequence, by `kind`:

    - last: the last state of each direction;
    - mean, max: over the steps that count;
    - additive: a mean weighted by softmax(v . tanh(W h + b)) with a learnt query v (Bahdanau et al. 2015; Yang et al.
      2016, equations 5 to 7);
    - dot_product: a mean weighted by softmax(q . h / sqrt(width)), where q is the last state projected (Vaswani et al.
      2017, equation 1). The keys are the states as they are: a second projection would only multiply the first.
    """

    def __init__(self, kind: str, width: int, bidirectional: bool) -> None:
        super().__init__()
        self.kind, self.bidirectional = kind, bidirectional
        self.scale = 1 / math.sqrt(width)
        if kind == "additive":
            self.projection = nn.Linear(width, width)
            self.query = nn.Linear(width, 1, bias=False)
        elif kind == "dot_product":
            self.query = nn.Linear(width, width)

    def forward(self, values: Tensor, lengths: Tensor, is_even: bool = False) -> tuple[Tensor, Tensor | None]:
        """[batch, steps, width] and [batch] to [batch, width] and, where the steps are weighed, their weights [batch,
        steps], which sum to 1. A sequence of no steps counts as one of one step. Even: it is known that all count."""
        lengths = lengths.clamp(min=1)
        if self.kind == "last":
            return last_state(values, lengths, self.bidirectional, is_even), None
        mask = sequence_mask(lengths, values.shape[1])
        if self.kind == "max":
            return values.masked_fill(~mask[:, :, None], -math.inf).amax(dim=1), None
        # states of the padding may have overflowed, and 0 times infinity is not 0
        values = values.masked_fill(~mask[:, :, None], 0.0)
        if self.kind == "mean":
            return values.sum(dim=1) / lengths[:, None], None
        weights = masked_softmax(self._scores(values, lengths), mask)
        return torch.bmm(weights[:, None], values).squeeze(1), weights

    def _scores(self, values: Tensor, lengths: Tensor) -> Tensor:
        """[batch, steps]."""
        if self.kind == "additive":
            return self.query(torch.tanh(self.projection(values))).squeeze(2)  # type: ignore[no-any-return]
        query = self.query(last_state(values, lengths, self.bidirectional))
        return torch.bmm(values, query[:, :, None]).squeeze(2) * self.scale
