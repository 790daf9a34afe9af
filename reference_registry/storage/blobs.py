"""The global blob store: content by digest, shared by all repositories.

Layers, configs and manifests are side by side. The link of a repository decides whether that
repository may serve one (``storage.local_content``).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from reference_registry.digest import Digest, encoded_of, hasher_for
from reference_registry.manifest import ManifestInvalid, media_type_of, parse_manifest
from reference_registry.repository import FoundManifest
from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound, StorageDriver
from reference_registry.storage.filesystem import MOST_BYTES, LruCache
from reference_registry.storage.layout import digests_named_in

_CHUNK = 1 << 20
_SUBJECTS = 200_000
"""Manifests whose subjects are remembered."""


class BlobStore:
    """Bytes by digest. Every method but ``has``, ``subject`` and ``delete`` raises ``PathNotFound``
    for a blob that is not stored."""

    def __init__(self, driver: StorageDriver, *, frees_place: bool = False) -> None:
        """With *frees_place*, a directory in the place of a blob's file, which can only be there by
        mistake, is deleted before bytes are stored."""
        self._driver = driver
        self._frees_place = frees_place
        self._manifests: LruCache[Digest, FoundManifest] = LruCache(MOST_BYTES)
        self._subjects: LruCache[Digest, tuple[Digest | None]] = LruCache(
            _SUBJECTS, entry=1, largest=_SUBJECTS
        )

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

    def manifest(self, digest: Digest) -> FoundManifest:
        """The blob as a manifest. Its media type is in its content only, so it is remembered for
        as long as the driver returns the same object, which means an unchanged file."""
        content = self.read(digest)
        known = self._manifests.get(digest)
        if known is not None and known.content is content:
            return known
        manifest = FoundManifest(digest, media_type_of(content), content)
        self._manifests.keep(digest, manifest, len(content))
        return manifest

    def subject(self, digest: Digest) -> Digest | None:
        """The ``subject`` of the manifest *digest*; None if it has none, or cannot be read. It
        never changes, so it is read once, and listing referrers needs no index on disk that other
        registries would not maintain."""
        known = self._subjects.get(digest)
        if known is not None:
            return known[0]
        try:
            subject = parse_manifest(self.read(digest)).subject
        except PathNotFound:
            return None  # Not remembered: the bytes may come back.
        except ManifestInvalid:
            subject = None
        self._subjects.keep(digest, (subject,))
        return subject

    def verify(self, digest: Digest) -> bool:
        """Whether the bytes have that digest; reads all of them."""
        hasher = hasher_for(digest)
        with self.open(digest) as file:
            while chunk := file.read(_CHUNK):
                hasher.update(chunk)
        return hasher.hexdigest() == encoded_of(digest)

    def local_path(self, digest: Digest) -> Path | None:
        """The file of the blob, whether it exists or not; None if the driver has no files."""
        return self._driver.local_path(layout.blob_data(digest))

    def put(self, digest: Digest, content: bytes) -> None:
        """Store *content*, whose digest the caller has verified. Stored bytes are not rewritten."""
        if not self.has(digest):
            self._driver.write(self._free_place(digest), content)

    def adopt(self, source: str, digest: Digest) -> None:
        """Move the verified file at the storage path *source* in. Stored bytes are not replaced, so
        that their readers keep the file they opened; *source* then stays where it is."""
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
        """Free the bytes; False if there were none."""
        return self._driver.delete(layout.blob_directory(digest))

    def directories(self) -> list[Digest]:
        """Every digest that has a directory, even without bytes, in bytewise order.
        ``PathNotFound`` if nothing was ever stored."""
        return digests_named_in(self._driver, layout.BLOBS, deep=True)
