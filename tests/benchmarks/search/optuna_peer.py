"""Optuna on the simulated clock: its own study in memory, asked and told as its manual has it."""

from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tests.benchmarks.search.clock import Job
from tests.benchmarks.search.tasks import Task

optuna.logging.set_verbosity(optuna.logging.ERROR)


def distributions_of(task: Task) -> dict[str, Any]:
    """A space as Optuna's distributions."""
    kinds = {"float": FloatDistribution, "int": IntDistribution}
    return {
        name: CategoricalDistribution(parameter["choices"])
        if parameter["type"] == "categorical"
        else kinds[parameter["type"]](**{key: value for key, value in parameter.items() if key != "type"})
        for name, parameter in task.space.items()
    }


class OptunaStudy:
    """Optuna's default sampler with one of its pruners. A trial that diverged is reported as NaN, which its pruners
    prune and its sampler takes for the worst."""

    def __init__(self, task: Task, seed: int, pruner: optuna.pruners.BasePruner) -> None:
        self._distributions = distributions_of(task)
        self._study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), pruner=pruner)

    def ask(self) -> Job | None:
        trial = self._study.ask(self._distributions)
        return Job(trial, trial.params)

    def report(self, job: Job, epoch: int, loss: float) -> bool:
        job.key.report(loss, epoch)
        return not job.key.should_prune()

    def tell(self, job: Job, loss: float | None, *, stopped: bool) -> None:
        if loss is None:
            step = (job.key.storage.get_trial(job.key._trial_id).last_step or 0) + 1
            job.key.report(float("nan"), step)
        if loss is None or stopped:
            self._study.tell(job.key, state=optuna.trial.TrialState.PRUNED)
        else:
            self._study.tell(job.key, loss)


def median(task: Task, seed: int) -> OptunaStudy:
    return OptunaStudy(task, seed, optuna.pruners.MedianPruner())


def halving(task: Task, seed: int) -> OptunaStudy:
    return OptunaStudy(task, seed, optuna.pruners.SuccessiveHalvingPruner())
