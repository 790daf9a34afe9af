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


def check_references(
    parsed: ParsedManifest,
    profile: Profile,
    *,
    has_blob: Callable[[Digest], bool],
    has_manifest: Callable[[Digest], bool],
) -> None:
    """Raise one MANIFEST_BLOB_UNKNOWN entry for each blob or child manifest that is missing.

    A ``subject`` may be pushed later (OCI distribution-spec, "Pushing Manifests with Subject").
    For ``ideal`` so may layers and the children of an index (profile ``sparse_manifests``), but
    not the config: without it nothing can be made of an image.
    """
    entries: list[dict[str, Any]] = []
    blobs = (parsed.config,) if profile.sparse_manifests else parsed.blobs
    for blob in filter(None, blobs):
        if not profile.sparse_manifests and _is_refused(blob):
            entries += UNKNOWN().entries + UNKNOWN(detail(profile, "invalid URL on layer")).entries
        elif has_blob(blob.digest):
            continue
        entries += MANIFEST_BLOB_UNKNOWN(blob.digest).entries
    if not profile.sparse_manifests:
        for child in parsed.children:
            if not has_manifest(child.digest):
                entries += MANIFEST_BLOB_UNKNOWN(child.digest).entries
    if entries:
        first = UNKNOWN if entries[0]["code"] == UNKNOWN.code else MANIFEST_BLOB_UNKNOWN
        raise RegistryError(first.status, tuple(entries))


def _is_refused(blob: ContentReference) -> bool:
    """Releases allow no ``urls`` at all unless ``validation.manifests.urls`` names them, and no
    foreign layer of Docker's without."""
    return bool(blob.urls) or blob.media_type.startswith(_DOCKER_FOREIGN)
