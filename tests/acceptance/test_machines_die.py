"""A study on several machines, some of which die: it ends exact, with nothing lost."""

import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

from hpsearch.studies import StudyState
from hpsearch.trials import TrialKind, TrialState
from tests.acceptance.conftest import Cluster, digits_study
from tests.waiting import wait_until

MakeCluster = Callable[[str | None], Cluster]


def assert_exact(cluster: Cluster, trials: int) -> list[Any]:
    """The study ended with this many finished trials, numbered without gaps, each run to its end once."""
    study = cluster.client.study("digits")
    study.wait(timeout=120)
    found = list(study.trials())
    assert [trial.number for trial in found] == list(range(trials))
    assert Counter(trial.state for trial in found) == {TrialState.COMPLETE: trials}
    for trial in found:
        steps = [report.step for report in study.reports(trial.number)]
        assert steps == list(range(1, len(steps) + 1))
        assert trial.last_step == steps[-1]
    return found


def kill(process: Any) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def test_two_workers_on_postgresql_share_a_study(make_cluster: MakeCluster, postgresql_url: str) -> None:
    cluster = make_cluster(postgresql_url)
    cluster.start_server()
    cluster.client.create_study(digits_study())
    cluster.start_worker("one")
    cluster.start_worker("two")
    found = assert_exact(cluster, 12)
    assert {trial.worker for trial in found} == {"one", "two"}
    assert {trial.attempt for trial in found} == {1}


def test_a_killed_workers_trial_is_run_again_by_the_other(make_cluster: MakeCluster, postgresql_url: str) -> None:
    cluster = make_cluster(postgresql_url)
    cluster.start_server()
    settings = {"dataset": "digits", "max_epochs": 12, "hidden_layers": 1, "batch_size": 16}
    study = cluster.client.create_study(
        digits_study(budget={"trials": 4}, objective=digits_study()["objective"] | {"settings": settings})
    )
    doomed = cluster.start_worker("doomed")

    def caught_in_the_middle() -> Any:
        return next((trial for trial in study.trials() if trial.last_step and trial.state is TrialState.RUNNING), None)

    lost = wait_until(caught_in_the_middle, "a trial is on its way")
    kill(doomed)
    cluster.start_worker("heir")
    found = assert_exact(cluster, 4)
    assert (found[lost.number].worker, found[lost.number].attempt) == ("heir", 2)
    assert found[lost.number].parameters == lost.parameters


def test_a_killed_server_comes_back_and_the_study_goes_on(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(None)
    server = cluster.start_server()
    study = cluster.client.create_study(digits_study())
    cluster.start_worker("one")
    cluster.start_worker("two")
    for finished in (2, 5):
        wait_until(lambda least=finished: study.refresh().counts.finished >= least, f"{finished} trials are finished")
        told = {trial.number: trial for trial in study.trials() if trial.state.is_finished}
        kill(server)
        server = cluster.start_server()
        now = {trial.number: trial for trial in study.trials()}
        assert {number: now[number] for number in told} == told
    assert_exact(cluster, 12)


def test_a_worker_told_to_stop_hands_its_trial_back(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(None)
    cluster.environment["HPSEARCH_GRACE_SECONDS"] = "0"
    cluster.start_server()
    settings = {"dataset": "digits", "max_epochs": 50, "hidden_layers": 1, "batch_size": 8, "patience": 50}
    study = cluster.client.create_study(
        digits_study(budget={"trials": 1}, objective=digits_study()["objective"] | {"settings": settings})
    )
    worker = cluster.start_worker("leaving")
    wait_until(lambda: study.trial(0).last_step if study.refresh().counts.running else None, "the trial reports")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    trial = study.trial(0)
    assert trial.state is TrialState.WAITING
    assert trial.attempt == 1


def test_a_worker_killed_while_it_confirms_costs_no_run(make_cluster: MakeCluster, postgresql_url: str) -> None:
    cluster = make_cluster(postgresql_url)
    cluster.start_server()
    settings = {"dataset": "digits", "max_epochs": 30, "hidden_layers": 1, "batch_size": 16}
    objective = digits_study()["objective"] | {"settings": settings}
    study = cluster.client.create_study(
        digits_study(budget={"trials": 3}, confirm={"top": 2, "seeds": 2}, objective=objective)
    )
    doomed = cluster.start_worker("doomed")

    def caught_in_the_middle() -> Any:
        return next((run for run in study.trials(TrialState.RUNNING, kind=TrialKind.CONFIRM) if run.last_step), None)

    lost = wait_until(caught_in_the_middle, "a run that confirms is on its way", 120)
    assert study.refresh().state is StudyState.CONFIRMING
    kill(doomed)
    cluster.start_worker("heir")
    best = study.wait(timeout=120)
    runs = {run.number: run for run in study.trials(kind=TrialKind.CONFIRM)}
    assert Counter(run.state for run in runs.values()) == {TrialState.COMPLETE: 4}
    again = runs[lost.number]
    assert (again.worker, again.attempt, again.seed) == ("heir", 2, lost.seed)
    assert [report.step for report in study.reports(lost.number)] == list(range(1, (again.last_step or 0) + 1))
    counts = study.info.counts, study.info.confirm_counts
    assert (counts[0].finished, counts[1].complete) == (3, 4)
    assert best.trial
    assert best.confirmed
    assert (best.trial.number < 3, best.confirmed.n, best.confirmed.metrics["test_accuracy"].n) == (True, 2, 2)
    assert best.confirmed.best_run in runs
