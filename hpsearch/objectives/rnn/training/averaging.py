"""Averages of the weights, evaluated and kept in place of the last ones."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Averager:
    """An average of a model's weights so far. All of a model's state is averaged, so it must be of floats."""

    def __init__(self, model: nn.Module) -> None:
        self._names = list(model.state_dict())
        self._device = next(model.parameters()).device
        self._averages: list[Tensor] = []
        self._count = 0
        """Weights that went into the average."""

    def after_step(self, model: nn.Module) -> None:
        """To be called after each step of the optimizer."""

    def after_epoch(self, model: nn.Module, epoch: int) -> None:
        """To be called after each epoch, from 1 on."""

    def weights(self) -> dict[str, Tensor] | None:
        """The average, as `load_state_dict` takes it; None where there is none yet. Not a copy."""
        return dict(zip(self._names, self._averages, strict=True)) if self._count else None

    def state(self) -> dict[str, Tensor]:
        """All that is to be saved. Not copies."""
        weights = {f"weights.{name}": value for name, value in (self.weights() or {}).items()}
        return {"count": torch.tensor(self._count), **weights}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put a copy of a saved state in place; averaging then goes on to the bit. Raises `KeyError` where it is of
        another model."""
        count = int(state["count"])
        names = self._names if count else []
        self._averages = [state[f"weights.{name}"].to(self._device, copy=True) for name in names]
        self._count = count

    def _mix(self, model: nn.Module, share: float) -> None:
        """Move the average towards the model's weights by a share of the way; the first time it is these."""
        weights = list(model.state_dict().values())  # these are detached
        if self._count:
            torch._foreach_lerp_(self._averages, weights, share)
        else:
            self._averages = [weight.clone() for weight in weights]
        self._count += 1


class ExponentialAverager(Averager):
    """An exponential moving average over steps (Polyak and Juditsky 1992 on averages of iterates).

    At its start it forgets faster, as in TensorFlow's ExponentialMovingAverage: the t-th average (from 0 on) keeps
    min(decay, (1 + t) / (10 + t)) of the one before, so that the untrained weights do not linger.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self._decay = decay

    def after_step(self, model: nn.Module) -> None:
        """See `Averager`."""
        self._mix(model, 1 - min(self._decay, (1 + self._count) / (10 + self._count)))


class StochasticWeightAverager(Averager):
    """The mean of the weights at the ends of epochs (Izmailov et al. 2018, algorithm 1) after the first so many."""

    def __init__(self, model: nn.Module, epochs_before: float) -> None:
        super().__init__(model)
        self._epochs_before = epochs_before

    def after_epoch(self, model: nn.Module, epoch: int) -> None:
        """See `Averager`."""
        if epoch > self._epochs_before:
            self._mix(model, 1 / (self._count + 1))


def averager_of(options: Mapping[str, Any], model: nn.Module) -> Averager | None:
    """The averager that the parameters ask for; None where they ask for none."""
    match options["averaging"]:
        case "ema":
            return ExponentialAverager(model, options["averaging_decay"])
        case "swa":
            return StochasticWeightAverager(model, options["averaging_start"] * options["max_epochs"])
    return None
