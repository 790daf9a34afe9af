"""The standard registry: repositories that are stored here and may be written."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from reference_registry.clock import Clock
from reference_registry.config import Config, UploadPurgingConfig
from reference_registry.config.units import format_duration
from reference_registry.counters import Metrics
from reference_registry.profiles import Profile
from reference_registry.repository import RepositoryAddress
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.layout import repository_names
from reference_registry.storage.local_content import RepositoryLinks
from reference_registry.storage.repository import LocalRepository
from reference_registry.storage.store import Storage, open_storage
from reference_registry.storage.uploads import Uploads

_log = logging.getLogger(__name__)


class StandardRegistry:
    """Implements :class:`reference_registry.repository.Registry` over a :class:`Storage`.

    A proxy holds one as its cache.
    """

    def __init__(
        self, config: Config, profile: Profile, clock: Clock, metrics: Metrics | None = None
    ) -> None:
        if config.auth.token is not None:
            # Digests are not secret. Without a source no right to pull can be checked.
            profile = replace(profile, mounts_from_anywhere=False)
        self.storage: Storage = open_storage(
            config.storage,
            profile,
            clock,
            metrics,
            redis=config.redis,
            synced=config.proxy is None,
        )
        self._config = config
        self._profile = profile
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []

    def repository(self, name: str) -> LocalRepository:
        return LocalRepository(name, self.storage)

    def locate(self, name: str, namespace: str | None) -> RepositoryAddress:
        return RepositoryAddress(name)

    def catalog(self, namespace: str | None = None) -> Sequence[str]:
        try:
            names = list(repository_names(self.storage.driver, self._profile.repository_evidence))
        except PathNotFound:
            return []
        if self._profile.catalog_lists_empty:
            return names
        return [name for name in names if RepositoryLinks(self.storage.driver, name).has_content()]

    async def start(self) -> None:
        config = self._config.storage
        if config.readonly:
            return
        work = []
        if config.uploadpurging.enabled:
            work.append(_purge_uploads(self.storage.uploads, config.uploadpurging, self._clock))
        if config.garbage_collection is not None:
            # Few want it, and the others are to start quickly.
            from reference_registry.garbage.collect import collect_periodically

            work.append(
                collect_periodically(config, config.garbage_collection, self._profile, self._clock)
            )
        self._tasks = [asyncio.create_task(coroutine) for coroutine in work]

    async def stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.storage.descriptors.close()


async def _purge_uploads(uploads: Uploads, config: UploadPurgingConfig, clock: Clock) -> None:
    """Remove abandoned uploads again and again, first after a random part of an hour, so that
    registries that share a storage do not all walk it at once (as distribution does)."""
    wait = timedelta(minutes=random.randrange(60))  # noqa: S311 - spreads load, hides nothing
    while True:
        _log.info("Starting upload purge in %s", format_duration(wait))
        await clock.sleep_until(clock.now() + wait)
        try:
            purged = await asyncio.to_thread(
                uploads.purge, clock.now() - config.age, dry_run=config.dryrun
            )
        except OSError as error:
            _log.error("Upload purge failed: %s", error)
        else:
            _log.info("Purged %d uploads%s", len(purged), " (dry run)" if config.dryrun else "")
        wait = config.interval
