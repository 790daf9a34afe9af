"""Descriptors and what manifests and indexes name (OCI image-spec descriptor.md, manifest.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.content import DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST

__all__ = ["Descriptor", "index_entries", "kind_of", "manifest_parts"]

_INDEXES = {OCI_INDEX, DOCKER_MANIFEST_LIST}
_MANIFESTS = {OCI_MANIFEST, DOCKER_MANIFEST}


@dataclass(frozen=True)
class Descriptor:
    """What is fetched, and as what."""

    media_type: str
    digest: str
    size: int
    kind: str
    """``index``, ``manifest``, ``config``, ``layer`` or ``unknown``."""

    @property
    def is_manifest(self) -> bool:
        """Whether it is fetched from ``/manifests/``."""
        return self.media_type in _INDEXES | _MANIFESTS


def kind_of(media_type: str) -> str:
    """``index``, ``manifest``, or ``unknown``."""
    if media_type in _INDEXES:
        return "index"
    return "manifest" if media_type in _MANIFESTS else "unknown"


def index_entries(index: bytes) -> list[tuple[object, Descriptor]]:
    """Platform and descriptor of everything that *index* lists; empty for anything malformed."""
    return [
        (entry.get("platform"), _descriptor(entry, kind_of(str(entry.get("mediaType")))))
        for entry in _objects(_document(index).get("manifests"))
    ]


def manifest_parts(manifest: bytes) -> tuple[Descriptor, list[Descriptor]]:
    """The configuration and the layers that *manifest* names."""
    document = _document(manifest)
    config = document.get("config")
    layers = [_descriptor(layer, "layer") for layer in _objects(document.get("layers"))]
    return _descriptor(config if isinstance(config, dict) else {}, "config"), layers


def _document(content: bytes) -> Mapping[str, Any]:
    """The JSON object in *content*; empty for anything else."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _descriptor(document: Mapping[str, Any], kind: str) -> Descriptor:
    size = document.get("size")
    return Descriptor(
        str(document.get("mediaType", "")),
        str(document.get("digest", "")),
        size if isinstance(size, int) else 0,
        kind,
    )
