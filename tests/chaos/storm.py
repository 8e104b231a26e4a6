"""One run: a study, workers on it, faults on them; then the books are checked."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.checker import History, complaints, read_history
from tests.chaos.cluster import STUDY, Cluster
from tests.chaos.databases import PostgreSQL, SQLite, small_disk
from tests.chaos.faults import ON_POSTGRESQL, ON_SQLITE, Fault, inject, schedule

DISK_MEGABYTES = 48
STALL_SECONDS = 120.0
"""No trial finished for so long: the run has failed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, what was seen, what was wrong."""

    injected: Counter[str]
    seen: Counter[str]
    noticed: Counter[str]
    complaints: list[str]
    seconds: float

    def __str__(self) -> str:
        lines = [f"{self.seconds:.0f} s", "", "| injected | times |", "| --- | --- |"]
        lines += [f"| {what} | {count} |" for what, count in sorted(self.injected.items())]
        lines += ["", "| seen | times |", "| --- | --- |"]
        lines += [f"| {what} | {count} |" for what, count in sorted((self.seen + self.noticed).items())]
        return "\n".join([*lines, "", *(self.complaints[:20] or ["every promise was kept"])])


def study_of(trials: int, seed: int) -> dict[str, Any]:
    """What is searched: nobody trains it."""
    return {
        "name": STUDY,
        "objective": {
            "name": "rnn",
            "metric": "validation_accuracy",
            "direction": "maximize",
            "settings": {"dataset": "digits"},
        },
        "space": {"learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}},
        "sampler": {"name": "random"},
        "pruner": {"name": "asha", "min_resource": 2, "reduction_factor": 2},
        "budget": {"trials": trials},
        "max_attempts": 1000,
        "seed": seed,
    }


def run(database: str, folder: Path, *, trials: int, faults: int, workers: int, seed: int) -> Outcome:
    """A whole run on `postgresql` (two servers) or `sqlite` (one)."""
    started = time.monotonic()
    with _cluster(database, folder, workers, seed) as cluster:
        cluster.wait_for_servers()
        cluster.servers[0].client.create_study(study_of(trials, seed))
        cluster.start_workers()
        kinds = ON_POSTGRESQL if database == "postgresql" else ON_SQLITE
        injected = _rage(cluster, schedule(kinds, faults, trials, seed))
        cluster.stop_workers()
        cluster.wait_for_servers()
        history = read_history(cluster.database.engine, STUDY, cluster.journals)
        for kind in ("drop", "duplicate", "delay", "copy"):
            injected[f"network: {kind}"] = cluster.proxy.counts[kind]
        return Outcome(injected, _seen(history), cluster.noticed, complaints(history), time.monotonic() - started)


@contextmanager
def _cluster(database: str, folder: Path, workers: int, seed: int) -> Iterator[Cluster]:
    with ExitStack() as stack:
        home = folder / "home"
        if database == "sqlite":
            stack.enter_context(small_disk(home, DISK_MEGABYTES))
            store: PostgreSQL | SQLite = SQLite(home)
        else:
            store = PostgreSQL(folder / "postgresql")
        stack.callback(store.close)
        cluster = Cluster(folder, store, servers=2 if database == "postgresql" else 1, workers=workers, seed=seed)
        stack.callback(cluster.close)
        yield cluster


def _rage(cluster: Cluster, faults: list[Fault]) -> Counter[str]:
    """Until the study has ended: faults as trials finish, and what is dead is started again."""
    injected: Counter[str] = Counter()
    progress, since = -1, time.monotonic()
    while True:
        cluster.tend()
        study = cluster.study()
        if study is not None:
            if study.counts.finished != progress:
                progress, since = study.counts.finished, time.monotonic()
            if study.state.has_ended:
                return injected
            if faults and faults[0].after <= progress:
                inject(faults[0], cluster)
                injected[faults.pop(0).kind.value] += 1
        if time.monotonic() - since > STALL_SECONDS:
            raise AssertionError(f"nothing has finished for {STALL_SECONDS:.0f} s: {study}")
        time.sleep(0.02)


def _seen(history: History) -> Counter[str]:
    seen: Counter[str] = Counter()
    for call in history.calls:
        seen[f"calls: {call.what}"] += 1
        seen["calls without an answer"] += call.answer is None and call.what != "register"
    for what in ("report", "tell", "release", "renew", "artifact"):
        for _, _, answer in history.answered(what):
            seen[f"{what} answered: {answer if what != 'artifact' or answer == 'lost' else 'kept'}"] += 1
    for row in history.trials:
        seen[f"trials {row['state']}"] += 1
        seen["attempts after the first"] += row["attempt"] - 1
    seen["events"] = len(history.events)
    return seen
