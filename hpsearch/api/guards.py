"""What stands before every route: who may come in, and how much they may carry."""

import hmac
import ipaddress
import json
import math
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hpsearch.api.problems import respond
from hpsearch.errors import ConfigurationError, Fault, HpsearchError, InvalidInput, TooLarge, Unauthorized
from hpsearch.settings import Settings

DOCS_FILES = "/docs-files"
OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/docs", "/openapi.json", "/api/v1/schema"})
"""Paths that show no data of anybody's."""


def is_loopback(host: str) -> bool:
    """Whether an address or a name is this machine alone."""
    name = host.strip("[]")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def check_exposure(settings: Settings) -> None:
    """Raises `ConfigurationError` where the server would be open to others without a token."""
    if settings.token is None and not is_loopback(settings.host):
        raise ConfigurationError(
            f"serving on {settings.host} would let anybody in: set HPSEARCH_TOKEN (any long random string), "
            "or serve on 127.0.0.1"
        )


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(DOCS_FILES + "/")


class Guard:
    """ASGI middleware: token or loopback host name, and the size of bodies."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._token = settings.token.get_secret_value().encode() if settings.token else None
        self._max_body = settings.max_body_mb * 2**20
        self._max_upload = settings.max_artifact_mb * 2**20

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        limit = self._max_upload if scope["method"] == "PUT" else self._max_body
        try:
            self._check_caller(headers, scope["path"])
            _check_length(headers, limit)
        except HpsearchError as error:
            await respond(Request(scope), error)(scope, receive, send)
            return
        await self._app(scope, _limited(receive, limit), send)

    def _check_caller(self, headers: dict[bytes, bytes], path: str) -> None:
        if self._token is None:
            # A page of a stranger can have its own name resolve to 127.0.0.1 and then read what is served there
            # (DNS rebinding); it cannot forge the Host header.
            if not _names_loopback(headers.get(b"host", b"")):
                raise Unauthorized("without a token this server answers to localhost alone, by that name")
        elif not _is_open(path):
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
                raise Unauthorized


@lru_cache(maxsize=1024)
def _names_loopback(host: bytes) -> bool:
    """Whether a Host header is this machine alone."""
    name = host.decode("latin-1")
    return is_loopback(urlsplit(f"//{name}").hostname or "") if name else False


def _check_length(headers: dict[bytes, bytes], limit: int) -> None:
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > limit:
        raise TooLarge(f"the body has {int(declared)} bytes, this server takes {limit}")


def _limited(receive: Receive, limit: int) -> Receive:
    """Count what arrives: a chunked body declares no length."""
    arrived = 0

    async def counted() -> Message:
        nonlocal arrived
        message = await receive()
        arrived += len(message.get("body", b""))
        if arrived > limit:
            raise TooLarge(f"the body has more than the {limit} bytes that this server takes")
        return message

    return counted


async def json_body(request: Request) -> Any:
    """The body as strict JSON: no NaN, no infinities, no key twice, no text that a database cannot hold.

    Raises `InvalidInput`.
    """
    try:
        raw = await request.body()
    except ClientDisconnect as error:
        raise InvalidInput("the body broke off") from error
    try:
        return json.loads(raw, parse_constant=_refuse_constant, object_pairs_hook=_unique, parse_float=_finite)
    except InvalidInput:
        raise
    except RecursionError as error:
        raise InvalidInput(faults=[Fault("", "the body is nested too deeply")]) from error
    except ValueError as error:
        raise InvalidInput(faults=[Fault("", f"the body is not JSON: {error}")]) from error


def _refuse_constant(name: str) -> Any:
    raise InvalidInput(faults=[Fault("", f"the body is not JSON: {name} is no JSON number; use a finite one or null")])


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InvalidInput(faults=[Fault("", f"{text[:40]} is too large for a number")])
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(faults=[Fault("", f"the body names {twice!r} twice in one object")])
    return found
