"""How gradients move weights: torch's update rules over lists of tensors, their state as plain tensors, and L1.

`torch.optim.Optimizer` itself is left out: at each step its hooks, its profiling and its sorting of tensors by device
take as long as a small network's forward pass, and making one imports `torch._dynamo`, a second and a half.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.nadam import nadam
from torch.optim.rmsprop import rmsprop

from hpsearch.objectives.rnn.faults import setting_fault

State = dict[str, list[Tensor]]
"""What is remembered of each parameter, by torch's names."""
Update = Callable[[list[Tensor], list[Tensor], State, float, float], None]
"""Moves parameters, in place, by gradients, state, learning rate and weight decay."""

_BETA1, _BETA2 = 0.9, 0.999
_EPSILON = 1e-8
_ALPHA = 0.99
"""What RMSprop's mean keeps at a step."""
_MOMENTUM_DECAY = 4e-3
"""NAdam's."""
_HOST_SCALARS = ("step", "mu_product")
"""What is kept on the CPU where an update is not fused: on a GPU it would wait for them at each step."""


@dataclass(frozen=True, slots=True)
class _Kind:
    update: Update
    state: tuple[str, ...]
    is_fused: bool = False
    is_counted: bool = False
    """Whether the rule takes the number of the step, and leaves it to others to count."""


@dataclass(slots=True)
class _Group:
    """Parameters that are treated alike."""

    scale: float
    decay: float
    parameters: list[nn.Parameter]
    state: State
    steps: Tensor | None = None
    """All that the state has by this name, side by side in memory."""

    def count(self) -> None:
        """One step more."""
        if self.steps is None:
            torch._foreach_add_(self.state["step"], 1)
        else:
            self.steps.add_(1)


class Optimizer:
    """Moves the parameters of some groups by the gradients that it is handed."""

    def __init__(self, kind: _Kind, groups: Mapping[tuple[float, float], list[nn.Parameter]]) -> None:
        """`groups`: parameters by the scale of their learning rate and their weight decay."""
        self._kind = kind
        self._groups = [self._group(scale, decay, members) for (scale, decay), members in groups.items()]
        self._trained = self._groups

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All of them, group by group."""
        return [parameter for group in self._groups for parameter in group.parameters]

    def trained(self) -> list[nn.Parameter]:
        """Those that require gradients now, in the order in which `step` takes these until the next call."""
        self._trained = [_part_of(group, [one.requires_grad for one in group.parameters]) for group in self._groups]
        return [parameter for group in self._trained for parameter in group.parameters]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        """Move the trained parameters. The learning rate of a group is `rate` times its scale."""
        begin = 0
        for group in self._trained:
            end = begin + len(group.parameters)
            # the fused updates read memory as it lies
            own = [gradient.contiguous() for gradient in gradients[begin:end]]
            if own:
                if self._kind.is_counted:
                    group.count()
                self._kind.update(group.parameters, own, group.state, rate * group.scale, group.decay)  # type: ignore[arg-type]
            begin = end

    def _group(self, scale: float, decay: float, members: list[nn.Parameter]) -> _Group:
        state = {name: [self._first(name, one) for one in members] for name in self._kind.state}
        if not self._kind.is_counted:
            return _Group(scale, decay, members, state)
        steps = torch.stack(state["step"])
        return _Group(scale, decay, members, state | {"step": list(steps.unbind())}, steps)

    def _first(self, name: str, parameter: Tensor) -> Tensor:
        """A parameter's state before its first step. Momentum from zero makes the first step one by the gradient."""
        if name not in _HOST_SCALARS:
            return torch.zeros_like(parameter, requires_grad=False)
        device = parameter.device if self._kind.is_fused else torch.device("cpu")
        return torch.full((), 1.0 if name == "mu_product" else 0.0, device=device)

    # --- state -------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """All that is remembered of the steps, by `index.name` with the parameter's index. Not copies."""
        found, begin = dict[str, Tensor](), 0
        for group in self._groups:
            for name, values in group.state.items():
                found |= {f"{begin + place}.{name}": value for place, value in enumerate(values)}
            begin += len(group.parameters)
        return found

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Put a copy of a saved state in place; training then goes on to the bit.

        The optimizer is one made alike, for the same model. Raises `ValueError` where the state is of another model.
        """
        own = self.state()
        for key, value in tensors.items():
            if key not in own:
                raise ValueError(f"there is no parameter for the optimizer's state {key!r}")
            if value.shape != own[key].shape:
                raise ValueError(f"the optimizer's state {key!r} is {[*value.shape]}, not {[*own[key].shape]}")
        for key, value in own.items():
            value.copy_(tensors[key])


def _part_of(group: _Group, chosen: list[bool]) -> _Group:
    """The same tensors of some parameters."""
    if all(chosen):
        return group
    state = {name: list(compress(values, chosen)) for name, values in group.state.items()}
    return _Group(group.scale, group.decay, list(compress(group.parameters, chosen)), state)


def optimizer_of(options: Mapping[str, Any], model: nn.Module, head: Collection[str]) -> Optimizer:
    """The optimizer that the parameters ask for.

    `head` are beginnings of the names of the head's parameters, whose learning rate is as it is; of all others, the
    body, it is multiplied by `body_learning_rate`.

    Weight decay is for weights alone (parameters of two dimensions and more, those of embeddings too), not for biases
    and the gains of layer norms. It is an L2 penalty's gradient in sgd, rmsprop and adam, and decoupled from the
    gradient in adamw and nadam (Loshchilov and Hutter 2019). sgd has Nesterov momentum (Sutskever et al. 2013).
    """
    name = options["optimizer"]
    kinds = _kinds(options["momentum"])
    if name not in kinds:
        raise setting_fault("optimizer", f"must be sgd, rmsprop, adam, adamw or nadam, not {name!r}")
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}  # the fewer the better: each costs a call a step
    for own, parameter in model.named_parameters():
        scale = 1.0 if own.startswith(tuple(head)) else options["body_learning_rate"]
        decay = options["weight_decay"] if _is_weight(parameter) else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
    return Optimizer(kinds[name], groups)


def _kinds(momentum: float) -> dict[str, _Kind]:
    return {
        "sgd": _Kind(partial(_sgd, momentum), ("momentum_buffer",) if momentum else (), is_fused=True),
        "rmsprop": _Kind(_rmsprop, ("step", "square_avg")),
        "adam": _Kind(
            partial(_adam, torch._fused_adam_), ("step", "exp_avg", "exp_avg_sq"), is_fused=True, is_counted=True
        ),
        "adamw": _Kind(
            partial(_adam, torch._fused_adamw_), ("step", "exp_avg", "exp_avg_sq"), is_fused=True, is_counted=True
        ),
        "nadam": _Kind(_nadam, ("step", "exp_avg", "exp_avg_sq", "mu_product")),
    }


def _is_weight(parameter: Tensor) -> bool:
    """Biases and the gains of norms are vectors."""
    return parameter.dim() > 1


# --- the rules -------------------------------------------------------------------------------------------------------


def _sgd(
    momentum: float, parameters: list[Tensor], gradients: list[Tensor], state: State, rate: float, decay: float
) -> None:
    torch._fused_sgd_(
        parameters,
        gradients,
        state.get("momentum_buffer", []),
        weight_decay=decay,
        momentum=momentum,
        lr=rate,
        dampening=0.0,
        nesterov=momentum > 0,
        maximize=False,
        is_first_step=False,
    )


def _adam(
    fused: Callable[..., None],
    parameters: list[Tensor],
    gradients: list[Tensor],
    state: State,
    rate: float,
    decay: float,
) -> None:
    fused(
        parameters,
        gradients,
        state["exp_avg"],
        state["exp_avg_sq"],
        [],
        state["step"],
        lr=rate,
        beta1=_BETA1,
        beta2=_BETA2,
        weight_decay=decay,
        eps=_EPSILON,
        amsgrad=False,
        maximize=False,
    )


def _rmsprop(parameters: list[Tensor], gradients: list[Tensor], state: State, rate: float, decay: float) -> None:
    rmsprop(
        parameters,
        gradients,
        state["square_avg"],
        [],
        [],
        state["step"],
        foreach=True,
        lr=rate,
        alpha=_ALPHA,
        eps=_EPSILON,
        weight_decay=decay,
        momentum=0.0,
        centered=False,
    )


def _nadam(parameters: list[Tensor], gradients: list[Tensor], state: State, rate: float, decay: float) -> None:
    nadam(
        parameters,
        gradients,
        state["exp_avg"],
        state["exp_avg_sq"],
        state["mu_product"],
        state["step"],
        decoupled_weight_decay=True,
        foreach=True,
        beta1=_BETA1,
        beta2=_BETA2,
        lr=rate,
        weight_decay=decay,
        momentum_decay=_MOMENTUM_DECAY,
        eps=_EPSILON,
    )


# --- L1 --------------------------------------------------------------------------------------------------------------


def with_l1(parameters: Sequence[Tensor], gradients: Sequence[Tensor], strength: float) -> tuple[Tensor, ...]:
    """The gradients with the subgradient of strength * sum |w| over the weights added: strength * sign(w).

    Weights are as for weight decay.
    """
    with torch.no_grad():
        return tuple(
            torch.add(gradient, parameter.sign(), alpha=strength) if _is_weight(parameter) else gradient
            for parameter, gradient in zip(parameters, gradients, strict=True)
        )
