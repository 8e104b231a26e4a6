"""A client of a live server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hpsearch.client import Client
from hpsearch.service import Service
from hpsearch.settings import Settings
from tests.conftest import TOY, new_sqlite_database
from tests.servers import serving


@pytest.fixture
def server_url(tmp_path: Path) -> Iterator[str]:
    settings = Settings(home=new_sqlite_database(tmp_path / "home"))
    service = Service(settings, [TOY])
    service.open(reaper=False)
    with serving(service, settings) as url:
        yield url
    service.close()


@pytest.fixture
def client(server_url: str) -> Iterator[Client]:
    with Client(server_url, retries=1) as client:
        yield client
