"""Averages of weights: what they are, from when on, and their saved state."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from hpsearch.objectives.rnn.training.averaging import Averager, averager_of

OPTIONS: Mapping[str, Any] = {
    "averaging": "none",
    "averaging_decay": 0.9,
    "averaging_start": 0.5,
    "max_epochs": 6,
}


def make(**options: Any) -> tuple[nn.Module, Averager]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    averager = averager_of({**OPTIONS, **options}, model)
    assert averager is not None
    return model, averager


@torch.no_grad()
def move(model: nn.Module) -> Tensor:
    """New weights, from the global generator; the first layer's."""
    for parameter in model.parameters():
        parameter.copy_(torch.randn_like(parameter))
    return next(model.parameters()).double()


def first(averager: Averager) -> Tensor:
    weights = averager.weights()
    assert weights is not None
    return weights["0.weight"].double()


def test_none_is_none() -> None:
    assert averager_of(OPTIONS, nn.Linear(2, 2)) is None


def test_ema_follows_its_formula() -> None:
    model, averager = make(averaging="ema")
    assert averager.weights() is None
    expected = move(model)
    averager.after_step(model)
    assert torch.equal(first(averager), expected)
    for count in range(1, 150):
        decay = min(0.9, (1 + count) / (10 + count))
        expected = decay * expected + (1 - decay) * move(model)
        averager.after_step(model)
        averager.after_epoch(model, count)
        torch.testing.assert_close(first(averager), expected, rtol=0, atol=1e-5)


def test_ema_of_decay_0_is_the_last_weights() -> None:
    model, averager = make(averaging="ema", averaging_decay=0.0)
    for _ in range(3):
        weights = move(model)
        averager.after_step(model)
    assert torch.equal(first(averager), weights)


def test_swa_is_the_mean_of_the_late_epochs() -> None:
    model, averager = make(averaging="swa")
    ends = []
    for epoch in range(1, 7):
        move(model)
        averager.after_step(model)
        ends.append(move(model))
        averager.after_step(model)
        averager.after_epoch(model, epoch)
        if epoch <= 3:
            assert averager.weights() is None
        else:
            torch.testing.assert_close(first(averager), torch.stack(ends[3:]).mean(dim=0), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("start", "first_epoch"), [(0.0, 1), (0.25, 2), (0.99, 6), (1.0, None)])
def test_swa_begins_after_its_part_of_the_epochs(start: float, first_epoch: int | None) -> None:
    model, averager = make(averaging="swa", averaging_start=start)
    begun = []
    for epoch in range(1, 7):
        averager.after_epoch(model, epoch)
        if averager.weights() is not None:
            begun.append(epoch)
    assert begun[:1] == ([] if first_epoch is None else [first_epoch])


@pytest.mark.parametrize("averaging", ["ema", "swa"])
@pytest.mark.parametrize("epochs_before", [0, 2, 5])
def test_a_saved_average_goes_on_to_the_bit(averaging: str, epochs_before: int) -> None:
    def train(model: nn.Module, averager: Averager, epochs: range) -> None:
        for epoch in epochs:
            torch.manual_seed(epoch)
            for _ in range(3):
                move(model)
                averager.after_step(model)
            averager.after_epoch(model, epoch)

    model, whole = make(averaging=averaging, averaging_start=0.4)
    train(model, whole, range(1, epochs_before + 1))
    file = save(whole.state())
    train(model, whole, range(epochs_before + 1, 7))
    model, resumed = make(averaging=averaging, averaging_start=0.4)
    resumed.load(load(file))
    train(model, resumed, range(epochs_before + 1, 7))
    found, expected = resumed.weights(), whole.weights()
    assert found is not None
    assert expected is not None
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_loaded_state_is_a_copy() -> None:
    model, averager = make(averaging="ema")
    averager.after_step(model)
    state = load(save(averager.state()))
    kept = state["weights.0.weight"].clone()
    averager.load(state)
    move(model)
    averager.after_step(model)
    assert torch.equal(state["weights.0.weight"], kept)


def test_the_average_fits_the_model_and_has_no_graph() -> None:
    model, averager = make(averaging="ema")
    for _ in range(2):
        model(torch.randn(2, 3)).sum().backward()
        averager.after_step(model)
    weights = averager.weights()
    assert weights is not None
    model.load_state_dict(weights)
    assert not any(value.requires_grad for value in weights.values())


def test_averages_are_nearer_to_the_minimum_than_noisy_steps() -> None:
    """What they are for."""
    generator = torch.Generator().manual_seed(0)
    for averaging in ("ema", "swa"):
        torch.manual_seed(0)
        model = nn.Linear(1, 8, bias=False)
        averager = averager_of({**OPTIONS, "averaging": averaging, "max_epochs": 60}, model)
        assert averager is not None
        for epoch in range(1, 61):
            for _ in range(5):
                with torch.no_grad():  # of half the squared weights, with noise in the gradient
                    model.weight -= 0.3 * (model.weight + torch.randn(8, 1, generator=generator))
                averager.after_step(model)
            averager.after_epoch(model, epoch)
        weights = averager.weights()
        assert weights is not None
        assert weights["weight"].norm() < 0.6 * model.weight.norm()
