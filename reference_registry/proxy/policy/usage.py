"""What of the cache has been used, and when: gathered while requests are answered, and handed on
now and then to whoever decides what is kept. A hit costs one entry of a dict and writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from reference_registry.clock import Clock
from reference_registry.digest import Digest

__all__ = ["INTERVAL", "UseTimes", "Uses"]

UseTimes = Mapping[tuple[str, Digest], datetime]
"""When the content of a repository was last used, by repository and digest."""

INTERVAL = timedelta(seconds=10)
"""How long uses wait to be handed on, and so what a crash may lose of them."""


class Uses:
    """The uses since they were last handed on. No I/O."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pending: dict[tuple[str, Digest], datetime] = {}
        self._receivers: list[Callable[[UseTimes], None]] = []

    def hand_to(self, receiver: Callable[[UseTimes], None]) -> None:
        """From now on *receiver* is told. Where nobody is, nothing is noted."""
        self._receivers.append(receiver)

    @property
    def matter(self) -> bool:
        """Whether anybody wants to know."""
        return bool(self._receivers)

    def note(self, repository: str, digest: Digest) -> None:
        """The manifest or blob *digest* of *repository* is being served, or has just come."""
        if self._receivers:
            self._pending[repository, digest] = self._clock.now()

    def settle(self) -> None:
        """Hand on what has been noted."""
        if self._pending:
            pending, self._pending = self._pending, {}
            for receive in self._receivers:
                receive(pending)

    async def keep_settling(self) -> None:
        """Hand on again and again, for ever."""
        while True:
            await self._clock.sleep_until(self._clock.now() + INTERVAL)
            self.settle()
