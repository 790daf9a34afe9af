"""The content of small files as it was last read, for as long as the files stay what they were.

Whether a file is still the one that was read is asked of the system each time (``stat``), so that
what is removed or replaced, by this process or another one, is never served from memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from reference_registry.storage.recent import Recent

__all__ = ["FileMemory", "tick_of"]

_BOUND = 16 << 20
"""Bytes."""
_TICK = 100_000_000
"""Nanoseconds by which a file's times may lag behind its last change: kernels take them from a
clock that ticks every 1 to 10 ms."""
_COARSE_TICK = 2_100_000_000
"""The same for file systems that keep whole seconds, or even ones only."""
_SECOND = 1_000_000_000

Stamp = tuple[int, int, int, int]
"""Inode, size in bytes, and the times of the last change of content and of inode, in ns."""


class FileMemory:
    """*now* gives nanoseconds since the epoch; files are stamped by the same clock.

    A change that falls into the same tick of that clock as the one before leaves no trace in a
    file's times. So a file is remembered once its times lie so far back that each further change
    must show (as git does for its index, "racy git").
    """

    def __init__(self, bound: int = _BOUND, now: Callable[[], int] = time.time_ns) -> None:
        self._contents: Recent[str, tuple[Stamp, bytes]] = Recent(bound)
        self._now = now

    def read(self, path: str) -> bytes:
        """The content of the file at *path*; ``OSError`` as from ``open``. It is the same object as
        long as the file stays the same."""
        remembered = self._contents.get(path)
        if remembered is None:
            return self._read(path)
        stamp, content = remembered
        try:
            unchanged = _stamp(os.stat(path)) == stamp
        except OSError:
            self._contents.forget(path)
            raise
        return content if unchanged else self._read(path)

    def _read(self, path: str) -> bytes:
        began = self._now()
        with open(path, "rb", buffering=0) as file:
            stamp = _stamp(os.fstat(file.fileno()))
            content = file.read()
        if len(content) == stamp[1] and began - max(stamp[2:]) > tick_of(*stamp[2:]):
            self._contents.keep(path, (stamp, content), len(content))
        return content


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def tick_of(written: int, changed: int) -> int:
    """Nanoseconds by which the times *written* and *changed* of a file or directory may lag behind
    its last change."""
    whole_seconds = written % _SECOND == 0 and changed % _SECOND == 0
    return _COARSE_TICK if whole_seconds else _TICK
