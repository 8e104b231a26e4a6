"""The load generator: one process, one raw HTTP/1.1 connection a worker. A client library would take more of the two
cores than the server does."""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import uvloop

from tests.benchmarks.ours import OBJECTIVE, STUDY
from tests.benchmarks.workload import REPORTS, report_of, value_of

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, on the quickest loop there is."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


class Connection(asyncio.Protocol):
    """A keep-alive connection, one request at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[tuple[int, bytes, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, url: str) -> "Connection":
        """Connect to a server."""
        parts = urlsplit(url)
        _, connection = await asyncio.get_running_loop().create_connection(cls, parts.hostname, parts.port)
        return connection

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if separator and len(body) >= (length := _length(head)):
            self._buffer = body[length:]
            if self._answer is not None and not self._answer.done():
                self._answer.set_result((int(head[9:12]), head, body[:length]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server hung up"))

    async def request(self, method: str, path: str, body: str = "", headers: str = "") -> tuple[int, bytes, bytes]:
        """Status, head and body of the answer."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        content = body.encode()
        described = f"content-type: application/json\r\ncontent-length: {len(content)}\r\n" if content else ""
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}{described}\r\n"
        self._transport.write(head.encode() + content)
        return await self._answer

    async def post(self, path: str, body: str) -> bytes:
        """The body of a good answer."""
        status, _, content = await self.request("POST", path, body)
        if status >= 400:
            raise RuntimeError(f"{path} answered {status}: {content.decode()}")
        return content

    async def get(self, path: str) -> Any:
        """A good answer's JSON."""
        status, _, content = await self.request("GET", path)
        assert status == 200, content
        return json.loads(content)

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()


def _length(head: bytes) -> int:
    lowered = head.lower()
    at = lowered.find(b"\r\ncontent-length:")
    if at >= 0:
        return int(lowered[at + 17 :].partition(b"\r\n")[0])
    assert b"transfer-encoding" not in lowered, head
    return 0


def _tag(head: bytes) -> str:
    return head.lower().partition(b"\r\netag:")[2].partition(b"\r\n")[0].strip().decode()


# --- one client that asks and tells ----------------------------------------------------------------------------------


@dataclass
class Timings:
    """Seconds of each kind of call."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, kind: str, since: float) -> float:
        """Note a call that began at `since`; returns now."""
        now = time.perf_counter()
        self.seconds.setdefault(kind, []).append(now - since)
        return now

    def join(self, other: "Timings") -> None:
        """Take another's in."""
        for kind, seconds in other.seconds.items():
            self.seconds.setdefault(kind, []).extend(seconds)


async def ask_and_tell(url: str, repetitions: int) -> Timings:
    """Asks, reports and tells, one after the other on one connection."""
    connection, timings = await Connection.open(url), Timings()
    base = f"/api/v1/studies/{STUDY}"
    for _ in range(repetitions):
        began = time.perf_counter()
        (assignment,) = json.loads(await connection.post(f"{base}/ask", "{}"))
        asked = timings.add("ask", began)
        lease, value = assignment["lease"], value_of(assignment["parameters"])
        key = f'"token":"{lease["token"]}","attempt":{lease["attempt"]}'
        path = f"{base}/trials/{lease['number']}"
        await connection.post(f"{path}/report", f'{{{key},"step":1,"value":{value!r}}}')
        reported = timings.add("report", asked)
        await connection.post(f"{path}/tell", f'{{{key},"value":{value!r}}}')
        told = timings.add("tell", reported)
        timings.seconds.setdefault("ask+tell", []).append(asked - began + told - reported)
    connection.close()
    return timings


async def ask(url: str) -> None:
    """One ask, answered."""
    connection = await Connection.open(url)
    await connection.post(f"/api/v1/studies/{STUDY}/ask", "{}")
    connection.close()


# --- workers ---------------------------------------------------------------------------------------------------------


@dataclass
class Lives:
    """What simulated workers went through."""

    timings: Timings = field(default_factory=Timings)
    numbers: list[int] = field(default_factory=list)
    in_time: int = 0
    """Lives that ended before the deadline; the others were let end, so that nothing is left."""
    seconds: float = 0
    empty: int = 0
    """Claims that were given nothing."""
    errors: int = 0
    exact: bool = True
    """No number was given twice, and the finished trials are those told."""

    @property
    def rate(self) -> float:
        return self.in_time / self.seconds


async def live(url: str, workers: int, seconds: float) -> Lives:
    """Workers for a time: each claims, reports five times, tells, and again. Checks that nothing was lost."""
    lives = Lives(seconds=seconds)
    main, *_ = connections = [await Connection.open(url) for _ in range(workers)]
    before = await main.get(f"/api/v1/studies/{STUDY}")
    for position, connection in enumerate(connections):
        worker = {"name": f"worker-{position}", "session": str(os.getpid()), "host": "here", "pid": os.getpid()}
        await connection.post("/api/v1/workers", json.dumps(worker | {"slots": 1, "objectives": [OBJECTIVE]}))
    deadline = time.perf_counter() + seconds
    await asyncio.gather(*(_live(item, at, deadline, lives) for at, item in enumerate(connections)))
    after = await main.get(f"/api/v1/studies/{STUDY}")
    finished = after["counts"]["complete"] - before["counts"]["complete"]
    lives.exact = finished == len(lives.numbers) == len(set(lives.numbers)) and after["counts"]["running"] == 0
    for connection in connections:
        connection.close()
    return lives


async def _live(connection: Connection, position: int, deadline: float, lives: Lives) -> None:
    path, body = f"/api/v1/workers/worker-{position}/claim", f'{{"session":"{os.getpid()}","limit":1}}'
    while (began := time.perf_counter()) < deadline:
        found = json.loads(await connection.post(path, body))
        if not found:
            lives.empty += 1
            await asyncio.sleep(0.01)
            continue
        at = lives.timings.add("claim", began)
        lease, value = json.dumps(found[0]["lease"]), value_of(found[0]["parameters"])
        for step in range(1, REPORTS + 1):
            report = f'[{{"lease":{lease},"step":{step},"value":{report_of(value, step)!r}}}]'
            assert await connection.post("/api/v1/reports", report) == b'["continue"]'
            at = lives.timings.add("report", at)
        result = f'[{{"lease":{lease},"state":"complete","values":[{value!r}]}}]'
        assert await connection.post("/api/v1/results", result) == b'["accepted"]'
        lives.in_time += lives.timings.add("tell", at) < deadline
        lives.numbers.append(found[0]["lease"]["number"])


# --- pollers ---------------------------------------------------------------------------------------------------------


@dataclass
class Polls:
    """What pollers of the best trial saw."""

    timings: Timings
    statuses: Counter[int]
    seconds: float

    @property
    def rate(self) -> float:
        return self.statuses.total() / self.seconds


def poll(url: str, pollers: int, seconds: float, rate: float | None = None) -> Polls:
    """Poll the best trial for a time on so many connections, each with the entity tag it was given last: as fast as
    they can, or together `rate` times a second."""
    return run(_poll_all(url, pollers, seconds, rate))


async def _poll_all(url: str, pollers: int, seconds: float, rate: float | None) -> Polls:
    polls, pause = Polls(Timings(), Counter(), seconds), pollers / rate if rate else 0.0
    began = time.perf_counter()
    starts = [began + pause * at / pollers for at in range(pollers)]
    await asyncio.gather(*(_poll(url, start, began + seconds, pause, polls) for start in starts))
    return polls


async def _poll(url: str, due: float, deadline: float, pause: float, polls: Polls) -> None:
    """A poll is timed from when it was due: one that waits for the one before it is late, not left out."""
    connection, path, known = await Connection.open(url), f"/api/v1/studies/{STUDY}/best", ""
    while due < deadline and time.perf_counter() < deadline:
        await asyncio.sleep(due - time.perf_counter())
        status, head, _ = await connection.request("GET", path, headers=known)
        polls.timings.add("poll", due)
        due = due + pause if pause else time.perf_counter()
        polls.statuses[status] += 1
        known = f"if-none-match: {_tag(head)}\r\n"
    connection.close()
