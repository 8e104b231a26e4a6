"""Features of whole sequences, and the head."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hpsearch.objectives.rnn.network.head import Head
from hpsearch.objectives.rnn.network.statics import StaticFeatures, embedding_width


@pytest.mark.parametrize(("size", "width"), [(2, 2), (3, 3), (10, 6), (100, 21), (1000, 77), (100_000, 600)])
def test_embeddings_are_as_wide_as_fastai_has_them(size: int, width: int) -> None:
    assert embedding_width(size) == width


def test_numbers_come_first_and_embeddings_follow() -> None:
    torch.manual_seed(0)
    features = StaticFeatures(2, (10, 3))
    numbers, categories = torch.randn(4, 2), torch.tensor([[1, 2], [9, 0], [0, 1], [1, 1]])
    result = features(numbers, categories)
    assert result.shape == (4, features.out_width) == (4, 2 + 6 + 3)
    first, second = (embedding.weight for embedding in features.embeddings)
    assert torch.equal(result[:, :2], numbers)
    assert torch.equal(result[:, 2:8], first[categories[:, 0]])
    assert torch.equal(result[:, 8:], second[categories[:, 1]])


def test_either_kind_may_be_absent() -> None:
    numbers, categories = torch.randn(3, 2), torch.tensor([[1], [2], [0]])
    assert torch.equal(StaticFeatures(2, ())(numbers, None), numbers)
    alone = StaticFeatures(0, (5,))
    assert alone(None, categories).shape == (3, alone.out_width)


def test_the_unknown_begins_at_zero_and_learns_where_it_occurs() -> None:
    features = StaticFeatures(0, (5,))
    result = features(None, torch.tensor([[0], [3]]))
    assert not result[0].any()
    assert result[1].all()
    result.sum().backward()
    assert features.embeddings[0].weight.grad.any(dim=1).tolist() == [True, False, False, True, False]


ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "gelu": nn.functional.gelu}


@pytest.mark.parametrize(("name", "function"), ACTIVATIONS.items())
@pytest.mark.parametrize("shape", [(4, 5), (4, 7, 5)])
def test_a_head_has_a_hidden_layer_with_its_activation(
    name: str, function: Callable[[Tensor], Tensor], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    head, values = Head(5, 3, 8, name), torch.randn(shape)
    expected = head.output(function(head.hidden[0](values)))
    assert torch.equal(head(values), expected)
    assert expected.shape == (*shape[:-1], 3)
    head(values).square().sum().backward()
    assert all(parameter.grad.any() for parameter in head.parameters())


def test_a_head_without_units_is_linear() -> None:
    head, values = Head(5, 3, 0, "relu"), torch.randn(4, 5)
    assert torch.equal(head(values), head.output(values))
    assert len(list(head.parameters())) == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch speaks for torch.export
def test_they_can_be_traced() -> None:
    features, head = StaticFeatures(2, (10, 3)), Head(11, 3, 8, "gelu")
    inputs = (torch.randn(4, 2), torch.tensor([[1, 2], [9, 0], [0, 1], [1, 1]]))
    traced = torch.jit.trace(features, inputs)
    found = traced(*inputs).detach()
    assert torch.equal(found, features(*inputs))
    assert torch.equal(torch.jit.trace(head, (found,))(found), head(found))
