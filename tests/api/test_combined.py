"""Calls that go together: each has what it would have had alone."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from hpsearch.api.combined import Combined, flattened
from hpsearch.errors import HpsearchError, InvalidInput, LeaseLost, StoreUnavailable


class Runner:
    """Doubles numbers, in batches that it notes; the first run waits for `go`."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()

    def __call__(self, items: list[int]) -> Sequence[int | HpsearchError]:
        self.batches.append(items)
        self.go.wait(10)
        if 13 in items:
            raise InvalidInput("13")
        if 99 in items:
            raise StoreUnavailable
        return [LeaseLost() if item == 7 else 2 * item for item in items]


async def gather(run: Runner, *items: int) -> list[int | BaseException]:
    with ThreadPoolExecutor() as executor:
        call = Combined(executor, run)
        tasks = [asyncio.create_task(call(items[0]))]
        while not run.batches:
            await asyncio.sleep(0.001)
        tasks += [asyncio.create_task(call(item)) for item in items[1:]]
        await asyncio.sleep(0)
        run.go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)


def test_what_arrives_meanwhile_goes_together() -> None:
    run = Runner()
    assert asyncio.run(gather(run, 1, 2, 3, 4)) == [2, 4, 6, 8]
    assert run.batches == [[1], [2, 3, 4]]


def test_a_refusal_is_its_callers_alone() -> None:
    answers = asyncio.run(gather(Runner(), 1, 7, 3))
    assert answers[::2] == [2, 6]
    assert isinstance(answers[1], LeaseLost)


def test_nobody_suffers_for_anothers_fault() -> None:
    answers = asyncio.run(gather(Runner(), 1, 2, 13, 4))
    assert [answers[0], answers[1], answers[3]] == [2, 4, 8]
    assert isinstance(answers[2], InvalidInput)


def test_a_database_that_is_away_is_away_for_all() -> None:
    answers = asyncio.run(gather(Runner(), 1, 2, 99))
    assert answers[0] == 2
    assert all(isinstance(answer, StoreUnavailable) for answer in answers[1:])


def test_a_caller_that_goes_away_harms_nobody() -> None:
    async def main() -> int:
        run = Runner()
        with ThreadPoolExecutor() as executor:
            call = Combined(executor, run)
            tasks = [asyncio.create_task(call(item)) for item in (1, 2)]
            await asyncio.sleep(0)
            tasks[0].cancel()
            run.go.set()
            answer = await tasks[1]
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
            return answer

    assert asyncio.run(main()) == 4


def test_batches_of_several_callers_are_told_apart() -> None:
    together = flattened(lambda items: [item * 10 for item in items])
    assert together([[1, 2], [], [3]]) == [[10, 20], [], [30]]
