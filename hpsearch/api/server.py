"""Runs the application on uvicorn until a signal."""

import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn

from hpsearch.api.app import Application
from hpsearch.api.guards import check_exposure
from hpsearch.errors import ConfigurationError
from hpsearch.service import Service
from hpsearch.settings import Settings

logger = logging.getLogger(__name__)

SWITCH_SECONDS = 0.0005
"""How long a thread may keep the others waiting: with Python's 5 ms a poll waits for every transaction under way."""
GRACE_SECONDS = 5
"""How long open requests may go on after the signal."""


def serve(settings: Settings, service: Service, on_ready: Callable[[str], None]) -> None:
    """Open the service, serve it, close it. `on_ready` is called with the URL once requests are answered.

    Returns after SIGINT or SIGTERM. Raises `ConfigurationError` where it must not or cannot serve there.
    """
    check_exposure(settings)
    sys.setswitchinterval(SWITCH_SECONDS)
    listener = _listen(settings.host, settings.port)
    try:
        service.open()
        app = Application(service, settings)
        gc.freeze()  # what is loaded stays: no collection need look at it again, in the midst of everybody's calls
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            server_header=False,
        )
        # uvicorn raises the signal again when it is done: by then nobody must die of it, there is a service to close
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        url = _url(settings.host, listener.getsockname()[1])

        def ready() -> None:
            on_ready(url)
            service.import_ahead()

        _Server(config, app, ready).run(sockets=[listener])
    finally:
        listener.close()
        service.close()


class _Server(uvicorn.Server):
    """Says when it is ready, and ends long polls when it goes down."""

    def __init__(self, config: uvicorn.Config, app: Application, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._app = app
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._app.closing.set()
        super().handle_exit(sig, frame)


def _url(host: str, port: int) -> str:
    """Where a client on this machine finds the server."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _listen(host: str, port: int) -> socket.socket:
    """Bound before anything else is started, so that a taken port costs nothing."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        raise ConfigurationError(f"cannot serve on {host} port {port}: {error.strerror or error}") from error
    return listener
