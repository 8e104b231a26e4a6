"""Pooling: what each kind takes of the states, and that the padding has no say."""

import math

import pytest
import torch
from torch import Tensor, nn

from hpsearch.objectives.rnn.network.pooling import Pooling, sequence_mask
from tests.objectives.tracing import Result

KINDS = ("last", "mean", "max", "additive", "dot_product")
WEIGHING = ("additive", "dot_product")
LENGTHS = torch.tensor([1, 4, 7, 5])


def make(kind: str, bidirectional: bool = False) -> tuple[Pooling, Tensor]:
    torch.manual_seed(0)
    return Pooling(kind, 6, bidirectional), torch.randn(4, 7, 6)


def test_the_mask_is_true_where_steps_count() -> None:
    assert sequence_mask(torch.tensor([0, 2, 3]), 3).int().tolist() == [[0, 0, 0], [1, 1, 0], [1, 1, 1]]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing_whatever_it_holds(kind: str, bidirectional: bool) -> None:
    pooling, values = make(kind, bidirectional)
    pooled, weights = pooling(values, LENGTHS)
    values[~sequence_mask(LENGTHS, 7)] = torch.nan
    again, weights_again = pooling(values, LENGTHS)
    assert torch.equal(pooled, again)
    assert kind not in WEIGHING or torch.equal(weights, weights_again)
    for row, length, expected in zip(values, LENGTHS.tolist(), pooled, strict=True):
        alone = pooling(row[None, :length], torch.tensor([length]))[0][0]
        torch.testing.assert_close(alone, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_what_counts_and_no_padding(kind: str) -> None:
    pooling, values = make(kind)
    values.requires_grad_()
    pooling(values, LENGTHS)[0].square().sum().backward()
    reached = values.grad.abs().sum(dim=2) > 0
    mask = sequence_mask(LENGTHS, 7)
    assert not reached[~mask].any()
    at_last = nn.functional.one_hot(LENGTHS - 1, 7).bool()
    if kind != "max":
        assert torch.equal(reached, at_last if kind == "last" else mask)
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in pooling.parameters())


@pytest.mark.parametrize("kind", WEIGHING)
def test_weights_sum_to_one_and_are_zero_in_the_padding(kind: str) -> None:
    pooling, values = make(kind)
    pooled, weights = pooling(values, LENGTHS)
    mask = sequence_mask(LENGTHS, 7)
    assert not weights[~mask].any()
    assert (weights[mask] > 0).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(4))
    torch.testing.assert_close(pooled, torch.einsum("bs,bsw->bw", weights, values))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_what_its_name_says(kind: str) -> None:
    pooling, values = make(kind, bidirectional=True)
    pooled = pooling(values, LENGTHS)[0]
    for row, length, result in zip(values, LENGTHS.tolist(), pooled, strict=True):
        states = row[:length]
        torch.testing.assert_close(result, _expected(pooling, states), rtol=1e-5, atol=1e-6)


def _expected(pooling: Pooling, states: Tensor) -> Tensor:
    """Of one sequence without padding [steps, 6], step by step."""
    last = torch.cat([states[-1, :3], states[0, 3:]])
    match pooling.kind:
        case "last":
            return last
        case "mean":
            return states.mean(dim=0)
        case "max":
            return states.max(dim=0).values
        case "additive":
            query, project = pooling.query.weight[0], pooling.projection
            scores = [query @ torch.tanh(project.weight @ state + project.bias) for state in states]
        case _:
            query = pooling.query.weight @ last + pooling.query.bias
            scores = [query @ state / math.sqrt(6) for state in states]
    exponentials = [score.exp() for score in scores]
    return sum(part * state for part, state in zip(exponentials, states, strict=True)) / sum(exponentials)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_of_no_steps_is_one_of_one(kind: str) -> None:
    pooling, values = make(kind)
    none = pooling(values, torch.tensor([0, 4, 7, 5]))[0]
    assert torch.equal(none, pooling(values, LENGTHS)[0])


def test_additive_attention_learns_to_point_at_the_marked_step() -> None:
    """The class is the sign of one feature, at the step that another feature marks."""
    torch.manual_seed(1)
    pooling, head = Pooling("additive", 8, bidirectional=False), nn.Linear(8, 2)
    optimizer = torch.optim.Adam([*pooling.parameters(), *head.parameters()], 0.05)
    for _ in range(150):
        values, lengths, _, labels = _marked(64)
        loss = nn.functional.cross_entropy(head(pooling(values, lengths)[0]), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    values, lengths, marked, labels = _marked(500)
    with torch.no_grad():
        pooled, weights = pooling(values, lengths)
        right = head(pooled).argmax(dim=1) == labels
    assert (weights.argmax(dim=1) == marked).float().mean() > 0.98
    assert weights.gather(1, marked[:, None]).mean() > 0.8
    assert right.float().mean() > 0.95


def _marked(count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    values, lengths = torch.randn(count, 12, 8), torch.randint(4, 13, (count,))
    marked = (torch.rand(count) * lengths).long()
    values[:, :, 0] = nn.functional.one_hot(marked, 12)
    return values, lengths, marked, (values[torch.arange(count), marked, 1] > 0).long()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch speaks for torch.export
@pytest.mark.parametrize("kind", KINDS)
def test_it_can_be_traced(kind: str) -> None:
    pooling, values = make(kind, bidirectional=True)
    traced = torch.jit.trace(Result(pooling), (values, LENGTHS))
    other = torch.tensor([7, 2, 1, 3])
    torch.testing.assert_close(traced(values, other), pooling(values, other)[0])
