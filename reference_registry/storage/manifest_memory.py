"""What was found out about manifests that have been read: their media types, and whether they are
intact. Nothing on disk tells either; both are in the content."""

from __future__ import annotations

from reference_registry.digest import Digest
from reference_registry.manifest import media_type_of
from reference_registry.repository import Manifest
from reference_registry.storage.recent import Recent

__all__ = ["ManifestMemory"]

_BOUND = 16 << 20
"""Bytes, mostly of content that the driver's memory of files holds as well."""


class ManifestMemory:
    """Manifests by digest, each good for the very object that its content was read into."""

    def __init__(self, bound: int = _BOUND) -> None:
        self._manifests: Recent[Digest, Manifest] = Recent(bound)

    def manifest(self, digest: Digest, content: bytes) -> Manifest:
        """*content*, which is stored under *digest*, as a manifest."""
        known = self._manifests.get(digest)
        # A driver gives the same object again for as long as nothing has changed.
        if known is not None and known.content is content:
            return known
        manifest = Manifest(digest, media_type_of(content), content)
        self._manifests.keep(digest, manifest, len(content))
        return manifest
