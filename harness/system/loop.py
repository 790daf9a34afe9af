"""One background thread with one asyncio loop, for everything in the process that serves.

Tests are plain functions; mock upstreams and reference registries run on this loop beside them,
and their synchronous faces hand coroutines over with :meth:`LabLoop.run`.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["LabLoop", "lab_loop"]

T = TypeVar("T")


class LabLoop:
    """An asyncio loop in a daemon thread. Started by the first :meth:`run`."""

    def __init__(self, name: str = "pullproof-lab") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def running(self) -> bool:
        """Whether the thread has been started and not stopped."""
        return self._thread is not None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The asyncio loop itself, started if it was not."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._serve, args=(self._loop,), name=self._name, daemon=True
                )
                self._thread.start()
            return self._loop

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = 30.0) -> T:
        """Run *coroutine* on the loop and return what it returns, or raise what it raises.

        Raises ``TimeoutError`` after *timeout* seconds, once the coroutine has been cancelled, and
        ``RuntimeError`` on the loop's own thread, which would wait for itself.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("LabLoop.run was called on the loop's own thread: await instead")
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result(timeout)
        except BaseException:  # a timeout, or Ctrl-C in the waiting thread
            future.cancel()
            raise

    def stop(self) -> None:
        """Cancel what still runs, close the loop, end the thread. Harmless when not running."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            # As asyncio.run does at its end: nothing is left pending behind a closed loop.
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


_lab = LabLoop()
atexit.register(_lab.stop)


def lab_loop() -> LabLoop:
    """The process's loop."""
    return _lab
