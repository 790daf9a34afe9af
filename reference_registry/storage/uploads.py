"""Upload sessions on disk: ``_uploads/<uuid>/{data,startedat}``, as distribution keeps them.

Distribution also saves the state of its hash; if that is missing, it reads the data again. Python
cannot save a hash object, so it stays in memory and is computed again after a restart. Each
registry can continue what the other began.
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
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reference_registry.clock import Clock
from reference_registry.digest import Digest, algorithm_of
from reference_registry.storage import layout
from reference_registry.storage.blobs import BlobStore
from reference_registry.storage.driver import PathNotFound, StorageDriver
from reference_registry.storage.filesystem import LruCache
from reference_registry.storage.layout import repository_names

if TYPE_CHECKING:
    from hashlib import _Hash

_HASHERS = 1000
_GO_SHA256_STATE = bytes.fromhex(
    "736861036a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19"
) + bytes(72)
"""Go's ``sha256.New().MarshalBinary()``: a magic word, the eight words of FIPS 180-4, 5.3.3, and
the block and length, which are empty."""
_CHUNK = 1 << 20
_UUID = re.compile(r"[A-Za-z0-9_=-]+(?:[.][A-Za-z0-9_=-]+)*")


def is_upload_id(text: str) -> bool:
    """Whether *text* may be the name of an upload in a path."""
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
        self._hashers: LruCache[str, tuple[int, _Hash]] = LruCache(_HASHERS, entry=1, largest=1)
        self._open: set[str] = set()
        self._lock = threading.Lock()

    def new_id(self) -> str:
        """An id for a new session."""
        return str(_uuid7(self._clock.now()) if self._uuid_version == 7 else uuid.uuid4())

    def start(self, repository: str, upload: str | None = None) -> str:
        """Start an empty session, called *upload* if that is given; its id."""
        upload = upload or self.new_id()
        started = self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        directory = layout.upload_directory(repository, upload)
        self._driver.write(f"{directory}/startedat", started.encode("ascii"))
        self._driver.write(f"{directory}/data", b"")
        return upload

    def size(self, repository: str, upload: str) -> int:
        """Bytes stored so far; ``PathNotFound`` for an unknown session."""
        return self._driver.size(f"{layout.upload_directory(repository, upload)}/data")

    def resume(self, repository: str, upload: str) -> BlobWriter:
        """A writer at the end of the session. No other is possible until it is closed."""
        self.size(repository, upload)
        with self._lock:
            if upload in self._open:
                raise BlockingIOError(f"upload {upload} is being written")
            self._open.add(upload)
        known = self._hashers.get(upload)
        self._hashers.forget(upload)
        try:
            return BlobWriter(
                self._driver,
                layout.upload_directory(repository, upload),
                known,
                on_close=lambda writer: self._closed(upload, writer),
            )
        except BaseException:
            self._open.discard(upload)
            raise

    def _closed(self, upload: str, writer: BlobWriter) -> None:
        self._open.discard(upload)
        if self._driver.exists(writer.data_path):
            self._hashers.keep(upload, (writer.offset, writer.hasher))

    def forget(self, repository: str, upload: str) -> bool:
        """Remove the session and its data; False if there was none."""
        self._hashers.forget(upload)
        return self._driver.delete(layout.upload_directory(repository, upload))

    def leave_hash_state(self, repository: str, upload: str) -> None:
        """Write the file in which distribution saves its hash before the first byte. It reads the
        data again from there. Python does not reveal a later state of its hash."""
        path = f"{layout.upload_directory(repository, upload)}/hashstates/sha256/0"
        self._driver.write(path, _GO_SHA256_STATE)

    def purge(self, started_before: datetime, *, dry_run: bool = False) -> list[str]:
        """Remove the sessions that began before *started_before*, except those without a readable
        start time; the storage paths of their directories."""
        purged = []
        for repository, path in self._sessions():
            upload = path.rpartition("/")[2]
            try:
                started = datetime.fromisoformat(self._driver.read(f"{path}/startedat").decode())
            except (PathNotFound, ValueError):
                continue
            if started.astimezone(UTC) < started_before and upload not in self._open:
                purged.append(path)
                if not dry_run:
                    self.forget(repository, upload)
        return purged

    def _sessions(self) -> Iterator[tuple[str, str]]:
        """The repository and directory of each session."""
        with contextlib.suppress(PathNotFound):
            for repository in list(repository_names(self._driver, "_uploads")):
                with contextlib.suppress(PathNotFound):
                    for path in self._driver.children(layout.uploads(repository)):
                        yield repository, path


def _uuid7(now: datetime) -> uuid.UUID:
    """RFC 9562, 5.7: a UUID that sorts by the time of its creation."""
    milliseconds = int(now.timestamp() * 1000) & ((1 << 48) - 1)
    value = milliseconds << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


class DigestMismatch(Exception):
    """The bytes do not have the digest ``expected``."""

    def __init__(self, expected: Digest, actual: Digest) -> None:
        super().__init__(f"content has digest {actual}, not {expected}")
        self.expected = expected


class BlobWriter:
    """Appends to ``<directory>/data`` and finally moves it into the blob store.

    The file has every chunk when :meth:`append` returns, so that :attr:`data_path` can be read
    meanwhile. A writer that is closed without :meth:`commit` or :meth:`discard` leaves its upload
    on disk, for another writer to resume.
    """

    def __init__(
        self,
        driver: StorageDriver,
        directory: str,
        known: tuple[int, _Hash] | None,
        on_close: Callable[[BlobWriter], None],
    ) -> None:
        """Continue at the end of the data. *known* is a hash and the number of bytes that it has
        seen; unless that is all, the data is read and hashed with sha256. *on_close* is called
        once."""
        self.data_path = f"{directory}/data"
        self._driver = driver
        self._directory = directory
        self._on_close: Callable[[BlobWriter], None] | None = on_close
        self._file = driver.open_append(self.data_path)
        try:
            self.offset = driver.size(self.data_path)
            is_valid = known is not None and known[0] == self.offset
            self.hasher = known[1] if known and is_valid else self._rehash("sha256")
        except BaseException:
            self._file.close()
            raise

    def append(self, chunk: bytes) -> None:
        """Write *chunk* at the end; ``OSError`` where the disk is full."""
        self.write((chunk,))
        self.hash((chunk,))

    def write(self, chunks: Sequence[bytes]) -> None:
        """The first half of :meth:`append`. Meanwhile another thread may call the second half,
        :meth:`hash`, with the same chunks in the same order."""
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[self._file.write(view) :]
            self.offset += len(chunk)

    def hash(self, chunks: Iterable[bytes]) -> None:
        """Add *chunks* to the digest."""
        for chunk in chunks:
            self.hasher.update(chunk)

    def close(self) -> None:
        """Stop writing; what was written stays. May be called twice."""
        self._file.close()
        if self._on_close is not None:
            on_close, self._on_close = self._on_close, None
            on_close(self)

    def digest(self, algorithm: str = "sha256") -> Digest:
        """The digest of what was written; the data is read again for another *algorithm*."""
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
        before they have their name, or a power cut might leave the name only."""
        self.verify(digest)
        if synced:
            with contextlib.suppress(io.UnsupportedOperation):  # It is in memory.
                os.fsync(self._file.fileno())
        blobs.adopt(self.data_path, digest)
        self.discard()

    def discard(self) -> None:
        """Remove the upload directory and all in it; may be called twice."""
        try:
            self._driver.delete(self._directory)
        finally:
            self.close()

    def _rehash(self, algorithm: str) -> _Hash:
        hasher = hashlib.new(algorithm)
        with self._driver.open_read(self.data_path) as file:
            while chunk := file.read(_CHUNK):
                hasher.update(chunk)
        return hasher
