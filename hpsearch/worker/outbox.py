"""Reports, results and releases on their way to the service: kept until they are answered, sent in batches."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from hpsearch.errors import HpsearchError
from hpsearch.gateway import Gateway
from hpsearch.trials import Decision, Receipt, Release, Report, Result
from hpsearch.worker.backoff import FATAL, REFUSALS, Backoff
from hpsearch.worker.letters import Answered, Fatal, Item, Letter, Refused

GATHER_SECONDS = 0.1
"""What nobody waits for is sent so long after it came, with all that has come meanwhile."""

I = TypeVar("I", Report, Result, Release)  # noqa: E741


class Outbox:
    """What the trials have to say; their reports in the order in which they came."""

    def __init__(self, gateway: Gateway, post: Callable[[Letter], None], hurried: threading.Event) -> None:
        self._gateway = gateway
        self._post = post
        self._backoff = Backoff("sending to the service", hurried)
        self._items: list[Item] = []
        self._send_at = math.inf
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: Item, *, can_wait: bool = False) -> None:
        """Send an item as soon as the line is free; one that can wait with others or a little later."""
        with self._changed:
            self._items.append(item)
            self._send_by(time.monotonic() + GATHER_SECONDS if can_wait else 0.0)

    def flush(self) -> None:
        """Wait no longer with what can wait."""
        with self._changed:
            self._send_by(0.0)

    def _send_by(self, at: float) -> None:
        self._send_at = min(self._send_at, at)
        self._changed.notify()

    def drop(self, item: Item) -> None:
        """Do not send an item any more; it may be on its way already."""
        with self._changed:
            self._items = [other for other in self._items if other is not item]

    def tokens(self) -> list[str]:
        """Tokens of the leases with something unanswered."""
        with self._changed:
            return list({item.lease.token for item in self._items})

    def close(self) -> None:
        """Send nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def run(self) -> None:
        """Send until closed: everything that is ready goes together."""
        while items := self._wait():
            self._deliver(self._gateway.report, [item for item in items if isinstance(item, Report)])
            self._deliver(self._gateway.tell, [item for item in items if isinstance(item, Result)])
            self._deliver(self._gateway.release, [item for item in items if isinstance(item, Release)])

    def _wait(self) -> list[Item]:
        """What is to be sent; nothing once closed."""
        with self._changed:
            while not self._closed and (left := self._seconds_left()) > 0:
                self._changed.wait(None if left == math.inf else left)
            self._send_at = math.inf
            return [] if self._closed else list(self._items)

    def _seconds_left(self) -> float:
        """Until something is to be sent; infinite where there is nothing."""
        return self._send_at - time.monotonic() if self._items else math.inf

    def _deliver(self, call: Callable[[list[I]], Sequence[Decision | Receipt]], items: list[I]) -> bool:
        """Send items of one kind; those that get no answer stay for the next round. Whether there was one."""
        if not items:
            return True
        try:
            answers = list(zip(items, call(items), strict=True))
        except FATAL as error:
            self._post(Fatal(error))
            self.close()
            return False
        except REFUSALS as error:
            return self._refused(call, items, error)
        except Exception as error:
            self._backoff.failed(error)
            self.flush()
            return False
        self._backoff.succeeded()
        for item, answer in answers:
            self.drop(item)
            self._post(Answered(item, answer))
        return True

    def _refused(
        self, call: Callable[[list[I]], Sequence[Decision | Receipt]], items: list[I], error: HpsearchError
    ) -> bool:
        """One bad item must not take the others with it: each goes alone, none before one that got no answer."""
        if len(items) > 1:
            return all(self._deliver(call, [item]) for item in items)
        self.drop(items[0])
        self._post(Refused(items[0], error))
        return True
