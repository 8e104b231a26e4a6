"""`hpsearch serve`: settings, service and API put together."""

import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from hpsearch.api.server import serve
from hpsearch.cli.output import say
from hpsearch.objectives.rnn.parameters import INFO
from hpsearch.service import Service
from hpsearch.settings import Settings

logger = logging.getLogger(__name__)


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

    with _sharing(settings):
        try:
            serve(settings, Service(settings, [INFO]), ready)
        finally:
            if _told(file).get("pid") == os.getpid():
                file.unlink(missing_ok=True)


@contextmanager
def _sharing(settings: Settings) -> Iterator[None]:
    """Within the block the next server on this SQLite database knows that there is one. Warns where there is one now:
    all stays right, but only one can write at a time."""
    if not settings.sqlalchemy_url.startswith("sqlite:///"):
        yield
        return
    database = Path(settings.sqlalchemy_url.removeprefix("sqlite:///").partition("?")[0])
    with ExitStack() as held:
        with suppress(OSError):  # no folder to write to, which the database will say, or one that knows no locks
            database.parent.mkdir(parents=True, exist_ok=True)
            # the kernel's locks go with their process, however it ends
            lock = held.enter_context(database.with_name(f"{database.name}.servers").open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _warn(database, _told(server_file(settings)))
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def _warn(database: Path, other: Mapping[str, Any]) -> None:
    who = f" on {other['url']} (process {other['pid']})" if {"url", "pid"} <= other.keys() else ""
    advice = "one at a time can write there: ask that one, or give several servers PostgreSQL (--database-url)"
    logger.warning("a server%s uses %s already; %s", who, database, advice)


def _told(file: Path) -> Mapping[str, Any]:
    """What a server of this home has said of itself; nothing where none did."""
    try:
        told = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
