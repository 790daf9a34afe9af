"""Offline mode: the cache does not ask upstream.

``proxy.x-offline`` turns it on, and so does the file ``.pullproof/offline`` in the root directory
while it exists, without a restart.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from reference_registry.proxy.upstream.errors import UpstreamOffline

__all__ = ["MARKER", "Offline"]

MARKER = "/.pullproof/offline"
"""Storage path of the file. Its content does not matter; distribution ignores it."""

_LOOK = 1.0  # seconds of real time between two looks at the file

_log = logging.getLogger(__name__)


class Offline:
    """On if *always*, or while the file *marker* exists. No marker: the storage is in memory."""

    def __init__(self, always: bool = False, marker: Path | None = None) -> None:
        self._always = always
        self._marker = marker
        self._was = False

    def __bool__(self) -> bool:
        """Whether upstream must not be asked now. Logs a change."""
        now = self._always or (self._marker is not None and self._marker.exists())
        if now != self._was:
            self._was = now
            _log.warning(
                "offline: cached content is served, upstream is not asked, nothing expires"
                if now
                else "online again"
            )
        return now

    async def is_over(self) -> None:
        """Wait until upstream may be asked."""
        while self:  # noqa: ASYNC110 - a file sets no event
            await asyncio.sleep(_LOOK)

    def check(self) -> None:
        """Call this before anything is sent. Raises :class:`UpstreamOffline`."""
        if self:
            raise UpstreamOffline("upstream is not asked: this cache is offline")
