"""Long polls: an answer as soon as something changes, without a thread that waits."""

import asyncio
import time

from starlette.concurrency import run_in_threadpool

from hpsearch.service import Service
from hpsearch.studies import Best

LOOK_SECONDS = 0.2
"""Between two looks at the study's revision: one indexed read each, so that changes made by other servers show too."""


async def wait_for_best(
    service: Service, study: str, seconds: float, known: str | None, closing: asyncio.Event
) -> Best:
    """The best trial, once it is another than `known` (its entity tag) or the study has ended, or time is up.

    `known` is None for whatever it is now. Raises `StudyNotFound`, also where the study is deleted meanwhile.
    """
    deadline = time.monotonic() + seconds
    while True:
        marker = await run_in_threadpool(service.change_marker, study)
        best = await run_in_threadpool(service.best, study)
        known = known or entity_tag(best)
        if entity_tag(best) != known or best.state.has_ended:
            return best
        while await run_in_threadpool(service.change_marker, study) == marker:
            if time.monotonic() >= deadline or closing.is_set():
                return best
            await asyncio.sleep(min(LOOK_SECONDS, max(0.0, deadline - time.monotonic())))


def entity_tag(best: Best) -> str:
    """Changes when the best trial does, and when the study's state does."""
    trial = "none" if best.trial is None else f"{best.trial.number}.{best.trial.revision}"
    return f'"{trial}-{best.state}"'
