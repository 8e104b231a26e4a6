"""The FastAPI application over a service."""

import asyncio

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.types import Receive, Scope, Send

from hpsearch import __version__
from hpsearch.api import about, events, optuna_port, problems, studies, trials, understanding, workers
from hpsearch.api.calls import Calls
from hpsearch.api.express import Express
from hpsearch.api.guards import DOCS_FILES, Guard
from hpsearch.service import Service
from hpsearch.settings import Settings


class Application:
    """What uvicorn runs: the guard first, then the short way, then the framework."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self.closing = asyncio.Event()
        """Set when the server goes down: long polls end."""
        calls = Calls(service)
        self.api = _create_api(service, calls, self.closing)
        self._app = Guard(Express(self.api, calls), settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _create_api(service: Service, calls: Calls, closing: asyncio.Event) -> FastAPI:
    """The routes. The service is opened and closed by whoever made it."""
    api = FastAPIOffline(
        title="hpsearch",
        version=__version__,
        summary="Hyperparameter search as a service",
        redoc_url=None,
        static_url=DOCS_FILES,
    )
    api.state.service, api.state.calls, api.state.closing = service, calls, closing
    problems.install(api)
    for module in (studies, events, trials, understanding, workers, optuna_port, about):
        api.router.routes.extend(module.router.routes)  # to include the router would make them all anew: 0.1 s
    return api
