"""A folder for PostgreSQL's socket, whose path may not be long, and which pytest locks nobody out of."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hpsearch-chaos-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
