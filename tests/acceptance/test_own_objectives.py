"""Objectives that are not ours, as real workers run them: scikit-learn, LightGBM, a loop in plain PyTorch."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpsearch.spec import load_study_file
from hpsearch.trials import TrialState
from tests import zygote
from tests.acceptance.conftest import Cluster
from tests.waiting import wait_until

MakeCluster = Callable[[str | None], Cluster]
EXAMPLES = Path(__file__).parent.parent.parent / "studies" / "own"
OBJECTIVES = ("--objective", "forest:forest", "--objective", "boosting:boost", "--objective", "loop:Loop")


def start_worker(cluster: Cluster, name: str, *objectives: str) -> Any:
    """A worker in the folder of the examples, as a user starts one; returned once it has published them."""
    process = cluster.start_worker(name, 1, *(objectives or OBJECTIVES), cwd=EXAMPLES)
    wait_until(lambda: process.poll() is not None or name in [worker.name for worker in cluster.client.workers()], name)
    assert process.poll() is None, (cluster.home / f"{len(cluster.processes) - 1}-worker.log").read_text()
    return process


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of hpsearch in the folder of the examples, from its start to its end."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HPSEARCH_")}
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = zygote.start(["hpsearch", *arguments], cwd=EXAMPLES, env=environment, **streams)
    output, complaints = process.communicate(timeout=200)
    return subprocess.CompletedProcess(arguments, process.returncode, output, complaints)


def example(name: str, trials: int, **settings: Any) -> dict[str, Any]:
    """An example's study, shorter."""
    study: dict[str, Any] = load_study_file(EXAMPLES / f"{name}.yaml")
    study["objective"]["settings"] = study["objective"].get("settings", {}) | settings
    return study | {"budget": {"trials": trials}}


def test_the_examples_run_on_one_worker(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(None)
    cluster.start_server()
    start_worker(cluster, "own")
    studies = [
        cluster.client.create_study(example("forest", 3, trees=5)),
        cluster.client.create_study(example("boosting", 3, rounds=8)),
        cluster.client.create_study(example("loop", 3, epochs=4)),
    ]
    for study in studies:
        best = study.wait(timeout=300)
        trials = study.trials()
        assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}, trials[0].reason
        assert best.trial is not None
    forest, boosting, loop = studies
    assert set(forest.trials()[0].parameters) == {"depth", "leaf", "features"}  # as its type hints declare
    assert forest.best().trial.value > 0.7  # type: ignore[union-attr,operator]
    found = boosting.best().trial
    assert found is not None
    assert "accuracy" in found.metrics
    assert "model.txt" in [artifact.name for artifact in boosting.artifacts(found.number)]
    first = loop.trials()[0]
    assert first.value == max(report.value for report in loop.reports(0))
    assert "train_loss" in loop.reports(0)[0].metrics


@pytest.mark.parametrize(
    ("name", "length", "function"), [("loop", "epochs", "loop:Loop"), ("boosting", "rounds", "boosting:boost")]
)
def test_a_killed_workers_trial_goes_on_from_its_checkpoint_and_ends_as_if_nothing_had_been(
    make_cluster: MakeCluster, name: str, length: str, function: str
) -> None:
    cluster = make_cluster(None)
    cluster.start_server()
    doomed = start_worker(cluster, "doomed", "--objective", function)
    study = cluster.client.create_study(
        example(name, 1, checkpoint_seconds=0.0, **{length: 60}) | {"pruner": {"name": "none"}}
    )
    wait_until(lambda: study.refresh().counts.running and (study.trial(0).last_step or 0) >= 10, "it is on its way")
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.wait()
    lost = study.trial(0)
    assert lost.state is TrialState.RUNNING
    start_worker(cluster, "heir", "--objective", function)
    study.wait(timeout=300)
    trial = study.trial(0)
    assert (trial.state, trial.attempt, trial.worker) == (TrialState.COMPLETE, 2, "heir")
    reports = study.reports(0)
    assert [report.step for report in reports] == list(range(1, 61))
    attempts = [report.attempt for report in reports]
    assert attempts == sorted(attempts)
    assert attempts.count(1) >= 9  # nothing before the last checkpoint was done again
    if name == "loop":  # LightGBM begins its random numbers anew
        again = run_command("trial", "replay", study.name, "0", "--server", cluster.url, "--objective", function)
        assert again.returncode == 0, again.stdout[-3000:] + again.stderr
        assert "identical to the bit" in again.stdout


@pytest.mark.parametrize(
    ("objective", "problem"),
    [
        ("forst:forest", "there is no module 'forst'"),
        ("forest:florest", "forest has no 'florest' (did you mean 'forest'?)"),
        ("forest:X", "which cannot be called"),
        ("forest.py:forest", "must be package.module:function"),
    ],
)
def test_a_wrong_objective_ends_the_worker_at_once(objective: str, problem: str) -> None:
    process = run_command("worker", "--server", "http://127.0.0.1:9", "--objective", objective)
    assert process.returncode == 1
    assert process.stderr.splitlines()[-1].startswith("error: ")
    assert problem in process.stderr.splitlines()[-1]
