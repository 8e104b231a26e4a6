"""Long polls: an answer as soon as something changes, without a thread that waits."""

import asyncio
import time

from hpsearch.api.calls import Calls
from hpsearch.service import Marker

LOOK_SECONDS = 0.2
"""Between two looks at where the study stands: changes made by other servers show too."""


async def wait_for_change(calls: Calls, study: str, seconds: float, known: str | None, closing: asyncio.Event) -> str:
    """The entity tag of the best, once it is another than `known` or the study has ended, or time is up.

    `known` is None for whatever it is now. Raises `StudyNotFound`, also where the study is deleted meanwhile.
    """
    deadline = time.monotonic() + seconds
    while True:
        marker = await calls.marker(study)
        known = known or entity_tag(marker)
        left = deadline - time.monotonic()
        if entity_tag(marker) != known or marker.state.has_ended or left <= 0 or closing.is_set():
            return entity_tag(marker)
        await asyncio.sleep(min(LOOK_SECONDS, left))


def entity_tag(marker: Marker) -> str:
    """Changes when the best trial does, and when the study's state does; no two studies have the same. With what is
    confirmed too, which shows once the study has ended: it may be confirmed again later."""
    best = "none" if marker.best_number is None else str(marker.best_number)
    confirmed = f".{marker.confirmed}" if marker.confirmed and marker.state.has_ended else ""
    return f'"{marker.id}.{best}-{marker.state}{confirmed}"'
