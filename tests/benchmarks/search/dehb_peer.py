"""DEHB (Awad et al. 2021) on the simulated clock, by its ask and tell."""

import shutil
import tempfile
import weakref
from typing import Any

import ConfigSpace
from dehb import DEHB

from tests.benchmarks.search.clock import Job
from tests.benchmarks.search.tasks import Task

DIVERGED = 1e9


def space_of(task: Task, seed: int) -> Any:
    """A space as ConfigSpace has it."""
    space = ConfigSpace.ConfigurationSpace(seed=seed)
    for name, parameter in task.space.items():
        if parameter["type"] == "categorical":
            space.add(ConfigSpace.CategoricalHyperparameter(name, parameter["choices"]))
        elif parameter.get("step"):
            low, high, step = parameter["low"], parameter["high"], parameter["step"]
            points = [low + step * at for at in range(1 + round((high - low) / step))]
            space.add(ConfigSpace.OrdinalHyperparameter(name, points))
        else:
            integer = parameter["type"] == "int"
            kind = ConfigSpace.UniformIntegerHyperparameter if integer else ConfigSpace.UniformFloatHyperparameter
            log = bool(parameter.get("log"))
            space.add(kind(name, lower=parameter["low"], upper=parameter["high"], log=log))
    return space


class DifferentialEvolution:
    """Its defaults, fidelities from 1 epoch to all. A promoted configuration begins anew, as in DEHB's own runs."""

    def __init__(self, task: Task, seed: int) -> None:
        self._task = task
        folder = tempfile.mkdtemp(prefix="hpsearch-dehb-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._dehb = DEHB(
            cs=space_of(task, seed),
            min_fidelity=1,
            max_fidelity=task.epochs,
            seed=seed,
            n_workers=1,
            save_freq=None,
            log_level="ERROR",
            output_path=folder,
        )

    def ask(self) -> Job | None:
        info = self._dehb.ask()
        return Job(info, dict(info["config"]), end=max(1, round(float(info["fidelity"]))))

    def report(self, job: Job, epoch: int, loss: float) -> bool:
        return True

    def tell(self, job: Job, loss: float | None, *, stopped: bool) -> None:
        self._dehb.tell(job.key, {"fitness": DIVERGED if loss is None else loss, "cost": float(job.end or 1)})


def dehb(task: Task, seed: int) -> DifferentialEvolution:
    return DifferentialEvolution(task, seed)
