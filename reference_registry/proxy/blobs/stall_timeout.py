"""How long one process waits for another that fetches the blob it needs. No I/O."""

from __future__ import annotations

__all__ = ["Patience"]

_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.05


class Patience:
    """Lasts for *limit* seconds without progress from *now* on. Moments are seconds of any clock
    that never runs backwards.

    Looking is cheap, but not free: the pauses between two looks grow while there is nothing to see.
    """

    def __init__(self, limit: float, now: float) -> None:
        self._limit = limit
        self._since = now
        self._pause = _FIRST_PAUSE

    def looked(self, now: float, *, progress: bool) -> float | None:
        """Seconds until the next look; None where it is not worth while any more."""
        if progress:
            self._since = now
            self._pause = _FIRST_PAUSE
        left = self._since + self._limit - now
        if left <= 0:
            return None
        pause = self._pause
        self._pause = min(2 * pause, _LONGEST_PAUSE)
        return min(pause, left)
