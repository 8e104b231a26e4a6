"""The network: what padding and direction do to it, and what they must not."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from hpsearch.objectives.rnn.model import SequenceModel, reversal

CELLS = ("lstm", "gru", "rnn_tanh", "rnn_relu")


def make(cell: str, layers: int = 1, bidirectional: bool = False) -> SequenceModel:
    torch.manual_seed(0)
    return SequenceModel(
        cell=cell, inputs=3, units=5, layers=layers, outputs=2, bidirectional=bidirectional, dropout=0.3
    ).eval()


@pytest.mark.parametrize(("cell", "layers", "bidirectional"), list(itertools.product(CELLS, (1, 3), (False, True))))
def test_padding_changes_no_result(cell: str, layers: int, bidirectional: bool) -> None:
    model = make(cell, layers, bidirectional)
    lengths = torch.tensor([1, 4, 9, 9, 6])
    inputs = torch.randn(5, 14, 3) * 10  # the padding is noise
    together = model(inputs, lengths)
    alone = torch.cat([model(row[None, :length], length[None]) for row, length in zip(inputs, lengths, strict=True)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layers", [1, 2])
def test_no_gradient_reaches_the_padding(layers: int) -> None:
    model = make("gru", layers, bidirectional=True)
    inputs = torch.randn(2, 7, 3, requires_grad=True)
    model(inputs, torch.tensor([3, 7])).sum().backward()
    assert inputs.grad is not None
    assert not inputs.grad[0, 3:].any()
    assert inputs.grad[0, :3].any(dim=1).all()
    assert inputs.grad[1].any(dim=1).all()


def test_reversal_turns_each_sequence_within_its_length() -> None:
    order = reversal(torch.tensor([1, 3, 4]), 4)
    assert order.tolist() == [[0, 1, 2, 3], [2, 1, 0, 3], [3, 2, 1, 0]]
    assert torch.equal(order.gather(1, order), torch.arange(4).expand(3, 4))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_two_directions_are_torchs_own_on_packed_sequences(cell: str, layers: int) -> None:
    """The packed bidirectional layer of torch is the reference."""
    model, lengths, inputs = make(cell, layers, bidirectional=True), torch.tensor([2, 5, 8]), torch.randn(3, 8, 3)
    reference = _reference(model, cell, layers)
    packed = nn.utils.rnn.pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
    hidden = reference(packed)[1]
    final: Tensor = hidden[0] if cell == "lstm" else hidden
    expected = model.head(torch.cat([final[-2], final[-1]], dim=1))
    torch.testing.assert_close(model(inputs, lengths), expected, rtol=1e-5, atol=1e-6)


def _reference(model: SequenceModel, cell: str, layers: int) -> nn.Module:
    kinds = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn_tanh": nn.RNN, "rnn_relu": nn.RNN}
    options = {"nonlinearity": cell.removeprefix("rnn_")} if cell.startswith("rnn_") else {}
    reference: nn.Module = kinds[cell](3, 5, layers, batch_first=True, bidirectional=True, **options)
    weights = {}
    for suffix, group in (("", model.forwards), ("_reverse", model.backwards)):
        for position, layer in enumerate(group):
            for name, value in layer.state_dict().items():
                weights[name.replace("_l0", f"_l{position}") + suffix] = value
    reference.load_state_dict(weights)
    return reference


def test_dropout_acts_in_training_alone() -> None:
    model, inputs, lengths = make("lstm"), torch.randn(4, 6, 3), torch.full((4,), 6)
    assert torch.equal(model(inputs, lengths), model(inputs, lengths))
    model.train()
    assert not torch.equal(model(inputs, lengths), model(inputs, lengths))


def test_the_lstm_starts_with_its_forget_gate_open() -> None:
    layer = make("lstm").forwards[0]
    assert isinstance(layer, nn.LSTM)
    weights = layer.state_dict()
    bias = weights["bias_ih_l0"] + weights["bias_hh_l0"]
    assert bias.tolist() == [0.0] * 5 + [1.0] * 5 + [0.0] * 10
