"""Gradients of plain networks without autograd's graph, against autograd's."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from hpsearch.objectives.rnn.data.batches import Batch
from hpsearch.objectives.rnn.network.architecture import Architecture
from hpsearch.objectives.rnn.network.model import SequenceModel
from hpsearch.objectives.rnn.network.plain import PlainNetwork, is_plain
from hpsearch.objectives.rnn.training.losses import Loss

PLAIN = Architecture(task="classification", outputs=3, inputs=5, cell="gru", units=(12,))
CROSS_ENTROPY = Loss(task="classification", name="cross_entropy", label_smoothing=0.1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def batch_of(lengths: list[int], targets: Tensor) -> Batch:
    steps = max(lengths)
    is_even = min(lengths) == steps
    return Batch(torch.randn(len(lengths), steps, 5), torch.tensor(lengths), targets, is_even=is_even)


def by_autograd(model: SequenceModel, batch: Batch, loss: Loss) -> list[Tensor]:
    value = loss(model(batch).values, batch)
    return [value.detach(), *torch.autograd.grad(value, [*model.parameters()])]


def by_hand(model: SequenceModel, batch: Batch, loss: Loss) -> list[Tensor]:
    plain = PlainNetwork(model)
    assert plain.takes(batch)
    value, found = plain.gradients(batch, loss)
    return [value, *(found[parameter] for parameter in model.parameters())]


@pytest.mark.parametrize("lengths", [[7, 7, 7, 7], [7, 1, 4, 2]], ids=["even", "uneven"])
@pytest.mark.parametrize("units", [(12,), (9, 16, 5)])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_gradients_are_autograds(cell: str, units: tuple[int, ...], lengths: list[int]) -> None:
    model = SequenceModel(replace(PLAIN, cell=cell, units=units))
    batch = batch_of(lengths, torch.tensor([0, 2, 1, 1]))
    found, expected = by_hand(model, batch, CROSS_ENTROPY), by_autograd(model, batch, CROSS_ENTROPY)
    assert not any(each.requires_grad for each in found)
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("task", "loss"), [("regression", "huber"), ("forecast", "mae"), ("multilabel", "")])
def test_any_loss_will_do(task: str, loss: str) -> None:
    model, batch = SequenceModel(replace(PLAIN, task=task)), batch_of([4, 4], torch.rand(2, 3))
    losses = Loss(task=task, name=loss or "cross_entropy")
    for mine, other in zip(by_hand(model, batch, losses), by_autograd(model, batch, losses), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "changed",
    [
        {"task": "next_step"}, {"vocabulary_size": 9}, {"bidirectional": True}, {"residual": True}, {"statics": 1},
        {"layer_norm": True}, {"pooling": "mean"}, {"attention_heads": 2}, {"context_features": 2}, {"head_units": 4},
        {"category_sizes": (2,)}, {"input_dropout": 0.1}, {"dropout": 0.1}, {"output_dropout": 0.1},
        {"weight_dropout": 0.1},
    ],
    ids=lambda changed: next(iter(changed)),
)  # fmt: skip
def test_whatever_does_more_is_not_plain(changed: dict[str, Any]) -> None:
    assert is_plain(PLAIN)
    assert is_plain(replace(PLAIN, units=(4, 4), forget_bias=0.0, recurrent_initialisation="uniform", inputs=1))
    assert not is_plain(replace(PLAIN, **changed))


def test_what_the_kernels_do_not_take_is_left_to_autograd() -> None:
    batch = batch_of([6, 6], torch.tensor([0, 2]))
    assert PlainNetwork(SequenceModel(replace(PLAIN, bptt_steps=6))).takes(batch)
    assert not PlainNetwork(SequenceModel(replace(PLAIN, bptt_steps=5))).takes(batch)
    assert not PlainNetwork(SequenceModel(replace(PLAIN, units=(12, 2000)))).takes(batch)
    assert not PlainNetwork(SequenceModel(replace(PLAIN, cell="rnn_tanh"))).takes(batch)
