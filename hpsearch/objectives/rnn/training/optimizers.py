"""How gradients move weights: torch's optimizers, their state as plain tensors, and L1."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, NAdam, Optimizer, RMSprop

from hpsearch.objectives.rnn.faults import setting_fault

_HOST_SCALARS = ("step", "mu_product")
"""What torch keeps on the CPU where an optimizer is not fused: on a GPU it would wait for them at each step."""


def optimizer_of(options: Mapping[str, Any], model: nn.Module, head: Collection[str]) -> Optimizer:
    """The optimizer that the parameters ask for, in torch's fused implementation where there is one.

    `head` are beginnings of the names of the head's parameters; all others are the body. Each group has a `scale`, by
    which `set_learning_rate` multiplies the learning rate: 1 for the head, `body_learning_rate` for the body.

    Weight decay is for weights alone (parameters of two dimensions and more, those of embeddings too), not for biases
    and the gains of layer norms. It is an L2 penalty's gradient in sgd, rmsprop and adam, and decoupled from the
    gradient in adamw and nadam (Loshchilov and Hutter 2019). sgd has Nesterov momentum (Sutskever et al. 2013).
    """
    groups, rate, momentum = _groups(options, model, tuple(head)), options["learning_rate"], options["momentum"]
    match options["optimizer"]:
        case "sgd":
            optimizer = SGD(groups, rate, momentum=momentum, nesterov=momentum > 0, fused=True)
            _begin_momentum(optimizer)
            return optimizer
        case "rmsprop":
            return RMSprop(groups, rate, foreach=True)
        case "adam":
            return Adam(groups, rate, fused=True)
        case "adamw":
            return AdamW(groups, rate, fused=True)
        case "nadam":
            return NAdam(groups, rate, decoupled_weight_decay=True, foreach=True)
    raise setting_fault("optimizer", f"must be sgd, rmsprop, adam, adamw or nadam, not {options['optimizer']!r}")


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set each group's learning rate for the next step: `rate` times the group's scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def _groups(options: Mapping[str, Any], model: nn.Module, head: tuple[str, ...]) -> list[dict[str, Any]]:
    """Parameters that are treated alike. The fewer groups the better: each costs a call a step."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        scale = 1.0 if name.startswith(head) else options["body_learning_rate"]
        decay = options["weight_decay"] if _is_weight(parameter) else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
    return [{"params": members, "scale": scale, "weight_decay": decay} for (scale, decay), members in groups.items()]


def _is_weight(parameter: Tensor) -> bool:
    """Biases and the gains of norms are vectors."""
    return parameter.dim() > 1


def _begin_momentum(optimizer: SGD) -> None:
    """Torch makes these at a parameter's first gradient, and its fused step cannot do with some but not all of them,
    as when frozen layers thaw. From zero the first step is the same: the momentum is then the gradient."""
    for group in optimizer.param_groups:
        if group["momentum"]:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


# --- state -----------------------------------------------------------------------------------------------------------


def optimizer_state(optimizer: Optimizer) -> dict[str, Tensor]:
    """All that the optimizer remembers of its steps, by `index.name` with the parameter's index. Not copies.

    Learning rates are not in it: `set_learning_rate` sets them at each step.
    """
    return {
        f"{index}.{name}": value
        for index, parameter in enumerate(_parameters(optimizer))
        for name, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer_state(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put a copy of a saved state in place; training then goes on to the bit.

    The optimizer is one made alike, for the same model. Raises `ValueError` where the state is of another model.
    """
    parameters = _parameters(optimizer)
    optimizer.state.clear()
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        if not index.isdecimal() or int(index) >= len(parameters):
            raise ValueError(f"there is no parameter for the optimizer's state {key!r}")
        parameter = parameters[int(index)]
        if value.dim() and value.shape != parameter.shape:
            raise ValueError(f"the optimizer's state {key!r} is {[*value.shape]}, not {[*parameter.shape]}")
        is_on_host = name in _HOST_SCALARS and not optimizer.defaults.get("fused")
        # Optimizer.load_state_dict would move NAdam's mu_product to the GPU
        optimizer.state[parameter][name] = value.to("cpu" if is_on_host else parameter.device, copy=True)


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


# --- L1 --------------------------------------------------------------------------------------------------------------


def add_l1_(parameters: Iterable[Tensor], strength: float) -> None:
    """Add the subgradient of strength * sum |w| over the weights to their gradients: strength * sign(w).

    Weights are as for weight decay. Those without a gradient, being frozen, are left out.
    """
    weights = [value for value in parameters if value.grad is not None and _is_weight(value)]
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    with torch.no_grad():
        torch._foreach_add_(gradients, torch._foreach_sign(weights), alpha=strength)
