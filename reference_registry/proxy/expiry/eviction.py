"""What goes when an entry of the schedule has expired.

Releases remove what a DELETE would remove, and a blob's bytes, whoever else uses them; and nothing
at all unless deletion is enabled for clients. ``ideal`` removes everything that nobody else refers
to: link, tags and what tags remember, bytes.
"""

from __future__ import annotations

import asyncio
import logging

from reference_registry.digest import Digest
from reference_registry.profiles import Profile
from reference_registry.proxy.blobs.download_lock import Claims
from reference_registry.proxy.expiry.schedule import BLOB, MANIFEST, Entry, Schedule
from reference_registry.registry import StandardRegistry
from reference_registry.storage.repository import LocalRepository

__all__ = ["evict"]

_log = logging.getLogger(__name__)


async def evict(
    local: StandardRegistry, schedule: Schedule, entry: Entry, profile: Profile, claims: Claims
) -> None:
    """Delete what *entry* stands for. What cannot be done is logged, as distribution does, and the
    entry is over all the same."""
    problem = await _evict(local, schedule, entry, profile, claims)
    if problem is not None:
        _log.error("Scheduler error returned from OnExpire(%s): %s", entry.key, problem)


async def _evict(
    local: StandardRegistry, schedule: Schedule, entry: Entry, profile: Profile, claims: Claims
) -> str | None:
    if entry.kind not in {BLOB, MANIFEST}:
        return "scheduler entry type"
    target = entry.target()
    if target is None:
        return "unexpected reference"
    if profile.expiry_needs_delete_enabled and not local.storage.delete_enabled:
        return "operation unsupported"
    name, digest = target
    repository = local.repository(name)
    if profile.expiry_takes_both_kinds:
        if entry.kind == MANIFEST:
            repository.unlink_blob(digest)
        elif repository.links.revision(digest) is not None:
            await _unlink_manifest(repository, digest, profile)
    if entry.kind == BLOB:
        return await _evict_blob(repository, schedule, entry, digest, profile, claims)
    return await _evict_manifest(repository, schedule, entry, digest, profile, claims)


async def _evict_blob(
    repository: LocalRepository,
    schedule: Schedule,
    entry: Entry,
    digest: Digest,
    profile: Profile,
    claims: Claims,
) -> str | None:
    if not repository.unlink_blob(digest) and profile.expiry_needs_delete_enabled:
        return "unknown blob"
    if profile.expiry_counts_shared_blobs:
        await _free_if_unused(repository, schedule, entry, digest, claims)
    else:
        repository.delete_bytes(digest)
    return None


async def _evict_manifest(
    repository: LocalRepository,
    schedule: Schedule,
    entry: Entry,
    digest: Digest,
    profile: Profile,
    claims: Claims,
) -> str | None:
    if (
        not await _unlink_manifest(repository, digest, profile)
        and profile.expiry_needs_delete_enabled
    ):
        return "unknown blob"
    if profile.expiry_removes_manifest_bytes:
        await _free_if_unused(repository, schedule, entry, digest, claims)
    return None


async def _unlink_manifest(repository: LocalRepository, digest: Digest, profile: Profile) -> bool:
    """False where there was no link."""
    if not repository.unlink_manifest(digest) and profile.expiry_needs_delete_enabled:
        return False
    if profile.expiry_removes_tag_links:
        for tag in await asyncio.to_thread(repository.tags_that_knew, digest):
            # Meanwhile the tag may have moved on, or the manifest been pulled again.
            if not repository.has_manifest(digest):
                repository.forget_in_tag(tag, digest)
    return True


async def _free_if_unused(
    repository: LocalRepository, schedule: Schedule, entry: Entry, digest: Digest, claims: Claims
) -> None:
    """Delete the bytes unless another repository, or this one under the other kind, has them, or
    somebody is just fetching them, who will need no leave to keep them."""
    if schedule.holds(digest, besides=entry) or _is_linked(repository, digest):
        return
    claim = claims.take(digest)
    if claim is None:
        return
    try:
        if await asyncio.to_thread(repository.links_elsewhere, digest):
            return
        # While the thread walked the storage, somebody may have linked them again.
        if not schedule.holds(digest, besides=entry) and not _is_linked(repository, digest):
            repository.delete_bytes(digest)
    finally:
        claim.release()


def _is_linked(repository: LocalRepository, digest: Digest) -> bool:
    links = repository.links
    return links.layer(digest) is not None or links.revision(digest) is not None
