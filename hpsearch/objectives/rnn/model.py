"""The recurrent network: layers over padded sequences, and a head on their last states."""

import torch
from torch import Tensor, nn

_CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN, "rnn_relu": nn.RNN}


def recurrent_layer(cell: str, inputs: int, units: int) -> nn.Module:
    """One layer in one direction: [batch, steps, inputs] to ([batch, steps, units], …).

    Every recurrent layer of hpsearch is made here, so that a faster implementation can take its place. Unpacked on
    purpose: a packed sequence loses torch's oneDNN LSTM, which is 5 to 10 times faster on a CPU.
    """
    options = {"nonlinearity": cell.removeprefix("rnn_")} if cell.startswith("rnn_") else {}
    layer: nn.Module = _CELLS[cell](inputs, units, batch_first=True, **options)
    _initialise(layer, cell, units)
    return layer


def _initialise(layer: nn.Module, cell: str, units: int) -> None:
    """Orthogonal recurrent weights, gate by gate (Saxe et al. 2014); Glorot's uniform ones for the inputs; biases
    zero, but one for the LSTM's forget gate (Jozefowicz et al. 2015)."""
    for name, parameter in layer.named_parameters():
        if name.startswith("weight_hh"):
            for gate in torch.split(parameter.data, units):
                nn.init.orthogonal_(gate)
        elif name.startswith("weight_ih"):
            for gate in torch.split(parameter.data, units):
                nn.init.xavier_uniform_(gate)
        else:
            nn.init.zeros_(parameter)
            if cell == "lstm" and name.startswith("bias_ih"):
                parameter.data[units : 2 * units] = 1.0


def reversal(lengths: Tensor, steps: int) -> Tensor:
    """Indices that turn each sequence around within its own length: [batch, steps]. Padding stays where it is, and
    turning twice gives the first order back."""
    position = torch.arange(steps, device=lengths.device)
    turned = lengths[:, None] - 1 - position
    return torch.where(turned >= 0, turned, position)


def _reorder(values: Tensor, order: Tensor) -> Tensor:
    """[batch, steps, features] by [batch, steps]."""
    return values.gather(1, order[:, :, None].expand(-1, -1, values.shape[2]))


class SequenceModel(nn.Module):
    """Stacked recurrent layers; the head sees the state after the last step (and, backwards, after the first).

    Padding never changes a result: forwards it comes after all that counts, backwards each sequence is turned around
    within its own length.
    """

    def __init__(
        self,
        *,
        cell: str,
        inputs: int,
        units: int,
        layers: int,
        outputs: int,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        width = units * (1 + bidirectional)
        sizes = [inputs] + [width] * (layers - 1)
        self.forwards = nn.ModuleList(recurrent_layer(cell, size, units) for size in sizes)
        self.backwards = nn.ModuleList(recurrent_layer(cell, size, units) for size in sizes if bidirectional)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, outputs)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """[batch, steps, features] and [batch] to [batch, outputs]."""
        values = inputs
        order = reversal(lengths, inputs.shape[1]) if self.backwards else None
        for position, layer in enumerate(self.forwards):
            ahead = layer(values)[0]
            if order is not None:
                back = self.backwards[position](_reorder(values, order))[0]
                ahead = torch.cat([ahead, _reorder(back, order)], dim=2)
            values = self.dropout(ahead)
        return self.head(self._final(values, lengths))  # type: ignore[no-any-return]

    def _final(self, values: Tensor, lengths: Tensor) -> Tensor:
        """[batch, width]: forwards the state at the last step that counts, backwards the one at the first."""
        rows = torch.arange(len(values), device=values.device)
        last = values[rows, lengths - 1]
        if not self.backwards:
            return last
        units = values.shape[2] // 2
        return torch.cat([last[:, :units], values[:, 0, units:]], dim=1)
