"""What all repositories of one storage share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from reference_registry.clock import Clock
from reference_registry.config import RedisConfig, StorageConfig
from reference_registry.counters import CacheCounters, Metrics
from reference_registry.digest import Digest
from reference_registry.profiles import Profile
from reference_registry.repository import Descriptor
from reference_registry.storage import layout
from reference_registry.storage.blobs import BlobStore
from reference_registry.storage.descriptor_cache import DescriptorCache, MemoryDescriptorCache
from reference_registry.storage.driver import MemoryDriver, StorageDriver
from reference_registry.storage.filesystem import FilesystemDriver
from reference_registry.storage.leases import Leases, leases_of
from reference_registry.storage.uploads import Uploads


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


# -- metrics --------------------------------------------------------------------------------------
# Actions have the names of distribution's drivers (``GetContent``, ``Stat``...). As there, opening
# a stream is not timed.
_ACTIONS = {
    "read": "GetContent",
    "write": "PutContent",
    "replace": "PutContent",
    "size": "Stat",
    "is_file": "Stat",
    "exists": "Stat",
    "names": "List",
    "sorted_names": "List",
    "children": "List",
    "move": "Move",
    "delete": "Delete",
}


class TimedDriver:
    """A :class:`StorageDriver` that does what *driver* does. *serving* is the action under which it
    counts that a blob is about to be served: a release asks its driver for a redirect then."""

    def __init__(self, driver: StorageDriver, metrics: Metrics, *, serving: str) -> None:
        self._driver = driver
        self._metrics = metrics
        self._serving = serving

    def __getattr__(self, name: str) -> Any:
        """A method of the driver, timed if it is in the table above."""
        found = getattr(self._driver, name)
        if name in _ACTIONS:
            found = self._timed(_ACTIONS[name], found)
        setattr(self, name, found)  # for the next call
        return found

    def local_path(self, path: str) -> Path | None:
        if not path.startswith(layout.BLOBS):
            return self._driver.local_path(path)
        found: Path | None = self._timed(self._serving, self._driver.local_path)(path)
        return found

    def _timed(self, action: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*args)
            finally:
                self._observe(action, began)

        return timed

    def _observe(self, action: str, began: float) -> None:
        seconds = time.perf_counter() - began
        self._metrics.storage_actions.labels(self._driver.name, action).observe(seconds)


class CountedCache:
    """A :class:`DescriptorCache` that does what *cache* does."""

    def __init__(self, cache: DescriptorCache, counters: CacheCounters) -> None:
        self._cache = cache
        self._counters = counters

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def find(self, repository: str, digest: Digest) -> Descriptor | None:
        self._counters.requests += 1
        found = self._cache.find(repository, digest)
        if found is None:
            self._counters.misses += 1
        else:
            self._counters.hits += 1
        return found
