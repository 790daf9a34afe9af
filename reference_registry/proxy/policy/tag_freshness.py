"""How long a cached tag is served without revalidating it upstream: ``proxy.x-tag-freshness``.

Every release of distribution asks upstream at each pull by tag, and Docker Hub counts these
requests (d#3407). No I/O. Nothing survives the process: after a start each tag is revalidated once.
"""

from __future__ import annotations

from datetime import timedelta

from reference_registry.clock import Clock
from reference_registry.digest import Digest

__all__ = ["TagFreshness"]

_MOST = 100_000
"""Tags, some 30 MB; beyond that the one that was confirmed the longest time ago goes."""


class TagFreshness:
    """The tags that upstream confirmed less than *interval* ago."""

    def __init__(self, interval: timedelta, clock: Clock, most: int = _MOST) -> None:
        self._interval = interval
        self._clock = clock
        self._most = most
        self._confirmed: dict[tuple[str, str], tuple[float, Digest]] = {}

    def fresh(self, repository: str, tag: str) -> Digest | None:
        """The digest of *tag* if it is fresh; None if upstream has to be asked."""
        known = self._confirmed.get((repository, tag))
        if known is None:
            return None
        confirmed, digest = known
        # A clock that was set back must not extend anything.
        if 0 <= self._now() - confirmed < self._interval.total_seconds():
            return digest
        return None

    def confirm(self, repository: str, tag: str, digest: Digest) -> None:
        """Upstream has just said that *tag* points at *digest*."""
        self._confirmed.pop((repository, tag), None)
        self._confirmed[repository, tag] = self._now(), digest
        if len(self._confirmed) > self._most:
            del self._confirmed[next(iter(self._confirmed))]

    def forget(self, repository: str, tag: str) -> None:
        """The manifest of *tag* is unavailable: ask upstream the next time."""
        self._confirmed.pop((repository, tag), None)

    def _now(self) -> float:
        return self._clock.now().timestamp()
