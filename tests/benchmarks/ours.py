"""Our side: a study filled by bulk inserts, and a real server process on it."""

import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, select, update

from hpsearch.spec import parse_study
from hpsearch.store import studies, tables
from hpsearch.store.database import Database
from hpsearch.store.migrate import migrate
from tests.benchmarks.databases import insert_rows, settle
from tests.benchmarks.workload import SPACE, draw, report_of, value_of

STUDY = "bowl"
OBJECTIVE = "benchmark"
ROOT = Path(__file__).parents[2]
READY_SECONDS = 120
DAY = 86_400.0


def prepare(url: str, sampler: str, *, finished: int = 0, running: int = 0, reports: int = 20) -> None:
    """A study in a fresh database, with so many finished trials, and running ones with `reports` reports each."""
    database = Database(url)
    migrate(database)
    with database.write() as tx:
        studies.create(tx, parse_study(_study(sampler)))
    database.close()
    fill(url, finished=finished, running=running, reports=reports)


def _study(sampler: str) -> dict[str, Any]:
    return {
        "name": STUDY,
        "objective": {"name": OBJECTIVE, "metric": "loss", "direction": "minimize"},
        "space": SPACE,
        "sampler": {"name": sampler},
        "pruner": {"name": "none"},
        "budget": {"trials": 10_000_000},
    }


def fill(url: str, *, finished: int = 0, running: int = 0, reports: int = 20) -> None:
    """More trials of the study, as if they had been asked for and told."""
    engine = create_engine(url)
    with engine.begin() as connection:
        rows = _Rows(connection, reports)
    insert_rows(engine, tables.trials, (rows.trial(done=True) for _ in range(finished)))
    insert_rows(engine, tables.trials, (rows.trial(done=False) for _ in range(running)))
    insert_rows(engine, tables.reports, rows.reports)
    insert_rows(engine, tables.events, rows.events)
    with engine.begin() as connection:
        connection.execute(update(tables.studies).values(rows.study_values()))
    settle(engine)


class _Rows:
    """The rows of new trials, and what they make of their study's row."""

    def __init__(self, connection: Connection, steps: int) -> None:
        row = connection.execute(select(tables.studies)).one()
        self._steps = steps
        self._study_id: int = row.id
        self._number: int = row.waiting + row.running + row.complete + row.pruned + row.failed + row.cancelled
        self._revision: int = row.revision
        self._complete, self._running = row.complete, row.running
        self._best: tuple[float, int] | None = None if row.best_number is None else (row.best_value, row.best_number)
        self._chance = random.Random(self._number)
        self._now = time.time()
        self.reports: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []

    def trial(self, *, done: bool) -> dict[str, Any]:
        """One more trial's row."""
        number, parameters = self._number, draw(self._chance)
        value = value_of(parameters)
        self._number += 1
        self._happen(number, "running", None)
        if done:
            self._happen(number, "complete", value)
            self._complete += 1
            self._best = min(self._best or (value, number), (value, number))
        else:
            self._running += 1
            self.reports += [self._report(number, value, step) for step in range(1, self._steps + 1)]
        last = None if done else report_of(value, self._steps)
        return {
            "study_id": self._study_id,
            "number": number,
            "state": "complete" if done else "running",
            "parameters": parameters,
            "sampler_attributes": {},
            "enqueued": False,
            "values": [value] if done else None,
            "metrics": {},
            "last_step": None if done else self._steps,
            "last_value": last,
            "best_value": last,
            "attempt": 1,
            "crashes": 0,
            "lease_token": f"token-{number}",
            "lease_seconds": DAY,
            "lease_ends_at": None if done else self._now + DAY,
            "revision": self._revision,
            "created_at": self._now,
            "started_at": self._now,
            "finished_at": self._now if done else None,
        }

    def _happen(self, number: int, state: str, value: float | None) -> None:
        self._revision += 1
        event = {"study_id": self._study_id, "revision": self._revision, "number": number, "state": state}
        self.events.append(event | {"attempt": 1, "value": value, "happened_at": self._now})

    def _report(self, number: int, value: float, step: int) -> dict[str, Any]:
        key = {"study_id": self._study_id, "number": number, "step": step, "value": report_of(value, step)}
        return key | {"metrics": {}, "attempt": 1, "decision": "continue", "reported_at": self._now}

    def study_values(self) -> dict[str, Any]:
        """What the study's row says then."""
        best = {} if self._best is None else {"best_value": self._best[0], "best_number": self._best[1]}
        counts = {"complete": self._complete, "running": self._running, "revision": self._revision}
        return counts | best | {"started_at": self._now}


@contextmanager
def serving(database_url: str) -> Iterator[str]:
    """The URL of a server process on a database, ready within the block."""
    with started(database_url) as url:
        wait_until_ready(url)
        yield url


@contextmanager
def started(database_url: str) -> Iterator[str]:
    """The same, not waited for."""
    with tempfile.TemporaryDirectory(prefix="hpsearch-benchmark-") as home, (Path(home) / "log").open("w+b") as log:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HPSEARCH_")}
        environment |= {"HPSEARCH_HOME": home, "HPSEARCH_DATABASE_URL": database_url, "PYTHONPATH": str(ROOT)}
        port = _free_port()
        command = [sys.executable, "-m", "hpsearch", "serve", "--port", str(port)]
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield f"http://127.0.0.1:{port}"
        except BaseException:
            log.seek(0)
            sys.stderr.buffer.write(log.read()[-10_000:])
            raise
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_until_ready(url: str) -> None:
    """Returns at the first 200 of /readyz."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=READY_SECONDS):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.005)
    raise TimeoutError(f"no server at {url} within {READY_SECONDS} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
