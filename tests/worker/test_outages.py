"""Servers that go away and answers that get lost: nothing told is lost, nothing runs twice to its end."""

import threading
import time

import pytest

from hpsearch.errors import InvalidInput
from hpsearch.trials import Trial, TrialState
from tests.worker.conftest import Lab
from tests.worker.gateways import Failing, Lossy, SlowUploads, Unreachable


def assert_exact(trials: list[Trial], lab: Lab, count: int, steps: int) -> None:
    """Each trial ran once, to its end, and every report is there."""
    assert [trial.number for trial in trials] == list(range(count))
    assert {(trial.state, trial.attempt) for trial in trials} == {(TrialState.COMPLETE, 1)}
    for trial in trials:
        assert [report.step for report in lab.service.list_reports("s", trial.number)] == list(range(1, steps + 1))
    assert len(lab.traces(pid=...)) == count


def test_lost_answers_lose_and_duplicate_nothing(lab: Lab) -> None:
    lab.create("save", trials=10)
    gateway = Lossy(lab.service)
    with lab.agent(gateway, slots=2):  # type: ignore[arg-type]
        trials = lab.wait_until_ended()
    assert_exact(trials, lab, 10, 3)
    assert gateway.lost.keys() >= {"register", "claim", "report", "tell", "put_artifact"}


# tries that wait longer each time may all fall into outages for a second: leases are to outlast these
@pytest.mark.parametrize("lab", [10.0], indirect=True)
def test_a_server_that_goes_and_comes_back_loses_nothing(lab: Lab) -> None:
    lab.create(trials=5, steps=3, seconds=0.05)
    gateway = Unreachable(lab.service)
    ended = threading.Event()

    def flicker() -> None:
        while not ended.wait(0.15):
            gateway.is_down.set()
            ended.wait(0.15)
            gateway.is_down.clear()

    flickering = threading.Thread(target=flicker)
    with lab.agent(gateway, slots=2):  # type: ignore[arg-type]
        flickering.start()
        trials = lab.wait_until_ended()
        ended.set()
        flickering.join()
    assert_exact(trials, lab, 5, 3)


def test_an_agent_may_start_before_its_server(lab: Lab) -> None:
    lab.create()
    gateway = Unreachable(lab.service)
    gateway.is_down.set()
    with lab.agent(gateway):  # type: ignore[arg-type]
        while gateway.calls["register"] < 2:
            time.sleep(0.01)
        gateway.is_down.clear()
        lab.wait_until_ended()


def test_an_outage_beyond_the_lease_costs_an_attempt_and_no_more(lab: Lab) -> None:
    lab.create(steps=30, seconds=0.05)
    gateway = Unreachable(lab.service)
    with lab.agent(gateway):  # type: ignore[arg-type]
        lab.wait_until_running(step=1)
        gateway.is_down.set()
        while lab.trial().state is TrialState.RUNNING:
            time.sleep(0.02)
        gateway.is_down.clear()
        (trial,) = lab.wait_until_ended()
    assert (trial.state, trial.attempt) == (TrialState.COMPLETE, 2)
    assert trial.value != -1.0


def test_slow_uploads_cost_no_lease(lab: Lab) -> None:
    lab.create("save", trials=2)
    with lab.agent(SlowUploads(lab.service, 2.5), slots=2):  # type: ignore[arg-type]
        trials = lab.wait_until_ended()
    assert_exact(trials, lab, 2, 3)


def test_a_refused_result_fails_its_trial(lab: Lab) -> None:
    lab.create()
    with lab.agent(Failing(lab.service, tell=InvalidInput("not like this"))):  # type: ignore[arg-type]
        (trial,) = lab.wait_until_ended()
    assert (trial.state, trial.reason) == (TrialState.FAILED, "the service refused its result: not like this")


@pytest.mark.parametrize("stops", [1, 2])
def test_a_stop_ends_in_time_with_the_server_away(lab: Lab, stops: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpsearch.worker.agent.HAND_BACK_SECONDS", 0.2)
    monkeypatch.setattr("hpsearch.worker.agent.LAST_WORDS_SECONDS", 0.5)
    lab.create("hang")
    gateway = Unreachable(lab.service)
    with lab.agent(gateway, grace_seconds=0.1 if stops == 1 else 600.0) as agent:  # type: ignore[arg-type]
        lab.wait_until_running(step=1)
        gateway.is_down.set()
        began = time.monotonic()
        for _ in range(stops):
            agent.agent.stop()
        agent.join()
    assert time.monotonic() - began < 3
