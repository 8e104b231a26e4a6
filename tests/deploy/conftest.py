"""The files that deploy hpsearch, read once."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

REPOSITORY = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def compose_text() -> str:
    return (REPOSITORY / "docker-compose.yml").read_text()


@pytest.fixture(scope="session")
def compose(compose_text: str) -> dict[str, Any]:
    """The Compose file, its anchors resolved."""
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(compose_text)
    return loaded
