"""Who may come in, and how much they may carry."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from hpsearch.api.guards import check_exposure
from hpsearch.errors import ConfigurationError
from hpsearch.service import Service
from hpsearch.settings import Settings
from tests.conftest import loop_study
from tests.servers import serving

TOKEN = "long-and-random"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_without_a_token_only_loopback_is_served(host: str) -> None:
    with pytest.raises(ConfigurationError, match="HPSEARCH_TOKEN"):
        check_exposure(Settings(host=host))
    check_exposure(Settings(host=host, token=SecretStr(TOKEN)))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    check_exposure(Settings(host=host))


@pytest.fixture
def guarded(live_service: Service, tmp_path: Path) -> Iterator[httpx.Client]:
    settings = Settings(home=tmp_path / "home", token=SecretStr(TOKEN), max_body_mb=1, max_artifact_mb=1)
    with serving(live_service, settings) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer ünïcode"]
)
@pytest.mark.parametrize("path", ["/api/v1/studies", "/api/v1/workers", "/api/v1/objectives", "/nothing"])
def test_nothing_is_told_without_the_token(guarded: httpx.Client, header: str | None, path: str) -> None:
    headers = {} if header is None else {"Authorization": header.encode()}
    response = guarded.get(path, headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert response.json()["type"] == "urn:hpsearch:problem:unauthorized"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json"])
def test_health_and_documentation_are_open(guarded: httpx.Client, path: str) -> None:
    assert guarded.get(path).status_code == 200


def test_the_token_opens(guarded: httpx.Client) -> None:
    assert guarded.get("/api/v1/studies", headers={"Authorization": f"bearer {TOKEN}"}).json()["items"] == []


def test_a_strangers_host_name_is_refused_without_a_token(http: httpx.Client) -> None:
    assert http.get("/api/v1/studies", headers={"Host": "rebound.example"}).status_code == 401
    for host in ("localhost:8421", "127.0.0.1", "[::1]:80"):
        assert http.get("/api/v1/studies", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_large_is_refused(guarded: httpx.Client, declared: bool) -> None:
    big = b'{"name": "' + b"x" * 2**21 + b'"}'
    content = big if declared else iter([big[:1000], big[1000:]])
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    response = guarded.post("/api/v1/studies", content=content, headers=headers)
    assert response.status_code == 413
    assert response.json()["type"] == "urn:hpsearch:problem:too-large"


def test_the_documentation_needs_no_internet(http: httpx.Client) -> None:
    page = http.get("/docs").text
    assert "https://" not in page
    assert http.get("/docs-files/swagger-ui-bundle.js").status_code == 200
    assert http.get("/").headers["location"] == "/docs"


def test_openapi_shows_what_a_study_is(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    body = document["paths"]["/api/v1/studies"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["$ref"].rsplit("/", 1)[-1] in document["components"]["schemas"]
    assert body["example"]["objective"]["name"] == "rnn"
    created = http.post("/api/v1/studies", json=loop_study())
    assert created.status_code == 201
