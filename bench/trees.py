"""Storage trees that would take long to push, written as distribution lays them out."""

from __future__ import annotations

from pathlib import Path

from harness.content import Image, an_image
from reference_registry.digest import Digest
from reference_registry.storage import layout

__all__ = ["TAGGED", "images_tree", "tags_tree"]

TAGGED = "many/tags"
"""The repository that :func:`tags_tree` makes."""

_LAYERS = 12
_PER_REPOSITORY = 100


def images_tree(root: Path, manifests: int) -> None:
    """*manifests* images of 12 layers and a configuration each, every other one untagged, in
    repositories of 100."""
    for number in range(manifests):
        image = an_image(f"gc-{number}", layers=_LAYERS, layer_size=2048)
        name = f"gc/app-{number // _PER_REPOSITORY}"
        _put(root, name, image)
        if number % 2 == 0:
            _tag(root, name, f"v{number}", image.digest)


def tags_tree(root: Path, tags: int) -> None:
    """*tags* tags of one image in :data:`TAGGED`, without the history, which no list reads."""
    image = an_image("tagged")
    _put(root, TAGGED, image)
    for number in range(tags):
        _write(root, layout.tag_current_link(TAGGED, f"v{number:06}"), image.digest.encode())


def _put(root: Path, name: str, image: Image) -> None:
    for blob in image.blobs:
        _write(root, layout.blob_data(blob.digest), blob.content)
        _write(root, layout.layer_link(name, blob.digest), blob.digest.encode())
    _write(root, layout.blob_data(image.digest), image.content)
    _write(root, layout.revision_link(name, image.digest), image.digest.encode())


def _tag(root: Path, name: str, tag: str, digest: Digest) -> None:
    _write(root, layout.tag_current_link(name, tag), digest.encode())
    _write(root, layout.tag_index_link(name, tag, digest), digest.encode())


def _write(root: Path, path: str, content: bytes) -> None:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
