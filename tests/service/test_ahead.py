"""Points drawn ahead: in a process of their own, soon enough, and never needed for a trial to be made."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.sampler_spec import GPSampler
from hpsearch.search import gp
from hpsearch.search.history import History
from hpsearch.search.samplers import suggest
from hpsearch.service import Claim, Later, Service
from hpsearch.service.ahead import MOST_WAIT, Ahead
from hpsearch.spec import parse_study
from hpsearch.trials import Observation, Result, TrialState
from tests.conftest import Clock, ServiceFactory, loop_study, toy_study
from tests.service.conftest import Worker

GP = {"name": "gp", "startup_trials": 4}
pytestmark = pytest.mark.filterwarnings("error")


def history_of(count: int, running: int = 0) -> History:
    history = History(parse_study(loop_study(sampler=GP, budget={"trials": 100})))
    for number in range(count + running):
        state = TrialState.COMPLETE if number < count else TrialState.RUNNING
        x = (number * 0.618 % 1) * 20 - 10
        values = [x * x] if number < count else None
        history.update([Observation(number, state, {"x": x}, values, None, None, {}, number + 1)])
    return history


def taken(ahead: Ahead, history: History, count: int = 1) -> gp.Drawn:
    return ahead.points(1, history, GPSampler(), gp.task_of(history, len(history), count))


def waited(ahead: Ahead, history: History, count: int = 1) -> gp.Drawn:
    """What is there once something is."""
    end = time.monotonic() + 30
    while not (found := taken(ahead, history, count))[0] and time.monotonic() < end:
        if (soon := ahead.soon) is not None:
            soon.result(timeout=30)
    return found


@pytest.fixture
def ahead(clock: Clock) -> Any:
    ahead = Ahead(clock)
    yield ahead
    ahead.close()


def follow(history: History, point: Any, state: TrialState = TrialState.RUNNING, value: float | None = None) -> None:
    number = len(history)
    values = None if value is None else [value]
    history.update([Observation(number, state, {"x": float(point[0])}, values, None, None, {}, number + 1)])


def test_what_is_drawn_elsewhere_is_what_would_be_drawn_here(ahead: Ahead) -> None:
    history = history_of(6)
    assert taken(ahead, history) == ([], [])
    points, remembered = waited(ahead, history, 3)
    assert remembered[0] == {"by": "gp", "told": 6, "running": 0}
    here = gp.draw(history.spec, gp.task_of(history, 6, 3), GPSampler())
    assert points[0] == here[0]
    # not handed out, so still there; then the next, which knows that the first runs
    assert taken(ahead, history)[0][0] == here[0]
    follow(history, here[0])
    assert waited(ahead, history)[0][0] == here[1]


def test_with_parallel_trials_a_point_may_lack_as_many_results_as_half_of_them(ahead: Ahead) -> None:
    history = history_of(6, running=4)
    first = waited(ahead, history)[0][0]
    follow(history, first)
    ahead.close()  # nothing more is drawn: what is left of the batch is used, while it is fresh enough
    found = taken(ahead, history)
    assert found[1] == [{"by": "gp", "told": 6, "running": 5}]
    for behind in (1, 2):
        follow(history, [float(behind)], TrialState.COMPLETE, 1.0)
        points, remembered = taken(ahead, history)
        assert remembered == [{"by": "gp", "told": 6, "running": 5, "behind": behind}]
        assert points[0] == found[0][0]
    follow(history, [3.0], TrialState.COMPLETE, 1.0)
    assert taken(ahead, history) == ([], [])


def test_a_trial_waits_so_long_and_no_longer(ahead: Ahead, clock: Clock) -> None:
    ahead.close()
    history = history_of(6)
    assert taken(ahead, history) == ([], [])
    clock.advance(MOST_WAIT - 0.1)
    assert taken(ahead, history) == ([], [])
    clock.advance(0.2)
    points, remembered = taken(ahead, history, 2)
    assert remembered == [{"by": "qmc", "why": "the draw came late"}] * 2
    chance = History(parse_study(loop_study(sampler={"name": "qmc"})))
    assert points[0][0] == suggest(chance, [{}] * 7)[6].parameters["x"]
    assert taken(ahead, history) == ([], [])  # the next one waits anew


def test_a_process_that_dies_costs_a_trial_its_model_and_is_started_again(ahead: Ahead, clock: Clock) -> None:
    history = history_of(6)
    waited(ahead, history)
    assert ahead._process is not None
    os.kill(ahead._process._process.pid, signal.SIGKILL)
    follow(history, [1.0], TrialState.COMPLETE, 1.0)
    points, remembered = waited(ahead, history)
    assert remembered == [{"by": "qmc", "why": "the draw failed"}]
    clock.advance(10)
    follow(history, points[0], TrialState.COMPLETE, 2.0)
    assert waited(ahead, history)[1][0]["by"] == "gp"


def test_the_process_ends_with_the_service(settings: Any, clock: Clock) -> None:
    service = Service(settings, [], clock)
    service.open(reaper=False)
    service.create_study(loop_study(sampler=GP))
    service.ask("bowl")
    process = service._ahead._process
    for _ in range(100):
        process = service._ahead._process
        if process is not None:
            break
        time.sleep(0.05)
    assert process is not None
    service.close()
    assert process._process.poll() is not None


def test_the_process_ends_with_a_killed_server() -> None:
    program = """
import time
from hpsearch.service.ahead import Ahead
ahead = Ahead()
ahead.warm()
while ahead._process is None: time.sleep(0.01)
print(ahead._process._process.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        drawer = int(server.stdout.readline())
        assert _is_alive(drawer)
        server.kill()
    for _ in range(300):
        if not _is_alive(drawer):
            return
        time.sleep(0.1)
    raise AssertionError("it outlives its server")


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def run(service: Service, trials: int) -> list[Any]:
    found = []
    for number in range(trials):
        while not (given := service.ask("bowl")):
            pass  # it waits by itself
        (item,) = given
        found.append(item.parameters["x"])
        x: Any = item.parameters["x"]
        service.tell([Result(lease=item.lease, state=TrialState.COMPLETE, values=((x - 3) ** 2 + number % 2,))])
    return found


def test_a_study_with_one_worker_is_what_its_seed_says(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpsearch.service.ahead.MOST_WAIT", 120.0)  # of a machine that does something else
    spec = loop_study(sampler=GP, budget={"trials": 9}, seed=3)
    service.create_study(spec)
    found = run(service, 9)
    history, here = History(parse_study(spec)), []
    for number in range(9):
        (suggestion,) = suggest(history, [{}])
        x: Any = suggestion.parameters["x"]
        here.append(x)
        value = (x - 3) ** 2 + number % 2
        history.update([Observation(number, TrialState.COMPLETE, {"x": x}, [value], None, None, {}, number + 1)])
    assert found == here
    trials = service.list_trials("bowl").items
    assert [trial.sampler_attributes["by"] for trial in trials] == ["random"] * 4 + ["gp"] * 5
    assert service.get_study("bowl").state.value == "complete"


def test_nobody_is_kept_while_points_are_drawn(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A draw that never ends: who claims is told so at once, and no lock is held."""
    monkeypatch.setattr(Ahead, "warm", lambda _self: None)
    service.create_study(toy_study(sampler=GP | {"startup_trials": 1}))
    worker = Worker(service)
    (first,) = worker.claim()
    worker.complete(first, 1.0)
    started = time.monotonic()
    (answer,) = service.claim_all([Claim(worker.name, worker.session, [], 1)])
    assert isinstance(answer, Later)
    assert service.get_study("bowl").counts.running == 0
    other = Worker(service, "w2")
    service.pause_study("bowl")
    service.create_study(toy_study(name="other"))
    assert [item.lease.study for item in other.claim()] == ["other"]
    assert time.monotonic() - started < 1.0


def test_a_worker_serves_others_while_a_point_is_drawn_but_none_of_a_lower_priority(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ahead, "warm", lambda _self: None)  # a draw that never ends
    service.create_study(toy_study(sampler=GP | {"startup_trials": 1}))
    service.create_study(toy_study(name="low", priority=-1))
    worker = Worker(service)
    (first,) = worker.claim()
    assert first.lease.study == "bowl"
    worker.complete(first, 1.0)
    (answer,) = service.claim_all([Claim(worker.name, worker.session, [], 1)])
    assert isinstance(answer, Later)
    service.create_study(toy_study(name="other", budget={"trials": 1}))
    two = [Claim(worker.name, worker.session, [], 1), Claim(Worker(service, "w2").name, "s1", [], 1)]
    answers = service.claim_all(two)
    assert sorted(len(answer) for answer in answers if isinstance(answer, list)) == [0, 1]
    assert [item.lease.study for answer in answers if isinstance(answer, list) for item in answer] == ["other"]
    assert [isinstance(answer, Later) for answer in answers].count(True) == 1  # it comes again
    service.enqueue("bowl", [{"x": 1.0}])
    assert [item.parameters["x"] for item in Worker(service, "w3").claim()] == [1.0]  # that needs no drawing


def test_parallel_workers_of_two_servers_end_with_exactly_the_budget(
    make_service: ServiceFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpsearch.service.ahead.MOST_WAIT", 120.0)
    services = [make_service() for _ in range(2)]
    services[0].create_study(toy_study(sampler=GP, budget={"trials": 16}))
    workers = [Worker(services[number % 2], f"w{number}") for number in range(3)]
    rng = np.random.default_rng(0)

    def work(worker: Worker) -> None:
        end = time.monotonic() + 60
        while worker.service.get_study("bowl").state.value == "running" and time.monotonic() < end:
            for item in worker.claim():
                worker.complete(item, float(item.parameters["x"]) ** 2 + 1e-3 * rng.random())  # type: ignore[arg-type]

    threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    study = services[0].get_study("bowl")
    assert (study.counts.complete, study.counts.created, study.state.value) == (16, 16, "complete")
    trials = services[0].list_trials("bowl").items
    assert len({trial.parameters["x"] for trial in trials}) == 16
    assert [trial.sampler_attributes["by"] for trial in trials].count("gp") >= 8
