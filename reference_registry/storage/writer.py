"""Writing a blob piece by piece, hashing on the way."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from reference_registry.digest import Digest, algorithm_of
from reference_registry.storage.blobs import BlobStore
from reference_registry.storage.driver import PathNotFound, StorageDriver

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["BlobWriter", "DigestMismatch"]

_CHUNK = 1 << 20


class DigestMismatch(Exception):
    """The bytes written have the digest ``actual`` and not ``expected``."""

    def __init__(self, expected: Digest, actual: Digest) -> None:
        super().__init__(f"content has digest {actual}, not {expected}")
        self.expected = expected
        self.actual = actual


class BlobWriter:
    """Appends to ``<directory>/data`` and at last moves it into the blob store.

    Every chunk is on its way to the file system when :meth:`append` returns, so another reader may
    follow behind through :attr:`data_path`. A writer that is closed without :meth:`commit` or
    :meth:`discard` leaves its upload on disk, for another writer to resume.
    """

    def __init__(
        self,
        driver: StorageDriver,
        directory: str,
        *,
        hasher: _Hash | None = None,
        hashed: int = 0,
        on_close: Callable[[BlobWriter], None] | None = None,
    ) -> None:
        """Continue the data where it ends. Unless *hasher* has seen all of it, which is *hashed*
        bytes, what is stored is read and hashed with sha256. *on_close* is called once."""
        self.data_path = f"{directory}/data"
        self._driver = driver
        self._directory = directory
        self._on_close = on_close
        self._file = driver.open_append(self.data_path)
        try:
            self.offset = driver.size(self.data_path)
            is_known = hasher is not None and hashed == self.offset
            self.hasher = hasher if hasher and is_known else self._rehash("sha256")
        except BaseException:
            self._file.close()
            raise

    def append(self, chunk: bytes) -> None:
        """Write *chunk* at the end; ``OSError`` where the disk is full."""
        self.write((chunk,))
        self.hash((chunk,))

    def write(self, chunks: Sequence[bytes]) -> None:
        """:meth:`append` but for :meth:`hash`, which may be called in another thread meanwhile, for
        the same chunks in the same order."""
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[self._file.write(view) :]
            self.offset += len(chunk)

    def hash(self, chunks: Iterable[bytes]) -> None:
        """Take *chunks* into the digest."""
        for chunk in chunks:
            self.hasher.update(chunk)

    def close(self) -> None:
        """Stop writing; what was written stays. May be called twice."""
        self._file.close()
        if self._on_close is not None:
            on_close, self._on_close = self._on_close, None
            on_close(self)

    def digest(self, algorithm: str = "sha256") -> Digest:
        """The digest of what was written; read anew where hashing went by another algorithm."""
        hasher = self.hasher if self.hasher.name == algorithm else self._rehash(algorithm)
        return Digest(f"{algorithm}:{hasher.hexdigest()}")

    def verify(self, expected: Digest) -> None:
        """Raise :class:`DigestMismatch` unless what was written has the digest *expected*."""
        actual = self.digest(algorithm_of(expected))
        if actual != expected:
            raise DigestMismatch(expected, actual)

    def commit(self, blobs: BlobStore, digest: Digest, *, synced: bool = True) -> None:
        """Verify, move the bytes to *digest* in *blobs* and remove the upload directory. On
        :class:`DigestMismatch` the upload stays as it is. *synced*: the bytes are on the disk
        before they have their name, which may be all that a power cut leaves otherwise."""
        self.verify(digest)
        if synced:
            self._sync()
        blobs.adopt(self.data_path, digest)
        self.discard()

    def _sync(self) -> None:
        with contextlib.suppress(io.UnsupportedOperation):  # It is in memory.
            os.fsync(self._file.fileno())

    def discard(self) -> None:
        """Remove the upload directory and all in it; may be called twice."""
        try:
            with contextlib.suppress(PathNotFound):
                self._driver.delete(self._directory)
        finally:
            self.close()

    def _rehash(self, algorithm: str) -> _Hash:
        hasher = hashlib.new(algorithm)
        with self._driver.open_read(self.data_path) as file:
            while chunk := file.read(_CHUNK):
                hasher.update(chunk)
        return hasher
