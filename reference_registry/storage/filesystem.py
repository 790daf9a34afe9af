"""The storage driver over a directory of the local file system, with a memory of what it read, so
that hot requests cost few system calls.

A remembered file or directory is compared with the system's ``stat`` each time, so that a change by
another process is seen at once. A change within the same tick of the file system's clock as the one
before leaves no trace in the times, so nothing is remembered until its last change is older than a
tick (git calls this "racy git").
"""

# os and not pathlib: these calls are made for every request, and a Path costs as much as the call.

from __future__ import annotations

import os
import shutil
import stat
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST_BYTES = 16 << 20
"""Bytes of content that one cache holds."""
_ENTRY = 512
"""Bytes of a key and the bookkeeping of a value, roughly."""
_MOST_NAMES = 400_000
"""Names of directory entries that are remembered, about 30 MB."""
_SMALLEST_DIRECTORY = 500
"""Names; a smaller directory is listed as fast as it is found in the cache."""

_SECOND = 1_000_000_000
_TICK = 100_000_000
"""Nanoseconds by which times may lag behind the last change: kernels take them from a clock that
ticks every 1 to 10 ms."""
_COARSE_TICK = 2_100_000_000
"""The same for file systems that keep whole seconds, or even ones only."""


@dataclass(eq=False)
class PathNotFound(Exception):
    """There is nothing at ``path``."""

    driver: str
    path: str

    def __str__(self) -> str:
        return f"{self.driver}: Path not found: {self.path}"


class FilesystemDriver:
    """Keeps ``/a/b`` in ``<root>/a/b``. The first write creates the root.

    Paths are absolute and slash-separated, as in distribution's storage drivers
    (``/docker/registry/v2/...``). Calls are synchronous: they cost microseconds, and callers make
    long walks in a worker thread. Most raise :class:`PathNotFound` if *path* is missing, and
    ``OSError`` for the rest.

    A file is replaced by renaming a complete one over it, so that no reader sees a part of it, and
    a process that is killed leaves none. Nothing is synced to disk: a cache can fetch again what a
    power cut took. Small files that have not changed are read once (:class:`FileMemory`).
    """

    name = "filesystem"

    def __init__(self, root: Path, *, synced: bool = False, in_place: bool = False) -> None:
        """*synced*: what :meth:`write` writes is on the disk before it has its name. *in_place*:
        files are emptied and then written, as in releases before 3.1."""
        self._root = str(root)
        self._synced = synced
        self._in_place = in_place
        self._memory = FileMemory()
        self._directories = DirectoryMemory()

    def _full(self, path: str) -> str:
        return self._root + path

    def _missing(self, path: str) -> PathNotFound:
        return PathNotFound(self.name, path)

    def read(self, path: str) -> bytes:
        try:
            return self._memory.read(self._full(path))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise self._missing(path) from None

    def write(self, path: str, content: bytes) -> None:
        """Create or replace the file, and its parents; a reader never sees a part of it."""
        full = self._full(path)
        self._put(full, content, f"{full}.{uuid.uuid4().hex}.part", synced=self._synced and content)

    def replace(self, path: str, content: bytes, aside: str) -> None:
        """As :meth:`write`, but even after a crash of the machine the file has its old content or
        the new one. It is written to *aside* first, a path that has no other writer."""
        self._put(self._full(path), content, self._full(aside), synced=True)

    def _put(self, full: str, content: bytes, part: str, *, synced: object) -> None:
        if self._in_place:
            self._write_out(full, content)
            return
        try:
            self._write_out(part, content, synced=synced)
            os.replace(part, full)
        except OSError:
            with suppress(OSError):
                os.unlink(part)
            raise

    def _write_out(self, full: str, content: bytes, *, synced: object = False) -> None:
        with self._creating_parents(full, "wb") as file:
            left = memoryview(content)
            while left:  # A disk that is nearly full takes a part without an error.
                left = left[file.write(left) :]
            if synced:
                os.fsync(file.fileno())

    def size(self, path: str) -> int:
        """Of a file, in bytes."""
        try:
            found = os.stat(self._full(path))
        except (FileNotFoundError, NotADirectoryError):
            raise self._missing(path) from None
        if stat.S_ISDIR(found.st_mode):
            raise self._missing(path)
        return found.st_size

    def is_file(self, path: str) -> bool:
        return os.path.isfile(self._full(path))

    def exists(self, path: str) -> bool:
        return os.path.exists(self._full(path))

    def open_read(self, path: str, start: int = 0) -> BinaryIO:
        try:
            file = open(self._full(path), "rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise self._missing(path) from None
        file.seek(start)
        return file

    def open_append(self, path: str) -> BinaryIO:
        """For writing at the end; a missing file is created, with its parents."""
        return self._creating_parents(self._full(path), "ab")

    def names(self, path: str) -> list[str]:
        """The names of the entries of a directory, in any order."""
        try:
            return os.listdir(self._full(path))
        except (FileNotFoundError, NotADirectoryError):
            raise self._missing(path) from None

    def sorted_names(self, path: str) -> Sequence[str]:
        """The same in bytewise order; fast if a large directory has not changed since."""
        try:
            return self._directories.names(self._full(path))
        except (FileNotFoundError, NotADirectoryError):
            raise self._missing(path) from None

    def children(self, path: str) -> list[str]:
        """Full paths of the entries of a directory, sorted by name."""
        return [f"{path.rstrip('/')}/{name}" for name in sorted(self.names(path))]

    def move(self, source: str, target: str) -> None:
        """Atomically; parents of *target* are created."""
        if not self.exists(source):
            raise self._missing(source)
        full = self._full(target)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        os.replace(self._full(source), full)

    def delete(self, path: str) -> bool:
        """The file, or the directory with everything below it; False if there is none."""
        full = self._full(path)
        try:
            if os.path.isdir(full):
                shutil.rmtree(full)
            else:
                os.unlink(full)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def local_path(self, path: str) -> Path | None:
        """The file of the operating system behind *path*, or None if the driver has none."""
        return Path(self._full(path))

    def _creating_parents(self, full: str, mode: str) -> BinaryIO:
        """Open *full*. Its parents nearly always exist, so they are created only on failure."""
        try:
            return open(full, mode, buffering=0)  # type: ignore[return-value]
        except FileNotFoundError:
            os.makedirs(os.path.dirname(full), exist_ok=True)
            return open(full, mode, buffering=0)  # type: ignore[return-value]


# -- memory ---------------------------------------------------------------------------------------
class LruCache(Generic[K, V]):
    """Values by key, of at most *bound* together; the least recently used is evicted first. A value
    counts as its size, in any unit, plus *entry*. A value larger than *largest*, by default a
    sixteenth of *bound*, is not kept, so that it does not evict all small ones. Thread-safe."""

    def __init__(self, bound: int, *, entry: int = _ENTRY, largest: int | None = None) -> None:
        self._bound = bound
        self._entry = entry
        self._largest = bound // 16 if largest is None else largest
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()
        self.size = 0

    def get(self, key: K) -> V | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def keep(self, key: K, value: V, size: int = 0) -> None:
        """Remember *value* under *key*."""
        size += self._entry
        with self._lock:
            self._drop(key)
            if size > self._largest:
                return
            self._entries[key] = (value, size)
            self.size += size
            while self.size > self._bound:
                self._drop(next(iter(self._entries)))

    def forget(self, key: K) -> None:
        with self._lock:
            self._drop(key)

    def _drop(self, key: K) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= entry[1]


Stamp = tuple[int, int, int, int]
"""Inode, size or number of links, and the times of the last change of content and of inode (ns)."""


def _is_settled(stamp: Stamp, now: int) -> bool:
    """Whether every change from *now* on must show in the times."""
    written, changed = stamp[2:]
    whole_seconds = written % _SECOND == 0 and changed % _SECOND == 0
    return now - max(written, changed) > (_COARSE_TICK if whole_seconds else _TICK)


class FileMemory:
    """The content of small files. *now* gives nanoseconds since 1970, by the clock that stamps
    files."""

    def __init__(self, bound: int = MOST_BYTES, now: Callable[[], int] = time.time_ns) -> None:
        self._contents: LruCache[str, tuple[Stamp, bytes]] = LruCache(bound)
        self._now = now

    def read(self, path: str) -> bytes:
        """The content of the file at *path*; ``OSError`` as from ``open``. The same object as long
        as the file does not change."""
        remembered = self._contents.get(path)
        if remembered is None:
            return self._read(path)
        stamp, content = remembered
        try:
            unchanged = _file_stamp(os.stat(path)) == stamp
        except OSError:
            self._contents.forget(path)
            raise
        return content if unchanged else self._read(path)

    def _read(self, path: str) -> bytes:
        began = self._now()
        with open(path, "rb", buffering=0) as file:
            stamp = _file_stamp(os.fstat(file.fileno()))
            content = file.read()
        if len(content) == stamp[1] and _is_settled(stamp, began):
            self._contents.keep(path, (stamp, content), len(content))
        return content


def _file_stamp(found: os.stat_result) -> Stamp:
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class DirectoryMemory:
    """The sorted names in large directories: a page of 1,000 of 100,000 tags costs listing and
    sorting all of them, and the next page finds them here. *now* as in :class:`FileMemory`."""

    def __init__(self, bound: int = _MOST_NAMES, now: Callable[[], int] = time.time_ns) -> None:
        self._known: LruCache[str, tuple[Stamp, tuple[str, ...]]] = LruCache(
            bound, entry=0, largest=bound
        )
        self._now = now

    def names(self, path: str) -> tuple[str, ...]:
        """The names in the directory at *path* in bytewise order; ``OSError`` as from
        ``listdir``."""
        # Before listing: what happens afterwards changes the stamp again.
        began, found = self._now(), os.stat(path)
        # Most file systems count subdirectories as links.
        stamp = found.st_ino, found.st_nlink, found.st_mtime_ns, found.st_ctime_ns
        known = self._known.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        self._known.forget(path)
        names = tuple(sorted(os.listdir(path)))
        if len(names) >= _SMALLEST_DIRECTORY and _is_settled(stamp, began):
            self._known.keep(path, (stamp, names), len(names))
        return names
