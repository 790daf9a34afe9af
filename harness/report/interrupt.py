"""Ends a run soon after Ctrl-C, with its reports written, even while a scenario blocks.

Python raises ``KeyboardInterrupt`` at once, but a scenario may then wait for its own threads, whose
requests hang on purpose for up to a minute.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

__all__ = ["InterruptGuard"]

_PATIENCE = 1.2
"""Seconds after Ctrl-C until the process ends, unless it has ended on its own."""


class InterruptGuard:
    """Handles SIGINT while installed. *report* writes all reports, from another thread.

    :attr:`lock` is held while reports are written, :attr:`reported` is set once they are, and
    :attr:`interrupted` after Ctrl-C.
    """

    def __init__(self, report: Callable[[], None]) -> None:
        self.lock = threading.RLock()
        self.reported = False
        self.interrupted = False
        self._report = report
        self._previous: Callable[[int, FrameType | None], object] | int | None = None

    def install(self) -> None:
        """Take over SIGINT; does nothing outside the main thread, or the second time."""
        if self._previous is None and threading.current_thread() is threading.main_thread():
            self._previous = signal.getsignal(signal.SIGINT)
            signal.signal(signal.SIGINT, self._interrupted)

    def uninstall(self) -> None:
        """Give SIGINT back."""
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        self.interrupted, previous = True, self._previous
        self.uninstall()  # A second Ctrl-C is handled as usual.
        threading.Thread(target=self._end, daemon=True).start()
        if callable(previous):
            previous(number, frame)

    def _end(self) -> None:
        time.sleep(_PATIENCE)
        with self.lock:
            if not self.reported:
                self._report()
            os._exit(2)
