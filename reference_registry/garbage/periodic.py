"""Collecting garbage again and again while the registry serves
(``storage.maintenance.x-garbage-collection``)."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from datetime import timedelta

from reference_registry.clock import Clock
from reference_registry.config import GarbageCollectionConfig, StorageConfig
from reference_registry.config.durations import format_duration
from reference_registry.garbage.collect import Collection, CollectionFailed, Options
from reference_registry.profiles import Profile
from reference_registry.storage.store import open_storage

__all__ = ["collect_again_and_again"]

_log = logging.getLogger(__name__)


async def collect_again_and_again(
    storage: StorageConfig, config: GarbageCollectionConfig, profile: Profile, clock: Clock
) -> None:
    """Collect what *config* wants, for ever: first within an hour, or an interval if that is
    shorter, at random, so that processes that share a storage do not all begin at once. One that
    finds another at work leaves it to that one."""
    first = min(config.interval, timedelta(hours=1))
    wait = first * random.random()  # noqa: S311 - spreads load, hides nothing
    while True:
        await clock.sleep_until(clock.now() + wait)
        await _collect(storage, config, profile, clock)
        wait = config.interval


async def _collect(
    storage: StorageConfig, config: GarbageCollectionConfig, profile: Profile, clock: Clock
) -> None:
    # What it reads is not for the memory of those who serve, so it opens the storage for itself.
    opened = open_storage(storage, profile, clock)
    wish = Options(delete_untagged=config.deleteuntagged, grace=config.grace)
    collection = Collection(opened, wish, lambda _: None)
    stopping = threading.Event()
    working = asyncio.create_task(asyncio.to_thread(_work, collection, stopping))
    began = clock.now()
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        stopping.set()
        await asyncio.wait([working])
        raise
    except CollectionFailed as failure:
        _log.info("garbage collection left out: %s", failure)
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
            len(set(swept.spared)),
        )


def _work(collection: Collection, stopping: threading.Event) -> None:
    """In a thread; between two steps it may be told to leave off."""
    for _ in collection.steps():
        if stopping.is_set():
            break
