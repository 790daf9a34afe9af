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

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

from reference_registry.digest import Digest, algorithm_of, encoded_of
from reference_registry.storage.driver import PathNotFound, StorageDriver

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


# -- what is there --------------------------------------------------------------------------------
Evidence = Literal["_layers", "_manifests", "_uploads", "either"]
"""The directory that makes a directory a repository."""

_DIGEST_NAMES = {
    "sha256": re.compile("^[0-9a-f]{64}$", re.MULTILINE),
    "sha512": re.compile("^[0-9a-f]{128}$", re.MULTILINE),
}
"""Names of directories for the encoded part of a digest, of a list with one on each line."""


def path_order(name: str) -> str:
    """The sort key of the order in which a walk comes upon repositories: ``a``, ``a/b``, ``a-b``.
    Catalogs are in this order."""
    return name.replace("/", "\0")


def repository_names(driver: StorageDriver, evidence: Evidence = "either") -> Iterator[str]:
    """The names of all repositories, in :func:`path_order`.

    Raises ``PathNotFound``, on the first step, where nothing was ever stored.
    """
    wanted: set[str] = {"_layers", "_manifests"} if evidence == "either" else {evidence}
    yield from _below(driver, REPOSITORIES, "", wanted)


def _below(driver: StorageDriver, path: str, name: str, wanted: set[str]) -> Iterator[str]:
    entries = [child.rpartition("/")[2] for child in driver.children(path)]
    if name and wanted & set(entries):
        yield name
    for entry in entries:
        if entry.startswith("_"):
            continue
        try:
            yield from _below(driver, f"{path}/{entry}", f"{name}/{entry}".lstrip("/"), wanted)
        except PathNotFound:  # a file, or deleted while we walked
            continue


def digests_named_in(driver: StorageDriver, directory: str, *, deep: bool = False) -> list[Digest]:
    """The digests that ``<algorithm>/<hex>`` below *directory* stand for, in bytewise order;
    *deep*: ``<algorithm>/<first two digits>/<hex>``. Their content is not checked, and other
    names are skipped: one call to the system for each directory that holds such names.

    Raises ``PathNotFound`` if *directory* does not exist.
    """
    found: list[Digest] = []
    for algorithm in sorted(driver.names(directory)):
        pattern = _DIGEST_NAMES.get(algorithm)
        if pattern is None:
            continue
        parents = [f"{directory}/{algorithm}"]
        if deep:
            parents = [f"{parents[0]}/{prefix}" for prefix in sorted(_names(driver, parents[0]))]
        for parent in parents:
            # All names of a directory at once: one by one this would take most of the time.
            names = pattern.findall("\n".join(_names(driver, parent)))
            found += [Digest(f"{algorithm}:{name}") for name in sorted(names)]
    return found


def _names(driver: StorageDriver, directory: str) -> list[str]:
    try:
        return driver.names(directory)
    except PathNotFound:  # a file, or deleted while we walked
        return []
