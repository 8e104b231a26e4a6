"""The FastAPI application over a service."""

import asyncio

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from starlette.middleware import Middleware

from hpsearch import __version__
from hpsearch.api import about, problems, studies, trials, workers
from hpsearch.api.calls import Calls
from hpsearch.api.guards import DOCS_FILES, Guard
from hpsearch.service import Service
from hpsearch.settings import Settings


def create_app(service: Service, settings: Settings) -> FastAPI:
    """The application. The service is opened and closed by whoever made it."""
    app = FastAPIOffline(
        title="hpsearch",
        version=__version__,
        summary="Hyperparameter search as a service",
        redoc_url=None,
        static_url=DOCS_FILES,
        middleware=[Middleware(Guard, settings=settings)],
    )
    app.state.service = service
    app.state.calls = Calls(service)
    app.state.closing = asyncio.Event()  # set when the server goes down: long polls end
    problems.install(app)
    # for the documentation alone ("Authorize"): the guard checks the token, before any route is looked for
    documented = [Depends(HTTPBearer(auto_error=False))]
    for module in (studies, trials, workers, about):
        app.include_router(module.router, dependencies=documented)
    return app
