"""The head: from states to outputs."""

from torch import Tensor, nn

_ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}


class Head(nn.Module):
    """A linear layer, behind a hidden one with its activation where `units` is not 0."""

    def __init__(self, inputs: int, outputs: int, units: int, activation: str) -> None:
        """`activation`: tanh, relu, sigmoid or gelu."""
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(inputs, units), _ACTIVATIONS[activation]()) if units else nn.Identity()
        self.output = nn.Linear(units or inputs, outputs)

    def forward(self, values: Tensor) -> Tensor:
        """[batch, inputs] to [batch, outputs], or [batch, steps, inputs] to [batch, steps, outputs]."""
        return self.output(self.hidden(values))  # type: ignore[no-any-return]
