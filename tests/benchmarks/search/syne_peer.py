"""Syne Tune on the simulated clock: its scheduler objects, called as its tuner calls them."""

import logging
from datetime import UTC, datetime
from typing import Any

import numpy as np
from syne_tune import config_space
from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer.baselines import ASHA, ASHABORE, BOHB

from tests.benchmarks.search.clock import Job
from tests.benchmarks.search.tasks import Task

logging.disable(logging.WARNING)


def space_of(task: Task) -> dict[str, Any]:
    """A space as Syne Tune's domains."""
    found = {}
    for name, parameter in task.space.items():
        if parameter["type"] == "categorical":
            found[name] = config_space.choice(parameter["choices"])
            continue
        low, high, step = parameter["low"], parameter["high"], parameter.get("step")
        if step:
            found[name] = config_space.finrange(low, high, 1 + round((high - low) / step))
        elif parameter["type"] == "int":
            found[name] = (config_space.lograndint if parameter.get("log") else config_space.randint)(low, high)
        else:
            found[name] = (config_space.loguniform if parameter.get("log") else config_space.uniform)(low, high)
    return found


class SyneTune:
    """One of its asynchronous successive halving schedulers, with their defaults but for the length of a curve."""

    def __init__(self, task: Task, seed: int, kind: Any) -> None:
        np.random.seed(seed)
        self._task, self._begun = task, 0
        self._scheduler = kind(
            space_of(task), metric="loss", time_attr="epoch", max_t=max(task.epochs, 2), random_seed=seed
        )

    def ask(self) -> Job | None:
        trial = Trial(self._begun, self._scheduler.suggest().config, datetime.now(UTC))
        self._begun += 1
        self._scheduler.on_trial_add(trial)
        return Job(trial, trial.config)

    def report(self, job: Job, epoch: int, loss: float) -> bool:
        return str(self._scheduler.on_trial_result(job.key, {"loss": loss, "epoch": epoch})) == "CONTINUE"

    def tell(self, job: Job, loss: float | None, *, stopped: bool) -> None:
        if loss is None:
            self._scheduler.on_trial_error(job.key)
        elif stopped:
            self._scheduler.on_trial_remove(job.key)
        else:
            self._scheduler.on_trial_complete(job.key, {"loss": loss, "epoch": self._task.epochs})


def asha(task: Task, seed: int) -> SyneTune:
    return SyneTune(task, seed, ASHA)


def asha_bore(task: Task, seed: int) -> SyneTune:
    return SyneTune(task, seed, ASHABORE)


def bohb(task: Task, seed: int) -> SyneTune:
    return SyneTune(task, seed, BOHB)
