"""The learning-rate range test (Smith 2017, "Cyclical learning rates for training neural networks", section 3.3).

One short training whose learning rate grows from step to step shows where a network learns at all, and from where on it
falls apart.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from hpsearch.errors import InvalidInput
from hpsearch.objectives.objective import with_defaults
from hpsearch.objectives.rnn.data.augmentation import augmentation_of
from hpsearch.objectives.rnn.data.prepared import Prepared, prepare
from hpsearch.objectives.rnn.data.readers import read_dataset, resolve
from hpsearch.objectives.rnn.faults import setting_fault
from hpsearch.objectives.rnn.network.architecture import architecture_of
from hpsearch.objectives.rnn.network.model import SequenceModel
from hpsearch.objectives.rnn.network.transfer import start_from
from hpsearch.objectives.rnn.objective import check_parameters, device_of
from hpsearch.objectives.rnn.parameters import INFO
from hpsearch.objectives.rnn.training.losses import loss_of
from hpsearch.objectives.rnn.training.training import Training
from hpsearch.trials import Scalar

LOWEST, HIGHEST = 1e-6, 10.0
STEPS = 150
SMOOTHED = 28
"""The loss is averaged over this part of the steps to either side."""
BEFORE = 5
"""In the first of so many parts of the steps nothing is learnt yet: they tell the loss before."""
BLOWN_UP = 4.0
"""The test ends where the loss is so many times its least."""
LEAST_FALL = 0.02
"""A fall of a smaller part of the loss is none."""
LEAST_NOISES = 4.0
"""Nor is one of less than so many deviations of the averaged loss."""
BEGUN, DONE = 0.1, 0.9
"""Parts of the whole fall of the loss after which learning has begun, and from which on little is left: a network that
has learnt by then may stand rates at which none would learn."""
UNDONE = 0.5
"""Where so much of a fall is undone again the network has fallen apart, whatever comes after."""
NARROWEST = 10.0
"""A range is at least so many times as high as it is low."""


@dataclass(frozen=True, slots=True)
class RangeTest:
    """What the test saw, and what it makes of it."""

    rates: tuple[float, ...]
    """Learning rates, rising."""
    losses: tuple[float, ...]
    """The smoothed training loss at each."""
    low: float
    """From here on the network learns."""
    high: float
    """Up to here the network goes on learning."""
    steepest: float
    """Where the loss falls fastest."""


def range_test(
    parameters: Mapping[str, Scalar], data_roots: Sequence[Path], *, seed: int = 0, steps: int = STEPS
) -> RangeTest:
    """Train a network of these parameters (settings and all; the learning rate's is of no effect) for some steps, on
    one thread. The same parameters and data give the same result.

    Raises `InvalidInput` where the parameters or data are wrong, or where no learning rate made the loss fall.
    """
    check_parameters(parameters)
    options = with_defaults(INFO, parameters) | {"schedule": "constant", "warmup_epochs": 0.0, "averaging": "none"}
    roots = tuple(data_roots)
    ratio = math.log(HIGHEST / LOWEST) / (steps - 1)
    rates = [LOWEST * math.exp(ratio * step) for step in range(steps)]
    with _one_thread():
        prepared = prepare(read_dataset(options, roots), options, device_of(options))[0]
        losses = _losses(_training(prepared, options, _start(options["start_from"], roots), seed), rates)
    return judged(rates[: len(losses)], losses)


@contextmanager
def _one_thread() -> Iterator[None]:
    """As a worker's slot has it; and another number of threads would give other sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _start(name: str | None, roots: tuple[Path, ...]) -> Path | None:
    if name is not None and name.startswith("study:"):
        problem = f"is {name!r}, but the learning-rate range test asks no server: name a file below a data folder"
        raise setting_fault("start_from", problem)
    return None if name is None else resolve(name, roots, "start_from")


def _training(prepared: Prepared, options: Mapping[str, Any], start: Path | None, seed: int) -> Training:
    torch.manual_seed(seed)
    model = SequenceModel(architecture_of(options, prepared.data)).to(prepared.device)
    if start is not None:
        start_from(model, start)
    loss = loss_of(options, prepared.task, prepared.class_weights(options))
    augmentation = augmentation_of(options, prepared.task)
    return Training(model, prepared.splits["train"], loss, augmentation, options, seed)


def _losses(training: Training, rates: Sequence[float]) -> list[float]:
    """The loss of each step, up to where the network has fallen apart."""
    losses: list[float] = []
    least, width = math.inf, 2 * (len(rates) // SMOOTHED) + 1
    for loss in training.losses(rates):
        if not math.isfinite(loss):
            break
        losses.append(loss)
        if len(losses) >= width:
            mean = fmean(losses[-width:])
            least = min(least, mean)
            if mean > BLOWN_UP * least:
                break
    return losses


def judged(rates: Sequence[float], losses: Sequence[float]) -> RangeTest:
    """The range in which the loss, averaged, falls: from a tenth of its fall to nine tenths.

    Raises `InvalidInput` where it does not fall.
    """
    before = losses[: len(losses) // BEFORE]
    if len(before) < 3:
        raise InvalidInput(f"the learning-rate range test: the loss is of no use after {len(losses)} steps already")
    side = max(1, len(losses) // SMOOTHED)
    smooth = [fmean(losses[step - side : step + side + 1]) for step in range(side, len(losses) - side)]
    rates = rates[side : len(losses) - side]
    start = fmean(before)
    least_fall = max(LEAST_FALL * abs(start), LEAST_NOISES * _noise(losses) / math.sqrt(2 * side + 1))
    least = _least(smooth, start, least_fall)
    fall = start - least
    if fall < least_fall:
        raise InvalidInput(
            f"the learning-rate range test: the loss fell at no learning rate from {rates[0]:.0e} to {rates[-1]:.0e}; "
            f"it was {start:.4g} at first and {least:.4g} at its least"
        )
    done = next(step for step, loss in enumerate(smooth) if start - loss >= DONE * fall)
    begin = max((step + 1 for step in range(done) if start - smooth[step] < BEGUN * fall), default=0)
    steepest = min(range(begin, done + 1), key=lambda step: smooth[step] - smooth[max(0, step - side)])
    high = rates[done]
    return RangeTest(tuple(rates), tuple(smooth), min(rates[begin], high / NARROWEST), high, rates[steepest])


def _noise(losses: Sequence[float]) -> float:
    """The deviation of a step's loss, by what neighbours differ (von Neumann 1941): a slow fall adds little to that."""
    half = losses[: len(losses) // 2]
    return math.sqrt(fmean((after - before) ** 2 for before, after in pairwise(half)) / 2)


def _least(smooth: Sequence[float], start: float, least_fall: float) -> float:
    """The least loss before the network falls apart."""
    least = smooth[0]
    for loss in smooth:
        least = min(least, loss)
        fall = start - least
        if fall >= least_fall and start - loss < (1 - UNDONE) * fall:
            break
    return least
