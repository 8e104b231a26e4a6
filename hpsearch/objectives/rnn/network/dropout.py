"""Dropout on sequences."""

from torch import Tensor, nn


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
            return nn.functional.dropout(values, self.p)
        return values * nn.functional.dropout(values.new_ones(len(values), 1, values.shape[2]), self.p)
