"""Learning rates as functions of the step: a resumed trial needs no state for them, but for what a plateau is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# torch's OneCycleLR: the part of the steps that goes up, and the peak over the first and the first over the last rate
_RISE = 0.3
_FIRST_DIVISOR = 25.0
_LAST_DIVISOR = 1e4


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The learning rate of every step of a training, warm-up included.

    - constant: the peak;
    - step: times `factor` every `epochs` epochs;
    - exponential: times `factor` every epoch;
    - cosine: half a cosine from the peak to 0 over the whole training, without restarts (Loshchilov and Hutter 2017,
      equation 5);
    - one_cycle: from 1/25 of the peak up to it in the first 30% of the steps, then down to 1/250,000, both along half a
      cosine (Smith and Topin 2018);
    - plateau: times `factor` whenever the searched metric has stalled (`plateau_after`).

    Warm-up multiplies any of these with a line from near 0 to 1 (Goyal et al. 2017); it is a part of the training, not
    put before it.
    """

    kind: str
    peak: float
    factor: float
    epochs: int
    steps_per_epoch: int
    total_steps: int
    warmup_steps: float

    def rate(self, step: int, drops: int = 0) -> float:
        """The learning rate of a step of the whole training, from 0 on; `drops` are the plateau's."""
        return self.peak * self._share(step, drops) * self._warmth(step)

    def _share(self, step: int, drops: int) -> float:
        """Of the peak."""
        epoch = step // self.steps_per_epoch
        match self.kind:
            case "step":
                return float(self.factor ** (epoch // self.epochs))
            case "exponential":
                return float(self.factor**epoch)
            case "cosine":
                return _half_cosine(1.0, 0.0, step / self.total_steps)
            case "one_cycle":
                return self._one_cycle(step)
            case "plateau":
                return float(self.factor**drops)
        return 1.0

    def _one_cycle(self, step: int) -> float:
        first, top, last = 1 / _FIRST_DIVISOR, _RISE * self.total_steps - 1, self.total_steps - 1
        if step <= top:
            return _half_cosine(first, 1.0, step / top)
        return _half_cosine(1.0, first / _LAST_DIVISOR, (step - top) / (last - top))

    def _warmth(self, step: int) -> float:
        """The first step is a step too: it is not taken at 0."""
        return 1.0 if step + 1 >= self.warmup_steps else (step + 1) / self.warmup_steps


def schedule_of(options: Mapping[str, Any], steps_per_epoch: int) -> Schedule:
    """The schedule that the parameters ask for."""
    return Schedule(
        kind=options["schedule"],
        peak=options["learning_rate"],
        factor=options["schedule_factor"],
        epochs=options["schedule_epochs"],
        steps_per_epoch=steps_per_epoch,
        total_steps=options["max_epochs"] * steps_per_epoch,
        warmup_steps=options["warmup_epochs"] * steps_per_epoch,
    )


def _half_cosine(start: float, end: float, part: float) -> float:
    """From start (part 0) to end (part 1)."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * part))


@dataclass(frozen=True, slots=True)
class Plateau:
    """How often the searched metric has stalled. Plain values."""

    best: float | None = None
    stale_epochs: int = 0
    """Since the best value or the latest drop."""
    drops: int = 0


def plateau_after(state: Plateau, value: float, direction: str, patience: int) -> Plateau:
    """The state after an epoch of this value (finite); `direction` is minimize or maximize.

    Any better value counts as progress. After `patience` epochs without one the learning rate drops, as early stopping
    counts them; torch's ReduceLROnPlateau waits one epoch more.
    """
    sign = 1 if direction == "maximize" else -1
    if state.best is None or sign * value > sign * state.best:
        return Plateau(value, 0, state.drops)
    stale = state.stale_epochs + 1
    return Plateau(state.best, 0, state.drops + 1) if stale >= patience else Plateau(state.best, stale, state.drops)
