"""Engines and transactions, a dialect each for SQLite and PostgreSQL."""

import json
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from hpsearch.errors import ConfigurationError, InvalidInput, StoreUnavailable

BUSY_SECONDS = 30
"""How long a SQLite transaction waits for the lock of another process."""


CLOCK_SECONDS = 5.0
"""How long a look at PostgreSQL's clock is carried on."""
_CLOCK = text("SELECT extract(epoch FROM clock_timestamp())")


class Transaction:
    """One transaction, open."""

    def __init__(self, connection: Connection, clock: Callable[[Connection], float]) -> None:
        self.connection = connection
        self.saved: list[Any] = []
        """Studies that this transaction changed."""
        self._clock = clock

    @cached_property
    def now(self) -> float:
        """Seconds since the epoch by the database's clock, when it was first asked for: it costs a round trip."""
        return self._clock(self.connection)


class Database:
    """Hands out transactions; knows which dialect it speaks.

    `clock` replaces the database's clock in tests. Thread-safe.
    """

    def __init__(self, url: str, clock: Callable[[], float] | None = None) -> None:
        self.on_commit: list[Callable[[Any], None]] = []
        """Told of every study that was saved (a `LockedStudy`), once it is committed."""
        self._url = url
        self._last_look: tuple[float, float] | None = None
        self._engine = _create_engine(url)
        weakref.finalize(self, self._engine.dispose)  # one that was unpickled has nobody to close it
        self._clock = clock
        # Not for correctness (BEGIN IMMEDIATE sees to that): SQLite's own wait for its lock sleeps up to 100 ms a
        # time and starves whom it likes, threads of one process can do better.
        self._writers: threading.Lock | None = threading.Lock() if self.is_sqlite else None

    def __reduce__(self) -> tuple[type["Database"], tuple[str]]:
        return Database, (self._url,)

    @property
    def engine(self) -> Engine:
        return self._engine

    @property
    def is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that only reads.

        Raises `StoreUnavailable`; `InvalidInput` for text or numbers that the database cannot hold.
        """
        with _translated(), self._engine.connect() as connection, connection.begin():
            yield Transaction(connection, self._now)

    @contextmanager
    def look(self) -> Iterator[Transaction]:
        """For one statement that only reads: no transaction around it, which would be two round trips more.

        Raises `StoreUnavailable`.
        """
        with _translated(), self._engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            yield Transaction(connection, self._now)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that writes: committed at the end of the block, rolled back where the block raises.

        Raises `StoreUnavailable`.
        """
        with self._writing() as transaction:
            yield transaction
        for study in transaction.saved:
            for tell in self.on_commit:
                tell(study)

    @contextmanager
    def _writing(self) -> Iterator[Transaction]:
        if self._writers is None:
            with self.read() as transaction:
                yield transaction
            return
        writing = self._engine.execution_options(writes=True)
        with self._writers, _translated(), writing.connect() as connection, connection.begin():
            yield Transaction(connection, self._now)

    def close(self) -> None:
        self._engine.dispose()

    def _now(self, connection: Connection) -> float:
        if self._clock is not None:
            return self._clock()
        if self.is_sqlite:  # the database's clock is this machine's
            return time.time()
        # one look a few seconds, carried on by this machine's steady clock: a round trip less a transaction
        clock = self._last_look
        if clock is None or time.monotonic() - clock[1] > CLOCK_SECONDS:
            began = time.monotonic()
            seen = float(connection.execute(_CLOCK).scalar_one())
            # it was seen at some moment of the round trip, which takes milliseconds where the processor is busy
            clock = self._last_look = seen, (began + time.monotonic()) / 2
        return clock[0] + time.monotonic() - clock[1]


def _create_engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _create_sqlite_engine(url, parsed.database)
        if parsed.get_backend_name() == "postgresql":
            return create_engine(
                parsed,
                pool_pre_ping=True,
                pool_size=10,
                max_overflow=30,
                json_serializer=_to_json,
                hide_parameters=True,
            )
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigurationError(f"database_url: {error}") from error
    raise ConfigurationError(f"database_url: only sqlite and postgresql are served, not {parsed.get_backend_name()}")


def _create_sqlite_engine(url: str, path: str | None) -> Engine:
    if not path or path == ":memory:":
        raise ConfigurationError("database_url: SQLite must be a file: sqlite:////absolute/path.db")
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot make the folder of {path}: {error.strerror}") from error
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        pool_size=10,
        max_overflow=40,
        json_serializer=_to_json,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _to_json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself; `_begin_sqlite` does
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # what was acknowledged survives a power cut: 0.2 ms a commit against 0.02
        "foreign_keys=ON",
        f"busy_timeout={BUSY_SECONDS * 1000}",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    # a writer takes the lock at once: an upgrade from a read in the middle cannot wait and fails
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except (DataError, UnicodeEncodeError, OverflowError) as error:
        raise InvalidInput(f"the database cannot hold this: {getattr(error, 'orig', error)}") from error
    except DBAPIError as error:
        raise StoreUnavailable(f"the database did not take it, try again: {error.orig}") from error
    except PoolTimeoutError as error:
        raise StoreUnavailable("the database is busy, try again") from error
