"""A pull-through cache: the registry that mirrors ``proxy.remoteurl``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

import httpx

from reference_registry.clock import Clock
from reference_registry.config import Config, UpstreamConfig
from reference_registry.counters import Counters
from reference_registry.http.errors import NAME_UNKNOWN
from reference_registry.profiles import Profile
from reference_registry.proxy.expiry.scheduler import Expiry
from reference_registry.proxy.repository import ProxyRepository
from reference_registry.proxy.services import Services, Upstreams
from reference_registry.proxy.upstream.http import MARKER, Offline
from reference_registry.proxy.upstream.origins import note_origins
from reference_registry.proxy.upstream.routing import NotServed
from reference_registry.proxy.upstream.upstream import Upstream
from reference_registry.registry import StandardRegistry
from reference_registry.repository import RepositoryAddress
from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound, StorageDriver
from reference_registry.storage.enumeration import repository_names

__all__ = ["ProxyRegistry"]

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
        if config.proxy is None:
            raise ValueError("the configuration has no proxy.remoteurl")
        self.local = local
        self.counters = counters if counters is not None else Counters()
        self._config = config.proxy
        self._profile = profile
        marker = local.storage.driver.local_path(MARKER) if profile.has_x_keys else None
        self._offline = offline = Offline(config.proxy.offline, marker)
        timeout = config.proxy.upstream_timeout.total_seconds()

        def connect(upstream: UpstreamConfig, key: str) -> Upstream:
            return Upstream(
                upstream,
                profile,
                clock,
                key=key,
                transport=transport,
                answered=self.counters.upstream_answered,
                offline=offline if profile.has_x_keys else None,
                timeout=timeout,
            )

        graceful = profile.saves_state == "at-once" or config.http.draintimeout is not None
        self._upstreams = Upstreams(config.proxy, connect)
        self._is_plain = self._upstreams.routing.is_plain
        self._services = Services(
            config.proxy,
            local,
            self._upstreams,
            profile=profile,
            clock=clock,
            counters=self.counters,
            offline=offline,
            saves_on_stop=profile.saves_state_on_drain and graceful,
        )

    @property
    def expiry(self) -> Expiry | None:
        """None if nothing ever expires."""
        return self._services.expiry

    def repository(self, name: str) -> ProxyRepository:
        return ProxyRepository(name, self._services)

    def locate(self, name: str, namespace: str | None) -> RepositoryAddress:
        routing = self._upstreams.routing
        if self._is_plain:
            return RepositoryAddress(name)
        honoured = namespace if namespace and routing.honours_namespaces else None
        try:
            return RepositoryAddress(routing.find(name, honoured), honoured)
        except NotServed as why:
            raise NAME_UNKNOWN(str(why)) from None

    def catalog(self, namespace: str | None = None) -> Sequence[str]:
        names = self.local.catalog()
        if namespace is None:
            return names
        return self._upstreams.routing.of_namespace(list(names), namespace)

    async def settled(self) -> None:
        """Wait until nothing is being fetched in the background."""
        await self._services.settled()

    async def start(self) -> None:
        """Load the schedule and, if the profile does so, ping upstream. Raises
        :class:`reference_registry.config.problem.CannotStart`."""
        bool(self._offline)  # Logs the state.
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
            await self._upstreams.main.ping_at_start()

    async def stop(self) -> None:
        await self._services.stop()
        await self.local.stop()


def _remove_uploads(driver: StorageDriver) -> None:
    """Remove all uploads. A mirror takes no push: each is that of a download that was killed."""
    with suppress(PathNotFound):
        for name in list(repository_names(driver, "_uploads")):
            with suppress(PathNotFound):
                for upload in driver.children(layout.uploads(name)):
                    driver.delete(upload)
