"""What has to go for a cache to stay below its size: ``proxy.x-max-size`` (d#3539). No I/O.

Content counts once by its digest, however many repositories have it, because the disk holds it
once; and so it goes from all of them at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from reference_registry.digest import Digest

__all__ = ["Holding", "Holdings", "victims"]

_LOW_WATER = 0.9
"""The part of the bound that eviction goes down to, so that it does not run at every pull."""


@dataclass(frozen=True, slots=True)
class Holding:
    """Stored bytes: a layer, a config or a manifest. ``used`` is when they were last served, or
    came, in seconds since 1970."""

    digest: Digest
    size: int
    used: float


class Holdings:
    """All that is stored, and how many bytes that is."""

    def __init__(self) -> None:
        self._held: dict[Digest, Holding] = {}
        self.total = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, digest: Digest) -> Holding | None:
        return self._held.get(digest)

    def all(self) -> list[Holding]:
        """As they are now."""
        return list(self._held.values())

    def put(self, holding: Holding) -> None:
        """*holding* is stored. An earlier use of the same digest is no news."""
        known = self._held.get(holding.digest)
        if known is not None:
            self.total -= known.size
            holding = replace(holding, used=max(known.used, holding.used))
        self._held[holding.digest] = holding
        self.total += holding.size

    def use(self, digest: Digest, moment: float) -> None:
        """*digest* was used at *moment*. What is not held is none of our business."""
        known = self._held.get(digest)
        if known is not None and moment > known.used:
            self._held[digest] = replace(known, used=moment)

    def drop(self, digest: Digest) -> None:
        """*digest* is not stored any more."""
        known = self._held.pop(digest, None)
        if known is not None:
            self.total -= known.size


def victims(
    holdings: Iterable[Holding], bound: int, may_go: Callable[[Holding], bool]
) -> list[Holding]:
    """Of *holdings*, those that have to go, in order; what *may_go* spares is in use.

    What is larger than *bound* by itself goes first, since no room that others made would do. If
    the rest is larger than *bound*, the least recently used go until 90 % of it are left.
    """
    held = list(holdings)
    going = [holding for holding in held if holding.size > bound and may_go(holding)]
    rest = [holding for holding in held if holding.size <= bound]
    size = sum(holding.size for holding in rest)
    if size > bound:
        for holding in sorted(rest, key=lambda holding: (holding.used, holding.digest)):
            if size <= bound * _LOW_WATER:
                break
            if may_go(holding):
                going.append(holding)
                size -= holding.size
    return going
