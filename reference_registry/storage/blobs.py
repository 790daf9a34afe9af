"""The global blob store: content by digest, shared by all repositories.

That a repository may serve a blob is said by its own link (``storage.repository``); here is only
the bytes. Layers, configs and manifests lie side by side.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from reference_registry.digest import Digest, encoded_of, hasher_for
from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound, StorageDriver
from reference_registry.storage.enumeration import digests_named_in

__all__ = ["BlobStore"]

_CHUNK = 1 << 20


class BlobStore:
    """Bytes by digest. Every method but ``has`` and ``delete`` raises ``PathNotFound`` for a blob
    that is not stored."""

    def __init__(self, driver: StorageDriver, *, frees_place: bool = False) -> None:
        """With *frees_place*, a directory that lies where bytes are to be stored, which can only
        have been made by mistake, is deleted."""
        self._driver = driver
        self._frees_place = frees_place

    def has(self, digest: Digest) -> bool:
        return self._driver.is_file(layout.blob_data(digest))

    def size(self, digest: Digest) -> int:
        """In bytes."""
        return self._driver.size(layout.blob_data(digest))

    def read(self, digest: Digest) -> bytes:
        """All of it; for manifests and configs, not for layers."""
        return self._driver.read(layout.blob_data(digest))

    def open(self, digest: Digest, start: int = 0) -> BinaryIO:
        return self._driver.open_read(layout.blob_data(digest), start)

    def verify(self, digest: Digest) -> bool:
        """Whether the bytes have that digest; reads all of them."""
        hasher = hasher_for(digest)
        with self.open(digest) as file:
            while chunk := file.read(_CHUNK):
                hasher.update(chunk)
        return hasher.hexdigest() == encoded_of(digest)

    def local_path(self, digest: Digest) -> Path | None:
        """The file that holds it, whether it exists or not; None where the driver has no files."""
        return self._driver.local_path(layout.blob_data(digest))

    def put(self, digest: Digest, content: bytes) -> None:
        """Store *content*, whose digest the caller has verified. Stored bytes are not rewritten."""
        if not self.has(digest):
            self._driver.write(self._free_place(digest), content)

    def adopt(self, source: str, digest: Digest) -> None:
        """Move the verified file at the storage path *source* in. What is stored already stays,
        so that its readers keep the file they opened; *source* is then left to its owner."""
        if not self.has(digest):
            self._driver.move(source, self._free_place(digest))

    def _free_place(self, digest: Digest) -> str:
        path = layout.blob_data(digest)
        if self._frees_place and self._driver.exists(path):
            self._driver.delete(path)
        return path

    def sync(self, digest: Digest) -> None:
        """Return when the bytes are on the disk. ``OSError``."""
        path = self.local_path(digest)
        if path is not None:
            with path.open("rb") as file:
                os.fsync(file.fileno())

    def delete(self, digest: Digest) -> bool:
        """Free the bytes; False where there were none."""
        try:
            self._driver.delete(layout.blob_directory(digest))
        except PathNotFound:
            return False
        return True

    def all(self) -> Iterator[Digest]:
        """Every digest that has bytes. ``PathNotFound`` where nothing was ever stored."""
        return filter(self.has, self.directories())

    def directories(self) -> list[Digest]:
        """Every digest that has a directory, even without bytes, in bytewise order.
        ``PathNotFound`` where nothing was ever stored."""
        return digests_named_in(self._driver, layout.BLOBS, deep=True)
