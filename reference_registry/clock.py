"""Time as a value that is passed in, so that a test can control it.

Everything in this package that waits or compares moments asks a :class:`Clock`; nothing calls
``time.time`` or ``asyncio.sleep`` for policy. :class:`SystemClock` is the wall clock;
:class:`ManualClock` moves only by :meth:`~ManualClock.advance`, from any thread.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # It is slow to import, and garbage collection only asks what time it is.
    import asyncio


class Clock(Protocol):
    """The time for expiry, purging and health checks."""

    def now(self) -> datetime:
        """The current moment, timezone-aware, in UTC."""
        ...

    async def sleep_until(self, moment: datetime) -> None:
        """Return once :meth:`now` is at or after *moment* (at once if it already is)."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep_until(self, moment: datetime) -> None:
        import asyncio

        # asyncio's timer is monotonic, and the wall clock may be set meanwhile: look again after
        # each nap.
        while (left := (moment - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 - no event
            await asyncio.sleep(min(left, 3600.0))


class ManualClock:
    """A clock that does not move until :meth:`advance` is called, from any thread.

    Sleepers whose moment has come are woken on their own event loops, earliest first.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime.now(UTC)
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []
        self._lock = threading.Lock()

    def now(self) -> datetime:
        with self._lock:
            return self._now

    def advance(self, by: timedelta) -> None:
        """Move forward; a negative *by* is a ``ValueError``, since time never runs backwards."""
        if by < timedelta(0):
            raise ValueError(f"a clock only moves forward, not by {by}")
        with self._lock:
            self._now += by
            due = [sleeper for sleeper in self._sleepers if sleeper[0] <= self._now]
        for _, future in sorted(due, key=lambda sleeper: sleeper[0]):
            loop = future.get_loop()
            # The loop may have been closed between the test's last step and this turn of the clock.
            if not loop.is_closed():
                loop.call_soon_threadsafe(_wake, future)

    async def sleep_until(self, moment: datetime) -> None:
        import asyncio

        with self._lock:
            if moment <= self._now:
                return
            sleeper = (moment, asyncio.get_running_loop().create_future())
            self._sleepers.append(sleeper)
        try:
            await sleeper[1]
        finally:
            with self._lock:
                self._sleepers.remove(sleeper)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
