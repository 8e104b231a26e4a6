"""A bad network: a proxy between workers and servers that loses answers, repeats requests and brings them late."""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ENDS = (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError)
"""What a broken connection raises."""
SETTLING_ROUNDS = 10
"""Of the event loop: a connection takes some from being accepted until a task serves it, and a closed one until its
transport is let go."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad the network is: the share of requests that each fault befalls."""

    drop: float = 0.02
    """The server does what it was asked, the answer is swallowed and the connection cut."""
    duplicate: float = 0.02
    """The request is sent twice at once, to any servers; the worker gets one of the two answers."""
    delay: float = 0.015
    """The request arrives late, up to `late_seconds`."""
    copy: float = 0.02
    """A copy of the request arrives again, up to `late_seconds` later."""
    late_seconds: float = 4.0


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came."""

    target: str
    raw: bytes


class Proxy:
    """Listens on `port` and passes requests on to any of the `upstreams`; runs in a thread of its own."""

    def __init__(self, upstreams: Sequence[int], weather: Weather, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        """Faults by kind, and `requests` in all."""
        self.port = 0
        self._upstreams = upstreams
        self._weather = weather
        self._random = random.Random(seed)
        self._ambush: tuple[str, Callable[[int], None]] | None = None
        self._springing = False
        self._late: set[asyncio.Task[bytes | None]] = set()
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()
        self._listening.wait()

    def close(self) -> None:
        """Cut all connections."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def calm(self) -> None:
        """No more faults from here on; returns when the last copy has arrived."""
        self._weather = Weather(drop=0, duplicate=0, delay=0, copy=0)
        asyncio.run_coroutine_threadsafe(self._arrived(), self._loop).result()

    def ambush(self, part: str, spring: Callable[[int], None]) -> None:
        """Call `spring` with the server's port when the next request whose target contains `part` has been sent."""
        self._ambush = part, spring

    @property
    def is_in_ambush(self) -> bool:
        """Whether `spring` is still to be called."""
        return self._ambush is not None or self._springing

    async def _arrived(self) -> None:
        while self._late:
            await asyncio.wait(self._late)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        self._loop.run_forever()
        self._loop.remove_reader(server.sockets[0])  # nobody more is accepted: asyncio cannot close a server meanwhile
        self._settle()
        server.close()
        if tasks := asyncio.all_tasks(self._loop):
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._settle()  # transports that were closed are let go
        self._loop.close()

    def _settle(self) -> None:
        for _ in range(SETTLING_ROUNDS):
            self._loop.run_until_complete(asyncio.sleep(0))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One worker's connection: an answer a request, until either side has enough."""
        try:
            while True:
                head, raw = await _read_message(reader)
                answer = await self._pass_on(Request(head.split(" ", 2)[1], raw))
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
        except (*ENDS, asyncio.CancelledError):  # at the proxy's end; asyncio would log it
            return
        finally:
            writer.close()

    async def _pass_on(self, request: Request) -> bytes | None:
        """The answer that the worker gets; None cuts its connection."""
        self.counts["requests"] += 1
        kind, seconds = self._draw()
        if kind is None:
            return await self._ask(request)
        self.counts[kind] += 1
        if kind == "drop":
            await self._ask(request)
            return None
        if kind == "duplicate":
            answers = await asyncio.gather(self._ask(request), self._ask(request))
            return self._random.choice(answers)
        if kind == "delay":
            await asyncio.sleep(seconds)
            return await self._ask(request)
        self._send_again(request, seconds)
        return await self._ask(request)

    def _draw(self) -> tuple[str | None, float]:
        """What befalls the next request."""
        chance, seconds = self._random.random(), self._random.uniform(0.0, self._weather.late_seconds)
        for kind in ("drop", "duplicate", "delay", "copy"):
            chance -= getattr(self._weather, kind)
            if chance < 0:
                return kind, seconds
        return None, 0.0

    def _send_again(self, request: Request, seconds: float) -> None:
        async def later() -> bytes | None:
            await asyncio.sleep(seconds)
            return await self._ask(request)

        task = self._loop.create_task(later())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _ask(self, request: Request) -> bytes | None:
        """A server's answer, None where it gave none."""
        port = self._random.choice(self._upstreams)
        writer = None
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request.raw)
            await writer.drain()
            self._spring(port, request)
            return (await _read_message(reader))[1]
        except ENDS:
            self.counts["unreachable"] += 1
            return None
        finally:
            if writer is not None:
                writer.close()

    def _spring(self, port: int, request: Request) -> None:
        if self._ambush is not None and self._ambush[0] in request.target:
            self._springing = True
            (_, spring), self._ambush = self._ambush, None
            self._loop.call_later(self._random.uniform(0.0, 0.01), self._sprung, spring, port)

    def _sprung(self, spring: Callable[[int], None], port: int) -> None:
        spring(port)
        self._springing = False


async def _read_message(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """The first line of a request or a response, and all its bytes. Bodies must have a Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        assert name.lower() != b"transfer-encoding", "the proxy knows no chunks"
    return head.split(b"\r\n", 1)[0].decode(), head + await reader.readexactly(length)
