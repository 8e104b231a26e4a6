"""Recurrent layers: all of hpsearch's are made by `recurrent_layer`."""

import torch
from torch import Tensor, nn

from hpsearch.objectives.rnn.network.dropout import dropped
from hpsearch.objectives.rnn.network.fused import fused_layer
from hpsearch.objectives.rnn.network.native import is_faster, is_usable, native_layer

State = Tensor | tuple[Tensor, Tensor]
"""As torch's modules have it: [1, batch, units], and for an LSTM a second one, the cell's."""

FUSED_CELLS = ("gru", "rnn_tanh", "rnn_relu")
FUSED_STEPS = 5
FUSED_STEPS_OF_INFERENCE = 16
"""From so many steps on `fused` is faster on a CPU than torch's own, with any number of units (measured up to 1024)."""


def recurrent_layer(
    cell: str,
    inputs: int,
    units: int,
    *,
    initialisation: str = "orthogonal",
    forget_bias: float = 1.0,
    weight_dropout: float = 0.0,
) -> "RecurrentLayer":
    """One layer in one direction; every recurrent layer of hpsearch is made here.

    `cell` is lstm, gru, rnn_tanh or rnn_relu. `initialisation`: `orthogonal` recurrent weights, gate by gate (Saxe et
    al. 2014), or the `identity` (IRNN, Le, Jaitly and Hinton 2015), both with Glorot's uniform input weights and zero
    biases but for `forget_bias`, that of an LSTM's forget gate (Jozefowicz et al. 2015); or `uniform`, torch's own,
    which has none. `weight_dropout` is the part of the recurrent weights left out in training, one choice a pass
    (Wan et al. 2013, Merity et al. 2018).
    """
    layer = RecurrentLayer(cell, inputs, units, weight_dropout)
    if initialisation != "uniform":
        _initialise(layer, initialisation == "identity", forget_bias)
    return layer


class RecurrentLayer(nn.RNNBase):
    """Has the parameters of torch's modules, so that weights move to these and back, and computes by what is fastest:
    on a CPU `native` where the layer is small, else `fused`, but an LSTM by torch's oneDNN (which packed sequences do
    not get), on a GPU torch's cuDNN. Traced or exported it is torch's own operation everywhere."""

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def __init__(self, cell: str, inputs: int, units: int, weight_dropout: float) -> None:
        super().__init__(cell.upper(), inputs, units, batch_first=True)
        self.cell = cell
        self.weight_dropout = weight_dropout

    def forward(self, values: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """[batch, steps, inputs] to the hidden states [batch, steps, units], and the last state, from which the same
        sequences go on. The first one is zero by default."""
        recurrent = self._recurrent_weight()
        weights = [self.weight_ih_l0, recurrent, self.bias_ih_l0, self.bias_hh_l0]
        if self.is_native(values, recurrent):
            return self._by_native(values, state, weights)
        if state is None:
            zeros = values.new_zeros(1, values.shape[0], self.hidden_size)
            state = (zeros, zeros) if self.cell == "lstm" else zeros
        if isinstance(state, Tensor) and self._is_fused(values):
            self.check_forward_args(values, state, None)
            return fused_layer(self.cell, values, state, *weights)
        if values.is_cuda and recurrent is not self.weight_hh_l0:
            weights = in_one_piece(weights)
        operation = getattr(torch, self.cell)
        outputs, *states = operation(values, state, weights, True, 1, 0.0, self.training, False, True)
        return outputs, (states[0] if self.cell != "lstm" else (states[0], states[1]))

    def _recurrent_weight(self) -> Tensor:
        if not (self.training and self.weight_dropout):
            return self.weight_hh_l0
        return dropped(self.weight_hh_l0, self.weight_dropout)

    def _by_native(self, values: Tensor, state: State | None, weights: list[Tensor]) -> tuple[Tensor, State]:
        states = () if state is None else state if isinstance(state, tuple) else (state,)
        self.check_input(values, None)
        for each in states:
            self.check_forward_args(values, each, None)
        outputs, *last = native_layer(self.cell, values, states, weights)
        return outputs, (last[0] if self.cell != "lstm" else (last[0], last[1]))

    def is_native(self, values: Tensor, weight: Tensor) -> bool:
        """Whether these values and recurrent weights go through `native`."""
        return (
            _is_on_cpu(values)
            and values.dtype is weight.dtype is torch.float32
            and values.dim() == 3
            and is_faster(self.cell, self.hidden_size, *values.shape[:2])
            and is_usable(self.cell)
        )

    def _is_fused(self, values: Tensor) -> bool:
        return (
            self.cell in FUSED_CELLS
            and _is_on_cpu(values)
            and values.shape[1] >= (FUSED_STEPS if torch.is_grad_enabled() else FUSED_STEPS_OF_INFERENCE)
        )


def _is_on_cpu(values: Tensor) -> bool:
    """Where layers of ours may take torch's place."""
    return values.device.type == "cpu" and not torch.is_autocast_enabled("cpu") and not _is_exported()


def _is_exported() -> bool:
    """Whether this is a recording for TorchScript, ONNX or `torch.compile`, which shall hold torch's operations."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]


def in_one_piece(weights: list[Tensor]) -> list[Tensor]:
    """The same, one after another in memory, as cuDNN wants them: it warns where it has to move them itself."""
    sizes = [weight.numel() for weight in weights]
    pieces = torch.split(torch.cat([weight.flatten() for weight in weights]), sizes)
    return [piece.view_as(weight) for piece, weight in zip(pieces, weights, strict=True)]


@torch.no_grad()
def _initialise(layer: RecurrentLayer, identity: bool, forget_bias: float) -> None:
    units = layer.hidden_size
    for gate in torch.split(layer.weight_hh_l0, units):
        (nn.init.eye_ if identity else nn.init.orthogonal_)(gate)
    if identity and layer.cell == "rnn_relu":
        nn.init.normal_(layer.weight_ih_l0, std=0.001)
    else:
        for gate in torch.split(layer.weight_ih_l0, units):
            nn.init.xavier_uniform_(gate)
    nn.init.zeros_(layer.bias_ih_l0)
    nn.init.zeros_(layer.bias_hh_l0)
    if layer.cell == "lstm":
        layer.bias_ih_l0[units : 2 * units] = forget_bias
