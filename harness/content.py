"""Content of registries: bytes with a digest, and images, indexes and artifacts made from a seed.

Shapes: OCI image-spec (media-types.md, manifest.md, image-index.md, config.md); the Docker forms as
in distribution's "Image Manifest Version 2, Schema 2". A layer is a gzip-compressed tar archive of
an exact size: RFC 1952 around the stored (uncompressed) blocks of RFC 1951, section 3.2.4, so that
its bytes do not depend on the version of zlib.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
import tarfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Protocol

from reference_registry.digest import Digest, digest_of

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

CHUNK = 256 * 1024
"""Bytes per piece when content is read or sent in pieces."""

_OCTET_STREAM = "application/octet-stream"


class Content(Protocol):
    """Anything with bytes and a name for them: blobs, images, indexes, artifacts."""

    @property
    def media_type(self) -> str: ...
    @property
    def content(self) -> bytes: ...
    @property
    def digest(self) -> Digest: ...
    @property
    def size(self) -> int: ...


@dataclass(frozen=True)
class Pattern:
    """``size`` bytes that follow from ``seed``, readable from any offset without keeping them.

    Every block of :data:`CHUNK` bytes begins with its own number, so that no two blocks are equal
    and bytes that come from a wrong offset are found out.
    """

    size: int
    seed: str

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes ``[start, stop)`` in pieces that end at block boundaries."""
        base = _noise(self.seed)
        while start < stop:
            number, offset = divmod(start, CHUNK)
            block = number.to_bytes(16, "big") + base
            piece = block[offset : min(CHUNK, offset + stop - start)]
            yield piece
            start += len(piece)


@lru_cache(maxsize=64)
def _noise(seed: str) -> bytes:
    return hashlib.shake_256(seed.encode()).digest(CHUNK - 16)


@dataclass(frozen=True)
class Blob:
    """Bytes and their media type. The bytes are at hand, or made when they are read."""

    source: bytes | Pattern = field(repr=False)
    media_type: str = _OCTET_STREAM

    @classmethod
    def of_size(cls, size: int, seed: str = "blob", media_type: str = _OCTET_STREAM) -> Blob:
        """A blob of *size* bytes that is never in memory as a whole; hashed once per process."""
        return cls(Pattern(size, seed), media_type)

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.size

    @property
    def content(self) -> bytes:
        """All bytes at once."""
        return self.source if isinstance(self.source, bytes) else b"".join(self.chunks())

    @cached_property
    def digest(self) -> Digest:
        """The sha256 digest."""
        if isinstance(self.source, bytes):
            return digest_of(self.source)
        return _digest_of_pattern(self.source)

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes | memoryview]:
        """The bytes ``[start, stop)`` in pieces of at most :data:`CHUNK` bytes, not copied."""
        stop = self.size if stop is None else min(stop, self.size)
        if isinstance(self.source, Pattern):
            yield from self.source.chunks(start, stop)
            return
        view = memoryview(self.source)
        for offset in range(start, stop, CHUNK):
            yield view[offset : min(offset + CHUNK, stop)]


@lru_cache(maxsize=256)
def _digest_of_pattern(pattern: Pattern) -> Digest:
    sha256 = hashlib.sha256()
    for piece in pattern.chunks(0, pattern.size):
        sha256.update(piece)
    return Digest(f"sha256:{sha256.hexdigest()}")


SMALLEST_LAYER = 2048
"""The least number of bytes of a layer."""

_TAR_BLOCK = tarfile.BLOCKSIZE
_STORED_MAX = 65535
_GZIP_FRAME = 18


def a_layer(seed: str, size: int = 4096, media_type: str = OCI_LAYER) -> Blob:
    """A tar archive with one file, gzip-compressed, of exactly *size* bytes (2048 or more)."""
    if size < SMALLEST_LAYER:
        raise ValueError(f"a layer takes {SMALLEST_LAYER} bytes or more, not {size}")
    archive_size = size - size % _TAR_BLOCK
    # What tar's 512-byte blocks leave over goes into gzip's "extra" field, which takes 6 bytes.
    while not ((padding := size - _gzip_size(archive_size)) == 0 or padding >= 6):
        archive_size -= _TAR_BLOCK
    return Blob(_gzip_stored(_tar(seed, archive_size), padding), media_type)


def _tar(seed: str, size: int) -> bytes:
    payload = size - 3 * _TAR_BLOCK  # one header, and two empty blocks at the end
    info = tarfile.TarInfo(f"pullproof/{hashlib.sha256(seed.encode()).hexdigest()[:16]}")
    info.size = payload
    content = Blob.of_size(payload, seed).content
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(2 * _TAR_BLOCK)


def _gzip_size(length: int) -> int:
    return _GZIP_FRAME + length + 5 * -(-length // _STORED_MAX)


def _gzip_stored(data: bytes, padding: int) -> bytes:
    """RFC 1952 around RFC 1951 stored blocks; *padding* is the room that "extra" has to take."""
    flags = 4 if padding else 0
    pieces = [b"\x1f\x8b\x08", bytes([flags]), bytes(4), b"\x00\xff"]
    if padding:
        pieces.append(struct.pack("<H2sH", padding - 2, b"PP", padding - 6) + bytes(padding - 6))
    for start in range(0, len(data), _STORED_MAX):
        block = data[start : start + _STORED_MAX]
        final = start + _STORED_MAX >= len(data)
        pieces.append(struct.pack("<BHH", final, len(block), len(block) ^ 0xFFFF) + block)
    pieces.append(struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF))
    return b"".join(pieces)


@dataclass(frozen=True)
class Platform:
    """What an image runs on; the ``platform`` of an index entry."""

    os: str = "linux"
    architecture: str = "amd64"
    variant: str | None = None

    @classmethod
    def parse(cls, text: str) -> Platform:
        """``linux/amd64`` or ``linux/arm/v7``; ``ValueError`` for anything else."""
        match text.split("/"):
            case [os, architecture] if os and architecture:
                return cls(os, architecture)
            case [os, architecture, variant] if os and architecture and variant:
                return cls(os, architecture, variant)
        raise ValueError(f"{text!r} is not a platform such as linux/amd64")

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))

    def document(self) -> dict[str, str]:
        """As in an index and in an image's configuration."""
        document = {"architecture": self.architecture, "os": self.os}
        return document if self.variant is None else document | {"variant": self.variant}


@dataclass(frozen=True)
class Manifest:
    """What images, indexes and artifacts have in common; also any manifest made by hand."""

    manifest: Blob

    @property
    def media_type(self) -> str:
        """The manifest's media type, sent as its ``Content-Type``."""
        return self.manifest.media_type

    @property
    def content(self) -> bytes:
        """The manifest's exact bytes."""
        return self.manifest.content

    @property
    def digest(self) -> Digest:
        """The manifest's digest."""
        return self.manifest.digest

    @property
    def size(self) -> int:
        """The manifest's length in bytes."""
        return self.manifest.size

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """The blobs that this manifest names directly."""
        return ()

    @property
    def children(self) -> tuple[Manifest, ...]:
        """The manifests that this manifest names directly."""
        return ()


@dataclass(frozen=True)
class Image(Manifest):
    """An image for one platform."""

    config: Blob
    layers: tuple[Blob, ...]
    platform: Platform

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """The configuration, then the layers from the base up."""
        return (self.config, *self.layers)


@dataclass(frozen=True)
class Index(Manifest):
    """An image index, or a Docker manifest list."""

    manifests: tuple[Manifest, ...]

    @property
    def children(self) -> tuple[Manifest, ...]:
        """The manifests that the index lists, in its order."""
        return self.manifests


@dataclass(frozen=True)
class Artifact(Manifest):
    """Something else than an image: a signature, an SBOM, a chart."""

    artifact_type: str
    config: Blob
    layers: tuple[Blob, ...]

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """The configuration, then the layers."""
        return (self.config, *self.layers)


_CREATED = "2024-01-01T00:00:00Z"


def descriptor(content: Content) -> dict[str, Any]:
    """OCI image-spec descriptor.md: how a manifest refers to *content*."""
    return {"mediaType": content.media_type, "digest": content.digest, "size": content.size}


def check_tags(content: Content, tags: Collection[str]) -> None:
    """``TypeError`` if *tags* is one string, ``ValueError`` if one would point at a blob."""
    if isinstance(tags, str):
        raise TypeError(f"tags are a collection: ({tags!r},)")
    if isinstance(content, Blob) and tags:
        raise ValueError("a tag points at a manifest, not at a blob")


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

    ``oci=False`` gives a Docker manifest list. Two images made for one index differ even if
    only their platform differs.
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
