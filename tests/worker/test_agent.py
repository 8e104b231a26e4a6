"""The agent on a real service: trials run to their ends, good and bad."""

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from hpsearch.trials import Decision, Trial, TrialState, trial_seed
from tests.worker.conftest import Lab


def run_one(lab: Lab, act: str, agent: dict[str, Any] | None = None, **study: Any) -> Trial:
    """A study of one trial that does this, run to its end with `act`."""
    lab.create(act, **study)
    with lab.agent(**agent or {}):
        (trial,) = lab.wait_until_ended()
    return trial


def test_a_study_runs_to_its_end_in_warm_processes(lab: Lab) -> None:
    lab.create(trials=12, seed=5)
    with lab.agent(slots=2):
        trials = lab.wait_until_ended()
    assert [trial.number for trial in trials] == list(range(12))
    assert {(trial.state, trial.attempt) for trial in trials} == {(TrialState.COMPLETE, 1)}
    assert all(trial.value == pytest.approx(float(trial.parameters["x"] or 0) ** 2) for trial in trials)
    assert [trial.metrics["seed"] for trial in trials] == [trial_seed(5, number) % 1000 for number in range(12)]
    assert [report.step for report in lab.service.list_reports("s", 3)] == [1, 2, 3]
    traces = lab.traces(pid=...)
    assert len(traces) == 12
    processes = {trace["pid"] for trace in traces}
    assert len(processes) == 2  # a slot is one process, and both worked
    assert os.getpid() not in processes
    assert sum(max(t["trials"] for t in traces if t["pid"] == pid) for pid in processes) == 12  # one object a process


def test_a_trial_gets_the_settings_and_over_them_its_parameters(lab: Lab) -> None:
    trial = run_one(lab, "descend", steps=5)
    assert trial.last_step == 5
    assert trial.last_value == pytest.approx(float(trial.parameters["x"] or 0) ** 2 + 1 / 5)


def test_a_trial_that_is_pruned_is_told_as_pruned(lab: Lab) -> None:
    lab.create(trials=2, pruner={"name": "median", "startup_trials": 1})
    lab.service.enqueue("s", [{"x": 1.0}, {"x": 9.0}])
    with lab.agent():
        good, bad = lab.wait_until_ended()
    assert (good.state, bad.state) == (TrialState.COMPLETE, TrialState.PRUNED)
    assert bad.last_step == 1
    assert bad.reason == "told to"


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("raise_error", "ValueError: no good"),
        ("refuse", "InvalidInput: x: must be better; file: is missing"),
        ("leave_by_exit", "SystemExit: 4"),
        ("diverge", "diverged: reported nan at step 2"),
        ("diverge_at_the_end", "diverged: ended with the value inf"),
        ("return_nonsense", "TypeError: the objective returned 0.5, not a TrialResult"),
    ],
)
def test_a_trial_that_goes_wrong_fails_with_the_reason(lab: Lab, act: str, reason: str) -> None:
    trial = run_one(lab, act)
    assert (trial.state, trial.reason, trial.attempt) == (TrialState.FAILED, reason, 1)


def test_the_traceback_is_logged(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    run_one(lab, "raise_error")
    assert 'raise ValueError("no good")' in caplog.text


def test_starts_and_ends_are_logged(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hpsearch.worker")
    trial = run_one(lab, "descend")
    messages = [record.getMessage() for record in caplog.records if record.name == "hpsearch.worker"]
    assert "study s: trial 0 started (attempt 1)" in messages
    assert any(message.startswith(f"study s: trial 0 complete, loss {trial.value:.6g}, after") for message in messages)


def test_what_is_not_finite_is_never_reported(lab: Lab) -> None:
    run_one(lab, "diverge")
    assert [(report.step, report.value) for report in lab.service.list_reports("s", 0)] == [(1, 1.0)]


def test_numbers_of_numpy_arrive_as_plain_ones(lab: Lab) -> None:
    trial = run_one(lab, "speak_numpy")
    assert (trial.value, trial.metrics) == (0.25, {"inf": None, "three": 3.0})
    (report,) = lab.service.list_reports("s", 0)
    assert (report.value, report.metrics) == (0.5, {"nan": None, "two": 2.0, "no": None})


def test_a_slot_is_one_threaded_and_knows_no_secrets(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPSEARCH_TOKEN", "secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    run_one(lab, "show_environment")
    trace = lab.trace(torch=...)
    assert trace["threads"] == ["1", "1", "1"]
    assert trace["torch"] == 1
    assert trace["secrets"] == []
    assert trace["group"] != os.getpgid(0)  # a Ctrl-C in the terminal does not reach it


def test_artifacts_are_kept_by_the_time_the_trial_goes_on(lab: Lab, tmp_path: Path) -> None:
    trial = run_one(lab, "save")
    assert trial.state is TrialState.COMPLETE
    lab.service.get_artifact("s", 0, "model.safetensors", tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == b"weights of 0"


def test_an_artifact_that_the_service_refuses_fails_the_trial(lab: Lab) -> None:
    trial = run_one(lab, "save_too_much")
    assert trial.state is TrialState.FAILED
    assert str(trial.reason).startswith("TooLarge: the artifact has 1048577 bytes")


def test_an_artifact_without_a_file_fails_the_trial(lab: Lab) -> None:
    trial = run_one(lab, "save_nothing")
    assert trial.state is TrialState.FAILED
    assert str(trial.reason).startswith("FileNotFoundError: artifact 'model.safetensors'")


def test_a_workspace_lasts_as_long_as_its_trial(lab: Lab) -> None:
    lab.create("crash", trials=2)
    with lab.agent():
        lab.wait_until_ended()
        workspaces = {Path(trace["workspace"]) for trace in lab.traces(workspace=...)}
        assert len(workspaces) == 4
        assert not any(path.parent.exists() for path in workspaces)
        assert all(path.is_relative_to(lab.workspace) for path in workspaces)


def test_without_a_workspace_the_systems_own_is_used(lab: Lab) -> None:
    run_one(lab, "descend", agent={"workspace": None})
    workspace = Path(lab.trace(workspace=...)["workspace"])
    assert workspace.is_relative_to(tempfile.gettempdir())
    assert not workspace.parent.parent.exists()


def test_a_long_epoch_keeps_its_lease(lab: Lab) -> None:
    trial = run_one(lab, "descend", steps=1, seconds=2.5)  # the lease: 1 s
    assert (trial.state, trial.attempt) == (TrialState.COMPLETE, 1)


def test_a_paused_study_gets_its_trials_back_and_goes_on_later(lab: Lab) -> None:
    lab.create(steps=40, seconds=0.05, max_attempts=1)
    with lab.agent():
        lab.wait_until_running(step=2)
        lab.service.pause_study("s")
        assert lab.trace(decision=...)["decision"] == Decision.PAUSE
        lab.service.resume_study("s")
        (trial,) = lab.wait_until_ended()
    assert (trial.state, trial.attempt) == (TrialState.COMPLETE, 2)
    assert trial.value != -1.0


def test_a_stopped_study_loses_its_trial_at_the_next_report(lab: Lab) -> None:
    lab.create(steps=1000, seconds=0.05)
    with lab.agent():
        lab.wait_until_running(step=1)
        lab.service.stop_study("s")
        assert lab.trace(decision=...)["decision"] == Decision.LOST
        lab.create(name="next")  # in the same process: it was not killed
        lab.wait_until_ended("next")
    assert lab.trial().state is TrialState.CANCELLED
    assert len({trace["pid"] for trace in lab.traces(pid=...)}) == 1


@pytest.mark.parametrize("end", ["stop_study", "delete_study"])
def test_a_study_that_ends_takes_a_long_epoch_with_it(lab: Lab, end: str) -> None:
    lab.create("hang")
    with lab.agent():
        lab.wait_until_running(step=1)
        getattr(lab.service, end)("s")
        lab.create(name="next")
        lab.wait_until_ended("next", seconds=8)


def test_an_idle_agent_takes_up_what_comes_later(lab: Lab) -> None:
    with lab.agent() as agent:
        lab.create(name="first")
        lab.wait_until_ended("first")
        lab.create(name="second")
        lab.wait_until_ended("second")
        assert agent.thread.is_alive()
