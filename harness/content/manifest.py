"""Images, indexes and artifacts as frozen values: a manifest and what it names."""

from __future__ import annotations

from dataclasses import dataclass

from harness.content.blob import Blob
from reference_registry.digest import Digest

__all__ = ["Artifact", "Image", "Index", "Manifest", "Platform"]


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
        """As it stands in an index and in an image's configuration."""
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
