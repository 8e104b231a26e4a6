"""`hpsearch run`, interrupted by its user and by accidents."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Shell
from tests.cli.runs import ENDLESS, QUICK, running, started_study, write_study
from tests.waiting import wait_until


def test_ctrl_c_stops_and_the_same_command_goes_on(shell: Shell, tmp_path: Path) -> None:
    file = write_study(tmp_path, 3, QUICK | {"max_epochs": 30, "patience": 30, "batch_size": 32})
    process = shell.start(*running(file))
    study = started_study(shell)
    wait_until(lambda: study.refresh().counts.finished, "a trial has finished")
    process.send_signal(signal.SIGINT)
    output, complaints = process.communicate(timeout=60)
    assert process.returncode == 130, complaints
    assert "the same command goes on from here" in output
    assert "Traceback" not in complaints
    assert shell.told_server() is None

    process = shell.start(*running(file))
    output, complaints = process.communicate(timeout=120)
    assert process.returncode == 0, output + complaints

    shell.start("serve", "--port", "0")
    study = shell.client().study("tiny")
    assert study.info.state == "complete"
    assert [(trial.number, trial.state.value) for trial in study.trials()] == [(n, "complete") for n in range(3)]


def test_a_second_ctrl_c_stops_at_once(shell: Shell, tmp_path: Path) -> None:
    process = shell.start(*running(write_study(tmp_path, 4, ENDLESS)))
    started_study(shell)
    (worker,) = shell.client().workers()
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)  # it lets its trials finish, for a while
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate(timeout=15)
    assert process.returncode == 130, complaints
    assert "Traceback" not in complaints
    assert shell.told_server() is None
    with pytest.raises(ProcessLookupError):
        os.kill(worker.pid, 0)


@pytest.mark.parametrize("victim", ["worker", "serve"])
def test_a_child_that_was_killed_is_noticed(shell: Shell, tmp_path: Path, victim: str) -> None:
    shell.environment["HPSEARCH_GRACE_SECONDS"] = "1"
    process = shell.start(*running(write_study(tmp_path, 4, ENDLESS)))
    started_study(shell)
    (worker,) = shell.client().workers()
    server = shell.told_server()
    assert server
    os.kill(worker.pid if victim == "worker" else server["pid"], signal.SIGKILL)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"{victim} ended by signal 9" in complaints
    assert str(shell.home / "logs" / f"{victim}.log") in complaints
    assert "Traceback" not in complaints
    with pytest.raises(ProcessLookupError):
        os.kill(worker.pid, 0)


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells children of their parent's end on Linux alone")
def test_a_killed_run_takes_its_children_along(shell: Shell, tmp_path: Path) -> None:
    shell.environment["HPSEARCH_GRACE_SECONDS"] = "0"
    process = shell.start(*running(write_study(tmp_path, 4, ENDLESS)))
    started_study(shell)
    (worker,) = shell.client().workers()
    server = shell.told_server()
    assert server
    process.kill()
    process.communicate()
    wait_until(lambda: _is_gone(server["pid"]), "the server is gone")
    wait_until(lambda: _is_gone(worker.pid), "the worker is gone")
