"""Reading manifests: what kind a document is and which content it refers to. No I/O.

Sources: OCI image-spec ``manifest.md``, ``image-index.md`` and ``descriptor.md``; Docker image
manifest version 2, schemas 1 and 2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from reference_registry.digest import Digest, parse_digest

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"
"""Withdrawn before OCI 1.1 was released, but pushed by tools of that time."""
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"

INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFEST_TYPES = INDEX_TYPES | {
    OCI_MANIFEST,
    OCI_ARTIFACT,
    DOCKER_MANIFEST,
    SCHEMA1,
    SCHEMA1_SIGNED,
}


_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""An escape that may be half of a character. The other half may be missing."""


class ManifestInvalid(Exception):
    """The document is not a manifest of the given media type. The text is for the client."""


class ContentReference(NamedTuple):
    """A descriptor inside a manifest. ``size`` is in bytes, 0 where schema 1 does not have it."""

    # A tuple is made several times as fast as a frozen dataclass, and garbage collection makes one
    # for every layer of every image.

    digest: Digest
    media_type: str
    size: int = 0
    urls: tuple[str, ...] = ()
    """Other places of the content, which need not be in the registry then."""
    platform: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ParsedManifest:
    """What the registry needs to know of a manifest."""

    media_type: str
    config: ContentReference | None = None
    layers: tuple[ContentReference, ...] = ()
    children: tuple[ContentReference, ...] = ()
    """The manifests of an index or list."""
    subject: Digest | None = None
    artifact_type: str | None = None
    annotations: Mapping[str, str] | None = None

    @property
    def blobs(self) -> tuple[ContentReference, ...]:
        """Config and layers."""
        return self.layers if self.config is None else (self.config, *self.layers)

    @property
    def references(self) -> tuple[Digest, ...]:
        """The digests of the blobs and child manifests that must stay with this manifest."""
        return tuple(reference.digest for reference in (*self.blobs, *self.children))


def parse_manifest(content: bytes, media_type: str | None = None) -> ParsedManifest:
    """*content* as a manifest of *media_type*, by default of the type that it states or has the
    shape of. Raises :class:`ManifestInvalid`."""
    document = _load(content)
    stated = _string(document, "mediaType") or _type_by_shape(document)
    if media_type is None:
        media_type = stated
    if media_type not in MANIFEST_TYPES:
        raise ManifestInvalid(f"unknown manifest media type {_shown(media_type)}")
    if media_type in {SCHEMA1, SCHEMA1_SIGNED}:
        return ParsedManifest(media_type, layers=_schema1_layers(document))
    if document.get("schemaVersion", 2) != 2:
        raise ManifestInvalid(f"schemaVersion is {_shown(document['schemaVersion'])} and not 2")
    if stated != media_type:
        raise ManifestInvalid(f"mediaType should be {media_type!r} and not {_shown(stated)}")
    config = None
    if media_type not in INDEX_TYPES and media_type != OCI_ARTIFACT:
        if "manifests" in document:
            raise ManifestInvalid("expected an image but found an index (manifests)")
        if "config" not in document:
            raise ManifestInvalid("config is missing")
        config = _reference(document["config"], "config")
    subject = document.get("subject")
    annotations = document.get("annotations")
    if annotations is not None and not (
        isinstance(annotations, dict) and _are_strings(list(annotations.values()))
    ):
        raise ManifestInvalid("annotations is not a map of strings")
    return ParsedManifest(
        media_type,
        config=config,
        layers=_references(document, "blobs" if media_type == OCI_ARTIFACT else "layers"),
        children=_references(document, "manifests") if media_type in INDEX_TYPES else (),
        subject=None if subject is None else _reference(subject, "subject").digest,
        artifact_type=_string(document, "artifactType"),
        annotations=annotations,
    )


def media_type_of(content: bytes) -> str:
    """The media type of a stored manifest: the one it states, else the one it has the shape of;
    ``application/octet-stream`` if it is not a JSON object. It is not stored elsewhere."""
    try:
        document = _load(content)
        return _string(document, "mediaType") or _type_by_shape(document)
    except ManifestInvalid:
        return "application/octet-stream"


def referrer_descriptor(parsed: ParsedManifest, digest: Digest, size: int) -> dict[str, object]:
    """The entry of *parsed*, whose content has *digest* and *size*, in a list of referrers.

    ``artifactType`` falls back to the config's media type (OCI distribution-spec, "Listing
    Referrers"); annotations are copied.
    """
    entry: dict[str, object] = {"mediaType": parsed.media_type, "digest": digest, "size": size}
    artifact_type = parsed.artifact_type
    if not artifact_type and parsed.config is not None:
        artifact_type = parsed.config.media_type
    if artifact_type:
        entry["artifactType"] = artifact_type
    if parsed.annotations:
        entry["annotations"] = dict(parsed.annotations)
    return entry


def _load(content: bytes) -> dict[str, Any]:
    try:
        # Bytes would be read as UTF-16 too, and with surrogates: RFC 8259, 8.1 and 8.2.
        document = json.loads(content.decode())
        if _SURROGATE.search(content):
            json.dumps(document, ensure_ascii=False).encode()
    except UnicodeError:
        raise ManifestInvalid("not UTF-8, or with half a surrogate pair") from None
    except (ValueError, RecursionError) as error:
        raise ManifestInvalid(f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ManifestInvalid("not a JSON object")
    return document


def _type_by_shape(document: Mapping[str, Any]) -> str:
    if document.get("schemaVersion") == 1:
        return SCHEMA1_SIGNED if "signatures" in document else SCHEMA1
    if "manifests" in document:
        if "config" in document or "layers" in document:
            raise ManifestInvalid("both an index (manifests) and an image (config, layers)")
        return OCI_INDEX
    return OCI_MANIFEST


def _references(document: Mapping[str, Any], key: str) -> tuple[ContentReference, ...]:
    entries = document.get(key)
    if entries is None:
        return ()
    if not isinstance(entries, list):
        raise ManifestInvalid(f"{key} is not a list")
    return tuple(_reference(entry, f"{key}[{i}]") for i, entry in enumerate(entries))


def _reference(entry: Any, where: str) -> ContentReference:
    if not isinstance(entry, dict):
        raise ManifestInvalid(f"{where} is not a descriptor")
    digest = parse_digest(_string(entry, "digest") or "")
    if digest is None:
        raise ManifestInvalid(f"{where} has no digest of a supported algorithm")
    size = entry.get("size", 0)
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 63:
        raise ManifestInvalid(f"{where} has the size {_shown(size)}")
    urls = entry.get("urls") or ()
    if urls and not _are_strings(urls):
        raise ManifestInvalid(f"urls of {where} is not a list of strings")
    platform = entry.get("platform")
    _string(entry, "artifactType")
    return ContentReference(
        digest,
        _string(entry, "mediaType") or "",
        size,
        tuple(urls),
        platform if isinstance(platform, dict) else None,
    )


def _schema1_layers(document: Mapping[str, Any]) -> tuple[ContentReference, ...]:
    entries = document.get("fsLayers")
    if not isinstance(entries, list):
        raise ManifestInvalid("fsLayers is not a list")
    digests = [
        parse_digest(str(entry.get("blobSum"))) if isinstance(entry, dict) else None
        for entry in entries
    ]
    # An image often repeats its empty layer.
    unique = [digest for digest in dict.fromkeys(digests) if digest is not None]
    if None in digests:
        raise ManifestInvalid("fsLayers has an entry without a digest")
    return tuple(ContentReference(digest, "") for digest in unique)


def _shown(value: Any) -> str:
    """*value* in an error message. It may be long, or too deep for ``repr``."""
    plain = value is None or isinstance(value, (str, int, float))
    return repr(value)[:100] if plain else f"a {type(value).__name__}"


def _string(document: Mapping[str, Any], key: str) -> str | None:
    value = document.get(key)
    if value is not None and not isinstance(value, str):
        raise ManifestInvalid(f"{key} is not a string")
    return value or None


def _are_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def descriptors_of(index: Any) -> list[dict[str, object]]:
    """The descriptors of a parsed index; ``ValueError`` if it is not an index."""
    listed = index.get("manifests") if isinstance(index, dict) else None
    if not isinstance(listed, list) or not all(map(_is_descriptor, listed)):
        raise ValueError("not a list of referrers")
    return listed


def _is_descriptor(entry: Any) -> bool:
    """OCI image-spec, descriptor.md: the three required properties."""
    if not isinstance(entry, dict) or not isinstance(entry.get("mediaType"), str):
        return False
    digest, size = entry.get("digest"), entry.get("size")
    valid = isinstance(digest, str) and parse_digest(digest) is not None
    return valid and isinstance(size, int) and size >= 0
