"""What this process remembers of the storage, so that hot requests cost few system calls.

A remembered file or directory is compared with the system's ``stat`` each time, so that a change by
anyone is seen at once. A change within the same tick of the file system's clock as the one before
leaves no trace in the times, so nothing is remembered until its last change lies further back than
a tick (git calls this "racy git").
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from reference_registry.digest import Digest
from reference_registry.manifest import ManifestInvalid, media_type_of, parse_manifest
from reference_registry.repository import Manifest
from reference_registry.storage.blobs import BlobStore
from reference_registry.storage.driver import PathNotFound

__all__ = ["DirectoryMemory", "FileMemory", "LruCache", "ManifestMemory", "SubjectMemory"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_MOST_BYTES = 16 << 20
_ENTRY = 512
"""Bytes that a key and the bookkeeping of a value take, roughly."""
_MOST_NAMES = 400_000
"""Names of directory entries that are remembered, about 30 MB."""
_SMALLEST_DIRECTORY = 500
"""Names; smaller directories are listed as fast as they are looked up."""
_SUBJECTS = 200_000

_SECOND = 1_000_000_000
_TICK = 100_000_000
"""Nanoseconds by which times may lag behind the last change: kernels take them from a clock that
ticks every 1 to 10 ms."""
_COARSE_TICK = 2_100_000_000
"""The same for file systems that keep whole seconds, or even ones only."""


class LruCache(Generic[K, V]):
    """Values by key, of at most *bound* together; the least recently used go first. A value counts
    as its size, in whatever unit, plus *entry*; one above *largest* (by default a sixteenth of
    *bound*) is not kept, so that it does not evict all small ones. Thread-safe."""

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


# -- files and directories ----------------------------------------------------------------------
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

    def __init__(self, bound: int = _MOST_BYTES, now: Callable[[], int] = time.time_ns) -> None:
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


# -- manifests ----------------------------------------------------------------------------------
class ManifestMemory:
    """The media types of manifests, which are in their content only. Each is valid for the very
    object that the content was read into."""

    def __init__(self, bound: int = _MOST_BYTES) -> None:
        self._manifests: LruCache[Digest, Manifest] = LruCache(bound)

    def manifest(self, digest: Digest, content: bytes) -> Manifest:
        """*content*, which is stored under *digest*, as a manifest."""
        known = self._manifests.get(digest)
        # A driver returns the same object as long as nothing has changed.
        if known is not None and known.content is content:
            return known
        manifest = Manifest(digest, media_type_of(content), content)
        self._manifests.keep(digest, manifest, len(content))
        return manifest


class SubjectMemory:
    """The ``subject`` of each manifest. A manifest never changes under its digest, so each is read
    once, and listing referrers needs no index on disk that another registry would not maintain."""

    def __init__(self, blobs: BlobStore, size: int = _SUBJECTS) -> None:
        self._blobs = blobs
        self._subjects: LruCache[Digest, tuple[Digest | None]] = LruCache(
            size, entry=1, largest=size
        )

    def subject_of(self, digest: Digest) -> Digest | None:
        """None where the manifest *digest* has no subject, or cannot be read."""
        known = self._subjects.get(digest)
        if known is not None:
            return known[0]
        try:
            subject = parse_manifest(self._blobs.read(digest)).subject
        except PathNotFound:
            return None  # Not remembered: the bytes may come back.
        except ManifestInvalid:
            subject = None
        self._subjects.keep(digest, (subject,))
        return subject
