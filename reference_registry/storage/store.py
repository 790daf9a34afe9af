"""What all repositories of one storage share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from reference_registry.clock import Clock
from reference_registry.config import RedisConfig, StorageConfig
from reference_registry.counters import CacheCounters, Metrics
from reference_registry.profiles import Profile
from reference_registry.storage.blobs import BlobStore, ManifestMemory, SubjectMemory
from reference_registry.storage.descriptor_cache import DescriptorCache, MemoryDescriptorCache
from reference_registry.storage.driver import StorageDriver
from reference_registry.storage.filesystem import FilesystemDriver
from reference_registry.storage.leases import Leases, leases_of
from reference_registry.storage.memory import MemoryDriver
from reference_registry.storage.uploads import Uploads

__all__ = ["Storage", "open_storage"]


@dataclass(frozen=True)
class Storage:
    """One storage, ready for use. ``descriptors`` is None where no descriptor cache is wanted."""

    driver: StorageDriver
    blobs: BlobStore
    uploads: Uploads
    descriptors: DescriptorCache | None
    manifests: ManifestMemory
    subjects: SubjectMemory
    leases: Leases
    profile: Profile
    delete_enabled: bool


def open_storage(
    config: StorageConfig,
    profile: Profile,
    clock: Clock,
    metrics: Metrics | None = None,
    *,
    redis: RedisConfig | None = None,
    synced: bool = False,
) -> Storage:
    """The storage that *config* describes. Nothing is written, nor need anything exist yet. With
    *metrics* its actions are timed and its cache's hits counted; without *redis* a descriptor
    cache that would lie there is left out. *synced*: what is stored cannot be had again, and has to
    outlive a crash of the machine from when it was acknowledged."""
    driver: StorageDriver = (
        MemoryDriver()
        if config.driver == "inmemory"
        else FilesystemDriver(
            config.rootdirectory, synced=synced, in_place=profile.writes_files == "in-place"
        )
    )
    cache_counters = None if metrics is None else metrics.counters.cache
    descriptors = _descriptor_cache(config, profile, redis, cache_counters)
    if metrics is not None:
        # Garbage collection counts nothing, and should start quickly.
        from reference_registry.storage.metrics import CountedCache, TimedDriver

        driver = cast("StorageDriver", TimedDriver(driver, metrics, serving=profile.serving_action))
        if descriptors is not None:
            descriptors = cast("DescriptorCache", CountedCache(descriptors, metrics.counters.cache))
    blobs = BlobStore(driver, frees_place=profile.notices_damage)
    return Storage(
        driver,
        blobs,
        Uploads(driver, clock, uuid_version=profile.upload_uuid_version),
        descriptors,
        ManifestMemory(),
        SubjectMemory(blobs),
        leases_of(driver, kept=profile.gc_keeps_what_is_leased),
        profile,
        config.delete_enabled,
    )


def _descriptor_cache(
    config: StorageConfig,
    profile: Profile,
    redis: RedisConfig | None,
    counters: CacheCounters | None,
) -> DescriptorCache | None:
    match config.cache.blobdescriptor:
        case "inmemory":
            return MemoryDescriptorCache(config.cache.blobdescriptorsize)
        case "redis" if redis is not None:
            # The client is slow to import.
            from reference_registry.storage.redis_cache import RedisDescriptorCache

            return RedisDescriptorCache(redis, profile, counters)
    return None
