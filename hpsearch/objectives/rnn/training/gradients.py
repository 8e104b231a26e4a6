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

    def __init__(self, norms: Iterable[Tensor] = (), reach: Tensor | None = None) -> None:
        """What was recorded before, for a training that goes on: see `state`."""
        self._norms, self._reach = list(norms), reach

    def state(self) -> dict[str, Tensor]:
        """All that is to be saved: `norms` [steps], and `reach`, a scalar, where one was noted."""
        norms = torch.stack(self._norms) if self._norms else torch.empty(0)
        return {"norms": norms} | ({} if self._reach is None else {"reach": self._reach})

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> "GradientRecord":
        """The inverse of `state`. Raises `KeyError` where it is of something else."""
        return cls(state["norms"], state.get("reach"))

    def add(self, norm: Tensor) -> None:
        """Take down one step's norm, a tensor of no dimensions."""
        self._norms.append(norm)

    def note_reach(self, gradient: Tensor, lengths: Tensor) -> None:
        """Take down how much of the gradient of what the first layer reads [batch, steps, features] reaches the first
        half of each sequence, by `lengths` [batch]. Now and then: once an epoch will do."""
        sizes = gradient.abs().sum(dim=2)  # squares would underflow: these are as small as 1e-30
        early = torch.arange(sizes.shape[1], device=sizes.device) < lengths[:, None] / 2
        self._reach = (sizes * early).sum() / sizes.sum()

    def metrics(self) -> dict[str, float]:
        """`gradient_norm` (the mean), `gradient_norm_max` and `gradient_norm_min`, after one step at least; and
        `gradient_reach` (0 to 1) where it was noted."""
        norms = torch.stack(self._norms).double()
        mean, largest, smallest = torch.stack([norms.mean(), norms.amax(), norms.amin()]).tolist()
        metrics = {"gradient_norm": mean, "gradient_norm_max": largest, "gradient_norm_min": smallest}
        reach = math.nan if self._reach is None else float(self._reach)
        return metrics if math.isnan(reach) else metrics | {"gradient_reach": reach}


def clipped(
    gradients: tuple[Tensor, ...], clip_norm: float | None, clip_value: float | None
) -> tuple[tuple[Tensor, ...], Tensor]:
    """The gradients clipped, and their norm before it: that of all of them as one vector.

    First all are scaled down to `clip_norm` where their norm exceeds it (Pascanu et al. 2013, algorithm 1), then each
    is cut to between -clip_value and clip_value. None and 0: not done. Those handed in stay as they are: autograd may
    give one tensor as the gradient of two parameters.
    """
    # as torch.nn.utils has it, which spends as much time again on sorting by device and type
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    if clip_norm:
        gradients = torch._foreach_mul(gradients, (clip_norm / (norm + 1e-6)).clamp_(max=1.0))
    if clip_value:
        gradients = torch._foreach_clamp_max(torch._foreach_clamp_min(gradients, -clip_value), clip_value)
    return gradients, norm


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
