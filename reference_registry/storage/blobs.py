"""The global blob store: content by digest, shared by all repositories; and what this process
remembers of the manifests in it.

Layers, configs and manifests lie side by side. Whether a repository may serve one is decided by the
repository's own link (``storage.local_content``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from reference_registry.digest import Digest, encoded_of, hasher_for
from reference_registry.manifest import ManifestInvalid, media_type_of, parse_manifest
from reference_registry.repository import Manifest
from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound, StorageDriver
from reference_registry.storage.enumeration import digests_named_in
from reference_registry.storage.filesystem import MOST_BYTES, LruCache

__all__ = ["BlobStore", "ManifestMemory", "SubjectMemory"]

_CHUNK = 1 << 20
_SUBJECTS = 200_000


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


class ManifestMemory:
    """The media types of manifests, which are in their content only. Each is valid for the very
    object that the content was read into."""

    def __init__(self, bound: int = MOST_BYTES) -> None:
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
