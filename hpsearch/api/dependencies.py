"""What routes take from the app."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request
from fastapi.security import HTTPBearer

from hpsearch.api.calls import Calls
from hpsearch.service import Service


async def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def _calls(request: Request) -> Calls:
    calls: Calls = request.app.state.calls
    return calls


DOCUMENTED = [Depends(HTTPBearer(auto_error=False))]
"""For the documentation alone ("Authorize"): the guard checks the token, before any route is looked for."""
ServiceOf = Annotated[Service, Depends(_service)]
CallsOf = Annotated[Calls, Depends(_calls)]
StudyName = Annotated[str, Path(description="The study's name.")]
TrialNumber = Annotated[int, Path(ge=0, le=2**53, description="The trial's number.")]
Cursor = Annotated[str | None, Query(description="The `next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Items a page.")]
