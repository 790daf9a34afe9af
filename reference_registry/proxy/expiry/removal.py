"""Taking content out of the cache for good: its links in all repositories, the tags that lead to
it, and its bytes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from reference_registry.digest import Digest
from reference_registry.registry import StandardRegistry
from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound, StorageDriver
from reference_registry.storage.enumeration import repository_names

__all__ = ["Linked", "find", "remove"]


@dataclass(frozen=True)
class Linked:
    """A repository that has the content, and the tags there that point at it or once did."""

    repository: str
    tags: tuple[str, ...]


def find(local: StandardRegistry, digests: Iterable[Digest]) -> dict[Digest, list[Linked]]:
    """Where *digests* are linked. Walks the storage: for a worker thread."""
    places: dict[Digest, list[Linked]] = {digest: [] for digest in digests}
    try:
        names = list(repository_names(local.storage.driver))
    except PathNotFound:
        return places
    driver = local.storage.driver
    for name in names:
        repository = local.repository(name)
        links = repository.links
        linked = _names_below(driver, layout.revisions(name)) | _names_below(
            driver, layout.layers(name)
        )
        for digest in places.keys() & linked:
            found = places[digest]
            is_manifest = links.revision(digest) is not None
            if is_manifest or links.has_layer(digest):
                tags = repository.tags_that_knew(digest) if is_manifest else []
                found.append(Linked(name, tuple(tags)))
    return places


def _names_below(driver: StorageDriver, directory: str) -> set[str]:
    """The digests that *directory* has, or once had, a link for: what was unlinked leaves its own
    directory behind. To be looked at closely, if it is one of those that are looked for."""
    found: set[str] = set()
    try:
        for algorithm in driver.names(directory):
            with suppress(PathNotFound):
                names = driver.names(f"{directory}/{algorithm}")
                found.update(f"{algorithm}:{name}" for name in names)
    except PathNotFound:
        pass
    return found


def remove(local: StandardRegistry, digest: Digest, places: Iterable[Linked]) -> None:
    """Remove *digest*: at first what leads to it, so that nothing leads to what is gone if this is
    cut short. In one go: nothing of this process can come in between."""
    for place in places:
        repository = local.repository(place.repository)
        for tag in place.tags:
            repository.forget_in_tag(tag, digest)
        repository.unlink_manifest(digest)
        repository.unlink_blob(digest)
    local.storage.blobs.delete(digest)
