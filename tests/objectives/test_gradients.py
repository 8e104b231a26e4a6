"""Gradients: clipping, what is recorded of them, and the marks of little networks that explode, vanish or are well."""

import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpsearch.objectives.rnn.training.gradients import GradientRecord, clipped, marked
from hpsearch.objectives.rnn.training.optimizers import with_l1


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def gradients(model: nn.Module) -> tuple[Tensor, ...]:
    loss = 10 * model(torch.randn(5, 3, generator=torch.Generator().manual_seed(1))).square().sum()
    return torch.autograd.grad(loss, list(model.parameters()))


# --- clipping --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0.5, 1e6])
def test_clipping_by_norm_is_torchs(limit: float) -> None:
    model = network()
    own = gradients(model)
    for parameter, gradient in zip(model.parameters(), own, strict=True):
        parameter.grad = gradient.clone()
    wanted = nn.utils.clip_grad_norm_(model.parameters(), limit)
    found, norm = clipped(own, limit, None)
    torch.testing.assert_close(list(found), [parameter.grad for parameter in model.parameters()])
    assert norm == pytest.approx(float(wanted))
    assert norm > 0.5


def test_clipping_by_value_comes_after_the_norm() -> None:
    own = gradients(network())
    found, _ = clipped(own, None, 0.1)
    torch.testing.assert_close(list(found), [value.clamp(-0.1, 0.1) for value in own])
    norm = math.sqrt(sum(float(value.square().sum()) for value in own))
    found, _ = clipped(own, 2.0, 0.1)
    torch.testing.assert_close(list(found), [(value * 2 / norm).clamp(-0.1, 0.1) for value in own])


@pytest.mark.parametrize("off", [None, 0.0])
def test_without_limits_gradients_stay_and_are_measured(off: float | None) -> None:
    own = gradients(network())
    found, norm = clipped(own, off, off)
    assert all(map(torch.equal, found, own))
    assert norm > 0


def test_a_gradient_that_two_parameters_share_is_clipped_once() -> None:
    first, second = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    own = torch.autograd.grad(((first + second) * torch.tensor([3.0, 4.0])).sum(), [first, second])
    found, norm = clipped(own, math.sqrt(50) / 2, None)
    assert norm == pytest.approx(math.sqrt(50))
    for gradient in found:
        torch.testing.assert_close(gradient, torch.tensor([1.5, 2.0]))


def test_no_step_waits_for_a_number() -> None:
    """Meta tensors have none: asking for one is an error."""
    parameters = [torch.empty(3, 4, device="meta") for _ in range(2)]
    own, norm = clipped(tuple(parameters), 1.0, 0.5)
    with_l1(parameters, own, 0.1)
    record = GradientRecord([norm])
    with pytest.raises(NotImplementedError):
        record.metrics()


# --- the record ------------------------------------------------------------------------------------------------------


def test_a_record_tells_mean_and_extremes_and_goes_on_from_its_state() -> None:
    record = GradientRecord()
    for norm in (3.0, 1.0):
        record.add(torch.tensor(norm))
    resumed = GradientRecord.of(record.state())
    resumed.add(torch.tensor(8.0))
    assert record.metrics() == {"gradient_norm": 2.0, "gradient_norm_max": 3.0, "gradient_norm_min": 1.0}
    assert resumed.metrics() == {"gradient_norm": 4.0, "gradient_norm_max": 8.0, "gradient_norm_min": 1.0}


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_norm_that_is_not_finite_shows(bad: float) -> None:
    record = GradientRecord([torch.tensor(norm) for norm in (1.0, bad, 1.0)])
    assert not math.isfinite(record.metrics()["gradient_norm_max"])
    assert not math.isfinite(record.metrics()["gradient_norm"])


def test_reach_is_the_first_halves_part_of_the_gradient() -> None:
    weights = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [7.0, 8.0, 0.0, 0.0, 0.0, 0.0]])
    record = GradientRecord([torch.tensor(1.0)])
    record.note_reach(-weights[:, :, None].expand(2, 6, 3), torch.tensor([6, 2]))
    resumed = GradientRecord.of(record.state())
    assert resumed.metrics()["gradient_reach"] == pytest.approx((1 + 2 + 3 + 7) / 36)


# --- marks -----------------------------------------------------------------------------------------------------------


def history(*epochs: tuple[float, float, float]) -> list[str | None]:
    """The marks after each epoch of (mean norm, largest norm, loss), with the state through JSON in between."""
    state: Mapping[str, Any] = {}
    marks = []
    for norm, largest, loss in epochs:
        metrics = {"gradient_norm": norm, "gradient_norm_max": largest, "train_loss": loss}
        state = json.loads(json.dumps(marked(state, metrics), allow_nan=False))
        marks.append(state["mark"])
    return marks


@pytest.mark.parametrize("largest", [math.inf, math.nan, 1e7])
def test_norms_out_of_all_bounds_explode_and_the_mark_stays(largest: float) -> None:
    assert history((1, 2, 1.0), (largest, largest, 0.9), (1, 2, 0.8)) == [None, "exploding", "exploding"]
    assert history((largest, largest, 0.9), (1, 2, 0.8)) == ["exploding", "exploding"]


def test_a_spike_far_above_the_usual_explodes() -> None:
    quiet = [(0.5, 2.0, 1.0)] * 4
    assert history(*quiet, (3.0, 90.0, 1.0))[-1] is None
    assert history(*quiet, (3.0, 200.0, 1.0))[-1] == "exploding"
    high = [(50.0, 90.0, 1.0)] * 4
    assert history(*high, (60.0, 2000.0, 1.0))[-1] is None
    assert history(*high, (60.0, 6000.0, 1.0))[-1] == "exploding"


def test_gradients_that_fade_vanish_only_where_nothing_was_learned() -> None:
    begun = [(1.0, 2.0, 1.0)] * 5
    assert history(*begun[:4], (1e-5, 1e-4, 0.99), (1e-5, 1e-4, 0.99))[-2:] == [None, "vanishing"]
    assert history(*begun, (1e-5, 1e-4, 0.01))[-1] is None
    assert history(*begun, (1e-3, 1e-2, 0.99))[-1] is None
    assert history(*begun, (0.0, 0.0, 1.0), (1.0, 2.0, 0.5))[-2:] == ["vanishing", None]


def train(
    layer: nn.RNNBase, steps: int, epochs: int, told: int = 0, rate: float = 0.01
) -> tuple[list[str | None], list[dict[str, float]]]:
    """Have a layer say from its last state whether the input was positive at the step `told`: marks and metrics of each
    epoch of 4 batches."""
    head = nn.Linear(layer.hidden_size, 1)
    parameters = [*layer.parameters(), *head.parameters()]
    optimizer, generator = torch.optim.Adam(parameters, rate), torch.Generator().manual_seed(0)
    state: Mapping[str, Any] = {}
    marks, all_metrics = [], []
    for _ in range(epochs):
        record, total = GradientRecord(), 0.0
        for batch in range(4):
            inputs = torch.randn(32, steps, 2, generator=generator)
            labels = (inputs[:, told, :1] > 0).float()
            inputs.requires_grad_()
            loss = nn.functional.binary_cross_entropy_with_logits(head(layer(inputs)[0][:, -1]), labels)
            *gradients, reached = torch.autograd.grad(loss, [*parameters, inputs])
            if batch == 0:
                record.note_reach(reached, torch.full((32,), steps))
            found, norm = clipped(tuple(gradients), 1.0, None)
            record.add(norm)
            for parameter, gradient in zip(parameters, found, strict=True):
                parameter.grad = gradient
            optimizer.step()
            total += loss.item() / 4
        all_metrics.append({"train_loss": total, **record.metrics()})
        state = marked(state, all_metrics[-1])
        marks.append(state["mark"])
    return marks, all_metrics


def test_a_long_tanh_network_of_small_weights_vanishes() -> None:
    torch.manual_seed(0)
    layer = nn.RNN(2, 16, batch_first=True)
    with torch.no_grad():
        layer.weight_hh_l0.mul_(0.5)
    marks, metrics = train(layer, steps=200, epochs=7)
    assert metrics[0]["gradient_reach"] < 1e-20
    assert marks == [None] * 5 + ["vanishing"] * 2


@pytest.mark.parametrize(("steps", "is_finite"), [(40, True), (200, False)])
def test_a_relu_network_of_spectral_radius_2_explodes(steps: int, is_finite: bool) -> None:
    torch.manual_seed(0)
    layer = nn.RNN(2, 16, nonlinearity="relu", batch_first=True)
    with torch.no_grad():
        nn.init.eye_(layer.weight_hh_l0).mul_(2)
    marks, metrics = train(layer, steps, epochs=1)
    assert math.isfinite(metrics[0]["gradient_norm_max"]) is is_finite
    assert marks == ["exploding"]


@pytest.mark.parametrize(("steps", "told"), [(20, 19), (200, 198)])
def test_a_healthy_lstm_has_no_mark(steps: int, told: int) -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(2, 16, batch_first=True)
    with torch.no_grad():
        layer.bias_ih_l0[16:32] = 1.0
    marks, metrics = train(layer, steps, epochs=15, told=told, rate=0.03)
    assert metrics[-1]["train_loss"] < 0.5 * metrics[0]["train_loss"]
    assert set(marks) == {None}
