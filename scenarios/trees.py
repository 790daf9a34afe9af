"""Storage trees written by hand, in distribution's layout (its ``registry/storage/paths.go``)."""

from __future__ import annotations

from pathlib import Path

from harness.content import Blob, Manifest

__all__ = ["write_blob", "write_tree"]


def write_blob(root: Path, blob: Blob) -> None:
    """The bytes of *blob* under *root*, without a link."""
    algorithm, _, encoded = blob.digest.partition(":")
    place = root / "docker/registry/v2/blobs" / algorithm / encoded[:2] / encoded
    place.mkdir(parents=True)
    (place / "data").write_bytes(blob.content)


def write_tree(root: Path, repository: str, manifest: Manifest, tag: str) -> None:
    """*manifest* with its blobs, and *tag* that points at it."""
    home = root / "docker/registry/v2/repositories" / repository

    def link(place: Path, digest: str) -> None:
        place.mkdir(parents=True)
        (place / "link").write_text(digest)

    for content in (manifest.manifest, *manifest.blobs):
        write_blob(root, content)
    for blob in manifest.blobs:
        link(home / "_layers" / blob.digest.replace(":", "/"), blob.digest)
    revision = manifest.digest.replace(":", "/")
    link(home / "_manifests/revisions" / revision, manifest.digest)
    link(home / "_manifests/tags" / tag / "current", manifest.digest)
    link(home / "_manifests/tags" / tag / "index" / revision, manifest.digest)
