"""Garbage collection at intervals while the registry serves
(``storage.maintenance.x-garbage-collection``)."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable
from datetime import timedelta

from reference_registry.clock import Clock
from reference_registry.config import GarbageCollectionConfig, StorageConfig
from reference_registry.config.units import format_duration
from reference_registry.garbage.collect import Collection, CollectionFailed, Options
from reference_registry.profiles import Profile
from reference_registry.storage.store import open_storage

__all__ = ["collect_periodically", "in_thread"]

_log = logging.getLogger(__name__)


async def collect_periodically(
    storage: StorageConfig, config: GarbageCollectionConfig, profile: Profile, clock: Clock
) -> None:
    """Collect at the intervals that *config* sets, until cancelled. The first run comes at a random
    moment within an hour, or within an interval if that is shorter."""
    first = min(config.interval, timedelta(hours=1))
    wait = first * random.random()  # noqa: S311 - spreads load, hides nothing
    while True:
        await clock.sleep_until(clock.now() + wait)
        await _collect(storage, config, profile, clock)
        wait = config.interval


async def _collect(
    storage: StorageConfig, config: GarbageCollectionConfig, profile: Profile, clock: Clock
) -> None:
    # Its own storage object, so that what it reads does not fill the caches of the serving one.
    opened = open_storage(storage, profile, clock)
    options = Options(delete_untagged=config.deleteuntagged, grace=config.grace)
    collection = Collection(opened, options, lambda _: None)
    began = clock.now()
    try:
        await in_thread(lambda stopping: _work(collection, stopping))
    except CollectionFailed as failure:
        _log.info("garbage collection skipped: %s", failure)
    except OSError as error:
        _log.error("garbage collection failed: %s", error)
    else:
        swept = collection.swept
        _log.info(
            "garbage collected in %s: %d manifests and %d blobs deleted, %d bytes freed, %d in use",
            format_duration(clock.now() - began),
            len(swept.manifests),
            len(swept.blobs),
            sum(blob.size for blob in swept.blobs),
            len(set(swept.skipped)),
        )


async def in_thread(work: Callable[[threading.Event], None]) -> None:
    """Call *work* in a thread. Where this is cancelled, set the event that *work* got, and wait
    until it returns."""
    stopping = threading.Event()
    working = asyncio.create_task(asyncio.to_thread(work, stopping))
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        stopping.set()
        await asyncio.wait([working])
        raise


def _work(collection: Collection, stopping: threading.Event) -> None:
    for _ in collection.steps():
        if stopping.is_set():
            break
