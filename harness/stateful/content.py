"""The images and repositories of one playing of a story."""

from __future__ import annotations

from harness.content import Image, Index, a_layer, an_image, an_index
from harness.stateful.operations import REPOSITORIES

__all__ = ["Content"]


class Content:
    """The images of one playing of a story. A registry plays many, so that each has content and
    repositories of its own, which are told by the names that the story knows them by."""

    def __init__(self, number: int) -> None:
        seed = f"story-{number}"
        shared = a_layer(f"{seed}/shared", 2300)
        first = an_image(f"{seed}/0", layers=[shared, a_layer(f"{seed}/0", 2100)])
        self.images: tuple[Image | Index, ...] = (
            first,
            an_image(f"{seed}/1", layers=[shared]),
            an_image(f"{seed}/2", layers=1, layer_size=2200, oci=False),
            an_index(first),
        )
        self.repositories = tuple(f"story-{number}/{name}" for name in REPOSITORIES)
        self.known = dict(zip(self.repositories, REPOSITORIES, strict=True))
        for place, image in enumerate(self.images):
            self._call(image.digest, f"image {place}")
            if isinstance(image, Image):
                self._call(image.config.digest, f"config {place}")
                for which, layer in enumerate(image.layers):
                    self._call(layer.digest, f"layer {place}.{which}")

    def _call(self, digest: str, name: str) -> None:
        self.known.setdefault(digest.partition(":")[2], f"<{name}>")

    @property
    def hashes(self) -> set[str]:
        """The hex parts of all digests."""
        return self.known.keys() - set(self.repositories)

    def image(self, number: int) -> Image:
        """The image *number*; the first child of an index."""
        found = self.images[number]
        return found if isinstance(found, Image) else self.image(0)
