"""Our storage in process and over HTTP, on each database; one database and one server for all tests of a module, whose
studies are deleted in between."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpsearch.client.optuna_port import HttpPort
from hpsearch.search.storage import Storage
from hpsearch.service import Service
from hpsearch.settings import Settings
from tests.conftest import TOY, new_postgresql_database, new_sqlite_database
from tests.servers import serving


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home: Path = tmp_path_factory.mktemp("home")
    if request.param == "sqlite":
        yield Settings(home=new_sqlite_database(home))
        return
    with new_postgresql_database(request.getfixturevalue("postgresql_server")) as url:
        yield Settings(home=home, database_url=url)


@pytest.fixture(scope="module")
def shared_service(shared_settings: Settings) -> Iterator[Service]:
    """By the machine's clock: Optuna compares times with it to the millisecond; PostgreSQL is less exact."""
    service = Service(shared_settings, [TOY], time.time)
    service.open(reaper=False)
    yield service
    service.close()


@pytest.fixture(scope="module", params=["in process", "over HTTP"])
def port(request: pytest.FixtureRequest, shared_service: Service, shared_settings: Settings) -> Iterator[object]:
    if request.param == "in process":
        yield shared_service.optuna
        return
    with serving(shared_service, shared_settings) as url:
        yield HttpPort(url)


@pytest.fixture
def service(shared_service: Service) -> Service:
    """Without any study."""
    for study in shared_service.list_studies(limit=1000).items:
        shared_service.delete_study(study.name)
    return shared_service


@pytest.fixture
def storage(port: HttpPort, service: Service) -> Storage:
    return Storage(port)
