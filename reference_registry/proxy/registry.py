"""A registry that mirrors another one: ``proxy.remoteurl`` of the configuration."""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from reference_registry.clock import Clock
from reference_registry.config import DEFAULT_TTL, Config, UpstreamConfig
from reference_registry.http.errors import NAME_UNKNOWN
from reference_registry.observability.counters import ProxyCounters
from reference_registry.profiles import Profile
from reference_registry.proxy.background import Background
from reference_registry.proxy.blobs.download_lock import FILLS, Claims
from reference_registry.proxy.expiry.scheduler import Expiry
from reference_registry.proxy.integrity import Integrity
from reference_registry.proxy.policy.retention import Retention
from reference_registry.proxy.repository import ProxyRepository
from reference_registry.proxy.services import Services
from reference_registry.proxy.upstream.offline import MARKER, Offline
from reference_registry.proxy.upstream.origins import note_origins
from reference_registry.proxy.upstream.routing import NotServed
from reference_registry.proxy.upstream.upstream import Upstream
from reference_registry.proxy.upstream.upstreams import Upstreams
from reference_registry.registry import StandardRegistry
from reference_registry.repository import Place

__all__ = ["ProxyRegistry"]


class ProxyRegistry:
    """Implements :class:`reference_registry.repository.Registry` over the cache *local* and the
    upstream that ``config.proxy`` names.

    *transport* replaces the network in tests. ``ValueError`` where *config* has no proxy section.
    """

    def __init__(
        self,
        config: Config,
        profile: Profile,
        clock: Clock,
        local: StandardRegistry,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        counters: ProxyCounters | None = None,
    ) -> None:
        if config.proxy is None:
            raise ValueError("the configuration has no proxy.remoteurl")
        graceful = profile.saves_state == "at-once" or config.http.draintimeout is not None
        uploads = local.storage.uploads
        self._claims = Claims(
            local.storage.driver.local_path(FILLS) if profile.shares_storage else None,
            forget=lambda left: uploads.forget(left.repository, left.upload),
        )
        self.counters = counters if counters is not None else ProxyCounters()
        has_switch = profile.has_x_keys
        self._offline = offline = Offline(
            config.proxy.offline,
            local.storage.driver.local_path(MARKER) if has_switch else None,
        )

        timeout = config.proxy.upstream_timeout.total_seconds()

        def connect(upstream: UpstreamConfig, key: str) -> Upstream:
            return Upstream(
                upstream,
                profile,
                clock,
                key=key,
                transport=transport,
                answered=self.counters.upstream_answered,
                gate=offline.check if has_switch else None,
                timeout=timeout,
            )

        upstreams = Upstreams(config.proxy, connect)
        expiry = None
        if upstreams.anything_expires or not profile.honours_ttl:
            expiry = Expiry(
                local,
                upstreams.ttl if profile.honours_ttl else lambda _: DEFAULT_TTL,
                offline=offline,
                profile=profile,
                clock=clock,
                claims=self._claims,
                saves_on_stop=profile.saves_state_on_drain and graceful,
            )
        self.local = local
        self.expiry = expiry
        self._config = config.proxy
        self._profile = profile
        self._asks_helper = config.proxy.exec is not None
        background = Background()
        verify = config.proxy.verify if profile.notices_damage else "never"
        self._services = Services(
            local,
            upstreams,
            profile,
            self.counters,
            self._claims,
            expiry,
            Integrity(local.storage.blobs, verify, background),
            background,
            Retention(
                config.proxy.policy,
                local,
                expiry,
                profile=profile,
                clock=clock,
                claims=self._claims,
                offline=offline,
            ),
        )

    def repository(self, name: str) -> ProxyRepository:
        return ProxyRepository(name, self._services)

    def locate(self, name: str, namespace: str | None) -> Place:
        places = self._services.upstreams.places
        heeded = namespace if namespace and places.heeds_namespaces else None
        try:
            return Place(places.find(name, heeded), heeded)
        except NotServed as why:
            raise NAME_UNKNOWN(str(why)) from None

    def catalog(self, namespace: str | None = None) -> Sequence[str]:
        names = self.local.catalog()
        if namespace is None:
            return names
        return self._services.upstreams.places.of_namespace(list(names), namespace)

    async def settled(self) -> None:
        """Wait until nothing is being fetched in the background."""
        await self._services.settled()

    async def start(self) -> None:
        """Read the schedule and, as the profile has it, see whether upstream answers. Raises
        :class:`reference_registry.config.problem.CannotStart`."""
        bool(self._offline)  # Says so in the log.
        if self._profile.has_x_keys:
            note_origins(self.local.storage.driver, self._config)
        await self.local.start()
        self._claims.sweep()
        if self.expiry is not None:
            await self.expiry.start()
        await self._services.retention.start()
        # A release asks at the start in order to learn whom to show its credentials to.
        if self._profile.pings_upstream_at_start and not self._asks_helper:
            await self._services.upstream.ping_at_start()

    async def stop(self) -> None:
        await self._services.stop()
        await self._services.retention.stop()
        if self.expiry is not None:
            await self.expiry.stop()
        await self.local.stop()
