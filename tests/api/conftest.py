"""A live server on SQLite for each test."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hpsearch.service import Service
from hpsearch.settings import Settings
from tests.conftest import TOY, new_sqlite_database
from tests.servers import serving


@pytest.fixture
def live_service(tmp_path: Path) -> Iterator[Service]:
    service = Service(Settings(home=new_sqlite_database(tmp_path / "home")), [TOY])
    service.open(reaper=False)
    yield service
    service.close()


@pytest.fixture
def http(live_service: Service, tmp_path: Path) -> Iterator[httpx.Client]:
    """A plain HTTP client of the server."""
    with (
        serving(live_service, Settings(home=tmp_path / "home")) as url,
        httpx.Client(base_url=url, verify=False) as client,
    ):
        yield client
