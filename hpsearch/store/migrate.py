"""Brings a database to the tables of this version, whichever server comes first."""

from pathlib import Path

from sqlalchemy import inspect, text

from hpsearch.errors import ConfigurationError
from hpsearch.store.database import Database, Transaction

HEAD = "0010"
"""The newest revision in `migrations/versions`, written down so that a server that finds it need not import Alembic."""

_ADVISORY_LOCK = 0x68707365  # "hpse": one server migrates while the others wait


def migrate(database: Database) -> None:
    """Create or upgrade the tables; does nothing where they are up to date.

    Raises `ConfigurationError` where the database belongs to a newer hpsearch, and `StoreUnavailable`.
    """
    with database.read() as tx:
        if current_revision(tx) == HEAD:
            return
    with database.write() as tx:
        if not database.is_sqlite:
            tx.connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        if current_revision(tx) != HEAD:
            _upgrade(tx)


def current_revision(tx: Transaction) -> str | None:
    """The revision that the database is at; None where it is empty."""
    if not inspect(tx.connection).has_table("alembic_version"):
        return None
    revision = tx.connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if revision is None else str(revision)


def _upgrade(tx: Transaction) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = tx.connection
    try:
        command.upgrade(config, HEAD)
    except CommandError as error:
        raise ConfigurationError(f"the database was written by another version of hpsearch: {error}") from error
