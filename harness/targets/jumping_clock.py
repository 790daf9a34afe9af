"""A clock that runs like the machine's, and can be turned forward."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Protocol

from reference_registry.clock import Clock

__all__ = ["JumpingClock", "TurnableClock"]

_LONGEST_NAP = 3600.0


class TurnableClock(Clock, Protocol):
    """A clock that a test turns."""

    def advance(self, by: timedelta) -> None:
        """Turn it forward, from any thread. ``ValueError`` for a negative *by*."""
        ...


class JumpingClock:
    """A :class:`reference_registry.clock.Clock`. Between two turns it runs as it does for a
    registry in another process, so a scenario sees the same on both."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)
        self._lock = threading.Lock()
        self._sleepers: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def advance(self, by: timedelta) -> None:
        """Turn it forward, from any thread. ``ValueError`` for a negative *by*."""
        if by < timedelta(0):
            raise ValueError(f"time only passes forward, not by {by}")
        with self._lock:
            self._ahead += by
            sleepers = list(self._sleepers)
        for loop, turned in sleepers:
            # A loop that has been closed since has no sleepers.
            if not loop.is_closed():
                loop.call_soon_threadsafe(turned.set)

    async def sleep_until(self, moment: datetime) -> None:
        sleeper = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._sleepers.add(sleeper)
        try:
            while (left := (moment - self.now()).total_seconds()) > 0:
                try:
                    await asyncio.wait_for(sleeper[1].wait(), min(left, _LONGEST_NAP))
                except TimeoutError:
                    continue
                sleeper[1].clear()
        finally:
            with self._lock:
                self._sleepers.discard(sleeper)
