"""Real agent processes, told to stop or killed."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hpsearch.trials import TrialState
from tests.waiting import wait_until
from tests.worker.conftest import Lab
from tests.worker.test_crashes import is_alive

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(lab: Lab) -> Iterator[Start]:
    """Starts agent processes; whatever is left of them is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(**options: Any) -> "subprocess.Popen[bytes]":
        started.append(lab.start_process(**options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_kill_9_takes_the_slots_along_and_another_agent_finishes(lab: Lab, start: Start) -> None:
    lab.create(steps=40, seconds=0.05)
    process = start(slots=2)
    lab.wait_until_running(step=1)
    child = lab.trace(pid=...)["pid"]
    process.kill()
    process.wait()
    wait_until(lambda: not is_alive(child), "the slot has gone with its agent", seconds=2)
    with lab.agent():
        (trial,) = lab.wait_until_ended()
    assert (trial.state, trial.attempt, trial.worker) == (TrialState.COMPLETE, 2, "w1")


def test_sigterm_ends_an_idle_agent_at_once(lab: Lab, start: Start) -> None:
    process = start(grace_seconds=600.0)
    wait_until(lambda: lab.service.list_workers().items, "the agent has registered")
    began = time.monotonic()
    process.terminate()
    assert process.wait(20) == 0
    assert time.monotonic() - began < 2


def test_sigterm_lets_trials_finish(lab: Lab, start: Start) -> None:
    lab.create(trials=5, steps=20, seconds=0.1)
    process = start()
    running = lab.wait_until_running(step=1)
    process.terminate()
    assert process.wait(20) == 0
    assert lab.trials()[-1].number == running.number
    assert {trial.state for trial in lab.trials()} == {TrialState.COMPLETE}


@pytest.mark.parametrize("by", ["sigterm", "ctrl-c"])
def test_after_the_grace_trials_are_handed_back_at_no_cost(lab: Lab, start: Start, by: str) -> None:
    lab.create(steps=1000, seconds=0.05, max_attempts=1)
    process = start(grace_seconds=0.2)
    lab.wait_until_running(step=1)
    if by == "sigterm":
        process.terminate()
    else:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.wait(20) == 0
    trial = lab.trial()
    assert (trial.state, trial.reason) == (TrialState.WAITING, "worker shut down")
    assert lab.trace(decision=...)["decision"] == "pause"


def test_a_trial_that_does_not_come_back_is_killed_at_no_cost(lab: Lab, start: Start) -> None:
    lab.create("hang", max_attempts=1)
    process = start(grace_seconds=0.1)
    lab.wait_until_running(step=1)
    began = time.monotonic()
    process.terminate()
    assert process.wait(20) == 0
    assert time.monotonic() - began < 8
    assert (lab.trial().state, lab.trial().reason) == (TrialState.WAITING, "worker shut down")


def test_a_second_signal_stops_at_once(lab: Lab, start: Start) -> None:
    lab.create("hang", max_attempts=1)
    process = start(grace_seconds=600.0)
    lab.wait_until_running(step=1)
    child = lab.trace(pid=...)["pid"]
    began = time.monotonic()
    process.terminate()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert time.monotonic() - began < 3
    assert not is_alive(child)
    assert (lab.trial().state, lab.trial().reason) == (TrialState.WAITING, "worker shut down")


def test_two_agents_share_a_study_exactly(lab: Lab, start: Start) -> None:
    start(name="p1", slots=2)
    start(name="p2", slots=2)
    wait_until(lambda: len(lab.service.list_workers().items) == 2, "both are there")
    lab.create(trials=30, steps=2, seconds=0.02)
    trials = lab.wait_until_ended()
    assert [trial.number for trial in trials] == list(range(30))
    assert {(trial.state, trial.attempt) for trial in trials} == {(TrialState.COMPLETE, 1)}
    assert {trial.worker for trial in trials} == {"p1", "p2"}
