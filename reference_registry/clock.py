"""Time as a value that is passed in, so that a test can turn it.

Everything in this package that waits or compares moments asks a :class:`Clock`; nothing calls
``time.time`` or ``asyncio.sleep`` for policy. :class:`SystemClock` is the wall clock;
:class:`ManualClock` moves only by :meth:`~ManualClock.advance`, from any thread.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # It is slow to import, and garbage collection only asks what time it is.
    import asyncio

__all__ = ["Clock", "ManualClock", "SystemClock"]


class Clock(Protocol):
    """The time that expiry, purging and health checks go by."""

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


@dataclass(frozen=True)
class _Sleeper:
    moment: datetime
    loop: asyncio.AbstractEventLoop
    woken: asyncio.Future[None]

    def wake(self) -> None:
        def finish() -> None:
            if not self.woken.done():
                self.woken.set_result(None)

        # The loop may have been closed between the test's last step and this turn of the clock.
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(finish)


class ManualClock:
    """A clock that does not move until :meth:`advance` is called, from any thread.

    Sleepers whose moment has come are woken on their own event loops, earliest first.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime.now(UTC)
        self._sleepers: list[_Sleeper] = []
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
            due = sorted(
                (s for s in self._sleepers if s.moment <= self._now), key=lambda s: s.moment
            )
            self._sleepers = [s for s in self._sleepers if s.moment > self._now]
        for sleeper in due:
            sleeper.wake()

    async def sleep_until(self, moment: datetime) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        with self._lock:
            if moment <= self._now:
                return
            sleeper = _Sleeper(moment, loop, loop.create_future())
            self._sleepers.append(sleeper)
        try:
            await sleeper.woken
        finally:
            with self._lock:
                if sleeper in self._sleepers:
                    self._sleepers.remove(sleeper)
