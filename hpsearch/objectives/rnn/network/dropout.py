"""Dropout: on sequences, and of weights."""

import torch
from torch import Tensor, nn

DRAWS = 4
"""Elements told by one draw of 64 bits, 16 each: drawing, one number an element, is what torch's own spends most on."""
PARTS = 2**16


class Dropout(nn.Module):
    """Sets features to zero with probability `p` in training and divides the others by 1 - p; else it does nothing.

    `variational`: one mask a sequence, shared by its steps (Gal and Ghahramani 2016), rather than one a step. Draws
    come from torch's global generator.
    """

    def __init__(self, p: float, variational: bool) -> None:
        super().__init__()
        self.p, self.variational = p, variational

    def forward(self, values: Tensor) -> Tensor:
        """[batch, steps, width], or [batch, width] of whole sequences, to the same."""
        if not self.training or self.p == 0:
            return values
        if not self.variational or values.dim() == 2:
            return dropped(values, self.p)
        return values * dropped(values.new_ones(len(values), 1, values.shape[2]), self.p)


def dropped(values: Tensor, p: float) -> Tensor:
    """The values, of any shape, of which each is zero with probability `p` (0 to less than 1) and divided by 1 - p
    otherwise. On a CPU `p` counts to the nearest of 65,536 parts, and the division is by the very share that is kept:
    the mean stays."""
    if values.device.type != "cpu":
        return nn.functional.dropout(values, p)
    parts = min(round(p * PARTS), PARTS - 1)
    draws = torch.empty(-(-values.numel() // DRAWS), dtype=torch.int64).random_(-(2**63), None)
    sixteen_bits = draws.view(torch.int16)[: values.numel()].view(values.shape)
    is_kept = sixteen_bits >= parts - PARTS // 2
    return values * is_kept.to(values.dtype).mul_(PARTS / (PARTS - parts))
