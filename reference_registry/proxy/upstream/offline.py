"""The switch that keeps a cache from asking upstream.

``proxy.x-offline`` turns it for good, the file ``.pullproof/offline`` in the root directory while
it is there: for all processes that share the storage, without a restart.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from reference_registry.proxy.upstream.errors import UpstreamOffline

__all__ = ["MARKER", "Offline"]

MARKER = "/.pullproof/offline"
"""Storage path of the file, at which distribution does not look. What is in it does not matter."""

_GLANCE = 1.0  # seconds of real time between two looks at the file

_log = logging.getLogger(__name__)


class Offline:
    """*always*: whatever *marker* says; None where the storage has no files."""

    def __init__(self, always: bool = False, marker: Path | None = None) -> None:
        self._always = always
        self._marker = marker
        self._was = False

    def __bool__(self) -> bool:
        """Whether upstream must not be asked now."""
        now = self._always or (self._marker is not None and self._marker.exists())
        if now != self._was:
            self._was = now
            _log.warning(
                "offline: what is cached is served, upstream is not asked, nothing expires"
                if now
                else "online again"
            )
        return now

    async def is_over(self) -> None:
        """Returns when upstream may be asked. The file is all there is to look at."""
        while self:  # noqa: ASYNC110
            await asyncio.sleep(_GLANCE)

    def check(self) -> None:
        """To be called before anything is sent. Raises :class:`UpstreamOffline`."""
        if self:
            raise UpstreamOffline("upstream is not asked: this cache is offline")
