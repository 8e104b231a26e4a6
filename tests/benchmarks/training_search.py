"""Whole searches, side by side."""

import json
import math
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
from optuna.storages import RDBStorage

from hpsearch.client import Client
from hpsearch.errors import InvalidInput
from hpsearch.trials import TrialState
from tests.benchmarks import ours, training_data, tutorial_search
from tests.benchmarks.tables import print_progress, print_table, print_title, ratio
from tests.benchmarks.training_ours import settings
from tests.benchmarks.training_side import ROOT, environment
from tests.benchmarks.training_sizes import Sizes
from tests.benchmarks.training_work import SPACE
from tests.benchmarks.tutorial_search import Search

NOTE = """{trials} trials of {epochs} epochs on {cores} cores, the same configurations on every side, each epoch
reported, nothing pruned. Ours: a server process (SQLite) and a worker of two slots, one thread each, models kept as
artifacts. The peers: the tutorial loop, one configuration after the other with torch's threads as they come (as a study
of Optuna {version} in memory, which takes no time); the same with `study.optimize(n_jobs=2)`, with torch's threads as
they come or `torch.set_num_threads(1)`; two processes of one thread that share a study in SQLite (Optuna's
RDBStorage). trials/h: from the first trial's claim to the last one's end; with start: from the first process's start.
The median of {searches} by turns."""
HEADS = ("data", "cell", "peer", "ours: trials/h", "peer", "×", "with start", "peer", "×", "complete")
SLOTS = 2
PATIENCE = 1800.0
"""Seconds after which a search is given up."""
Peer = Callable[[Search, Path], "Searched"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """When what happened, in seconds since 1970."""

    started: float
    """The first process."""
    began: list[float]
    """Each complete trial."""
    ended: list[float]

    @property
    def seconds(self) -> float:
        return max(self.ended) - min(self.began)

    @property
    def seconds_with_start(self) -> float:
        return max(self.ended) - self.started


def measure(sizes: Sizes) -> None:
    """Print the table."""
    told = {"trials": sizes.trials, "epochs": sizes.trial_epochs, "searches": sizes.searches}
    print_title("Whole searches", NOTE.format(cores=os.cpu_count(), version=optuna.__version__, **told))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows = []
    with TemporaryDirectory(prefix="hpsearch-benchmark-") as folder:
        for dataset in sizes.searched_datasets:
            try:
                training_data.write_splits(dataset, Path(folder))
            except InvalidInput as error:
                rows.append([dataset, f"not run: {error}", *["-"] * (len(HEADS) - 2)])
                continue
            for cell in sizes.searched_cells:
                rows += _rows(dataset, cell, Path(folder), sizes)
    print_table(HEADS, rows)


def _rows(dataset: str, cell: str, folder: Path, sizes: Sizes) -> list[list[str]]:
    search = Search(
        dataset=dataset,
        folder=str(folder),
        cell=cell,
        epochs=sizes.trial_epochs,
        configurations=_draw(sizes.trials),
        jobs=1,
    )
    sides = {"ours": _ours} | {name: PEERS[name] for name in sizes.peers}
    found: dict[str, list[Searched]] = {name: [] for name in sides}
    for _ in range(sizes.searches):
        for name, side in sides.items():
            with TemporaryDirectory(dir=folder) as own:
                found[name].append(side(search, Path(own)))
    rows = [[dataset, cell, name, *_figures(found["ours"], found[name], sizes.trials)] for name in sizes.peers]
    for row in rows:
        print_progress(row)
    return rows


def _draw(trials: int) -> list[dict[str, Any]]:
    chance = random.Random(0)
    low, high = map(math.log, SPACE["learning_rate"])
    return [
        {
            "learning_rate": math.exp(chance.uniform(low, high)),
            "batch_size": chance.choice(SPACE["batch_size"]),
            "hidden_units": chance.randint(*map(int, SPACE["hidden_units"])),
        }
        for _ in range(trials)
    ]


def _figures(mine: list[Searched], peer: list[Searched], trials: int) -> list[str]:
    cells = _compared([one.seconds for one in mine], [one.seconds for one in peer], trials)
    cells += _compared([one.seconds_with_start for one in mine], [one.seconds_with_start for one in peer], trials)
    complete = all(len(one.ended) == trials for one in (*mine, *peer))
    return [*cells, "yes" if complete else "NO"]


def _compared(mine: list[float], peer: list[float], trials: int) -> list[str]:
    hours = statistics.median(mine) / 3600, statistics.median(peer) / 3600
    return [*(f"{trials / one:.0f}" for one in hours), ratio(hours[1], hours[0])]


# --- ours ------------------------------------------------------------------------------------------------------------


def _ours(search: Search, folder: Path) -> Searched:
    started = time.time()
    with ours.serving(f"sqlite:///{folder / 'hpsearch.db'}") as url, Client(url) as client:
        study = client.create_study(_study(search))
        study.enqueue(*search.configurations)
        with _working(url, folder):
            study.wait(PATIENCE)
        trials = study.trials(TrialState.COMPLETE)
    began = [trial.started_at.timestamp() for trial in trials if trial.started_at]
    return Searched(
        started=started, began=began, ended=[trial.finished_at.timestamp() for trial in trials if trial.finished_at]
    )


def _study(search: Search) -> dict[str, Any]:
    low, high = SPACE["learning_rate"]
    least, most = SPACE["hidden_units"]
    return {
        "name": "search",
        "objective": {
            "name": "rnn",
            "metric": "validation_loss",
            "direction": "minimize",
            "settings": settings(search.dataset, search.cell, search.epochs),
        },
        "space": {
            "learning_rate": {"type": "float", "low": low, "high": high, "log": True},
            "batch_size": {"type": "categorical", "choices": list(SPACE["batch_size"])},
            "hidden_units": {"type": "int", "low": least, "high": most},
        },
        "sampler": {"name": "random"},
        "pruner": {"name": "none"},
        "budget": {"trials": len(search.configurations)},
        "confirm": "none",  # the peers train nothing again
    }


@contextmanager
def _working(url: str, folder: Path) -> Iterator[None]:
    """A worker process within the block."""
    own = {name: value for name, value in environment(None).items() if not name.startswith("HPSEARCH_")}
    command = [sys.executable, "-m", "hpsearch", "worker", "--server", url, "--slots", str(SLOTS)]
    with (folder / "worker.log").open("w") as log:
        process = subprocess.Popen(
            command, env=own | {"HPSEARCH_HOME": str(folder)}, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


# --- the peers -------------------------------------------------------------------------------------------------------


def _threads(threads: int | None, jobs: int = SLOTS) -> Peer:
    def run(search: Search, folder: Path) -> Searched:
        return _processes([_with(search, jobs=jobs, threads=threads)], None)

    return run


def _two_processes(search: Search, folder: Path) -> Searched:
    url = f"sqlite:///{folder / 'optuna.db'}"
    optuna.create_study(study_name=tutorial_search.STUDY, storage=RDBStorage(url))
    return _processes([_with(search, threads=1, storage=url)] * SLOTS, 1)


def _with(search: Search, **changed: Any) -> Search:
    return Search(**(asdict(search) | changed))


def _processes(searches: list[Search], threads: int | None) -> Searched:
    """Processes at once, each with its part; the last one to end has seen all trials."""
    started = time.time()
    processes = [_start(search, threads) for search in searches]
    try:
        told = [_told(process) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return Searched(started=started, **max(told, key=lambda one: len(one["ended"])))


def _start(search: Search, threads: int | None) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.benchmarks.tutorial_search"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, env=environment(threads), **pipes)
    assert process.stdin
    process.stdin.write(json.dumps(asdict(search)))
    process.stdin.close()
    process.stdin = None
    return process


def _told(process: "subprocess.Popen[str]") -> dict[str, list[float]]:
    output, _ = process.communicate(timeout=PATIENCE)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    told: dict[str, list[float]] = json.loads(output)
    return told


PEERS: Mapping[str, Peer] = {
    "loop": _threads(None, jobs=1),
    "n_jobs=2": _threads(None),
    "n_jobs=2, 1 thread": _threads(1),
    "2 processes": _two_processes,
}
