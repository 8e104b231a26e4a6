"""Ray Tune on the simulated clock: its scheduler and searcher objects, called as its controller calls them."""

from typing import Any, NamedTuple

import numpy as np
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from tests.benchmarks.search.clock import Job
from tests.benchmarks.search.optuna_peer import distributions_of
from tests.benchmarks.search.tasks import Task


class _Trial(NamedTuple):
    trial_id: str


class RayTune:
    """ASHA with its defaults but for the length of a curve; parameters at random, or by Ray's Optuna search."""

    def __init__(self, task: Task, seed: int, searcher: OptunaSearch | None) -> None:
        self._task, self._searcher, self._begun = task, searcher, 0
        self._rng = np.random.default_rng(seed)
        np.random.seed(seed)  # the scheduler's own source
        self._scheduler = ASHAScheduler(
            time_attr="training_iteration", metric="loss", mode="min", max_t=max(task.epochs, 2)
        )

    def ask(self) -> Job | None:
        trial = _Trial(f"{self._begun:06d}")
        self._begun += 1
        parameters = self._searcher.suggest(trial.trial_id) if self._searcher else random_point(self._task, self._rng)
        self._scheduler.on_trial_add(None, trial)
        return Job(trial, parameters)

    def report(self, job: Job, epoch: int, loss: float) -> bool:
        result = {"training_iteration": epoch, "loss": loss}
        decision = self._scheduler.on_trial_result(None, job.key, result)
        if decision == "STOP":
            return False
        if self._searcher:
            self._searcher.on_trial_result(job.key.trial_id, result)
        return True

    def tell(self, job: Job, loss: float | None, *, stopped: bool) -> None:
        result = {"training_iteration": self._task.epochs, "loss": loss}
        if not stopped and loss is not None:
            self._scheduler.on_trial_complete(None, job.key, result)
        if self._searcher:
            # of a trial that its scheduler stops, Ray tells the searcher the last result as if it were the end's
            self._searcher.on_trial_complete(job.key.trial_id, result if loss is not None else None, error=loss is None)


def random_point(task: Task, rng: np.random.Generator) -> dict[str, Any]:
    """An independent draw from a space."""
    found: dict[str, Any] = {}
    for name, parameter in task.space.items():
        if parameter["type"] == "categorical":
            found[name] = parameter["choices"][rng.integers(len(parameter["choices"]))]
            continue
        low, high = parameter["low"], parameter["high"]
        value = np.exp(rng.uniform(np.log(low), np.log(high))) if parameter.get("log") else rng.uniform(low, high)
        if step := parameter.get("step"):
            value = low + step * round((value - low) / step)
        found[name] = round(value) if parameter["type"] == "int" else float(value)
    return found


def asha(task: Task, seed: int) -> RayTune:
    return RayTune(task, seed, None)


def asha_optuna(task: Task, seed: int) -> RayTune:
    return RayTune(task, seed, OptunaSearch(distributions_of(task), metric="loss", mode="min", seed=seed))
