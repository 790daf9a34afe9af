"""Reading and writing ``scheduler-state.json``, alone or with others.

The file is always whole, since it is replaced. Processes that share a storage write it one after
the other, under a lock, each putting its own changes on top of what it finds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from reference_registry.proxy.expiry.journal import Journal
from reference_registry.proxy.expiry.schedule import (
    Entry,
    StateUnreadable,
    parse_state,
    render_state,
)
from reference_registry.storage.driver import PathNotFound, StorageDriver
from reference_registry.storage.file_lock import FileLock

__all__ = ["STATE_FILE", "StateFile"]

STATE_FILE = "/scheduler-state.json"
"""Storage path; beside ``/docker``."""

_PATIENCE = 5.0  # seconds that a write waits for those of others
_PAUSE = 0.002

_Stamp = tuple[int, int, int]


class StateFile:
    """The state file of the storage behind *driver*. *lock* is the file that processes which share
    the storage agree by; None where it is used by one process alone."""

    def __init__(self, driver: StorageDriver, lock: Path | None) -> None:
        self._driver = driver
        self._lock = lock
        self._path = driver.local_path(STATE_FILE)
        self._seen: _Stamp | None = None

    def read(self) -> bytes:
        """The content. :class:`reference_registry.storage.driver.PathNotFound`."""
        self._seen = self._stamp()
        return self._driver.read(STATE_FILE)

    def tidy_up(self) -> None:
        """Remove what processes left that were killed while they wrote. ``OSError``."""
        if self._path is None:
            return
        with self._locked(), suppress(FileNotFoundError):
            for part in self._path.parent.glob(f"{self._path.name}.*part"):
                part.unlink()

    def has_news(self) -> bool:
        """Whether another process may have written it since it was read or written here."""
        return self._lock is not None and self._stamp() not in {None, self._seen}

    def news(self) -> dict[str, Entry] | None:
        """The entries, where another process has written it; None where not, or where it
        cannot be read: what is in memory is better then."""
        if not self.has_news():
            return None
        try:
            schedule = parse_state(self.read())
        except (StateUnreadable, PathNotFound, OSError):
            return None
        return None if schedule is None else schedule.tidied()[0].snapshot()

    def write(self, entries: Mapping[str, Entry], changes: Journal) -> Mapping[str, Entry]:
        """Write *entries*, which have *changes* in them since the file was read or written here;
        where others have written since, what they wrote, with *changes*. What is written.

        ``OSError`` where it cannot be, ``TimeoutError`` where another process keeps the lock.
        """
        with self._locked() as is_locked:
            theirs = self.news()
            if theirs is not None:
                entries = changes.applied_to(theirs)
            self._put(render_state(entries), is_locked=is_locked)
            self._seen = self._stamp()
        return entries

    def _put(self, content: bytes, *, is_locked: bool) -> None:
        # Under the lock nobody else writes aside, and what a killed process left is used again.
        mark = "part" if is_locked else f"{uuid4().hex}.part"
        self._driver.replace(STATE_FILE, content, f"{STATE_FILE}.{mark}")

    def _stamp(self) -> _Stamp | None:
        """Changes whenever the file is replaced; None where there is none."""
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """Whether there is a lock that others see."""
        lock = None if self._lock is None else _wait_for(self._lock)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.release(remove=True)


def _wait_for(path: Path) -> FileLock | None:
    """The lock; None where the file system has none, so that everybody goes without."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            lock = FileLock.take(path)
        except OSError:
            return None
        if lock is not None:
            return lock
        if time.monotonic() > deadline:
            raise TimeoutError("another process does not let go of it")
        time.sleep(_PAUSE)
