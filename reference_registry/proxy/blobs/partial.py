"""The bytes of a blob that is being downloaded: the latest ones in memory, the others in a file."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from operator import itemgetter
from typing import BinaryIO

from reference_registry.digest import Digest
from reference_registry.proxy.upstream.errors import UpstreamFailure
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.store import Storage

__all__ = ["DiskFailed", "DownloadFailed", "PartialBlob", "PartialReader"]


class DownloadFailed(UpstreamFailure):
    """The download that a client was reading from failed."""


class DiskFailed(DownloadFailed):
    """The download failed because it could not be written. Upstream still has the blob."""


class PartialBlob:
    """The blob *digest*, written to the upload at the storage path :attr:`path` and moved into the
    blob store at the end. Reading never waits; see ``coalesced`` for who waits for what."""

    def __init__(self, digest: Digest, storage: Storage) -> None:
        self.digest = digest
        self.path = ""
        self.arrived = 0
        """Bytes received so far."""
        self.written = 0
        """Bytes of these that are in the file."""
        self._storage = storage
        self._unwritten: deque[tuple[int, bytes]] = deque()  # offset and bytes

    def arrive(self, chunk: bytes) -> None:
        """*chunk* follows what arrived before. It stays in memory until it is written."""
        self._unwritten.append((self.arrived, chunk))
        self.arrived += len(chunk)

    def advance(self, count: int) -> None:
        """*count* more bytes are in the file."""
        self.written += count
        while self._unwritten and sum(_span(self._unwritten[0])) <= self.written:
            self._unwritten.popleft()

    def in_memory(self, position: int, wanted: int) -> bytes:
        """At most *wanted* bytes from *position* on; empty if they have been written already."""
        if not self._unwritten or position < self._unwritten[0][0]:
            return b""
        at = bisect_right(self._unwritten, position, key=itemgetter(0)) - 1
        offset, chunk = self._unwritten[at]
        return chunk[position - offset : position - offset + wanted]

    def open(self, position: int) -> BinaryIO | None:
        """The file at *position*: the upload, or the blob that it became. None if both are gone."""
        try:
            return self._storage.driver.open_read(self.path, position)
        except PathNotFound:
            pass  # It has been moved into the blob store.
        try:
            return self._storage.blobs.open(self.digest, position)
        except PathNotFound:
            return None


def _span(held: tuple[int, bytes]) -> tuple[int, int]:
    return held[0], len(held[1])


class PartialReader:
    """Reads *blob* front to back through one open file. Close it."""

    def __init__(self, blob: PartialBlob) -> None:
        self._blob = blob
        self._file: BinaryIO | None = None
        self._position = 0

    def read(self, position: int, wanted: int) -> bytes:
        """At most *wanted* written bytes from *position* on; empty if the file is gone or short."""
        if self._file is not None and position == self._position:
            chunk = self._file.read(wanted)
        else:
            chunk = b""
        if not chunk:  # Not open yet, open elsewhere, or read to what was its end.
            self.close()
            self._file = self._blob.open(position)
            chunk = b"" if self._file is None else self._file.read(wanted)
        self._position = position + len(chunk)
        return chunk

    def close(self) -> None:
        """Close the file. May be called twice."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
