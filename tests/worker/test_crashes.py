"""Processes that die, hang or cannot start: each costs its own trial alone."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hpsearch.errors import ArtifactNotFound, ConfigurationError, Unauthorized, WorkerNotFound, WorkerReplaced
from hpsearch.gateway import Registration
from hpsearch.trials import TrialState
from tests.waiting import wait_until
from tests.worker.conftest import Lab
from tests.worker.gateways import Failing, NoDownloads


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_a_killed_process_costs_its_trial_one_attempt(lab: Lab) -> None:
    lab.create("crash", trials=3)
    with lab.agent(slots=2):
        trials = lab.wait_until_ended()
    assert {(trial.state, trial.attempt) for trial in trials} == {(TrialState.COMPLETE, 2)}
    assert [report.step for report in lab.service.list_reports("s", 0)] == [1, 2, 3]


def test_a_crash_leaves_the_other_slots_alone(lab: Lab) -> None:
    lab.create(name="calm", steps=20, seconds=0.05)
    lab.create("crash", name="wild", trials=2)
    with lab.agent(slots=2):
        (calm,) = lab.wait_until_ended("calm")
        lab.wait_until_ended("wild")
    assert (calm.state, calm.attempt) == (TrialState.COMPLETE, 1)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("crash", "its process died: exit signal 9 (killed; out of memory?) (attempt 2 of 2)"),
        ("leave", "its process died: exit code 3 (attempt 2 of 2)"),
    ],
)
def test_after_the_last_attempt_the_trial_fails_with_the_reason(lab: Lab, act: str, reason: str) -> None:
    lab.create(act, max_attempts=2, attempts=9)
    with lab.agent():
        (trial,) = lab.wait_until_ended()
    assert (trial.state, trial.reason) == (TrialState.FAILED, reason)


def test_a_hanging_trial_is_killed_with_all_that_it_started(lab: Lab) -> None:
    lab.create("abandon", max_attempts=1)
    with lab.agent(hang_seconds=1.0):
        (trial,) = lab.wait_until_ended()
        assert trial.reason == "killed: it reported nothing for 1 s (attempt 1 of 1)"
        grandchild = lab.trace(grandchild=...)["grandchild"]
        wait_until(lambda: not is_alive(grandchild), "what the trial started is gone")


def test_a_trial_goes_on_from_its_checkpoint(lab: Lab) -> None:
    lab.create("resume", steps=4, attempts=2)
    with lab.agent():
        (trial,) = lab.wait_until_ended()
    assert [trace["start"] for trace in lab.traces(start=...)] == [0, 2]
    reports = lab.service.list_reports("s", 0)
    assert [(report.step, report.attempt) for report in reports] == [(1, 1), (2, 1), (3, 2), (4, 2)]
    assert (trial.state, trial.attempt) == (TrialState.COMPLETE, 2)


def test_a_checkpoint_that_cannot_be_fetched_does_not_hold_a_trial_for_ever(lab: Lab) -> None:
    lab.create("resume", steps=4, attempts=2, max_attempts=2)
    with lab.agent(NoDownloads(lab.service), hang_seconds=0.5):  # type: ignore[arg-type]
        (trial,) = lab.wait_until_ended()
    assert trial.state is TrialState.FAILED
    assert trial.reason == "killed: its checkpoint could not be fetched for 0.5 s (attempt 2 of 2)"


def test_a_trial_whose_checkpoint_is_gone_starts_from_its_beginning(lab: Lab) -> None:
    lab.create("resume", steps=4, attempts=2)
    with lab.agent(Failing(lab.service, get_artifact=ArtifactNotFound())):  # type: ignore[arg-type]
        (trial,) = lab.wait_until_ended()
    assert [trace["start"] for trace in lab.traces(start=...)] == [0, 0]
    assert (trial.state, trial.attempt) == (TrialState.COMPLETE, 2)


def test_a_full_disk_costs_no_checkpoint(lab: Lab) -> None:
    lab.create("resume", steps=4, attempts=2)
    with lab.agent(Failing(lab.service, get_artifact=OSError(28, "No space left on device"))):  # type: ignore[arg-type]
        (trial,) = lab.wait_until_ended()
    assert [trace["start"] for trace in lab.traces(start=...)] == [0, 2]
    assert (trial.state, trial.attempt) == (TrialState.COMPLETE, 2)


def test_an_idle_process_that_dies_is_replaced(lab: Lab) -> None:
    lab.create(name="first")
    with lab.agent():
        lab.wait_until_ended("first")
        os.kill(lab.trace(pid=...)["pid"], 9)
        lab.create(name="second")
        (trial,) = lab.wait_until_ended("second")
    assert trial.attempt == 1


def test_a_process_that_cannot_be_started_is_tried_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.create()
    popen, failures = subprocess.Popen, [OSError("Cannot allocate memory")]

    def short_of_memory(*arguments: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return popen(*arguments, **options)

    monkeypatch.setattr("hpsearch.worker.child.subprocess.Popen", short_of_memory)
    with lab.agent():
        lab.wait_until_ended()


def test_an_objective_that_cannot_be_imported_ends_the_agent_before_it_claims(lab: Lab) -> None:
    lab.create()
    broken = {"scripted": "tests.worker.objectives:Unimportable"}
    with (
        pytest.raises(ConfigurationError, match="ModuleNotFoundError: No module named 'torch'"),
        lab.agent(objectives=broken) as agent,
    ):
        agent.join()
    assert lab.trials() == []


def test_a_worker_that_was_replaced_drops_everything(lab: Lab) -> None:
    lab.create("hang")
    with lab.agent() as agent:
        lab.wait_until_running(step=1)
        pid = lab.trace(pid=...)["pid"]
        lab.service.register(
            Registration(name="w1", session="other", host="there", pid=1, slots=1, objectives=("scripted",))
        )
        lab.service.stop_study("s")  # a slot becomes free, and the agent claims
        with pytest.raises(WorkerReplaced):
            agent.join()
    assert not is_alive(pid)


@pytest.mark.parametrize("call", ["register", "claim", "report", "renew"])
def test_a_worker_without_a_good_token_ends(lab: Lab, call: str) -> None:
    lab.create(steps=100, seconds=0.05)
    with (
        pytest.raises(Unauthorized),
        lab.agent(Failing(lab.service, **{call: Unauthorized()})) as agent,  # type: ignore[arg-type]
    ):
        agent.join()


def test_a_worker_that_was_forgotten_registers_again(lab: Lab) -> None:
    lab.create()
    gateway = Failing(lab.service, claim=WorkerNotFound())
    with lab.agent(gateway):  # type: ignore[arg-type]
        lab.wait_until_ended()
    assert gateway.calls["register"] == 2


def test_an_unexpected_error_of_a_call_is_tried_again(lab: Lab) -> None:
    lab.create()
    errors = {call: RuntimeError("a bug") for call in ("register", "claim", "report", "tell")}
    gateway = Failing(lab.service, **errors)
    with lab.agent(gateway):  # type: ignore[arg-type]
        (trial,) = lab.wait_until_ended()
    assert trial.state is TrialState.COMPLETE
    assert not gateway.errors
