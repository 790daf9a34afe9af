"""Whether a pushed manifest refers only to what the repository has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reference_registry.api.details import detail
from reference_registry.api.errors import MANIFEST_BLOB_UNKNOWN, UNKNOWN, RegistryError
from reference_registry.digest import Digest
from reference_registry.manifest import ContentReference, ParsedManifest
from reference_registry.profiles import Profile

__all__ = ["check_references"]

_DOCKER_FOREIGN = "application/vnd.docker.image.rootfs.foreign."
_NON_DISTRIBUTABLE = ("application/vnd.oci.image.layer.nondistributable.", _DOCKER_FOREIGN)


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
    entries: list[dict[str, Any]] = []
    for blob in parsed.blobs:
        if profile.accepts_foreign_layers:
            missing = not _may_be_missing(blob) and not has_blob(blob.digest)
        elif _is_refused(blob):
            missing = True
            entries += UNKNOWN().entries + UNKNOWN(detail(profile, "invalid URL on layer")).entries
        else:
            missing = not has_blob(blob.digest)
        if missing:
            entries += MANIFEST_BLOB_UNKNOWN(blob.digest).entries
    if not profile.sparse_indexes:
        for child in parsed.children:
            if not has_manifest(child.digest):
                entries += MANIFEST_BLOB_UNKNOWN(child.digest).entries
    if entries:
        first = UNKNOWN if entries[0]["code"] == UNKNOWN.code else MANIFEST_BLOB_UNKNOWN
        raise RegistryError(first.status, tuple(entries))


def _may_be_missing(blob: ContentReference) -> bool:
    return bool(blob.urls) or blob.media_type.startswith(_NON_DISTRIBUTABLE)


def _is_refused(blob: ContentReference) -> bool:
    """Releases allow no ``urls`` at all unless ``validation.manifests.urls`` names them, and no
    foreign layer of Docker's without."""
    return bool(blob.urls) or blob.media_type.startswith(_DOCKER_FOREIGN)
