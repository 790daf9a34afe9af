"""Finding the repositories in a storage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound, StorageDriver

__all__ = ["Evidence", "path_order", "repository_names"]

Evidence = Literal["_layers", "_manifests", "_uploads", "either"]
"""The directory that makes a directory a repository."""


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
