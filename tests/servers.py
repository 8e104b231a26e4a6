"""A server in a thread: the real application on a real socket, over whatever service a test made."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from hpsearch.api.app import Application
from hpsearch.service import Service
from hpsearch.settings import Settings


@contextmanager
def serving(service: Service, settings: Settings, port: int = 0) -> Iterator[str]:
    """The URL of a server, up within the block."""
    app = Application(service, settings)
    listener = socket.create_server(("127.0.0.1", port))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        app.closing.set()
        server.should_exit = True
        thread.join(10)
        listener.close()
