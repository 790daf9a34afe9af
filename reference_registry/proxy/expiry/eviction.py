"""Removing content from the cache: when its entry in the schedule expires, or to save space.

When an entry expires, releases remove what a DELETE would remove, and a blob's bytes even if other
repositories use them; and nothing at all unless deletion is enabled for clients. ``ideal`` removes
everything that nothing else refers to: the link, the tags and what tags remember, the bytes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Container, Iterable
from contextlib import suppress
from dataclasses import dataclass

from reference_registry.digest import Digest
from reference_registry.profiles import Profile
from reference_registry.proxy.expiry.schedule import BLOB, MANIFEST, Schedule, ScheduleEntry
from reference_registry.registry import StandardRegistry
from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound, StorageDriver
from reference_registry.storage.layout import repository_names
from reference_registry.storage.repository import LocalRepository

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Eviction:
    """Removes expired content from *local*. The bytes of what is *downloading* stay."""

    local: StandardRegistry
    profile: Profile
    downloading: Container[Digest]

    async def evict(self, schedule: Schedule, entry: ScheduleEntry) -> None:
        """Delete the content of *entry*. A failure is logged, as by distribution, and the entry
        is over in any case."""
        problem = await self._evict(schedule, entry)
        if problem is not None:
            _log.error("Scheduler error returned from OnExpire(%s): %s", entry.key, problem)

    async def _evict(self, schedule: Schedule, entry: ScheduleEntry) -> str | None:
        profile, target = self.profile, entry.target()
        if entry.kind not in {BLOB, MANIFEST}:
            return "scheduler entry type"
        if target is None:
            return "unexpected reference"
        if profile.expiry_needs_delete_enabled and not self.local.storage.delete_enabled:
            return "operation unsupported"
        name, digest = target
        repository = self.local.repository(name)
        if profile.expiry_takes_both_kinds:
            if entry.kind == MANIFEST:
                repository.unlink_blob(digest)
            elif repository.links.revision(digest) is not None:
                await self._unlink_manifest(repository, digest)
        if entry.kind == BLOB:
            was_linked = repository.unlink_blob(digest)
        else:
            was_linked = await self._unlink_manifest(repository, digest)
        if not was_linked and profile.expiry_needs_delete_enabled:
            return "unknown blob"
        if entry.kind == BLOB and not profile.expiry_counts_shared_blobs:
            repository.delete_bytes(digest)
        elif entry.kind == BLOB or profile.expiry_removes_manifest_bytes:
            await self._free_if_unused(repository, schedule, entry, digest)
        return None

    async def _unlink_manifest(self, repository: LocalRepository, digest: Digest) -> bool:
        """False if there was no link."""
        was_linked = repository.unlink_manifest(digest)
        if not was_linked and self.profile.expiry_needs_delete_enabled:
            return False
        if self.profile.expiry_removes_tag_links:
            for tag in await asyncio.to_thread(repository.links.tags_with_history, digest):
                # The tag may have moved, or the manifest may have been pulled again meanwhile.
                if not repository.has_manifest(digest):
                    repository.forget_in_tag(tag, digest)
        return was_linked

    async def _free_if_unused(
        self, repository: LocalRepository, schedule: Schedule, entry: ScheduleEntry, digest: Digest
    ) -> None:
        """Delete the bytes, unless another repository or the other kind uses them, or a download
        is about to."""

        def is_used() -> bool:
            links = repository.links
            return (
                digest in self.downloading
                or schedule.holds(digest, besides=entry)
                or links.layer(digest) is not None
                or links.revision(digest) is not None
            )

        if is_used():
            return
        elsewhere = await asyncio.to_thread(repository.links_elsewhere, digest)
        if not elsewhere and not is_used():  # Still, after the walk.
            repository.delete_bytes(digest)


# -- content of all repositories -----------------------------------------------------------------
@dataclass(frozen=True)
class Linked:
    """A repository that links the content, and the tags there that point at it or once did."""

    repository: str
    tags: tuple[str, ...]


def find(local: StandardRegistry, digests: Iterable[Digest]) -> dict[Digest, list[Linked]]:
    """Where *digests* are linked. Walks the storage: call it in a worker thread."""
    links: dict[Digest, list[Linked]] = {digest: [] for digest in digests}
    driver = local.storage.driver
    try:
        names = list(repository_names(driver))
    except PathNotFound:
        return links
    for name in names:
        repository = local.repository(name)
        known = _names_below(driver, layout.revisions(name), layout.layers(name))
        for digest in links.keys() & known:
            is_manifest = repository.links.revision(digest) is not None
            if is_manifest or repository.links.has_layer(digest):
                tags = repository.links.tags_with_history(digest) if is_manifest else []
                links[digest].append(Linked(name, tuple(tags)))
    return links


def _names_below(driver: StorageDriver, *directories: str) -> set[str]:
    """The digests that *directories* have, or once had, a link for: an unlinked digest leaves its
    directory behind."""
    found: set[str] = set()
    for directory in directories:
        with suppress(PathNotFound):
            for algorithm in driver.names(directory):
                with suppress(PathNotFound):
                    names = driver.names(f"{directory}/{algorithm}")
                    found.update(f"{algorithm}:{name}" for name in names)
    return found


def remove(local: StandardRegistry, digest: Digest, links: Iterable[Linked]) -> None:
    """Remove *digest* with its *links*: first what leads to it, so that no link leads to missing
    bytes if this is interrupted. Does not yield to the event loop."""
    for linked in links:
        repository = local.repository(linked.repository)
        for tag in linked.tags:
            repository.forget_in_tag(tag, digest)
        repository.unlink_manifest(digest)
        repository.unlink_blob(digest)
    local.storage.blobs.delete(digest)
