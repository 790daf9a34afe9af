"""Makes images, indexes and artifacts from a seed.

Manifest shapes: OCI image-spec (manifest.md, image-index.md, config.md); the Docker forms as in
distribution's "Image Manifest Version 2, Schema 2".
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.content.blob import Blob, Content
from harness.content.layer import a_layer
from harness.content.manifest import Artifact, Image, Index, Manifest, Platform
from harness.content.media_types import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    OCI_CONFIG,
    OCI_EMPTY,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
)
from reference_registry.digest import digest_of

__all__ = ["an_artifact", "an_image", "an_index", "descriptor"]

_CREATED = "2024-01-01T00:00:00Z"


def descriptor(content: Content) -> dict[str, Any]:
    """OCI image-spec descriptor.md: how a manifest refers to *content*."""
    return {"mediaType": content.media_type, "digest": content.digest, "size": content.size}


def an_image(
    seed: str = "app",
    *,
    layers: int | Sequence[Blob] = 2,
    layer_size: int = 4096,
    oci: bool = True,
    platform: str | Platform = "linux/amd64",
    annotations: Mapping[str, str] | None = None,
    subject: Content | None = None,
) -> Image:
    """An image that clients can pull and unpack.

    *layers* is how many to make, of *layer_size* bytes each, or layers made before (to share them
    between images). ``oci=False`` gives Docker's schema 2 media types. *subject* is the manifest
    that this one refers to (OCI distribution-spec, "Listing Referrers").
    """
    platform = Platform.parse(platform) if isinstance(platform, str) else platform
    if isinstance(layers, int):
        layer_type = OCI_LAYER if oci else DOCKER_LAYER
        layers = [a_layer(f"{seed}/{n}", layer_size, layer_type) for n in range(layers)]
    config = _json_blob(
        {
            "created": _CREATED,
            **platform.document(),
            "config": {"Labels": {"seed": seed}},
            "rootfs": {
                "type": "layers",
                "diff_ids": [digest_of(gzip.decompress(layer.content)) for layer in layers],
            },
            "history": [{"created": _CREATED, "created_by": "pullproof"} for _ in layers],
        },
        OCI_CONFIG if oci else DOCKER_CONFIG,
    )
    manifest = _manifest(
        OCI_MANIFEST if oci else DOCKER_MANIFEST,
        config=descriptor(config),
        layers=[descriptor(layer) for layer in layers],
        annotations=annotations,
        subject=subject,
    )
    return Image(manifest, config, tuple(layers), platform)


def an_index(
    *manifests: Manifest,
    seed: str = "app",
    platforms: Sequence[str] = ("linux/amd64", "linux/arm64"),
    oci: bool = True,
    annotations: Mapping[str, str] | None = None,
    subject: Content | None = None,
) -> Index:
    """An index of *manifests*, or, without any, of one image for each of *platforms*.

    ``oci=False`` gives a Docker manifest list. Two images made for one index differ even where
    their platform is all that tells them apart.
    """
    if not manifests:
        manifests = tuple(an_image(f"{seed}/{p}", oci=oci, platform=p) for p in platforms)
    manifest = _manifest(
        OCI_INDEX if oci else DOCKER_MANIFEST_LIST,
        manifests=[
            descriptor(child) | {"platform": child.platform.document()}
            if isinstance(child, Image)
            else descriptor(child)
            for child in manifests
        ],
        annotations=annotations,
        subject=subject,
    )
    return Index(manifest, manifests)


def an_artifact(
    seed: str = "artifact",
    *,
    artifact_type: str = "application/vnd.example.sbom.v1+json",
    size: int = 512,
    annotations: Mapping[str, str] | None = None,
    subject: Content | None = None,
) -> Artifact:
    """An artifact with the empty configuration and one layer (OCI image-spec manifest.md,
    "Guidelines for Artifact Usage")."""
    config = Blob(b"{}", OCI_EMPTY)
    layer = Blob(Blob.of_size(size, seed).content, artifact_type)
    manifest = _manifest(
        OCI_MANIFEST,
        artifactType=artifact_type,
        config=descriptor(config),
        layers=[descriptor(layer)],
        annotations=annotations,
        subject=subject,
    )
    return Artifact(manifest, artifact_type, config, (layer,))


def _manifest(
    media_type: str,
    *,
    annotations: Mapping[str, str] | None,
    subject: Content | None,
    **parts: Any,
) -> Blob:
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": media_type, **parts}
    if subject is not None:
        document["subject"] = descriptor(subject)
    if annotations:
        document["annotations"] = dict(annotations)
    return _json_blob(document, media_type)


def _json_blob(document: Mapping[str, Any], media_type: str) -> Blob:
    return Blob(json.dumps(document, separators=(",", ":")).encode(), media_type)
