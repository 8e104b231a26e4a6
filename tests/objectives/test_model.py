"""The network: what padding and direction do to it, and what they must not."""

import itertools
import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpsearch.objectives.rnn.data.batches import Batch
from hpsearch.objectives.rnn.network.architecture import Architecture
from hpsearch.objectives.rnn.network.model import SequenceModel, reversal

CELLS = ("lstm", "gru", "rnn_tanh", "rnn_relu")


def make(cell: str, layers: int = 1, bidirectional: bool = False, **others: Any) -> SequenceModel:
    torch.manual_seed(0)
    options: dict[str, Any] = {"inputs": 3, "outputs": 2, "dropout": 0.3, "output_dropout": 0.3} | others
    task = options.pop("task", "classification")
    architecture = Architecture(task=task, cell=cell, units=(5,) * layers, bidirectional=bidirectional, **options)
    return SequenceModel(architecture).eval()


def batch_of(inputs: Tensor, lengths: Tensor, **others: Tensor) -> Batch:
    return Batch(inputs, lengths, torch.zeros(len(lengths), dtype=torch.int64), **others)


def outputs(model: SequenceModel, inputs: Tensor, lengths: Tensor, **others: Tensor) -> Tensor:
    return model(batch_of(inputs, lengths, **others)).values


@pytest.mark.parametrize(("cell", "layers", "bidirectional"), list(itertools.product(CELLS, (1, 3), (False, True))))
def test_padding_changes_no_result(cell: str, layers: int, bidirectional: bool) -> None:
    model = make(cell, layers, bidirectional)
    lengths = torch.tensor([1, 4, 9, 9, 6])
    inputs = torch.randn(5, 14, 3) * 10  # the padding is noise
    together = outputs(model, inputs, lengths)
    alone = torch.cat(
        [outputs(model, row[None, :length], length[None]) for row, length in zip(inputs, lengths, strict=True)]
    )
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layers", [1, 2])
def test_no_gradient_reaches_the_padding(layers: int) -> None:
    model = make("gru", layers, bidirectional=True)
    inputs = torch.randn(2, 7, 3, requires_grad=True)
    outputs(model, inputs, torch.tensor([3, 7])).sum().backward()
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
    torch.testing.assert_close(outputs(model, inputs, lengths), expected, rtol=1e-5, atol=1e-6)


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
    assert torch.equal(outputs(model, inputs, lengths), outputs(model, inputs, lengths))
    model.train()
    assert not torch.equal(outputs(model, inputs, lengths), outputs(model, inputs, lengths))


@pytest.mark.parametrize(
    "options",
    [
        {"residual": True, "layer_norm": True},
        {"pooling": "mean"},
        {"pooling": "max"},
        {"pooling": "additive", "head_units": 4},
        {"pooling": "dot_product", "bidirectional": True},
        {"attention_heads": 5},
        {"variational_dropout": True, "input_dropout": 0.2, "weight_dropout": 0.4},
        {"context_features": 4},
        {"context_features": 4, "context_attention": "dot_product"},
        {"statics": 2, "category_sizes": (3, 9)},
    ],
    ids=" ".join,
)
def test_padding_changes_no_result_whatever_the_network_is_made_of(options: dict[str, Any]) -> None:
    model = make("gru", 2, **options)
    lengths, context_lengths = torch.tensor([1, 4, 9]), torch.tensor([3, 6, 1])
    inputs, context = torch.randn(3, 11, 3), torch.randn(3, 7, 4)
    others = {
        "statics": torch.randn(3, 2),
        "categories": torch.tensor([[0, 8], [2, 1], [1, 0]]),
        "context": context,
        "context_lengths": context_lengths,
    }
    together = outputs(model, inputs, lengths, **others)
    for place, length in enumerate(lengths):
        own = {name: value[place : place + 1] for name, value in others.items()}
        own["context"] = own["context"][:, : context_lengths[place]]
        alone = outputs(model, inputs[place : place + 1, :length], length[None], **own)
        torch.testing.assert_close(together[place : place + 1], alone, rtol=1e-5, atol=1e-6)


def test_attention_is_told_where_it_is_asked_for() -> None:
    model = make("gru", pooling="additive", attention_heads=5, context_features=4)
    others = {"context": torch.randn(2, 7, 4), "context_lengths": torch.tensor([7, 2])}
    batch = batch_of(torch.randn(2, 6, 3), torch.tensor([6, 3]), **others)
    assert model(batch).attention == {}
    found = model(batch, attention=True).attention
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "pooling": (2, 6),
        "self": (2, 5, 6, 6),
        "context": (2, 6, 7),
    }
    torch.testing.assert_close(found["pooling"].sum(1), torch.ones(2))
    assert not found["pooling"][1, 3:].any()
    assert not found["context"][1, :, 2:].any()


@pytest.mark.parametrize("cell", CELLS)
def test_states_go_on_where_a_batch_ends(cell: str) -> None:
    model = make(cell, 2, task="language_model", vocabulary_size=7, outputs=7)
    tokens, lengths = torch.randint(0, 7, (3, 10)), torch.full((3,), 4)
    whole = outputs(model, tokens, torch.full((3,), 10))
    first = model(batch_of(tokens[:, :4], lengths))
    second = model(batch_of(tokens[:, 4:], torch.full((3,), 6)), first.states)
    torch.testing.assert_close(torch.cat([first.values, second.values], dim=1), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"attention_heads": 5}])
def test_what_is_told_of_a_step_sees_no_later_one(options: dict[str, Any]) -> None:
    model = make("lstm", 2, task="next_step", **options)
    inputs = torch.randn(1, 8, 3, requires_grad=True)
    outputs(model, inputs, torch.tensor([8]))[0, 4].sum().backward()
    assert inputs.grad is not None
    assert inputs.grad[0, :5].any(dim=1).all()
    assert not inputs.grad[0, 5:].any()


@pytest.mark.parametrize("cell", CELLS)
def test_truncated_gradients_go_back_so_many_steps(cell: str) -> None:
    inputs, lengths = torch.randn(2, 9, 3, requires_grad=True), torch.full((2,), 9)
    whole, truncated = make(cell), make(cell, bptt_steps=4)
    for model in (whole, truncated):
        for dropout in model.dropouts:
            dropout.p = 0.0
        model.train()
    torch.testing.assert_close(outputs(whole, inputs, lengths), outputs(truncated, inputs, lengths))
    outputs(truncated, inputs, lengths).sum().backward()
    assert inputs.grad is not None
    assert not inputs.grad[:, :8].any()  # windows of 4, 4 and 1
    assert inputs.grad[:, 8].any()


def test_an_architecture_goes_through_json() -> None:
    architecture = Architecture(task="forecast", outputs=3, units=(4, 2), category_sizes=(3,))
    assert Architecture.from_json(json.loads(json.dumps(architecture.as_json()))) == architecture
