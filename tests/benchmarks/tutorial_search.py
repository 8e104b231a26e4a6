"""The peer: Optuna around the tutorial loop, as its users have it. `python -m tests.benchmarks.tutorial_search` reads
a `Search` as JSON, and prints when its trials began and ended."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
import torch
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from tests.benchmarks import tutorial_peer
from tests.benchmarks.training_work import SPACE, Work

STUDY = "search"


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What one process is to do."""

    dataset: str
    folder: str
    cell: str
    epochs: int
    configurations: list[dict[str, Any]]
    jobs: int
    """Trials at a time, in threads."""
    threads: int | None = None
    """For `torch.set_num_threads`; None leaves torch its own."""
    storage: str | None = None
    """SQLAlchemy URL of a study that is there already; None: in memory."""


class Given(BaseSampler):
    """Gives each trial its configuration, so that every side trains the same and their work is equal. Optuna's queue
    (`enqueue_trial`) would do, but that two processes on SQLite at times take the same trial from it."""

    def __init__(self, configurations: list[dict[str, Any]]) -> None:
        self._configurations = configurations

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._configurations[trial.number][param_name]


def run(search: Search) -> optuna.Study:
    """The study, after this process's last trial."""
    if search.threads is not None:
        torch.set_num_threads(search.threads)
    sampler, trials = Given(search.configurations), len(search.configurations)
    if search.storage is None:
        study = optuna.create_study(sampler=sampler)
        study.optimize(_objective(search), n_trials=trials, n_jobs=search.jobs)
    else:
        study = optuna.load_study(study_name=STUDY, storage=search.storage, sampler=sampler)
        study.optimize(_objective(search))  # until a trial begins that has no configuration
    return study


def _objective(search: Search) -> Any:
    def objective(trial: optuna.Trial) -> float:
        if trial.number >= len(search.configurations):
            trial.study.stop()
            raise optuna.TrialPruned
        work = Work(
            dataset=search.dataset,
            folder=search.folder,
            cell=search.cell,
            units=trial.suggest_int("hidden_units", *SPACE["hidden_units"]),
            batch_size=trial.suggest_categorical("batch_size", SPACE["batch_size"]),
            learning_rate=trial.suggest_float("learning_rate", *SPACE["learning_rate"], log=True),
            epochs=search.epochs,
        )
        losses: list[float] = []

        def end_epoch(loss: float) -> None:
            losses.append(loss)
            trial.report(loss, len(losses))

        tutorial_peer.train(work, end_epoch)
        return min(losses)

    return objective


def times(study: optuna.Study) -> Mapping[str, list[float]]:
    """When its complete trials began and ended, in seconds since 1970."""
    complete = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    began = [trial.datetime_start.timestamp() for trial in complete if trial.datetime_start]
    return {
        "began": began,
        "ended": [trial.datetime_complete.timestamp() for trial in complete if trial.datetime_complete],
    }


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.manual_seed(0)
    print(json.dumps(times(run(Search(**json.load(sys.stdin))))))
