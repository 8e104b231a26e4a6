"""Recurrent layers against torch's own, to the values, the gradients and the bits."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from hpsearch.objectives.rnn.network.dropout import dropped
from hpsearch.objectives.rnn.network.fused import fused_layer
from hpsearch.objectives.rnn.network.layers import FUSED_STEPS, RecurrentLayer, State, in_one_piece, recurrent_layer
from hpsearch.objectives.rnn.network.native import NATIVE_UNITS

CELLS = ("lstm", "gru", "rnn_tanh", "rnn_relu")
FUSED = ("gru", "rnn_tanh", "rnn_relu")
INPUTS, UNITS = 5, 12
LARGE = max(NATIVE_UNITS.values()) + 1
"""Too many units for `native`."""


class Fused(nn.Module):
    """A layer by `fused`, whatever the layer itself would take."""

    def __init__(self, layer: RecurrentLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, values: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        first = torch.zeros(1, len(values), self.layer.hidden_size) if state is None else state
        return fused_layer(self.layer.cell, values, first, *self.layer.parameters())


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def peer(layer: RecurrentLayer) -> nn.RNNBase:
    """Torch's own module with the same weights."""
    kinds = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN, "rnn_relu": nn.RNN}
    options = {"nonlinearity": layer.cell.removeprefix("rnn_")} if layer.cell.startswith("rnn_") else {}
    module: nn.RNNBase = kinds[layer.cell](layer.input_size, layer.hidden_size, batch_first=True, **options)
    module.load_state_dict(layer.state_dict())
    return module


def parts(state: State | None) -> tuple[Tensor, ...]:
    return () if state is None else (state,) if isinstance(state, Tensor) else state


def random_state(cell: str, batch: int) -> State:
    hidden, memory = (torch.randn(1, batch, UNITS, requires_grad=True) for _ in range(2))
    return (hidden, memory) if cell == "lstm" else hidden


def results(module: nn.Module, values: Tensor, state: State | None, factors: Tensor) -> list[Tensor]:
    """Outputs, last states, and the gradients of weights, inputs and first states, of a loss that needs them all."""
    outputs, last = module(values, state)
    loss = (outputs * factors).sum() + torch.stack([part.sin() for part in parts(last)]).sum()
    found = torch.autograd.grad(loss, [*module.parameters(), values, *parts(state)])
    return [outputs.detach(), *(part.detach() for part in parts(last)), *found]


def assert_all_close(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("initial", [False, True])
@pytest.mark.parametrize(("batch", "steps"), [(7, 9), (7, 1), (1, 9), (1, 1)])
@pytest.mark.parametrize("cell", CELLS)
def test_values_and_gradients_are_torchs(cell: str, batch: int, steps: int, initial: bool) -> None:
    layer = recurrent_layer(cell, INPUTS, UNITS, initialisation="uniform")
    values = torch.randn(batch, steps, INPUTS, requires_grad=True)
    state = random_state(cell, batch) if initial else None
    factors = torch.randn(batch, steps, UNITS)
    expected = results(peer(layer), values, state, factors)
    assert_all_close(results(layer, values, state, factors), expected)
    if cell in FUSED:
        assert_all_close(results(Fused(layer), values, state, factors), expected)


@pytest.mark.parametrize("cell", FUSED)
def test_long_sequences_take_the_faster_way(cell: str) -> None:
    layer = recurrent_layer(cell, INPUTS, LARGE)
    ways = [type(layer(torch.randn(2, steps, INPUTS))[0].grad_fn).__name__ for steps in (FUSED_STEPS - 1, FUSED_STEPS)]
    ours = "_GruBackward" if cell == "gru" else "_RnnBackward"
    assert [way == ours for way in ways] == [False, True]


@pytest.mark.parametrize("cell", FUSED)
def test_long_sequences_through_large_layers_lose_no_precision(cell: str) -> None:
    """Against torch in double precision; errors by the largest number of each result."""
    layer = recurrent_layer(cell, 88, 128)
    values, factors = torch.randn(16, 50, 88, requires_grad=True), torch.randn(16, 50, 128) / 800
    ours = results(layer, values, None, factors)
    exact = results(peer(layer).double(), values.detach().double().requires_grad_(), None, factors.double())
    for mine, truth in zip(ours, exact, strict=True):
        assert (mine - truth).abs().max() < 1e-5 * truth.abs().max()


@pytest.mark.parametrize("cell", FUSED)
def test_gradients_are_the_differences(cell: str) -> None:
    inputs, units = 2, 3
    weights = recurrent_layer(cell, inputs, units, initialisation="uniform").double().parameters()
    values = torch.randn(4, 5, inputs, dtype=torch.double, requires_grad=True)
    state = torch.randn(1, 4, units, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *arguments: fused_layer(cell, *arguments), (values, state, *weights))


@pytest.mark.parametrize("part", ["outputs", "last"])
@pytest.mark.parametrize("cell", FUSED)
def test_a_loss_may_leave_one_result_out(cell: str, part: str) -> None:
    layer, values = recurrent_layer(cell, INPUTS, UNITS), torch.randn(3, 16, INPUTS)
    grads = []
    for module in (layer, peer(layer)):
        outputs, last = module(values)
        (outputs if part == "outputs" else last).square().sum().backward()
        grads.append([parameter.grad for parameter in module.parameters()])
    assert_all_close(*grads)


@pytest.mark.parametrize("cell", CELLS)
def test_each_gradient_has_its_own_memory(cell: str) -> None:
    layer = recurrent_layer(cell, INPUTS, UNITS)
    layer(torch.randn(3, 16, INPUTS))[0].sum().backward()
    grads = [parameter.grad for parameter in layer.parameters() if parameter.grad is not None]
    before = [grad.clone() for grad in grads]
    for grad in grads:
        grad.mul_(2)
    assert all(map(torch.equal, grads, [2 * grad for grad in before]))


def test_a_second_derivative_is_refused() -> None:
    layer, values = recurrent_layer("gru", INPUTS, UNITS), torch.randn(3, 16, INPUTS, requires_grad=True)
    (grad,) = torch.autograd.grad(layer(values)[0].square().sum(), values, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


@pytest.mark.parametrize("cell", FUSED)
def test_inference_gives_the_bits_of_training(cell: str) -> None:
    layer, values = recurrent_layer(cell, INPUTS, LARGE), torch.randn(3, 16, INPUTS)
    trained, theirs = layer(values), peer(layer)
    with torch.inference_mode():
        inferred = layer(values)
        assert torch.equal(layer(values[:, :3])[0], theirs(values[:, :3])[0])  # short: torch's own
    assert all(map(torch.equal, trained, inferred))
    assert not inferred[0].requires_grad


@pytest.mark.parametrize("cell", CELLS)
def test_pieces_with_states_are_the_whole(cell: str) -> None:
    layer, values = recurrent_layer(cell, INPUTS, UNITS), torch.randn(3, 18, INPUTS)
    first, state = layer(values[:, :5])
    second, last = layer(values[:, 5:], state)
    whole, whole_last = layer(values)
    assert_all_close([torch.cat([first, second], dim=1), *parts(last)], [whole, *parts(whole_last)])


@pytest.mark.parametrize("cell", FUSED)
def test_results_changed_in_place_change_no_gradient(cell: str) -> None:
    layer, values = recurrent_layer(cell, INPUTS, UNITS), torch.randn(3, 16, INPUTS)
    outputs, last = layer(values)
    (expected,) = torch.autograd.grad((3 * outputs).sum() + (5 * last).sum(), layer.weight_hh_l0)
    outputs, last = layer(values)
    loss = outputs.mul_(3).sum() + last.mul_(5).sum()
    assert torch.equal(torch.autograd.grad(loss, layer.weight_hh_l0)[0], expected)


@pytest.mark.parametrize("cell", CELLS)
def test_the_same_pass_twice_gives_the_same_bits(cell: str) -> None:
    def run() -> list[Tensor]:
        torch.manual_seed(5)
        layer = recurrent_layer(cell, 28, 64, weight_dropout=0.3)
        values, factors = torch.randn(32, 20, 28, requires_grad=True), torch.randn(32, 20, 64)
        return results(layer, values, None, factors)

    assert all(map(torch.equal, run(), run()))


def test_a_state_of_another_batch_is_refused() -> None:
    with pytest.raises(RuntimeError, match="hidden size"):
        recurrent_layer("gru", INPUTS, UNITS)(torch.randn(3, 16, INPUTS), torch.zeros(1, 1, UNITS))


@pytest.mark.parametrize("cell", CELLS)
def test_a_forward_pass_has_one_mask(cell: str) -> None:
    """What is dropped is dropped at all steps: its gradient is zero."""
    layer, values = recurrent_layer(cell, 6, 32, weight_dropout=0.4), torch.randn(8, 12, 6)
    masks = []
    for _ in range(2):
        layer.zero_grad()
        layer(values)[0].square().sum().backward()
        assert layer.weight_hh_l0.grad is not None
        masks.append(layer.weight_hh_l0.grad != 0)
    assert all(abs(mask.float().mean() - 0.6) < 0.05 for mask in masks)
    assert not torch.equal(*masks)


@pytest.mark.parametrize("cell", CELLS)
def test_weight_dropout_is_torchs_own_layer_with_masked_weights(cell: str) -> None:
    layer, values = recurrent_layer(cell, INPUTS, UNITS, weight_dropout=0.25), torch.randn(3, 6, INPUTS)
    module = peer(layer)
    torch.manual_seed(1)
    mask = dropped(torch.ones_like(layer.weight_hh_l0), 0.25)
    assert mask.unique().tolist() == pytest.approx([0, 4 / 3])
    module.weight_hh_l0.data *= mask
    torch.manual_seed(1)
    grads = []
    for each in (layer, module):
        outputs, _ = each(values)
        outputs.square().sum().backward()
        grads.append([outputs.detach(), *(parameter.grad for parameter in each.parameters())])
    grads[1][2] *= mask
    assert_all_close(*grads)


def test_weight_dropout_keeps_the_mean() -> None:
    layer = recurrent_layer("rnn_relu", 1, 8, weight_dropout=0.5)
    layer.weight_hh_l0.data.abs_()  # all positive: relu changes nothing
    values, state = torch.zeros(1, 1, 1), torch.rand(1, 1, 8)
    with torch.no_grad():
        mean = torch.stack([layer(values, state)[1] for _ in range(4000)]).mean(0)
        torch.testing.assert_close(mean, state @ layer.weight_hh_l0.t(), rtol=0.05, atol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_evaluation_drops_nothing(cell: str) -> None:
    layer, values = recurrent_layer(cell, INPUTS, UNITS, weight_dropout=0.5), torch.randn(3, 16, INPUTS)
    assert not torch.equal(layer(values)[0], layer(values)[0])
    layer.eval()
    torch.testing.assert_close(layer(values)[0], peer(layer)(values)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("weight_dropout", [0.0, 0.5])
def test_a_large_lstm_runs_by_onednn(weight_dropout: float) -> None:
    outputs, _ = recurrent_layer("lstm", INPUTS, LARGE, weight_dropout=weight_dropout)(torch.randn(3, 16, INPUTS))
    nodes = [outputs.grad_fn]
    for node in nodes:
        nodes += [before for before, _ in node.next_functions if before is not None] if node is not None else []
    assert "MkldnnRnnLayerBackward0" in [type(node).__name__ for node in nodes]


def test_masked_weights_lie_in_one_piece_for_cudnn() -> None:
    """As cuDNN finds those of torch's modules: one after another, in one storage, with their gradients."""
    weights = [*recurrent_layer("lstm", INPUTS, UNITS).parameters()]
    pieces = in_one_piece(weights)
    ends = [piece.data_ptr() + piece.numel() * piece.element_size() for piece in pieces]
    assert ends[:-1] == [piece.data_ptr() for piece in pieces[1:]]
    assert all(map(torch.equal, pieces, weights))
    torch.stack([(number + 1) * piece.sum() for number, piece in enumerate(pieces)]).sum().backward()
    assert [weight.grad.unique().tolist() for weight in weights if weight.grad is not None] == [[1], [2], [3], [4]]


@pytest.mark.parametrize("cell", CELLS)
def test_orthogonal_initialisation_is_gate_by_gate(cell: str) -> None:
    layer = recurrent_layer(cell, INPUTS, UNITS, forget_bias=1.5)
    for gate in layer.weight_hh_l0.detach().split(UNITS):
        torch.testing.assert_close(gate @ gate.t(), torch.eye(UNITS), rtol=0, atol=1e-5)
        assert gate.count_nonzero() > UNITS
    assert_glorot(layer)
    assert_biases(layer, 1.5)


@pytest.mark.parametrize("cell", CELLS)
def test_identity_initialisation_is_that_of_irnn(cell: str) -> None:
    layer = recurrent_layer(cell, 50, UNITS, initialisation="identity", forget_bias=2.0)
    for gate in layer.weight_hh_l0.split(UNITS):
        assert torch.equal(gate, torch.eye(UNITS))
    if cell == "rnn_relu":
        assert 0.0009 < layer.weight_ih_l0.std() < 0.0011
    else:
        assert_glorot(layer)
    assert_biases(layer, 2.0)


def assert_glorot(layer: RecurrentLayer) -> None:
    bound = (6 / (layer.input_size + UNITS)) ** 0.5
    for gate in layer.weight_ih_l0.split(UNITS):
        assert 0.9 * bound < gate.abs().max() <= bound


def assert_biases(layer: RecurrentLayer, forget_bias: float) -> None:
    gates = (layer.bias_ih_l0 + layer.bias_hh_l0).view(-1, UNITS)
    expected = torch.zeros_like(gates)
    if layer.cell == "lstm":
        expected[1] = forget_bias
    assert torch.equal(gates, expected)


@pytest.mark.parametrize("cell", CELLS)
def test_uniform_initialisation_is_torchs_own(cell: str) -> None:
    torch.manual_seed(7)
    layer = recurrent_layer(cell, INPUTS, UNITS, initialisation="uniform", forget_bias=3.0)
    theirs = peer(layer)
    torch.manual_seed(7)
    theirs.reset_parameters()
    assert all(map(torch.equal, layer.parameters(), theirs.parameters()))


@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning")
@pytest.mark.parametrize("cell", CELLS)
def test_a_traced_layer_is_torchs_own_for_any_batch_and_steps(cell: str) -> None:
    layer = recurrent_layer(cell, INPUTS, UNITS).eval()
    traced = torch.jit.trace(layer, torch.randn(2, 3, INPUTS))
    values = torch.randn(4, 7, INPUTS)
    assert f"aten::{cell}(" in str(traced.inlined_graph)
    torch.testing.assert_close(traced(values)[0], layer(values)[0], rtol=1e-5, atol=1e-5)


def test_an_exported_layer_is_torchs_own_for_any_batch() -> None:
    layer = recurrent_layer("gru", INPUTS, UNITS).eval()
    shapes = ({0: torch.export.Dim.AUTO},)
    exported = torch.export.export(layer, (torch.randn(2, 3, INPUTS),), dynamic_shapes=shapes)
    values = torch.randn(4, 3, INPUTS)
    assert torch.ops.aten.gru.input in [node.target for node in exported.graph.nodes]
    torch.testing.assert_close(exported.module()(values)[0], layer(values)[0], rtol=1e-5, atol=1e-5)
