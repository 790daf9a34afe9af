"""Several callers that want the same thing at once share one attempt to get it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["SingleFlight"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Runs one coroutine per key at a time; who asks meanwhile gets its result or its exception.

    The attempt is a task of its own: a caller that is cancelled, the first one included, leaves it
    running for the others. Nothing is remembered once it is done.
    """

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Task[V]] = {}

    async def run(self, key: K, attempt: Callable[[], Awaitable[V]]) -> V:
        """The result of *attempt*, or of the attempt for *key* that is under way."""
        task = self._running.get(key)
        if task is None:
            task = asyncio.ensure_future(_await(attempt))
            self._running[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        return await asyncio.shield(task)

    def _finished(self, key: K, task: asyncio.Task[V]) -> None:
        if self._running.get(key) is task:
            del self._running[key]
        # Callers that left do not collect the exception; asyncio would complain that nobody did.
        if not task.cancelled():
            task.exception()

    async def stop(self) -> None:
        """Cancel what is running, and wait until it has ended."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _await(attempt: Callable[[], Awaitable[V]]) -> V:
    return await attempt()
