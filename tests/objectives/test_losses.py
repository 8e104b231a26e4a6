"""Losses: what they are averaged over, what they leave out, and which fit."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hpsearch.errors import InvalidInput
from hpsearch.objectives.objective import with_defaults
from hpsearch.objectives.rnn.data.batches import Batch
from hpsearch.objectives.rnn.parameters import INFO
from hpsearch.objectives.rnn.training.losses import Loss, balanced_weights, loss_of

LENGTHS = torch.tensor([4, 1, 3])


def made(task: str, weights: Tensor | None = None, **parameters: Any) -> Loss:
    return loss_of(with_defaults(INFO, parameters), task, weights)


def batch_of(targets: Tensor, lengths: Tensor | None = None) -> Batch:
    lengths = torch.ones(len(targets), dtype=torch.int64) if lengths is None else lengths
    return Batch(torch.zeros(len(targets), int(lengths.max()), 1), lengths, targets)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mean_of(total: tuple[Tensor, Tensor]) -> float:
    return float(total[0] / total[1])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 1.0, 4.0])])
def test_classes_are_told_by_cross_entropy(smoothing: float, weights: Tensor | None) -> None:
    outputs, targets = normal(6, 3), torch.tensor([0, 0, 0, 1, 1, 2])
    loss = made("classification", weights, label_smoothing=smoothing)
    expected = functional.cross_entropy(outputs, targets, weights, label_smoothing=smoothing)
    torch.testing.assert_close(loss(outputs, batch_of(targets)), expected)
    plain = functional.cross_entropy(outputs, targets, reduction="sum").double()
    total, count = loss.total(outputs, batch_of(targets))
    torch.testing.assert_close(total, plain)
    assert count == 6


def test_balanced_classes_weigh_the_same() -> None:
    outputs, targets = normal(10, 3), torch.tensor([0] * 7 + [1] * 2 + [2])
    weights = balanced_weights(targets)
    torch.testing.assert_close(weights, torch.tensor([10 / 21, 10 / 6, 10 / 3]))
    each = functional.cross_entropy(outputs, targets, reduction="none")
    expected = torch.stack([each[targets == number].mean() for number in range(3)]).mean()
    torch.testing.assert_close(made("classification", weights)(outputs, batch_of(targets)), expected)


def test_a_class_that_does_not_occur_has_a_weight_too() -> None:
    weights = balanced_weights(torch.tensor([0, 0, 0, 2]), 4)
    torch.testing.assert_close(weights, torch.tensor([4 / 6, 0.0, 2.0, 0.0]))


def test_labels_are_told_each_by_its_own() -> None:
    outputs, targets = normal(5, 3), (normal(5, 3, seed=1) > 0).float()
    chance = outputs.sigmoid()
    expected = -torch.where(targets > 0, chance.log(), (1 - chance).log()).mean()
    loss = made("multilabel")
    torch.testing.assert_close(loss(outputs, batch_of(targets)), expected)
    assert mean_of(loss.total(outputs, batch_of(targets))) == pytest.approx(float(expected))


@pytest.mark.parametrize("task", ["regression", "forecast"])
@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, (0.25 + 9) / 2),
        ({"loss": "mse"}, (0.25 + 9) / 2),
        ({"loss": "mae"}, (0.5 + 3) / 2),
        ({"loss": "huber"}, (0.125 + 1 * (3 - 0.5)) / 2),
        ({"loss": "huber", "huber_delta": 2.0}, (0.125 + 2 * (3 - 1)) / 2),
    ],
)
def test_errors_of_numbers(task: str, parameters: dict[str, Any], expected: float) -> None:
    errors = torch.tensor([[0.5], [-3.0]]) if task == "regression" else torch.tensor([[0.5, -3.0]])
    loss, targets = made(task, **parameters), torch.full_like(errors, 2.0)
    assert float(loss(targets + errors, batch_of(targets))) == pytest.approx(expected)
    total, count = loss.total(targets + errors, batch_of(targets))
    assert (float(total), int(count)) == (pytest.approx(2 * expected), 2)


def test_a_recursive_forecast_is_trained_on_its_first_step() -> None:
    targets = torch.tensor([[1.0, 50.0, 90.0], [2.0, 50.0, 90.0]])
    assert float(made("forecast")(torch.tensor([[1.5], [2.0]]), batch_of(targets))) == pytest.approx(0.125)


def test_next_steps_are_summed_over_labels_and_averaged_over_steps() -> None:
    targets = (normal(3, 4, 88) > 0).float()
    loss, blind = made("next_step"), torch.zeros(3, 4, 88)
    assert float(loss(blind, batch_of(targets, LENGTHS))) == pytest.approx(88 * math.log(2), rel=1e-6)
    outputs = normal(3, 4, 88, seed=1)
    each = functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
    steps = torch.cat([each[row, :length].sum(dim=1) for row, length in enumerate(LENGTHS.tolist())])
    torch.testing.assert_close(loss(outputs, batch_of(targets, LENGTHS)), steps.mean())
    assert loss.total(outputs, batch_of(targets, LENGTHS))[1] == 8


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_language_models_are_averaged_over_tokens(smoothing: float) -> None:
    outputs, targets = normal(3, 4, 7), torch.randint(7, (3, 4), generator=torch.Generator().manual_seed(1))
    counted = torch.arange(4) < LENGTHS[:, None]
    loss = made("language_model", label_smoothing=smoothing)
    expected = functional.cross_entropy(outputs[counted], targets[counted], label_smoothing=smoothing)
    torch.testing.assert_close(loss(outputs, batch_of(targets, LENGTHS)), expected)
    plain = functional.cross_entropy(outputs[counted], targets[counted])
    assert mean_of(loss.total(outputs, batch_of(targets, LENGTHS))) == pytest.approx(float(plain))


@pytest.mark.parametrize("task", ["next_step", "language_model"])
def test_padding_neither_counts_nor_teaches(task: str) -> None:
    counted = (torch.arange(4) < LENGTHS[:, None])[:, :, None]
    tokens = torch.randint(5, (3, 4), generator=torch.Generator().manual_seed(1))
    targets = tokens if task == "language_model" else (normal(3, 4, 5, seed=1) > 0).float()
    outputs, loss = normal(3, 4, 5), made(task)
    changed = torch.where(counted, outputs, 1e4).requires_grad_()
    other = torch.where(counted.reshape(3, 4, *[1] * (targets.dim() - 2)), targets, 0)
    value = loss(changed, batch_of(other, LENGTHS))
    assert torch.equal(value, loss(outputs, batch_of(targets, LENGTHS)))
    value.backward()
    assert changed.grad is not None
    assert not changed.grad[~counted.expand_as(changed)].any()
    assert changed.grad[counted.expand_as(changed)].all()


def test_totals_of_batches_make_the_whole() -> None:
    outputs, targets, loss = normal(3, 4, 5), (normal(3, 4, 5, seed=1) > 0).float(), made("next_step")
    whole = loss.total(outputs, batch_of(targets, LENGTHS))
    parts = [loss.total(outputs[part], batch_of(targets[part], LENGTHS[part])) for part in (slice(0, 1), slice(1, 3))]
    torch.testing.assert_close(torch.stack(whole), torch.stack([torch.stack(part) for part in parts]).sum(dim=0))


@pytest.mark.parametrize(
    ("task", "loss", "fitting"),
    [
        ("classification", "mse", "cross_entropy"),
        ("multilabel", "huber", "cross_entropy"),
        ("next_step", "mae", "cross_entropy"),
        ("language_model", "mse", "cross_entropy"),
        ("regression", "cross_entropy", "mse, mae, huber"),
        ("forecast", "cross_entropy", "mse, mae, huber"),
    ],
)
def test_a_loss_must_fit_its_task(task: str, loss: str, fitting: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        made(task, loss=loss)
    (fault,) = caught.value.faults
    assert fault.path == "objective.settings.loss"
    assert fault.problem == f"is {loss!r}, which does not fit {task}; what fits: {fitting}"
