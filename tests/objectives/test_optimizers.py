"""Optimizers: torch's own steps, which parameters get what, saved states, and L1."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from hpsearch.errors import InvalidInput
from hpsearch.objectives.rnn.training.optimizers import Optimizer, optimizer_of, with_l1

NAMES = ("sgd", "rmsprop", "adam", "adamw", "nadam")
OPTIONS: Mapping[str, Any] = {
    "optimizer": "adam",
    "learning_rate": 0.01,
    "momentum": 0.9,
    "body_learning_rate": 1.0,
    "weight_decay": 0.0,
}


class Network(nn.Module):
    """A body of two kinds of weights and a norm, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.RNN(3, 8, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.norm(self.layer(inputs)[0][:, -1]))


def make(**options: Any) -> tuple[Network, Optimizer]:
    torch.manual_seed(0)
    network = Network()
    return network, optimizer_of({**OPTIONS, **options}, network, ("head.",))


def batches() -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(1)
    while True:
        yield torch.randn(4, 5, 3, generator=generator)


def loss_of(network: nn.Module, inputs: Tensor) -> Tensor:
    return (network(inputs) - inputs.mean(dim=1)[:, :2]).square().mean()


def train(network: nn.Module, optimizer: Optimizer, begin: int, end: int) -> None:
    """Steps from `begin` on, each with a batch of its own."""
    for inputs in islice(batches(), begin, end):
        optimizer.step(torch.autograd.grad(loss_of(network, inputs), optimizer.trained()), 0.01)


def without_gradients(optimizer: Optimizer) -> None:
    """One step with gradients of zero: all that moves, moves by weight decay."""
    optimizer.step([torch.zeros_like(parameter) for parameter in optimizer.trained()], 0.01)


def values(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def assert_same(first: nn.Module, second: nn.Module) -> None:
    """To the bit."""
    for (name, value), other in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(value, other), name


PLAIN: Mapping[str, Any] = {
    "sgd": lambda groups: torch.optim.SGD(groups, 0.01, momentum=0.9, nesterov=True, foreach=False),
    "rmsprop": lambda groups: torch.optim.RMSprop(groups, 0.01, foreach=False),
    "adam": lambda groups: torch.optim.Adam(groups, 0.01, foreach=False),
    "adamw": lambda groups: torch.optim.AdamW(groups, 0.01, foreach=False),
    "nadam": lambda groups: torch.optim.NAdam(groups, 0.01, decoupled_weight_decay=True, foreach=False),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_steps_are_those_of_torchs_plain_optimizers(name: str, decay: float) -> None:
    network, optimizer = make(optimizer=name, weight_decay=decay)
    train(network, optimizer, 0, 10)
    torch.manual_seed(0)
    expected = Network()
    weights = [value for value in expected.parameters() if value.dim() == 2]
    rest = [value for value in expected.parameters() if value.dim() == 1]
    plain = PLAIN[name]([{"params": weights, "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}])
    for inputs in islice(batches(), 10):
        plain.zero_grad()
        loss_of(expected, inputs).backward()
        plain.step()
    for found, wanted in zip(network.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_weight_decay_is_for_weights_alone(name: str) -> None:
    network, optimizer = make(optimizer=name, weight_decay=0.1)
    before = values(network)
    without_gradients(optimizer)
    moved = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == {"layer.weight_ih_l0", "layer.weight_hh_l0", "head.weight"}
    assert all(network.state_dict()[key].norm() < before[key].norm() for key in moved)


@pytest.mark.parametrize(("name", "is_decoupled"), [("adam", False), ("adamw", True), ("nadam", True)])
def test_decoupled_decay_is_a_part_of_each_weight(name: str, is_decoupled: bool) -> None:
    network, optimizer = make(optimizer=name, weight_decay=0.1)
    before = network.head.weight.detach().clone()
    without_gradients(optimizer)
    assert torch.allclose(network.head.weight, before * (1 - 0.01 * 0.1), rtol=1e-6, atol=0) is is_decoupled


def test_momentum_0_is_plain_gradient_descent() -> None:
    network, optimizer = make(optimizer="sgd", momentum=0.0)
    for inputs in islice(batches(), 2):
        before, trained = values(network), optimizer.trained()
        gradients = torch.autograd.grad(loss_of(network, inputs), trained)
        optimizer.step(gradients, 0.01)
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        for parameter, gradient in zip(trained, gradients, strict=True):
            torch.testing.assert_close(parameter.detach(), before[names[id(parameter)]] - 0.01 * gradient)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_body_has_a_learning_rate_of_its_own(decay: float) -> None:
    network, optimizer = make(optimizer="sgd", momentum=0.0, body_learning_rate=0.25, weight_decay=decay)
    before = values(network)
    optimizer.step([torch.ones_like(parameter) for parameter in optimizer.trained()], 0.4)
    rates = {"head.bias": 0.4, "norm.weight": 0.1, "layer.bias_hh_l0": 0.1}
    for name, rate in rates.items():
        torch.testing.assert_close(network.state_dict()[name], before[name] - rate)


def test_every_parameter_is_in_one_group() -> None:
    for options in ({}, {"body_learning_rate": 0.1}, {"weight_decay": 0.1}):
        network, optimizer = make(**options)
        assert sorted(map(id, optimizer.parameters)) == sorted(map(id, network.parameters()))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_may_lie_in_memory_in_any_order(name: str) -> None:
    straight, turned = make(optimizer=name), make(optimizer=name)
    gradients = [torch.randn_like(parameter) for parameter in straight[1].trained()]
    for _ in range(2):
        straight[1].step(gradients, 0.01)
        turned[1].step([gradient.t().contiguous().t() for gradient in gradients], 0.01)
    assert_same(straight[0], turned[0])


def test_an_unknown_optimizer_is_refused() -> None:
    with pytest.raises(InvalidInput, match="must be sgd, rmsprop, adam, adamw or nadam, not 'lion'"):
        make(optimizer="lion")


# --- state -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "momentum"), [*((name, 0.9) for name in NAMES), ("sgd", 0.0)])
def test_training_goes_on_to_the_bit_from_a_saved_state(name: str, momentum: float) -> None:
    options = {"optimizer": name, "momentum": momentum, "weight_decay": 0.01, "body_learning_rate": 0.5}
    whole, optimizer = make(**options)
    train(whole, optimizer, 0, 5)
    file, weights = save(optimizer.state()), values(whole)
    train(whole, optimizer, 5, 12)
    resumed, optimizer = make(**options)
    resumed.load_state_dict(weights)
    optimizer.load(load(file))
    train(resumed, optimizer, 5, 12)
    assert_same(resumed, whole)


@pytest.mark.parametrize("name", NAMES)
def test_frozen_weights_thaw_also_after_a_resumption(name: str) -> None:
    whole, optimizer = make(optimizer=name)
    whole.layer.requires_grad_(False)
    before = values(whole)
    train(whole, optimizer, 0, 3)
    state = load(save(optimizer.state()))
    resumed, other = make(optimizer=name)
    resumed.load_state_dict(whole.state_dict())
    other.load(state)
    assert torch.equal(whole.layer.weight_hh_l0, before["layer.weight_hh_l0"])
    for network, own in ((whole, optimizer), (resumed, other)):
        network.layer.requires_grad_(True)
        train(network, own, 3, 6)
    assert not torch.equal(whole.layer.weight_hh_l0, before["layer.weight_hh_l0"])
    assert_same(resumed, whole)


def test_a_loaded_state_is_a_copy() -> None:
    network, optimizer = make()
    train(network, optimizer, 0, 2)
    state = load(save(optimizer.state()))
    kept = {name: value.clone() for name, value in state.items()}
    optimizer.load(state)
    train(network, optimizer, 2, 4)
    assert all(torch.equal(state[name], value) for name, value in kept.items())


@pytest.mark.parametrize("key", ["99.exp_avg", "head.exp_avg", "0.exp_avg"])
def test_a_state_of_another_model_is_refused(key: str) -> None:
    _, optimizer = make()
    with pytest.raises(ValueError, match=f"{key}"):
        optimizer.load({key: torch.zeros(1, 2, 3)})


# --- L1 --------------------------------------------------------------------------------------------------------------


def test_l1_drives_weights_without_use_to_zero() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(200, 10)
    targets = 2 * inputs[:, :1] - inputs[:, 1:2] + 0.3 * torch.randn(200, 1)
    found = {}
    for strength in (0.0, 0.2):
        layer = nn.Linear(10, 1)
        optimizer = optimizer_of({**OPTIONS, "optimizer": "sgd", "momentum": 0.0}, layer, ())
        parameters = optimizer.trained()
        for _ in range(400):
            gradients = torch.autograd.grad((layer(inputs) - targets).square().mean(), parameters)
            optimizer.step(with_l1(parameters, gradients, strength), 0.02)
        found[strength] = layer.weight.detach().abs().flatten()
    assert found[0.0][2:].max() > 0.03
    assert found[0.2][2:].max() < 0.005
    assert found[0.2][:2].tolist() == pytest.approx([1.9, 0.9], abs=0.05)


def test_l1_is_for_weights_alone() -> None:
    network, optimizer = make()
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    parameters = optimizer.trained()
    found = with_l1(parameters, [torch.ones_like(parameter) for parameter in parameters], 0.1)
    for parameter, gradient in zip(parameters, found, strict=True):
        is_weight = "weight" in names[id(parameter)] and "norm" not in names[id(parameter)]
        torch.testing.assert_close(gradient, 1 + 0.1 * is_weight * parameter.detach().sign())
