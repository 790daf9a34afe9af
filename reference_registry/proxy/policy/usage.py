"""What was used, and when: collected while requests are served, and reported every few seconds to
whatever decides what is kept. A hit costs one entry of a dict and writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from reference_registry.clock import Clock
from reference_registry.digest import Digest

__all__ = ["UseTimes", "Uses"]

UseTimes = Mapping[tuple[str, Digest], datetime]
"""When content was last used, by repository and digest."""

_INTERVAL = timedelta(seconds=10)
"""How long uses wait to be reported, and so how many of them a crash may lose."""


class Uses:
    """The uses that have not been reported yet. No I/O."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pending: dict[tuple[str, Digest], datetime] = {}
        self._subscribers: list[Callable[[UseTimes], None]] = []

    def subscribe(self, subscriber: Callable[[UseTimes], None]) -> None:
        """Report uses to *subscriber* from now on."""
        self._subscribers.append(subscriber)

    def note(self, repository: str, digest: Digest) -> None:
        """The manifest or blob *digest* of *repository* is being served, or was just cached."""
        self._pending[repository, digest] = self._clock.now()

    def settle(self) -> None:
        """Report what was collected."""
        if self._pending:
            pending, self._pending = self._pending, {}
            for report in self._subscribers:
                report(pending)

    async def keep_settling(self) -> None:
        """Report every few seconds, until cancelled."""
        while True:
            await self._clock.sleep_until(self._clock.now() + _INTERVAL)
            self.settle()
