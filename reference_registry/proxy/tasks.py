"""Tasks that outlive the request that started them, and tasks that several requests share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_log = logging.getLogger(__name__)


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Background:
    """Holds tasks until they are done: the event loop itself keeps only weak references."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, object]) -> None:
        """Run *work*. It handles the failures that it expects; others are logged."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("Error in the background: %s", error, exc_info=error)

    async def stop(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        await _cancel(list(self._tasks))

    async def settled(self) -> None:
        """Wait until no task is running."""
        while self._tasks:
            await asyncio.wait(self._tasks)


class SingleFlight(Generic[K, V]):
    """Runs one coroutine per key at a time. Callers that arrive meanwhile get its result or its
    exception.

    The attempt is a separate task: it keeps running for the others if a caller, even the first one,
    is cancelled. No result is kept once the attempt is done.
    """

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Task[V]] = {}

    async def run(self, key: K, attempt: Callable[[], Awaitable[V]]) -> V:
        """The result of *attempt*, or of the attempt for *key* that is already running."""
        task = self._running.get(key)
        if task is None:
            task = asyncio.ensure_future(_await(attempt))
            self._running[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        return await asyncio.shield(task)

    def _finished(self, key: K, task: asyncio.Task[V]) -> None:
        if self._running.get(key) is task:
            del self._running[key]
        # If all callers have left, asyncio would complain that the exception was never retrieved.
        if not task.cancelled():
            task.exception()

    async def stop(self) -> None:
        """Cancel all attempts and wait until they have ended."""
        await _cancel(list(self._running.values()))


async def _await(attempt: Callable[[], Awaitable[V]]) -> V:
    return await attempt()
