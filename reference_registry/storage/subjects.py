"""Which manifest has which ``subject``.

A manifest never changes under its digest, so each is read once and its answer kept: listing
referrers then costs one look at the repository's links, whoever wrote them, and no index on disk
that another registry would not maintain.
"""

from __future__ import annotations

from collections import OrderedDict

from reference_registry.digest import Digest
from reference_registry.manifest import ManifestInvalid, parse_manifest
from reference_registry.storage.blobs import BlobStore
from reference_registry.storage.driver import PathNotFound

__all__ = ["SubjectMemory"]


class SubjectMemory:
    """The subjects of the manifests asked about last, at most *size* of them."""

    def __init__(self, blobs: BlobStore, size: int = 200_000) -> None:
        self._blobs = blobs
        self._size = size
        self._subjects: OrderedDict[Digest, Digest | None] = OrderedDict()

    def subject_of(self, digest: Digest) -> Digest | None:
        """None where the manifest *digest* has no subject, or its bytes are gone or unreadable."""
        if digest in self._subjects:
            return self._subjects[digest]
        try:
            subject = parse_manifest(self._blobs.read(digest)).subject
        except PathNotFound:
            return None  # not kept: the bytes may come back
        except ManifestInvalid:
            subject = None
        self._subjects[digest] = subject
        if len(self._subjects) > self._size:
            self._subjects.popitem(last=False)
        return subject
