"""Storage trees written by hand, in distribution's layout (its ``registry/storage/paths.go``)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from harness.content import Blob, Manifest, an_image
from reference_registry.digest import Digest

GARBAGE = 120
"""How many blobs without a link :func:`write_garbage` leaves: deleting them can be interrupted."""


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


def write_garbage(
    root: Path, repository: str, during: Literal["marking", "deleting"]
) -> set[Digest]:
    """An image under the tag ``v1`` and :data:`GARBAGE`, enough for a collection to be ended
    *during* that. Returns what is in use."""
    kept = an_image("kept", layers=150 if during == "marking" else 2, layer_size=2048)
    write_tree(root, repository, kept, "v1")
    for number in range(GARBAGE):
        write_blob(root, Blob(f"garbage {number}".encode()))
    return {kept.digest, *(blob.digest for blob in kept.blobs)}
