"""Images, indexes, artifacts and blobs with bytes that never change: same seed, same digest.

They are real: docker and containerd pull and unpack them.
"""

from harness.content.blob import CHUNK, Blob, Content, Pattern
from harness.content.images import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    DOCKER_MANIFEST_LIST,
    OCI_CONFIG,
    OCI_EMPTY,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    SMALLEST_LAYER,
    Artifact,
    Image,
    Index,
    Manifest,
    Platform,
    a_layer,
    an_artifact,
    an_image,
    an_index,
    descriptor,
)

__all__ = [
    "CHUNK",
    "DOCKER_CONFIG",
    "DOCKER_LAYER",
    "DOCKER_MANIFEST",
    "DOCKER_MANIFEST_LIST",
    "OCI_CONFIG",
    "OCI_EMPTY",
    "OCI_INDEX",
    "OCI_LAYER",
    "OCI_MANIFEST",
    "SMALLEST_LAYER",
    "Artifact",
    "Blob",
    "Content",
    "Image",
    "Index",
    "Manifest",
    "Pattern",
    "Platform",
    "a_layer",
    "an_artifact",
    "an_image",
    "an_index",
    "descriptor",
]
