"""Whether a pushed manifest refers only to what the repository has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reference_registry.digest import Digest
from reference_registry.http.details import detail
from reference_registry.http.errors import MANIFEST_BLOB_UNKNOWN, UNKNOWN, RegistryError
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
    missing = [blob for blob in parsed.blobs if not has_blob(blob.digest)]
    if profile.sparse_manifests:
        if parsed.config not in missing:
            return
    else:
        missing = [blob for blob in parsed.blobs if blob in missing or _is_refused(blob)]
        missing += [child for child in parsed.children if not has_manifest(child.digest)]
    for reference in missing:
        if not profile.sparse_manifests and _is_refused(reference):
            entries += UNKNOWN().entries + UNKNOWN(detail(profile, "invalid URL on layer")).entries
        entries += MANIFEST_BLOB_UNKNOWN(reference.digest).entries
    if entries:
        first = UNKNOWN if entries[0]["code"] == UNKNOWN.code else MANIFEST_BLOB_UNKNOWN
        raise RegistryError(first.status, tuple(entries))


def _is_refused(blob: ContentReference) -> bool:
    """Releases allow no ``urls`` at all unless ``validation.manifests.urls`` names them, and no
    foreign layer of Docker's without."""
    return bool(blob.urls) or blob.media_type.startswith(_DOCKER_FOREIGN)
