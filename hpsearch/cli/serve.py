"""`hpsearch serve`: settings, service and API put together."""

import json
import logging
import os
from pathlib import Path

from hpsearch.api.server import serve
from hpsearch.cli.output import say
from hpsearch.objectives.rnn.parameters import INFO
from hpsearch.service import Service
from hpsearch.settings import Settings


def server_file(settings: Settings) -> Path:
    """Where a server of this home says its URL and process id while it runs."""
    return settings.home_folder / "server.json"


def serve_studies(settings: Settings) -> None:
    """Serve until a signal."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    file = server_file(settings)

    def ready(url: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps({"url": url, "pid": os.getpid()}))
        partial.replace(file)
        say(f"hpsearch serves on {url} (documentation: {url}/docs)")

    try:
        serve(settings, Service(settings, [INFO]), ready)
    finally:
        if _is_ours(file):
            file.unlink(missing_ok=True)


def _is_ours(file: Path) -> bool:
    try:
        return bool(json.loads(file.read_text())["pid"] == os.getpid())
    except (OSError, ValueError, KeyError):
        return False
