"""The search benchmark itself: its arithmetic, its clock, and that its engine is the service's."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpsearch.service import Service
from hpsearch.settings import Settings
from hpsearch.trials import Decision, Report, Result, TrialState
from tests.benchmarks.search import tasks
from tests.benchmarks.search.__main__ import main
from tests.benchmarks.search.clock import Job, replay
from tests.benchmarks.search.ours import Engine, spec_of
from tests.benchmarks.search.results import band, cost_to, probability_ahead, rank_table, regret_at


class Recorder:
    """Trains everything to its end and remembers what it was told."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at, self.asked, self.told = stop_at, 0, []

    def ask(self) -> Job | None:
        self.asked += 1
        return Job(self.asked, {"learning_rate": 0.01 * self.asked, "decay": 0.5})

    def report(self, job: Job, epoch: int, loss: float) -> bool:
        return self.stop_at is None or epoch < self.stop_at

    def tell(self, job: Job, loss: float | None, *, stopped: bool) -> None:
        self.told.append((job.key, loss, stopped))


class ThroughService:
    """The same search through the whole service, on SQLite."""

    def __init__(self, service: Service, spec: Any) -> None:
        self._service, self._name = service, spec.name
        service.create_study(spec.model_dump(mode="json"))

    def ask(self) -> Job | None:
        (assignment,) = self._service.ask(self._name)
        return Job(assignment.lease, assignment.parameters)

    def report(self, job: Job, epoch: int, loss: float) -> bool:
        return self._service.report_one(Report(lease=job.key, step=epoch, value=loss)) is Decision.CONTINUE

    def tell(self, job: Job, loss: float | None, *, stopped: bool) -> None:
        state = TrialState.FAILED if loss is None else TrialState.PRUNED if stopped else TrialState.COMPLETE
        values = (loss,) if state is TrialState.COMPLETE and loss is not None else None
        self._service.tell_one(Result(lease=job.key, state=state, values=values))


@pytest.mark.parametrize(("sampler", "pruner"), [("tpe", "median"), ("tpe", "asha"), ("auto", "auto")])
def test_the_engine_makes_the_trials_that_the_service_makes(tmp_path: Path, sampler: str, pruner: str) -> None:
    task = tasks.toy()
    spec = spec_of(task, 3, {"sampler": {"name": sampler}, "pruner": {"name": pruner}})
    service = Service(Settings(home=tmp_path))
    service.open(reaper=False)
    through = replay(task, ThroughService(service, spec), workers=4, curves=8)
    service.close()
    assert replay(task, Engine(spec), workers=4, curves=8) == through
    assert through.begun > 12


def test_the_clock_charges_epochs_and_keeps_workers_busy() -> None:
    task, search = tasks.toy(), Recorder()
    found = replay(task, search, workers=4, curves=20)
    assert found.spent == pytest.approx(20, abs=1 / task.epochs)
    assert search.asked == found.begun
    assert len(search.told) >= 16
    assert found.clock == pytest.approx(20 / 4, rel=0.4)  # four at a time
    assert found.losses == sorted(found.losses, reverse=True)
    assert found.losses[-1] >= task.best


def test_what_is_stopped_is_charged_as_far_as_it_came() -> None:
    task, search = tasks.toy(), Recorder(stop_at=2)
    found = replay(task, search, workers=1, curves=2)
    assert len(search.told) == 2 * task.epochs / 2
    assert all(stopped for _, _, stopped in search.told)
    assert found.begun == len(search.told) + 1


def test_divergence_is_told_without_a_loss() -> None:
    task = tasks.toy()
    row = int(np.flatnonzero(np.isnan(task.curves[:, -1]))[0])
    rate = float(np.exp(np.log(1e-3) * (1 - task.places[row, 0])))
    decay = float(np.exp(np.log(1e-3) * (1 - task.places[row, 1])))
    assert task.nearest({"learning_rate": rate, "decay": decay}) == row
    search = Recorder()
    search.ask = lambda: Job(0, {"learning_rate": rate, "decay": decay})  # type: ignore[method-assign]
    replay(task, search, workers=1, curves=1)
    assert search.told[0] == (0, None, False)


def test_a_configuration_is_its_own_nearest() -> None:
    for name in tasks.NAMES[:1]:
        if tasks.missing([name]):
            pytest.skip("shared/data is not here")
        task = tasks.task_of(name)
        for row in (0, 17, 999):
            logs = {key: (np.log(item["low"]), np.log(item["high"])) for key, item in task.space.items()}
            at = zip(logs.items(), task.places[row], strict=True)
            assert task.nearest({key: float(np.exp(low + x * (high - low))) for (key, (low, high)), x in at}) == row
        assert task.regret(task.best) == 0
        assert np.isfinite(task.median)


def test_choices_are_equally_far_apart() -> None:
    space = {"cell": {"type": "categorical", "choices": ["a", "b", "c"]}, "x": {"type": "float", "low": 0, "high": 2}}
    a, b, c = (np.array(tasks.place(space, {"cell": cell, "x": 1})) for cell in "abc")
    assert np.linalg.norm(a - b) == pytest.approx(1)
    assert np.linalg.norm(b - c) == pytest.approx(1)
    assert a[-1] == 0.5


RECORD = {"compute": [0.5, 2.0, 7.0], "regrets": [40.0, 0.5, 0.1], "trials": [1, 3, 9]}


def test_regret_and_cost_are_read_off_a_replay() -> None:
    assert [regret_at(RECORD, compute) for compute in (0.4, 0.5, 6.9, 7.0, 99)] == [5.0, 5.0, 0.5, 0.1, 0.1]
    assert [cost_to(RECORD, regret, "compute") for regret in (1.0, 0.5, 0.3, 0.05)] == [2.0, 2.0, 7.0, float("inf")]
    assert cost_to(RECORD, 0.5, "trials") == 3


def test_bands_ranks_and_the_probability_to_be_ahead() -> None:
    middle, low, high = band(np.arange(31.0))
    assert low < middle == 15 < high
    ranks, p = rank_table(np.array([[0.1, 0.2, 0.3]] * 6))
    assert list(ranks) == [1, 2, 3]
    assert p < 0.01
    better, worse = np.linspace(0, 1, 30), np.linspace(0.8, 1.8, 30)
    assert probability_ahead([better] * 3, [worse] * 3) == 1.0
    assert probability_ahead([better] * 3, [better] * 3) == pytest.approx(0.5, abs=0.1)


def test_the_command_prints_its_tables_and_goes_on_where_it_was_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.jsonl"
    command = ["search", "--tasks", "toy0", "toy1", "--workers", "1", "4", "--curves", "4", "--results", str(results)]
    command += ["--methods", "random", "ours", "optuna_median", "--seeds"]

    def run(seeds: int) -> str:
        monkeypatch.setattr(sys, "argv", [*command, str(seeds)])
        main()
        return capsys.readouterr().out

    run(1)
    first = results.read_text().splitlines()
    shown = run(2)
    assert len(first) == 2 * 2 * 3
    assert results.read_text().splitlines()[: len(first)] == first
    assert len(results.read_text().splitlines()) == 2 * len(first)
    assert [line for line in shown.splitlines() if line.startswith("## ")] == [
        "## Regret, 1 worker",
        "## Compute to random search's regret, 1 worker",
        "## Regret, 4 workers",
        "## Compute to random search's regret, 4 workers",
        "## Ranks, toy",
        "## Ranks, all groups",
        "## Many workers",
    ]
    assert "not run" not in shown
