"""Schedules: the rates of torch's own schedulers, and a plateau's small state."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Literal

import pytest
import torch
from torch.optim import lr_scheduler

from hpsearch.objectives.rnn.training.schedules import Plateau, Schedule, plateau_after, schedule_of

OPTIONS: Mapping[str, Any] = {
    "schedule": "constant",
    "learning_rate": 0.1,
    "schedule_factor": 0.3,
    "schedule_epochs": 3,
    "max_epochs": 8,
    "warmup_epochs": 0.0,
}
STEPS = 5
"""Of an epoch."""


def make(steps_per_epoch: int = STEPS, **options: Any) -> Schedule:
    return schedule_of({**OPTIONS, **options}, steps_per_epoch)


def rates(schedule: Schedule, steps: int = 8 * STEPS) -> list[float]:
    return [schedule.rate(step) for step in range(steps)]


def torch_rates(make: Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler], steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    scheduler = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(found) < steps:
            scheduler.step()
    return found


def test_constant_stays() -> None:
    assert rates(make()) == [0.1] * 40


@pytest.mark.parametrize(
    ("name", "scheduler"),
    [
        ("step", lambda optimizer: lr_scheduler.StepLR(optimizer, 3, 0.3)),
        ("exponential", lambda optimizer: lr_scheduler.ExponentialLR(optimizer, 0.3)),
    ],
)
def test_schedules_of_epochs_are_torchs(name: str, scheduler: Any) -> None:
    epochs = torch_rates(scheduler, 8)
    assert rates(make(schedule=name)) == pytest.approx([rate for rate in epochs for _ in range(STEPS)])


def test_cosine_is_torchs() -> None:
    found = rates(make(schedule="cosine"))
    assert found == pytest.approx(torch_rates(lambda own: lr_scheduler.CosineAnnealingLR(own, 40), 40))
    assert found[0] == 0.1
    assert 0 < found[-1] < 0.001


@pytest.mark.parametrize("steps_per_epoch", [1, 5, 13])
@pytest.mark.parametrize("epochs", [2, 3, 10])
def test_one_cycle_is_torchs(steps_per_epoch: int, epochs: int) -> None:
    total = steps_per_epoch * epochs
    found = rates(make(steps_per_epoch, schedule="one_cycle", max_epochs=epochs), total)
    expected = torch_rates(
        lambda own: lr_scheduler.OneCycleLR(own, 0.1, total_steps=total, cycle_momentum=False), total
    )
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
def test_whole_steps_of_warmup_are_torchs_linear_rise(schedule: str) -> None:
    warm = rates(make(schedule=schedule, warmup_epochs=2.0))
    line = torch_rates(lambda own: lr_scheduler.LinearLR(own, start_factor=0.1, total_iters=9), 40)
    cold = rates(make(schedule=schedule))
    assert warm == pytest.approx([rate * share / 0.1 for rate, share in zip(cold, line, strict=True)])
    assert warm[10:] == cold[10:]


def test_warmup_may_be_a_part_of_an_epoch() -> None:
    assert rates(make(warmup_epochs=0.5), 4) == pytest.approx([0.04, 0.08, 0.1, 0.1])
    assert rates(make(warmup_epochs=0.01), 2) == [0.1, 0.1]


def test_drops_are_the_plateaus_alone() -> None:
    assert make(schedule="plateau").rate(7, drops=2) == pytest.approx(0.1 * 0.3**2)
    assert make(schedule="constant").rate(7, drops=2) == 0.1


@pytest.mark.parametrize(("direction", "mode"), [("minimize", "min"), ("maximize", "max")])
@pytest.mark.parametrize("patience", [1, 2, 4])
def test_a_plateau_drops_when_torchs_does(
    direction: Literal["minimize", "maximize"], mode: Literal["min", "max"], patience: int
) -> None:
    draw = random.Random(patience)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    # torch's patience are the epochs that it bears, ours those after which the rate drops
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, mode, 0.3, patience - 1, threshold=0.0, eps=0.0)
    schedule, state = make(schedule="plateau"), Plateau()
    for epoch in range(60):
        value = draw.choice([-1, 1]) * draw.random() + (epoch // 10) * (-0.3 if mode == "min" else 0.3)
        scheduler.step(value)
        # through JSON, as a checkpoint has it
        state = Plateau(**json.loads(json.dumps(asdict(plateau_after(state, value, direction, patience)))))
        assert schedule.rate(epoch, state.drops) == pytest.approx(optimizer.param_groups[0]["lr"])
    assert state.drops > 2


def test_an_equal_value_is_no_progress() -> None:
    state = plateau_after(plateau_after(Plateau(), 1.0, "minimize", 2), 1.0, "minimize", 2)
    assert state == Plateau(1.0, 1, 0)
    assert plateau_after(state, 1.0, "minimize", 2) == Plateau(1.0, 0, 1)
