"""Promotion with real workers, one of which is killed while it runs a promoted trial."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpsearch.trials import Trial, TrialState
from tests.waiting import wait_until
from tests.worker.conftest import Lab

ASHA = {"name": "asha", "min_resource": 1, "reduction_factor": 2, "max_resource": 8, "promote": True}
XS = [1.0, 2.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0]
"""The second best comes early: it pauses behind the best, and goes on as worse ones arrive."""


@pytest.fixture
def lab(tmp_path: Path, database_url: str) -> Iterator[Lab]:
    lab = Lab(tmp_path, database_url)
    yield lab
    lab.service.close()


def check(lab: Lab, trials: list[Trial]) -> None:
    """Every trial is finished, each step was told once, and who went on went on from its checkpoint."""
    assert len(trials) == len(XS)
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    best = lab.service.best("s").trial
    assert best is not None
    assert best.parameters["x"] == 1.0
    for trial in trials:
        reports = lab.service.list_reports("s", trial.number)
        assert [report.step for report in reports] == list(range(1, len(reports) + 1))
        assert trial.state is TrialState.COMPLETE or trial.pruning is not None


def test_a_trial_goes_on_from_its_checkpoint_when_it_is_promoted(lab: Lab) -> None:
    lab.create("climb", trials=len(XS), steps=8, pruner=ASHA, max_attempts=50)
    lab.service.enqueue("s", [{"x": x} for x in XS])
    with lab.agent(slots=2):
        trials = lab.wait_until_ended(seconds=120)
    check(lab, trials)
    begun = lab.traces(start=...)
    again = [trace for trace in begun if trace["attempt"] > 1]
    assert again
    for trace in again:
        (before,) = [
            report
            for report in lab.service.list_reports("s", trace["number"])
            if report.attempt < trace["attempt"] and report.step == trace["start"]
        ]
        assert before.decision == "pause"
        assert before.attempt == trace["attempt"] - 1


def test_a_worker_killed_with_a_promoted_trial_costs_no_more_than_since_its_checkpoint(lab: Lab) -> None:
    lab.create("climb_and_hang", trials=len(XS), steps=8, pruner=ASHA, max_attempts=50)
    lab.service.enqueue("s", [{"x": x} for x in XS])
    processes: dict[str, Any] = {name: lab.start_process(name=name) for name in ("p1", "p2")}
    try:
        (hanging,) = wait_until(lambda: lab.traces(hanging=...), "a promoted trial hangs", 200)

        def told() -> Trial | None:
            # a report between rungs arrives some time after the trial has gone on from it
            trial = lab.service.get_trial("s", hanging["number"])
            return trial if trial.last_step == hanging["hanging"] else None

        lost: Trial = wait_until(told, "its last report has arrived")
        assert (lost.state, lost.attempt) == (TrialState.RUNNING, hanging["attempt"])
        os.killpg(processes[str(lost.worker)].pid, signal.SIGKILL)
        processes[str(lost.worker)].wait()
        processes["p3"] = lab.start_process(name="p3")
        trials = lab.wait_until_ended(seconds=120)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    check(lab, trials)
    starts = {trace["attempt"]: trace["start"] for trace in lab.traces(start=..., number=lost.number)}
    # whoever took it up began where the killed one had begun: at the rung where it had paused
    assert starts[lost.attempt + 1] == starts[lost.attempt] >= 1
    assert trials[lost.number].worker != lost.worker
