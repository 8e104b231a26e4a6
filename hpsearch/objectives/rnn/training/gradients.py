"""Gradients on their way to the optimizer: clipped, measured, and what the measures say of a trial."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

MARKS = ("exploding", "vanishing")

LARGEST_NORM = 1e6
"""No norm of scaled data comes near it."""
SPIKE = 100.0
"""So many times the usual norm is out of the ordinary, where the norm itself is above this too. (Norms up to ten times
the usual one are in order: Pascanu et al. 2013, section 3.2.)"""
DECAYED = 1e-4
"""A norm below this part of the first epoch's is one that moves nothing."""
LOST = torch.finfo(torch.float32).eps
"""A part of a gradient below this is lost when the rest is added to it."""
LEARNED = 0.9
"""A loss below this part of the first epoch's: something has been learned."""
BEGINNING = 5
"""Epochs that a network may take before anything is learned: at first a forget gate of 0.73 (a bias of 1) shuts even an
LSTM off from what is a hundred steps back."""


class GradientRecord:
    """The norms of an epoch's gradients before clipping. They stay on the device, so that no step waits for numbers."""

    def __init__(self, values: Tensor) -> None:
        """`values`: float64 [5]: how many norms, their sum, the largest, the smallest, and the reach (see `watch`)."""
        self._values = values
        # views, made once
        self._count, self._sum, self._largest, self._smallest, self._reach = (values[place] for place in range(5))

    @classmethod
    def new(cls, device: torch.device) -> "GradientRecord":
        """An empty one."""
        return cls(torch.tensor([0.0, 0.0, -math.inf, math.inf, math.nan], dtype=torch.float64, device=device))

    @classmethod
    def of(cls, state: Tensor) -> "GradientRecord":
        """The inverse of `state`."""
        return cls(state.clone())

    def state(self) -> Tensor:
        """All that is to be saved: float64 [5]. Not a copy."""
        return self._values

    def add(self, norm: Tensor) -> None:
        """Take down one step's norm, a tensor of no dimensions."""
        self._count.add_(1)
        self._sum.add_(norm)
        torch.maximum(self._largest, norm, out=self._largest)
        torch.minimum(self._smallest, norm, out=self._smallest)

    def watch(self, values: Tensor, lengths: Tensor) -> Tensor:
        """The same values [batch, steps, features], with an eye on the gradient that comes back to them: how much of
        it reaches the first half of each sequence, by `lengths` [batch].

        For the inputs or embeddings of a batch, now and then: once an epoch will do.
        """
        values = values if values.requires_grad else values.detach().requires_grad_()
        values.register_hook(lambda gradient: self._note_reach(gradient, lengths))  # type: ignore[no-untyped-call]
        return values

    def _note_reach(self, gradient: Tensor, lengths: Tensor) -> None:
        sizes = gradient.abs().sum(dim=2)  # squares would underflow: these are as small as 1e-30
        early = torch.arange(sizes.shape[1], device=sizes.device) < lengths[:, None] / 2
        self._reach.copy_((sizes * early).sum() / sizes.sum())

    def metrics(self) -> dict[str, float]:
        """`gradient_norm` (the mean), `gradient_norm_max` and `gradient_norm_min`, after one step at least; and
        `gradient_reach` (0 to 1) where something was watched."""
        count, total, largest, smallest, reach = self._values.tolist()
        metrics = {
            "gradient_norm": total / count,
            "gradient_norm_max": largest,
            "gradient_norm_min": smallest,
        }
        return metrics if math.isnan(reach) else metrics | {"gradient_reach": reach}


def clip_(
    parameters: Iterable[Tensor], clip_norm: float | None, clip_value: float | None, record: GradientRecord
) -> None:
    """Clip gradients in place, and record their norm before it: that of all of them as one vector.

    First all are scaled down to `clip_norm` where their norm exceeds it (Pascanu et al. 2013, algorithm 1), then each
    is cut to between -clip_value and clip_value. None and 0: not done. Parameters without gradients are left out.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    # as torch.nn.utils has it, which spends as much time again on sorting by device and type
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    record.add(norm)
    if clip_norm:
        torch._foreach_mul_(gradients, (clip_norm / (norm + 1e-6)).clamp_(max=1.0))
    if clip_value:
        torch._foreach_clamp_min_(gradients, -clip_value)
        torch._foreach_clamp_max_(gradients, clip_value)


def marked(state: Mapping[str, Any], metrics: Mapping[str, float]) -> dict[str, Any]:
    """What is to be remembered of the epochs so far (plain, finite values; {} before the first), after one more.

    `mark` is one of `MARKS` or None. `metrics` are a record's and `train_loss`.

    - exploding: a norm was not finite, or above `LARGEST_NORM`, or above `SPIKE` and `SPIKE` times the usual one, the
      geometric mean of the epochs before. Such gradients grow exponentially with the steps they go back (Bengio et
      al. 1994; Pascanu et al. 2013, section 2.1). The mark stays.
    - vanishing: after more than `BEGINNING` epochs the loss is still not below `LEARNED` times the first epoch's, and
      either the mean norm is below `DECAYED` times the first epoch's, or of the gradient of a watched batch a part
      below `LOST` reaches the first half of its sequences: the same, shrinking. The mark goes when that is over.
    """
    after = dict(state)
    if state.get("mark") == "exploding" or _is_exploding(state, metrics):
        after["mark"] = "exploding"
        return after
    after["mark"] = "vanishing" if _is_vanishing(state, metrics) else None
    norm = metrics["gradient_norm"]
    after.setdefault("first_norm", norm)
    after.setdefault("first_loss", metrics["train_loss"])
    # the mean of the logarithms: one epoch's spike hardly moves it
    epochs = state.get("epochs", 0)
    log_norm = math.log(max(norm, 1e-30))
    after["log_norm"] = (state.get("log_norm", 0.0) * epochs + log_norm) / (epochs + 1)
    after["epochs"] = epochs + 1
    return after


def _is_exploding(state: Mapping[str, Any], metrics: Mapping[str, float]) -> bool:
    largest = metrics["gradient_norm_max"]
    usual = math.exp(state["log_norm"]) if "log_norm" in state else math.inf
    return not math.isfinite(largest) or largest > LARGEST_NORM or largest > SPIKE * max(usual, 1.0)


def _is_vanishing(state: Mapping[str, Any], metrics: Mapping[str, float]) -> bool:
    if state.get("epochs", 0) < BEGINNING or metrics["train_loss"] < LEARNED * state["first_loss"]:
        return False
    has_decayed = metrics["gradient_norm"] < DECAYED * state["first_norm"]
    is_lost = metrics.get("gradient_reach", 1.0) < LOST
    return has_decayed or is_lost
