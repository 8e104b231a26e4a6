"""The tables of a migrated database are the tables of the code, whoever migrates first."""

import threading
from dataclasses import replace
from importlib.resources import files

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from hpsearch.errors import ConfigurationError, StoreUnavailable
from hpsearch.service import Service
from hpsearch.settings import Settings
from hpsearch.spec import parse_study
from hpsearch.store.database import Database
from hpsearch.store.migrate import HEAD, current_revision, migrate
from hpsearch.store.tables import metadata
from hpsearch.trials import Decision, Lease, Receipt, Report, Result, TrialState
from tests.conftest import TOY, toy_study


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


# as hpsearch 0.1 wrote them at revision 0001
OLD_ROWS = """
INSERT INTO studies (name, objective, spec, budget_trials, state, revision, waiting, running, complete, pruned, failed,
    cancelled, best_number, best_value, created_at, started_at)
  VALUES ('bowl', 'toy', '{spec}', 40, 'running', 5, 0, 1, 1, 0, 0, 0, 0, 0.25, 1.0, 2.0);
INSERT INTO studies (name, objective, spec, budget_trials, state, reason, revision, waiting, running, complete, pruned,
    failed, cancelled, created_at, started_at, ended_at)
  VALUES ('done', 'toy', '{done}', 40, 'complete', 'all 40 trials are finished', 5, 0, 0, 40, 0, 0, 0, 1.0, 2.0, 9.0),
         ('late', 'toy', '{done}', 40, 'complete', 'its wall clock has run out', 5, 0, 0, 4, 0, 0, 0, 1.0, 2.0, 9.0),
         ('shut', 'toy', '{done}', 40, 'stopped', 'stopped by a user', 5, 0, 0, 4, 0, 0, 0, 1.0, 2.0, 9.0);
INSERT INTO trials (study_id, number, state, parameters, sampler_attributes, enqueued, "values", metrics, last_step,
    last_value, best_value, attempt, crashes, worker, session, lease_token, lease_seconds, lease_ends_at, revision,
    created_at, started_at, finished_at)
  VALUES (1, 0, 'complete', '{{"x": 0.5}}', '{{}}', {no}, '[0.25]', '{{}}', 1, 0.5, 0.5, 1, 0, 'w1', 's1', 'aa', 30.0,
    NULL, 3, 2.0, 2.0, 3.0),
         (1, 1, 'running', '{{"x": 1.5}}', '{{}}', {no}, NULL, '{{}}', 1, 0.75, 0.75, 1, 0, 'w1', 's1', 'bb', 30.0,
    1e12, 5, 2.0, 2.0, NULL);
INSERT INTO reports (study_id, number, step, value, metrics, attempt, decision, reported_at)
  VALUES (1, 0, 1, 0.5, '{{}}', 1, 'continue', 2.5), (1, 1, 1, 0.75, '{{}}', 1, 'continue', 2.5);
INSERT INTO workers (name, session, host, pid, slots, objectives, version, finished, registered_at, seen_at)
  VALUES ('w1', 's1', 'here', 1, 1, '["toy"]', '0.1.0', 1, 1.0, 2.0);
INSERT INTO artifacts (study_id, number, name, size, sha256, attempt, path, created_at)
  VALUES (1, 0, 'model.json', 2, 'ab', 1, '1/x', 2.5)
"""


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004"])
def test_a_populated_database_of_a_version_before_goes_on(settings: Settings, revision: str) -> None:
    """What was there is there, and the study runs to its end, with events from here on."""
    database = Database(settings.sqlalchemy_url)
    _empty(settings.sqlalchemy_url)
    spec = parse_study(toy_study()).model_dump_json()
    with database.write() as tx:
        config = Config()
        config.set_main_option("script_location", str(files("hpsearch.store") / "migrations"))
        config.attributes["connection"] = tx.connection
        command.upgrade(config, revision)
        done = parse_study(toy_study(name="done")).model_dump_json()
        for statement in OLD_ROWS.format(spec=spec, done=done, no="0" if database.is_sqlite else "false").split(";"):
            tx.connection.exec_driver_sql(statement)
    database.close()
    service = Service(settings, [TOY])
    service.open(reaper=False)
    before, running = service.export("bowl")
    assert (before.state, before.values, before.worker) == (TrialState.COMPLETE, (0.25,), "w1")
    assert [report.value for report in service.list_reports("bowl", 0)] == [0.5]
    assert service.get_study("bowl").compute_seconds == 1.0
    ends = {name: service.get_study(name) for name in ("done", "late", "shut")}
    assert [study.ended_because for study in ends.values()] == ["trials", "wall_clock", "stopped"]
    assert all(study.searched_at == study.ended_at for study in ends.values())
    assert service.list_artifacts("bowl", 0)[0].name == "model.json"
    lease = Lease(study="bowl", number=1, token="bb", attempt=1)
    assert service.report([Report(lease=lease, step=2, value=0.5)]) == [Decision.CONTINUE]
    assert service.tell([Result(lease=lease, state=TrialState.COMPLETE, values=(0.1,))]) == [Receipt.ACCEPTED]
    assert service.best("bowl").trial == service.get_trial("bowl", 1)
    assert [(event.revision, event.number, event.state) for event in service.events("bowl")] == [(6, 1, "complete")]
    (assignment,) = service.claim("w1", "s1", [], 1)
    assert (assignment.lease.number, running.number) == (2, 1)
    own = replace(TOY, name="own")
    service.publish_objectives([own])
    assert service.objectives() == (TOY, own)
    service.close()


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
