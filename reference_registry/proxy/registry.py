"""A pull-through cache: the registry that mirrors ``proxy.remoteurl``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

import httpx

from reference_registry.clock import Clock
from reference_registry.config import Config
from reference_registry.counters import Counters
from reference_registry.http.errors import NAME_UNKNOWN
from reference_registry.profiles import Profile
from reference_registry.proxy.expiry.scheduler import Expiry
from reference_registry.proxy.repository import ProxyRepository, TagFreshness
from reference_registry.proxy.services import Services
from reference_registry.proxy.upstream.routing import NotServed, note_origins
from reference_registry.registry import StandardRegistry
from reference_registry.repository import RepositoryAddress
from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound, StorageDriver
from reference_registry.storage.layout import repository_names

_log = logging.getLogger(__name__)


class ProxyRegistry:
    """Implements :class:`reference_registry.repository.Registry` over the cache *local* and the
    upstreams that ``config.proxy`` names.

    *transport* replaces the network in tests. ``ValueError`` if *config* has no proxy section.
    """

    def __init__(
        self,
        config: Config,
        profile: Profile,
        clock: Clock,
        local: StandardRegistry,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        counters: Counters | None = None,
    ) -> None:
        self.local = local
        self.counters = counters if counters is not None else Counters()
        self._profile = profile
        self._services = Services(config, profile, clock, local, transport, self.counters)
        assert config.proxy is not None
        self._config = config.proxy
        interval = self._config.policy.tag_freshness
        self._freshness = TagFreshness(interval, clock) if interval else None
        self._routing = self._services.routing
        self._is_plain = self._routing.is_plain

    @property
    def expiry(self) -> Expiry | None:
        """None if nothing ever expires."""
        return self._services.expiry

    def repository(self, name: str) -> ProxyRepository:
        return ProxyRepository(name, self._services, self._freshness)

    def locate(self, name: str, namespace: str | None) -> RepositoryAddress:
        if self._is_plain:
            return RepositoryAddress(name)
        honoured = namespace if namespace and self._routing.honours_namespaces else None
        try:
            return RepositoryAddress(self._routing.find(name, honoured), honoured)
        except NotServed as why:
            raise NAME_UNKNOWN(str(why)) from None

    def catalog(self, namespace: str | None = None) -> Sequence[str]:
        names = self.local.catalog()
        return names if namespace is None else self._routing.of_namespace(list(names), namespace)

    async def settled(self) -> None:
        """Wait until nothing is being fetched in the background."""
        await self._services.background.settled()

    async def start(self) -> None:
        """Load the schedule and, if the profile does so, ping upstream. Raises
        :class:`reference_registry.config.problem.CannotStart`."""
        bool(self._services.offline)  # Logs the state.
        if self._profile.has_x_keys:
            note_origins(self.local.storage.driver, self._config)
        await self.local.start()
        if self._profile.removes_leftovers:
            try:
                await asyncio.to_thread(_remove_uploads, self.local.storage.driver)
            except OSError as error:
                _log.warning("uploads that a killed process left stay: %s", error)
        await self._services.start()
        # Releases ping at start to learn where their credentials may be sent.
        if self._profile.pings_upstream_at_start and self._config.exec is None:
            await self._services.main_upstream.ping_at_start()

    async def stop(self) -> None:
        await self._services.stop()
        await self.local.stop()


def _remove_uploads(driver: StorageDriver) -> None:
    """Remove all uploads. A mirror accepts no push: each is that of a download that was killed."""
    with suppress(PathNotFound):
        for name in list(repository_names(driver, "_uploads")):
            with suppress(PathNotFound):
                for upload in driver.children(layout.uploads(name)):
                    driver.delete(upload)
