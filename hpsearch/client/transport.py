"""Requests that raise the errors of the service: problem details become the exceptions that they were."""

import functools
import random
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx

from hpsearch.errors import (
    PROBLEM_PREFIX,
    Fault,
    HpsearchError,
    InvalidInput,
    NotFound,
    ServerUnreachable,
    StoreUnavailable,
    TooLarge,
    Unauthorized,
    Unavailable,
    error_tree,
    problem_type,
)

SILENT_SECONDS = 45.0
"""A stream that is silent for so long is dead: the server says something every 15 seconds."""

BY_TYPE: Mapping[str, type[HpsearchError]] = {problem_type(error): error for error in error_tree()}
_BY_STATUS = {401: Unauthorized, 404: NotFound, 413: TooLarge, 503: StoreUnavailable}
"""For answers that no hpsearch wrote: a proxy's, say."""


def part_of_path(name: str, what: str) -> str:
    """A name as one part of a path. Raises `InvalidInput` for what can be none: no name at all, and what leads
    elsewhere."""
    if name in ("", ".", "..") or "/" in name:
        raise InvalidInput(faults=[Fault(what, f"must be a name, not {name!r}")])
    return quote(name, safe="")


def study_path(name: str, rest: str = "") -> str:
    """Where the server has a study. Raises `InvalidInput`."""
    return f"api/v1/studies/{part_of_path(name, 'study')}{rest}"


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Those that are trusted; read once, which takes longer than a call."""
    return httpx.create_ssl_context()


class Transport:
    """One server, over HTTP. Thread-safe.

    `retries` is how often a call is repeated after no answer, or after "try again". Waits 0.1, 0.2, 0.4 … seconds (5
    at most), each shortened at random.
    """

    def __init__(self, url: str, token: str | None, timeout: float, retries: int) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            self._http = httpx.Client(
                base_url=url.rstrip("/") + "/", headers=headers, timeout=timeout, verify=_certificates()
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise InvalidInput(faults=[Fault("url", f"{url!r} is no URL: {error}")]) from error
        self._timeout = timeout
        self._retries = retries

    def close(self) -> None:
        self._http.close()

    def request(
        self, method: str, path: str, *, wait: float = 0.0, repeatable: bool = True, **options: Any
    ) -> httpx.Response:
        """The answer, where it is a good one (304 too). `wait` is how long the server was asked to take; what is not
        `repeatable` is sent once.

        Raises what the service raised, `ServerUnreachable` without an answer.
        """
        retries = self._retries if repeatable else 0
        for attempt in range(retries + 1):
            try:
                return self._once(method, path, wait, options)
            except Unavailable:
                if attempt == retries:
                    raise
                time.sleep(min(5.0, 0.1 * 2**attempt) * random.uniform(0.5, 1.0))  # noqa: S311
        raise AssertionError("unreachable")

    def _once(self, method: str, path: str, wait: float, options: Mapping[str, Any]) -> httpx.Response:
        with unreachable_translated():
            response = self._http.request(method, path, timeout=self._timeout + wait, **options)
        raise_for_problem(response)
        return response

    @contextmanager
    def stream(self, path: str) -> Iterator[httpx.Response]:
        """A response whose body is read by the caller. Raises like `request`, without trying again."""
        with unreachable_translated(), self._http.stream("GET", path) as response:
            if response.status_code >= 300:
                response.read()
            raise_for_problem(response)
            yield response

    def events(self, path: str, after: int) -> Iterator[tuple[int, str]]:
        """Server-sent events (id, data) up to the one that is called `end`.

        A cut connection is taken up again after the last event. Raises like `request`.
        """
        cuts = 0
        while True:
            try:
                with self._event_stream(path, after) as lines:
                    for name, event_id, data in _events_in(lines):
                        if name == "end":
                            return
                        after, cuts = event_id, 0
                        yield event_id, data
                raise ServerUnreachable("the server went down")
            except Unavailable:
                if cuts == self._retries:
                    raise
                time.sleep(min(5.0, 0.1 * 2**cuts) * random.uniform(0.5, 1.0))  # noqa: S311
                cuts += 1

    @contextmanager
    def _event_stream(self, path: str, after: int) -> Iterator[Iterator[str]]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        timeout = max(self._timeout, SILENT_SECONDS)
        with unreachable_translated(), self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
            if response.status_code >= 300:
                response.read()
            raise_for_problem(response)
            yield response.iter_lines()


def _events_in(lines: Iterator[str]) -> Iterator[tuple[str, int, str]]:
    """The name, id and data of a stream's events; ours have a line of data each."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
            continue
        if "event" in fields and "data" in fields:
            yield fields["event"], int(fields.get("id", 0)), fields["data"]
        fields = {}


@contextmanager
def unreachable_translated() -> Iterator[None]:
    """Raises `ServerUnreachable` for what httpx says of a connection."""
    try:
        yield
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL) as error:
        raise InvalidInput(faults=[Fault("url", f"cannot be asked: {error}")]) from error
    except httpx.TransportError as error:
        raise ServerUnreachable(f"the server cannot be reached: {error or type(error).__name__}") from error


def raise_for_problem(response: httpx.Response) -> None:
    """Raises the error that a response describes, if it describes one."""
    if response.status_code < 300 or response.status_code == 304:
        return
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    kind = BY_TYPE.get(str(problem.get("type", "")).removeprefix(PROBLEM_PREFIX))
    detail = str(problem.get("detail") or f"HTTP {response.status_code} {response.reason_phrase}".strip())
    if kind is None:
        kind = _BY_STATUS.get(response.status_code, Unavailable if response.status_code >= 502 else HpsearchError)
    if issubclass(kind, InvalidInput):
        raise kind(detail, [Fault(**fault) for fault in problem.get("faults", ())])
    raise kind(detail)
