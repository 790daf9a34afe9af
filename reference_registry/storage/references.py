"""Whether a pushed manifest refers only to what the repository has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reference_registry.api.errors import MANIFEST_BLOB_UNKNOWN, RegistryError
from reference_registry.digest import Digest
from reference_registry.manifest import ContentReference, ParsedManifest
from reference_registry.profiles import Profile

__all__ = ["check_references"]

_NON_DISTRIBUTABLE = (
    "application/vnd.oci.image.layer.nondistributable.",
    "application/vnd.docker.image.rootfs.foreign.",
)


def check_references(
    parsed: ParsedManifest,
    profile: Profile,
    *,
    has_blob: Callable[[Digest], bool],
    has_manifest: Callable[[Digest], bool],
) -> None:
    """Raise one MANIFEST_BLOB_UNKNOWN entry for each blob or child manifest that is missing.

    A ``subject`` may be pushed later (OCI distribution-spec, "Pushing Manifests with Subject").
    Layers that may not be distributed need not be here (OCI image-spec layer.md), nor, for
    ``ideal``, the children of an index (sparse indexes).
    """
    missing = [
        reference.digest
        for reference in parsed.blobs
        if not (profile.accepts_foreign_layers and _is_foreign(reference))
        and not has_blob(reference.digest)
    ]
    if not profile.sparse_indexes:
        missing += [c.digest for c in parsed.children if not has_manifest(c.digest)]
    if missing:
        entries: list[dict[str, Any]] = []
        for digest in dict.fromkeys(missing):
            entries += MANIFEST_BLOB_UNKNOWN(digest).entries
        raise RegistryError(MANIFEST_BLOB_UNKNOWN.status, tuple(entries))


def _is_foreign(reference: ContentReference) -> bool:
    return bool(reference.urls) or reference.media_type.startswith(_NON_DISTRIBUTABLE)
