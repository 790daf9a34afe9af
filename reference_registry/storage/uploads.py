"""Upload sessions on disk: ``_uploads/<uuid>/{data,startedat}``, as distribution keeps them.

Distribution also saves the state of its hash; without it, it reads the data again. Python's hash
objects cannot be saved, so they are kept in memory and rebuilt after a restart. Either registry
continues what the other began.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import secrets
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reference_registry.clock import Clock
from reference_registry.digest import Digest, algorithm_of
from reference_registry.storage import layout
from reference_registry.storage.blobs import BlobStore
from reference_registry.storage.driver import PathNotFound, StorageDriver
from reference_registry.storage.enumeration import repository_names

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["BlobWriter", "DigestMismatch", "Uploads", "is_upload_id"]

_REMEMBERED = 1000
_GO_SHA256_STATE = bytes.fromhex(
    "736861036a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19"
) + bytes(72)
"""Go's ``sha256.New().MarshalBinary()``: a magic word, the eight words of FIPS 180-4, 5.3.3, and
the block and length, which are empty."""
_UUID = re.compile(r"[A-Za-z0-9_=-]+(?:[.][A-Za-z0-9_=-]+)*")


def is_upload_id(text: str) -> bool:
    """Whether *text* may stand in a path as an upload's name."""
    return _UUID.fullmatch(text) is not None


class Uploads:
    """All upload sessions of a storage.

    A session has one writer at a time: :meth:`resume` raises ``BlockingIOError`` while it is being
    written.
    """

    def __init__(self, driver: StorageDriver, clock: Clock, *, uuid_version: int = 4) -> None:
        self._driver = driver
        self._clock = clock
        self._uuid_version = uuid_version
        self._hashers: OrderedDict[str, tuple[int, _Hash]] = OrderedDict()
        self._open: set[str] = set()
        self._lock = threading.Lock()

    def new_id(self) -> str:
        """The id of a session that has not been started."""
        return str(_uuid7(self._clock.now()) if self._uuid_version == 7 else uuid.uuid4())

    def start(self, repository: str, upload: str | None = None) -> str:
        """A new, empty session's id; *upload* where that has been chosen."""
        upload = upload or self.new_id()
        started = self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        self._driver.write(layout.upload_startedat(repository, upload), started.encode("ascii"))
        self._driver.write(layout.upload_data(repository, upload), b"")
        return upload

    def size(self, repository: str, upload: str) -> int:
        """Bytes stored so far; ``PathNotFound`` for an unknown session."""
        return self._driver.size(layout.upload_data(repository, upload))

    def started_at(self, repository: str, upload: str) -> datetime | None:
        """When the session began, or None where that cannot be read."""
        try:
            text = self._driver.read(layout.upload_startedat(repository, upload)).decode("ascii")
            return datetime.fromisoformat(text).astimezone(UTC)
        except (PathNotFound, ValueError):
            return None

    def resume(self, repository: str, upload: str) -> BlobWriter:
        """A writer at the end of the session, which is free again when the writer is closed."""
        self.size(repository, upload)
        with self._lock:
            if upload in self._open:
                raise BlockingIOError(f"upload {upload} is being written")
            self._open.add(upload)
        hashed, hasher = self._hashers.pop(upload, (0, None))
        try:
            return BlobWriter(
                self._driver,
                layout.upload_directory(repository, upload),
                hasher=hasher,
                hashed=hashed,
                on_close=lambda writer: self._closed(upload, writer),
            )
        except BaseException:
            self._open.discard(upload)
            raise

    def _closed(self, upload: str, writer: BlobWriter) -> None:
        self._open.discard(upload)
        if self._driver.exists(writer.data_path):
            self._hashers[upload] = (writer.offset, writer.hasher)
        while len(self._hashers) > _REMEMBERED:
            self._hashers.popitem(last=False)

    def forget(self, repository: str, upload: str) -> bool:
        """Remove the session with all it holds; False where there was none."""
        self._hashers.pop(upload, None)
        try:
            self._driver.delete(layout.upload_directory(repository, upload))
        except PathNotFound:
            return False
        return True

    def leave_hash_state(self, repository: str, upload: str) -> None:
        """Write the file in which distribution saves its hash before the first byte, from where it
        reads the data again. Python's hashes do not reveal a later state."""
        path = f"{layout.upload_directory(repository, upload)}/hashstates/sha256/0"
        self._driver.write(path, _GO_SHA256_STATE)

    def purge(self, started_before: datetime, *, dry_run: bool = False) -> list[str]:
        """Remove the sessions that began before a moment; the storage paths of their directories.

        A session without a readable start time is kept.
        """
        purged = []
        for repository in self._repositories():
            for path in self._children(layout.uploads(repository)):
                upload = path.rpartition("/")[2]
                started = self.started_at(repository, upload)
                if started is None or started >= started_before or upload in self._open:
                    continue
                purged.append(path)
                if not dry_run:
                    self.forget(repository, upload)
        return purged

    def _repositories(self) -> list[str]:
        try:
            return list(repository_names(self._driver, "_uploads"))
        except PathNotFound:
            return []

    def _children(self, path: str) -> list[str]:
        try:
            return self._driver.children(path)
        except PathNotFound:
            return []


def _uuid7(now: datetime) -> uuid.UUID:
    """RFC 9562, 5.7: a UUID that sorts by the time of its making."""
    milliseconds = int(now.timestamp() * 1000) & ((1 << 48) - 1)
    value = milliseconds << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


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
        """The digest of what was written; it is read again if *algorithm* is another one."""
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
