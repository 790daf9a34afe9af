"""The sorted names in large directories, for as long as the directories stay what they were.

A page of 1,000 of 100,000 tags costs listing and sorting all of them; the next page finds them
here. Whether anything came or went is asked of the system each time (``stat``), so that what
another process or another registry did is seen at once.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from reference_registry.storage.file_memory import tick_of

__all__ = ["DirectoryMemory"]

_BOUND = 400_000
"""Names that are remembered, some 30 MB."""
_SMALLEST = 500
"""Names that are worth it; fewer are listed as fast as they are looked up."""

_Stamp = tuple[int, int, int, int]
"""Inode, number of links (most file systems count subdirectories there), and the times of the last
change of content and of inode, in ns."""


class DirectoryMemory:
    """*now* gives nanoseconds since the epoch, by the clock that stamps directories.

    A change in the same tick of that clock as the one before leaves no trace, so that names are
    remembered once the last change lies further back than a tick (as in ``file_memory``).
    """

    def __init__(self, bound: int = _BOUND, now: Callable[[], int] = time.time_ns) -> None:
        """At most *bound* names are remembered; those of what was not asked for longest go."""
        self._bound = bound
        self._now = now
        self._known: OrderedDict[str, tuple[_Stamp, tuple[str, ...]]] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def names(self, path: str) -> tuple[str, ...]:
        """The names in the directory at *path*, in bytewise order; ``OSError`` as from
        ``listdir``."""
        # Before the listing: whatever happens after that changes the stamp again.
        began = self._now()
        stamp = _stamp(path)
        with self._lock:
            known = self._known.get(path)
            if known is not None and known[0] == stamp:
                self._known.move_to_end(path)
                return known[1]
            self._forget(path)
        names = tuple(sorted(os.listdir(path)))
        written, changed = stamp[2:]
        if len(names) >= _SMALLEST and began - max(written, changed) > tick_of(written, changed):
            with self._lock:
                self._keep(path, stamp, names)
        return names

    def _keep(self, path: str, stamp: _Stamp, names: tuple[str, ...]) -> None:
        self._forget(path)
        if len(names) > self._bound:
            return
        self._known[path] = stamp, names
        self._held += len(names)
        while self._held > self._bound:
            self._forget(next(iter(self._known)))

    def _forget(self, path: str) -> None:
        known = self._known.pop(path, None)
        if known is not None:
            self._held -= len(known[1])


def _stamp(path: str) -> _Stamp:
    found = os.stat(path)
    return found.st_ino, found.st_nlink, found.st_mtime_ns, found.st_ctime_ns
