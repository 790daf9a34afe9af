"""Garbage collection at intervals while the registry serves
(``storage.maintenance.x-garbage-collection``)."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from datetime import timedelta

from reference_registry.clock import Clock
from reference_registry.config import GarbageCollectionConfig, StorageConfig
from reference_registry.config.units import format_duration
from reference_registry.garbage.collect import Collection, CollectionFailed, Options
from reference_registry.profiles import Profile
from reference_registry.storage.store import open_storage

__all__ = ["collect_periodically"]

_log = logging.getLogger(__name__)


async def collect_periodically(
    storage: StorageConfig, config: GarbageCollectionConfig, profile: Profile, clock: Clock
) -> None:
    """Collect at the intervals that *config* sets, until cancelled. The first run is at a random
    moment within an hour, or within an interval if that is shorter."""
    first = min(config.interval, timedelta(hours=1))
    wait = first * random.random()  # noqa: S311 - spreads load, hides nothing
    options = Options(delete_untagged=config.deleteuntagged, grace=config.grace)
    while True:
        await clock.sleep_until(clock.now() + wait)
        # Its own storage object, so that what it reads does not fill the caches of the serving one.
        collection = Collection(open_storage(storage, profile, clock), options, lambda _: None)
        await _collect(collection, clock)
        wait = config.interval


async def _collect(collection: Collection, clock: Clock) -> None:
    """Run *collection* in a thread; a cancellation waits until the thread has ended."""
    stopping = threading.Event()

    def work() -> None:
        for _ in collection.steps():
            if stopping.is_set():
                break

    began = clock.now()
    working = asyncio.create_task(asyncio.to_thread(work))
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        stopping.set()
        await asyncio.wait([working])
        raise
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
            sum(swept.blobs.values()),
            len(set(swept.skipped)),
        )
