"""The short way for what workers and pollers say all the time: past the framework's layers, which take longer than
the work. The same calls as the documented routes make, the same bodies, answers and errors."""

import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from fastapi import Request
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from hpsearch.api.bodies import Ask, ClaimBody, ReportBody, TellBody
from hpsearch.api.calls import INTERNAL, Calls
from hpsearch.api.problems import respond, respond_to_body, respond_to_fault
from hpsearch.api.trials import report_of, result_of
from hpsearch.api.waiting import entity_tag
from hpsearch.errors import HpsearchError
from hpsearch.gateway import Assignment
from hpsearch.service import Claim
from hpsearch.trials import Decision, Lease, Receipt, Release, Report, Result, Trial

STUDIES, BEST = "/api/v1/studies/", "/best"
_LOOP = re.compile(STUDIES + r"(?P<study>[^/]+)/(?:ask|trials/(?P<number>\d{1,15})/(?P<what>report|tell))")
WORKERS, CLAIM = "/api/v1/workers/", "/claim"


class _Kind:
    """A body and its answer."""

    def __init__(self, takes: Any, gives: Any, exclude: set[str] | None = None) -> None:
        self.exclude = exclude
        self.model = takes if isinstance(takes, type) and issubclass(takes, BaseModel) else None
        self.reader: TypeAdapter[Any] = TypeAdapter(takes)
        self.writer: TypeAdapter[Any] = TypeAdapter(gives)


_CLAIM = _Kind(ClaimBody, list[Assignment])
_REPORTS = _Kind(list[Report], list[Decision])
_RESULTS = _Kind(list[Result], list[Receipt])
_LEASES = _Kind(list[Lease], list[Decision])
_RELEASES = _Kind(list[Release], list[Receipt])
_ASK = _Kind(Ask, list[Assignment])
_REPORT = _Kind(ReportBody, dict[str, Decision])
_TELL = _Kind(TellBody, Trial, exclude=INTERNAL)

Call = Callable[[Any], Awaitable[Any]]


class Express:
    """ASGI: answers what it knows, passes on the rest."""

    def __init__(self, app: ASGIApp, calls: Calls) -> None:
        self._app = app
        self._calls = calls
        self._posts: dict[str, tuple[_Kind, Call]] = {
            "/api/v1/reports": (_REPORTS, calls.report),
            "/api/v1/results": (_RESULTS, calls.tell),
            "/api/v1/leases/renew": (_LEASES, calls.renew),
            "/api/v1/releases": (_RELEASES, calls.release),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path: str = scope["path"]
            if scope["method"] == "POST":
                route = self._posts.get(path) or self._claim_at(path) or self._loop_at(path)
                if route is not None:
                    await _reply(*route, scope, receive, send)
                    return
            elif scope["method"] == "GET" and (study := self._polled(scope)) is not None:
                try:
                    await self._best(study, scope, send)
                except HpsearchError as error:
                    await respond(Request(scope), error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _claim_at(self, path: str) -> tuple[_Kind, Call] | None:
        if not (path.startswith(WORKERS) and path.endswith(CLAIM)):
            return None
        name = path[len(WORKERS) : -len(CLAIM)]
        if "/" in name:
            return None

        async def claim(body: ClaimBody) -> list[Assignment]:
            return await self._calls.claim(Claim(name, body.session, body.holding, body.limit))

        return _CLAIM, claim

    def _loop_at(self, path: str) -> tuple[_Kind, Call] | None:
        """What loops say that ask and tell."""
        match = _LOOP.fullmatch(path)
        if match is None:
            return None
        study, number, report = match["study"], int(match["number"] or 0), match["what"] == "report"
        if match["number"] is None:
            return _ASK, partial(self._calls.ask, study)
        if report:
            return _REPORT, lambda body: self._calls.report_one(report_of(study, number, body))
        return _TELL, lambda body: self._calls.tell_one(result_of(study, number, body))

    def _polled(self, scope: Scope) -> str | None:
        """The study whose best is polled without a wish to wait."""
        path: str = scope["path"]
        if not (path.startswith(STUDIES) and path.endswith(BEST)) or scope["query_string"]:
            return None
        study = path[len(STUDIES) : -len(BEST)]
        return None if "/" in study else study

    async def _best(self, study: str, scope: Scope, send: Send) -> None:
        known = next((value for name, value in scope["headers"] if name == b"if-none-match"), None)
        tag = entity_tag(await self._calls.marker(study)).encode()
        headers = [(b"etag", tag), (b"cache-control", b"no-cache")]
        if tag == known:
            await _send(send, 304, headers, b"")
            return
        content = await self._calls.best(study)
        await _send(send, 200, [*headers, *_described(content)], content)


async def _reply(kind: _Kind, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        answer = await call(kind.reader.validate_json(await _body(receive)))
        content = kind.writer.dump_json(answer, exclude=kind.exclude)
    except ValidationError as error:
        await respond_to_body(Request(scope), error.errors(include_url=False), kind.model)(scope, receive, send)
    except HpsearchError as error:
        await respond(Request(scope), error)(scope, receive, send)
    except ClientDisconnect:
        return
    except Exception as error:
        await respond_to_fault(Request(scope), error)(scope, receive, send)
    else:
        await _send(send, 200, _described(content), content)


def _described(content: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], content: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _body(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)
