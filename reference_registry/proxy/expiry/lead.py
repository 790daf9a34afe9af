"""Which of the processes that share a storage deletes what has expired."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from reference_registry.storage.file_lock import FileLock

__all__ = ["Lead"]

_log = logging.getLogger(__name__)


class Lead:
    """The lead is the lock on the file *path*; where that is None nobody else can have it."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock: FileLock | None = None
        self._is_ours = asyncio.Event()

    def take(self) -> bool:
        """Whether we have just got it, which another process must have let go for."""
        if self._is_ours.is_set():
            return False
        if self._path is not None:
            try:
                self._lock = FileLock.take(self._path)
            except OSError as error:
                _log.warning("no locks between processes, each deletes what expires: %s", error)
            else:
                if self._lock is None:
                    return False
        self._is_ours.set()
        return True

    @property
    def is_held(self) -> bool:
        """Whether we have it."""
        return self._is_ours.is_set()

    async def is_ours(self) -> None:
        """Returns when it is."""
        await self._is_ours.wait()

    def release(self) -> None:
        """Let another process have it. May be called twice."""
        lock, self._lock = self._lock, None
        self._is_ours.clear()
        if lock is not None:
            lock.release(remove=True)
