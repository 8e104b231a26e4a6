"""The client as a user's program sees it."""

import csv
import math
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpsearch
from hpsearch.client import Client
from hpsearch.errors import (
    HpsearchError,
    InvalidInput,
    InvalidSpec,
    LeaseLost,
    ServerUnreachable,
    StudyExists,
    StudyNotFound,
    TrialFinished,
)
from hpsearch.spec import parse_study
from hpsearch.studies import StudyState
from hpsearch.trials import TrialState
from tests.conftest import loop_study


def test_the_public_names_are_these() -> None:
    names = [
        "AskedTrial",
        "Categorical",
        "Client",
        "Context",
        "Event",
        "Float",
        "HandedBack",
        "HpsearchError",
        "Int",
        "Pruned",
        "Study",
        "StudyHandle",
        "StudySpec",
        "StudyState",
        "Trial",
    ]
    assert hpsearch.__all__ == ["__version__", *names, "TrialState", "load_model"]
    assert all(getattr(hpsearch, name) is not None for name in hpsearch.__all__)
    with pytest.raises(AttributeError):
        _ = hpsearch.Clint  # type: ignore[attr-defined]


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = "import hpsearch, sys; sys.exit(bool({'pydantic', 'httpx', 'numpy'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_ask_and_tell_from_the_first_trial_to_the_end(client: Client) -> None:
    study = client.create_study(loop_study(budget={"trials": 6}, pruner={"name": "median", "startup_trials": 1}))
    while trial := study.ask(worker="laptop"):
        x = trial.parameters["x"]
        for step in (1, 2):
            trial.report(step, x * x + trial.number, {"step": step})
            if trial.should_prune:
                trial.prune()
                break
        else:
            if trial.number == 5:
                trial.fail("out of luck")
            else:
                trial.tell(x * x, {"x": x, "nothing": None})
    best = study.wait(timeout=5)
    assert best.trial == study.best_trial
    assert best.state is StudyState.COMPLETE
    assert study.info.counts.finished == len(study.trials()) == 6
    complete = study.trials(TrialState.COMPLETE)
    assert best.trial is not None
    assert best.trial.value == min(trial.value for trial in complete if trial.value is not None)
    assert complete[0].worker == "laptop"
    assert [report.step for report in study.reports(0)] == [1, 2]


def test_a_study_comes_from_a_file_a_mapping_or_a_spec(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "bowl.json"
    file.write_text('{"name": "bowl", "objective": {"direction": "minimize"}, "budget": {"trials": 1}, '
                    '"space": {"x": {"type": "float", "low": 0, "high": 1}}}')  # fmt: skip
    first = client.create_study(file)
    spec = parse_study({"name": "bowl", "objective": {"direction": "minimize"}, "budget": {"trials": 1},
                        "space": {"x": {"type": "float", "low": 0, "high": 1}}})  # fmt: skip
    assert client.create_study(spec).info.id == client.create_study(str(file)).info.id == first.info.id
    with pytest.raises(StudyExists):
        client.create_study(loop_study())
    assert [study.name for study in client.studies()] == ["bowl"]


def test_errors_are_the_services_own(client: Client) -> None:
    with pytest.raises(StudyNotFound, match="there is no study 'bowl'"):
        client.study("bowl")
    with pytest.raises(InvalidSpec) as caught:
        client.create_study({"name": "bowl"})
    assert {fault.path for fault in caught.value.faults} == {"objective", "space", "budget.trials"}
    study = client.create_study(loop_study())
    trial = study.ask()
    assert trial is not None
    trial.tell(1.0)
    trial.tell(1.0)
    with pytest.raises(TrialFinished):
        trial.tell(2.0)
    with pytest.raises(LeaseLost):
        trial.report(1, 1.0)


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_no_name_is_told_so(client: Client, name: str) -> None:
    study = client.create_study(loop_study())
    asks: dict[str, Callable[[], object]] = {
        "study": lambda: client.study(name),
        "objective": lambda: client.objective(name),
        "worker": lambda: client.claim(name, "session", [], 1),
        "kind": lambda: study.figure(name),
    }
    for what, ask in asks.items():
        with pytest.raises(InvalidInput) as caught:
            ask()
        assert [str(fault) for fault in caught.value.faults] == [f"{what}: must be a name, not {name!r}"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused_before_they_leave(client: Client, value: float) -> None:
    study = client.create_study(loop_study())
    trial = study.ask()
    assert trial is not None
    for send in (lambda: trial.tell(value), lambda: trial.report(1, value), lambda: study.enqueue({"x": value})):
        with pytest.raises(InvalidInput, match="finite"):
            send()
    assert study.refresh().counts.running == 1


def test_a_configuration_that_is_none_is_refused_where_it_is(client: Client) -> None:
    study = client.create_study(loop_study())
    wrong: Any = [{"x": 1.0}]
    with pytest.raises(InvalidInput, match="must be an object with named fields") as caught:
        study.enqueue({"x": 2.5}, wrong)
    assert [fault.path for fault in caught.value.faults] == ["configurations.1"]


def test_what_numpy_measures_is_told_as_it_is(client: Client) -> None:
    study = client.create_study(loop_study(seed=np.int64(3)))
    (waiting,) = study.enqueue({"x": np.float32(0.5)})
    trial = study.ask()
    assert trial is not None
    trial.report(np.int64(1), np.float32(0.25), {"loss": np.float64(2)})
    told = trial.tell(np.array(0.5), {"loss": np.float32(1)})
    assert (waiting.number, told.number, told.value, told.metrics["loss"]) == (0, 0, 0.5, 1.0)


def test_a_study_that_json_cannot_say_is_refused_where_it_is_wrong(client: Client) -> None:
    with pytest.raises(InvalidSpec) as caught:
        client.create_study(loop_study(budget={"trials": 3, "target": math.nan}))
    assert [fault.path for fault in caught.value.faults] == ["budget.target"]


def test_all_that_is_not_finite_is_told_with_what_to_do(client: Client) -> None:
    trial = client.create_study(loop_study()).ask()
    assert trial is not None
    with pytest.raises(InvalidInput) as caught:
        trial.report(1, math.nan, {"loss": math.inf})
    assert [fault.path for fault in caught.value.faults] == ["value", "metrics.loss"]
    assert all(fault.problem.endswith("is told by `diverge()`") for fault in caught.value.faults)


def test_a_wrong_value_is_told_without_a_place_in_a_batch(client: Client) -> None:
    trial = client.create_study(loop_study()).ask()
    assert trial is not None
    with pytest.raises(InvalidInput) as caught:
        trial.tell([1, 2])
    assert [fault.path for fault in caught.value.faults] == ["values"]


def test_a_trial_that_diverged_is_told_so(client: Client) -> None:
    study = client.create_study(loop_study())
    for what, reason in (("", "diverged"), ("loss is inf", "diverged: loss is inf")):
        trial = study.ask()
        assert trial is not None
        told = trial.diverge(what)
        assert (told.state, told.reason, told.diverged) == (TrialState.FAILED, reason, True)


def test_a_loop_pauses_and_goes_on_with_a_promoted_trial(client: Client) -> None:
    pruner = {"name": "asha", "reduction_factor": 2, "promote": True}
    study = client.create_study(loop_study(pruner=pruner, budget={"trials": 4}))
    first, *others = (study.ask() for _ in range(4))
    assert first is not None
    first.report(1, 0.0)
    assert not first.should_pause
    for trial in others:
        assert trial is not None
        trial.report(1, float(trial.number))
        assert (trial.should_pause, trial.should_prune) == (True, False)
        trial.pause()
        with pytest.raises(LeaseLost):
            trial.pause()
    (paused, *_) = study.trials(TrialState.PAUSED)
    assert paused.pruning is not None
    assert (paused.pruning.rank, paused.pruning.of) == (2, 2)
    again = study.ask()
    assert again is not None
    assert (again.number, again.attempt) == (1, 2)
    assert study.refresh().counts.paused == 2
    again.tell(1.0)
    first.tell(0.0)
    assert study.wait(5).reason == "all 4 trials are finished"


def test_a_study_is_steered(client: Client) -> None:
    study = client.create_study(loop_study())
    assert study.pause().state is StudyState.PAUSED
    assert study.resume().state is StudyState.RUNNING
    (trial,) = study.enqueue({"x": 2.5})
    asked = study.ask()
    assert asked is not None
    assert (asked.number, asked.parameters) == (trial.number, {"x": 2.5})
    asked.fail("broken")
    assert [again.number for again in study.retry_failed()] == [0]
    assert study.stop().state is StudyState.STOPPED
    assert study.ask() is None
    study.delete()
    with pytest.raises(StudyNotFound):
        study.refresh()


def test_waiting_has_an_end(client: Client) -> None:
    study = client.create_study(loop_study())
    with pytest.raises(TimeoutError, match="still running"):
        study.wait(timeout=0.2)


def test_several_metrics_are_told_in_order_or_by_name(client: Client, tmp_path: Path) -> None:
    metrics = {"accuracy": "maximize", "size": "minimize"}
    study = client.create_study(loop_study() | {"objective": {"metrics": metrics}})
    values: list[Any] = [[0.9, 50], {"size": 20, "accuracy": 0.8}, (0.7, 30)]
    for told in values:
        trial = study.ask()
        assert trial is not None
        trial.tell(told)
    trial = study.ask()
    assert trial is not None
    for wrong, path in (({"acuracy": 1.0, "size": 1.0}, "values.acuracy"), ({"accuracy": 1.0}, "values.size")):
        with pytest.raises(InvalidInput) as caught:
            trial.tell(wrong)
        assert caught.value.faults[0].path == path
    for few in (0.5, [0.5], [math.nan, 1.0]):
        with pytest.raises(InvalidInput):
            trial.tell(few)
    front = study.pareto({"size": 0})
    assert [(item.number, item.values) for item in front.trials] == [(0, (0.9, 50.0)), (1, (0.8, 20.0))]
    assert (front.chosen, study.pareto({"accuracy": 0}).chosen) == (0, 1)
    assert list(study.trials().to_pandas()["values.1"])[:3] == [50.0, 20.0, 30.0]
    study.export(tmp_path / "out.csv", "csv")
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [(row["values.accuracy"], row["values.size"]) for row in rows] == [
        ("0.9", "50.0"), ("0.8", "20.0"), ("0.7", "30.0"), ("", "")
    ]  # fmt: skip


def test_trials_are_a_table(client: Client, tmp_path: Path) -> None:
    study = client.create_study(loop_study())
    assert study.trials().to_pandas().empty
    trial = study.ask()
    assert trial is not None
    trial.tell(1.5, {"loss": 0.5})
    frame = study.trials().to_pandas()
    assert frame.loc[0, "value"] == 1.5
    assert frame.loc[0, "metrics.loss"] == 0.5
    assert frame.loc[0, "parameters.x"] == trial.parameters["x"]
    for form in ("csv", "jsonl"):
        study.export(tmp_path / f"out.{form}", form)
        assert "1.5" in (tmp_path / f"out.{form}").read_text()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["out.csv", "out.jsonl"]


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://x", "http://", "http://[::1"])
def test_a_url_that_is_none_is_named(url: str) -> None:
    with pytest.raises(HpsearchError), Client(url, retries=0) as client:
        client.study("x")


def test_a_server_that_is_not_there_is_unreachable() -> None:
    with Client("http://127.0.0.1:1", retries=0) as client, pytest.raises(ServerUnreachable):
        client.study("x")


@contextmanager
def losing_answers(url: str, which: set[int]) -> Iterator[str]:
    """A proxy that passes each request on and drops the answers of the ones numbered in `which` (from 0)."""
    target = int(url.rsplit(":", 1)[1])
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    closing = threading.Event()

    def relay() -> None:
        answered = 0
        while not closing.is_set():
            try:
                near, _ = listener.accept()
            except TimeoutError:
                continue
            with near, socket.create_connection(("127.0.0.1", target)) as far:
                answered = pass_on(near, far, answered)

    def pass_on(near: socket.socket, far: socket.socket, answered: int) -> int:
        """Both ways, until one side closes or an answer is to be lost; how many answers there were by then."""
        asking = False
        while not closing.is_set():
            for ready in select.select([near, far], [], [], 0.1)[0]:
                data = ready.recv(1 << 20)
                if not data:
                    return answered
                if ready is near:
                    asking = True
                    far.sendall(data)
                    continue
                answered, lost, asking = answered + asking, asking and answered in which, False
                if lost:
                    return answered
                near.sendall(data)
        return answered

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        closing.set()
        thread.join(10)
        listener.close()


def test_a_lost_answer_makes_no_second_trial_and_no_second_tell(server_url: str) -> None:
    # 0 create, 1 ask (answer lost), 2 ask again, 3 tell (lost), 4 tell again
    with losing_answers(server_url, {1, 3}) as url, Client(url, retries=3) as client:
        study = client.create_study(loop_study())
        trial = study.ask()
        assert trial is not None
        trial.tell(1.0)
    with Client(server_url) as client:
        study = client.study("bowl")
        assert [(found.number, found.value) for found in study.trials()] == [(0, 1.0)]


def test_one_client_serves_many_threads(client: Client) -> None:
    study = client.create_study(loop_study(budget={"trials": 20}))

    def work() -> None:
        handle = client.study("bowl")
        while trial := handle.ask():
            trial.tell(trial.parameters["x"])

    threads = [threading.Thread(target=work) for _ in range(4)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert time.monotonic() - began < 60
    assert study.refresh().counts.complete == 20
