"""Finding the repositories in a storage, and the digests that its directories are named for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from reference_registry.digest import Digest
from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound, StorageDriver

__all__ = ["Evidence", "digests_named_in", "path_order", "repository_names"]

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
    yield from _below(driver, layout.REPOSITORIES, "", wanted)


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

    Raises ``PathNotFound`` where *directory* does not exist.
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
