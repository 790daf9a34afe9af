"""One background thread with one asyncio loop, for all servers in the process.

Tests are plain functions. Mock upstreams and reference registries run on this loop, and their
synchronous methods pass coroutines to it with :meth:`LabLoop.run`.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LabLoop:
    """An asyncio loop in a daemon thread, started by the first :meth:`run`."""

    def __init__(self, name: str = "pullproof-lab") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float = 30.0) -> T:
        """Run *coroutine* on the loop and return what it returns, or raise what it raises.

        Cancels it and raises ``TimeoutError`` after *timeout* seconds. Raises ``RuntimeError`` on
        the loop's own thread, which would wait for itself.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("LabLoop.run was called on the loop's own thread: await instead")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._started())
        try:
            return future.result(timeout)
        except BaseException:  # a timeout, or Ctrl-C in the waiting thread
            future.cancel()
            raise

    def stop(self) -> None:
        """Cancel all tasks, close the loop and end the thread, if it runs."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(loop,), name=self._name, daemon=True
                )
                self._thread.start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    # The runner cancels the tasks and closes the loop.
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.get_loop().run_forever()


_lab = LabLoop()
atexit.register(_lab.stop)


def lab_loop() -> LabLoop:
    """The loop of this process."""
    return _lab
