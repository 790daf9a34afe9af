"""What all repositories of one storage share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from reference_registry.clock import Clock
from reference_registry.config import RedisConfig, StorageConfig
from reference_registry.counters import Metrics
from reference_registry.profiles import Profile
from reference_registry.storage.blobs import BlobStore
from reference_registry.storage.descriptor_cache import DescriptorCache, MemoryDescriptorCache
from reference_registry.storage.driver import MemoryDriver, StorageDriver
from reference_registry.storage.filesystem import FilesystemDriver
from reference_registry.storage.leases import Leases, leases_of
from reference_registry.storage.uploads import Uploads

__all__ = ["Storage", "open_storage"]


@dataclass(frozen=True)
class Storage:
    """One storage, ready for use."""

    driver: StorageDriver
    blobs: BlobStore
    uploads: Uploads
    descriptors: DescriptorCache
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
    """The storage that *config* describes. Nothing is written, and nothing needs to exist yet. With
    *metrics* its actions are timed and the hits of its descriptor cache are counted; a cache in
    redis is left out without *redis*. *synced*: content cannot be fetched again, so it must survive
    a crash of the machine once it is acknowledged."""
    driver: StorageDriver = MemoryDriver()
    if config.driver == "filesystem":
        in_place = profile.writes_files == "in-place"
        driver = FilesystemDriver(config.rootdirectory, synced=synced, in_place=in_place)
    descriptors: DescriptorCache | None = None
    if config.cache.blobdescriptor == "inmemory":
        descriptors = MemoryDescriptorCache(config.cache.blobdescriptorsize)
    elif config.cache.blobdescriptor == "redis" and redis is not None:
        # The client is slow to import.
        from reference_registry.storage.redis_cache import RedisDescriptorCache

        counters = None if metrics is None else metrics.counters.cache
        descriptors = RedisDescriptorCache(redis, profile, counters)
    if metrics is not None:
        # Garbage collection counts nothing, and should start quickly.
        from reference_registry.storage.metrics import CountedCache, TimedDriver

        driver = cast("StorageDriver", TimedDriver(driver, metrics, serving=profile.serving_action))
        if descriptors is not None:
            descriptors = cast("DescriptorCache", CountedCache(descriptors, metrics.counters.cache))
    return Storage(
        driver,
        BlobStore(driver, frees_place=profile.notices_damage),
        Uploads(driver, clock, uuid_version=profile.upload_uuid_version),
        descriptors or DescriptorCache(),
        leases_of(driver, kept=profile.gc_keeps_what_is_leased),
        profile,
        config.delete_enabled,
    )
