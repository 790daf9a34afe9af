"""The paths in a storage. Distribution 2 and 3 use the same, so that each can open the other's.

::

    /docker/registry/v2/
      blobs/<algorithm>/<first two digits>/<hex>/data          layers, configs and manifests
      repositories/<name>/_layers/<algorithm>/<hex>/link
      repositories/<name>/_manifests/revisions/<algorithm>/<hex>/link
      repositories/<name>/_manifests/tags/<tag>/current/link
      repositories/<name>/_manifests/tags/<tag>/index/<algorithm>/<hex>/link
      repositories/<name>/_uploads/<uuid>/{data,startedat}

A link file holds a digest and no newline. Callers must have validated names, tags and uuids.
"""

from __future__ import annotations

from functools import lru_cache

from reference_registry.digest import Digest, algorithm_of, encoded_of

__all__ = [
    "BLOBS",
    "REPOSITORIES",
    "blob_data",
    "blob_directory",
    "layer_link",
    "layers",
    "manifests",
    "repository",
    "revision_link",
    "revisions",
    "tag_current_link",
    "tag_directory",
    "tag_index_link",
    "tags",
    "upload_directory",
    "uploads",
]

_ROOT = "/docker/registry/v2"
BLOBS = f"{_ROOT}/blobs"
REPOSITORIES = f"{_ROOT}/repositories"


def _digest_path(digest: Digest) -> str:
    return f"{algorithm_of(digest)}/{encoded_of(digest)}"


def blob_directory(digest: Digest) -> str:
    """The directory that goes when the blob's bytes go."""
    encoded = encoded_of(digest)
    return f"{BLOBS}/{algorithm_of(digest)}/{encoded[:2]}/{encoded}"


@lru_cache(maxsize=1024)
def blob_data(digest: Digest) -> str:
    return f"{blob_directory(digest)}/data"


def repository(name: str) -> str:
    return f"{REPOSITORIES}/{name}"


def layers(name: str) -> str:
    return f"{REPOSITORIES}/{name}/_layers"


def layer_link(name: str, digest: Digest) -> str:
    return f"{layers(name)}/{_digest_path(digest)}/link"


def manifests(name: str) -> str:
    return f"{REPOSITORIES}/{name}/_manifests"


def revisions(name: str) -> str:
    return f"{manifests(name)}/revisions"


@lru_cache(maxsize=1024)
def revision_link(name: str, digest: Digest) -> str:
    return f"{revisions(name)}/{_digest_path(digest)}/link"


def tags(name: str) -> str:
    return f"{manifests(name)}/tags"


def tag_directory(name: str, tag: str) -> str:
    return f"{tags(name)}/{tag}"


def tag_current_link(name: str, tag: str) -> str:
    return f"{tags(name)}/{tag}/current/link"


def tag_index_link(name: str, tag: str, digest: Digest) -> str:
    return f"{tags(name)}/{tag}/index/{_digest_path(digest)}/link"


def uploads(name: str) -> str:
    return f"{REPOSITORIES}/{name}/_uploads"


def upload_directory(name: str, uuid: str) -> str:
    return f"{uploads(name)}/{uuid}"
