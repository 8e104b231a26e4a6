"""Gateways that fail as networks do, around a real service."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpsearch.errors import ServerUnreachable, StoreUnavailable
from hpsearch.gateway import Gateway
from hpsearch.trials import Artifact, Lease


class Wrapped:
    """Passes every call on through `around(name, call)`, and counts them."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.calls: Counter[str] = Counter()

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        return call()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._gateway, name)

        def wrapped(*arguments: Any) -> Any:
            self.calls[name] += 1
            return self.around(name, lambda: method(*arguments))

        return wrapped


class Unreachable(Wrapped):
    """Cannot be reached while `is_down` is set."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self.is_down = threading.Event()

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        if self.is_down.is_set():
            raise ServerUnreachable
        return call()


class Lossy(Wrapped):
    """Loses the answers to some calls after they did what they do: by turns one in three of each kind."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self.lost: Counter[str] = Counter()

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        turn = self.calls[name]
        answer = call()
        if turn % 3 == 1:
            self.lost[name] += 1
            raise ServerUnreachable if turn % 2 else StoreUnavailable
        return answer


class SlowUploads(Wrapped):
    """Takes its time over every file."""

    def __init__(self, gateway: Gateway, seconds: float) -> None:
        super().__init__(gateway)
        self._seconds = seconds

    def put_artifact(self, lease: Lease, name: str, path: Path) -> Artifact:
        time.sleep(self._seconds)
        return self._gateway.put_artifact(lease, name, path)


class SlowDownloads(Wrapped):
    """Takes its time over what is fetched."""

    def __init__(self, gateway: Gateway, seconds: float) -> None:
        super().__init__(gateway)
        self._seconds = seconds

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        if name == "get_artifact":
            time.sleep(self._seconds)
        return call()


class NoDownloads(Wrapped):
    """Has damaged files only."""

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        if name == "get_artifact":
            raise StoreUnavailable("the artifact is damaged")
        return call()


class Failing(Wrapped):
    """Raises each of the given errors once, by the name of the call."""

    def __init__(self, gateway: Gateway, **errors: Exception) -> None:
        super().__init__(gateway)
        self.errors = errors

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        if error := self.errors.pop(name, None):
            raise error
        return call()
