"""How calls to the service fail, and how long to wait before the next try."""

import logging
import random
import threading
import time

from hpsearch.errors import (
    ConfigurationError,
    Conflict,
    HpsearchError,
    InvalidInput,
    NotFound,
    TooLarge,
    Unauthorized,
    WorkerReplaced,
)

logger = logging.getLogger("hpsearch.worker")

FATAL = (Unauthorized, WorkerReplaced, ConfigurationError)
"""No call will succeed any more. Some are refusals too: look for these first."""
REFUSALS = (InvalidInput, NotFound, Conflict, TooLarge)
"""The same call will fail again. Every other error is worth another try."""

FIRST_SECONDS = 0.1
MAX_SECONDS = 5.0
HURRIED_SECONDS = 0.1


class Backoff:
    """Waits between the tries of one kind of call: exponentially longer, with jitter, up to `MAX_SECONDS`."""

    def __init__(self, what: str, hurried: threading.Event) -> None:
        self._what = what
        self._hurried = hurried
        self._failures = 0

    def failed(self, error: Exception) -> None:
        """Wait after a failure; only briefly once the agent is in a hurry."""
        unexpected = not isinstance(error, HpsearchError)
        level = logging.DEBUG if self._failures else logging.ERROR if unexpected else logging.WARNING
        logger.log(level, "%s failed, trying again: %s", self._what, error, exc_info=unexpected)
        longest = min(MAX_SECONDS, FIRST_SECONDS * 2 ** min(self._failures, 16))
        self._failures += 1
        if self._hurried.wait(longest * random.uniform(0.5, 1.0)):  # noqa: S311 (jitter, no secret)
            time.sleep(HURRIED_SECONDS)

    def succeeded(self) -> None:
        """Start from the shortest wait again."""
        if self._failures:
            logger.info("%s succeeded after %d failures", self._what, self._failures)
        self._failures = 0
