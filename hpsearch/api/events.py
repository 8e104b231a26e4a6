"""A study's events as they happen: server-sent events (WHATWG HTML, section 9.2), resumed by `Last-Event-ID`."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool

from hpsearch.api.calls import Calls
from hpsearch.api.dependencies import DOCUMENTED, CallsOf, ServiceOf, StudyName
from hpsearch.errors import StudyNotFound
from hpsearch.service import Service
from hpsearch.studies import Event

router = APIRouter(prefix="/api/v1/studies", tags=["studies"], dependencies=DOCUMENTED)

LOOK_SECONDS = 0.2
KEEP_ALIVE_SECONDS = 15.0
"""A comment is sent after so long without an event: proxies drop silent connections, and a dead client shows."""
PAGE = 500
END = b"event: end\ndata: {}\n\n"

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
_NUMBER = Query(ge=0, le=2**53, description="Only what happened after this event (`Last-Event-ID` goes first).")


@router.get("/{study}/events", response_class=StreamingResponse)
async def events(
    request: Request,
    service: ServiceOf,
    calls: CallsOf,
    study: StudyName,
    after: Annotated[int, _NUMBER] = 0,
    last_event_id: Annotated[int | None, Header(ge=0, le=2**53)] = None,
) -> StreamingResponse:
    """Every change of state of the study and its trials from the first on, as `text/event-stream`: `event` is `study`
    or `trial`, `id` resumes after a cut (`Last-Event-ID`), also at another server. With the study the stream ends: its
    last event is `end`, without which it was cut."""
    marker = await calls.marker(study)  # 404 before the stream begins
    lines = _follow(service, calls, study, marker.id, after if last_event_id is None else last_event_id, request)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(lines, media_type="text/event-stream", headers=headers)


async def _follow(
    service: Service, calls: Calls, study: str, study_id: int, after: int, request: Request
) -> AsyncIterator[bytes]:
    closing: asyncio.Event = request.app.state.closing
    silent = 0.0
    yield b"retry: 1000\n\n"
    while not closing.is_set():
        try:
            marker = await calls.marker(study)
            found = [] if marker.revision <= after else await run_in_threadpool(service.events, study, after, PAGE)
        except StudyNotFound:
            yield END
            return
        if marker.id != study_id:  # deleted, and another one made under its name
            yield END
            return
        for event in found:
            yield _lines(event)
            after, silent = event.revision, 0.0
        if not found:
            if marker.state.has_ended:
                yield END
                return
            await asyncio.sleep(LOOK_SECONDS)
            silent += LOOK_SECONDS
        if silent >= KEEP_ALIVE_SECONDS:
            silent = 0.0
            yield b": still here\n\n"


def _lines(event: Event) -> bytes:
    kind = "study" if event.number is None else "trial"
    data = _EVENT.dump_json(event).decode()
    return f"id: {event.revision}\nevent: {kind}\ndata: {data}\n\n".encode()
