"""Calls that arrive while one is under way go together in the next: one transaction for several callers."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

from hpsearch.errors import HpsearchError, InvalidInput

T = TypeVar("T")
A = TypeVar("A")

MOST = 256
"""Calls that go together."""


class Combined(Generic[T, A]):
    """`run` answers several items at once, in a thread of `executor`; an answer that is an exception is raised to its
    caller alone. One run at a time: the longer it takes, the more go together in the next.

    Nobody is answered before the transaction with his item is committed, so that each caller has what he would have
    had alone.
    """

    def __init__(self, executor: Executor, run: Callable[[list[T]], Sequence[A | HpsearchError]]) -> None:
        self._executor = executor
        self._run = run
        self._waiting: list[tuple[T, asyncio.Future[A]]] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, item: T) -> A:
        """The answer to one item. Raises what `run` raised or answered."""
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        batch: list[tuple[T, asyncio.Future[A]]] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                batch = [(item, future) for item, future in batch if not future.cancelled()]
                answers = await self._answers([item for item, _ in batch])
                for (_, future), answer in zip(batch, answers, strict=True):
                    _settle(future, answer)
        finally:  # the server goes down: nobody is left waiting
            for _, future in [*batch, *self._waiting]:
                future.cancel()
            self._task, self._waiting = None, []

    async def _answers(self, items: list[T]) -> Sequence[A | Exception]:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._run, items)
        except InvalidInput as error:
            if len(items) == 1:
                return [error]
            # one of them is at fault, which nobody else should suffer for
            return [answer for item in items for answer in await self._answers([item])]
        except Exception as error:
            return [error] * len(items)


def _settle(future: "asyncio.Future[A]", answer: A | Exception) -> None:
    if future.done():  # the caller went away
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def flattened(run: Callable[[list[T]], Sequence[A]]) -> Callable[[list[list[T]]], list[list[A]]]:
    """A function of batches as a function of several callers' batches."""

    def together(batches: list[list[T]]) -> list[list[A]]:
        answers = iter(run([item for batch in batches for item in batch]))
        return [[next(answers) for _ in batch] for batch in batches]

    return together
