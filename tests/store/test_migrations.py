"""The tables of a migrated database are the tables of the code, whoever migrates first."""

import threading
from importlib.resources import files

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from hpsearch.errors import ConfigurationError, StoreUnavailable
from hpsearch.store.database import Database
from hpsearch.store.migrate import HEAD, current_revision, migrate
from hpsearch.store.tables import metadata


def test_the_newest_revision_is_the_one_written_down() -> None:
    config = Config()
    config.set_main_option("script_location", str(files("hpsearch.store") / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_migrating_gives_the_tables_of_the_code(database_url: str) -> None:
    database = Database(_sqlalchemy(database_url))
    migrate(database)
    with database.read() as tx:
        assert current_revision(tx) == HEAD
        assert compare_metadata(MigrationContext.configure(tx.connection), metadata) == []
    database.close()


def test_servers_that_start_together_migrate_once(request: pytest.FixtureRequest, database_url: str) -> None:
    url = _sqlalchemy(database_url)
    _empty(url)
    barrier, errors = threading.Barrier(4), []

    def start() -> None:
        database = Database(url)
        barrier.wait()
        try:
            migrate(database)
        except Exception as error:
            errors.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_database_of_a_newer_version_is_left_alone(database_url: str) -> None:
    database = Database(_sqlalchemy(database_url))
    migrate(database)
    with database.write() as tx:
        tx.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match="another version"):
        migrate(database)
    with database.read() as tx:
        assert current_revision(tx) == "9999"
    database.close()


@pytest.mark.parametrize("url", ["mysql://u@h/d", "sqlite://", "sqlite:///:memory:", "nonsense", "foo://x"])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="database_url"):
        Database(url)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    database = Database("postgresql+psycopg://u@127.0.0.1:1/d")
    with pytest.raises(StoreUnavailable), database.read():
        pass
    database.close()


def _sqlalchemy(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def _empty(url: str) -> None:
    """Drop the tables that the template brought."""
    database = Database(url)
    with database.write() as tx:
        metadata.drop_all(tx.connection)
        tx.connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    database.close()
