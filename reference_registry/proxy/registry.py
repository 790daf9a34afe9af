"""A registry that mirrors another one: ``proxy.remoteurl`` of the configuration."""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from reference_registry.clock import Clock
from reference_registry.config import DEFAULT_TTL, Config
from reference_registry.observability.counters import ProxyCounters
from reference_registry.profiles import Profile
from reference_registry.proxy.background import Background
from reference_registry.proxy.claims import FILLS, Claims
from reference_registry.proxy.expiry import Expiry
from reference_registry.proxy.repository import ProxyRepository
from reference_registry.proxy.services import Services
from reference_registry.proxy.soundness import Soundness
from reference_registry.proxy.upstream import Upstream
from reference_registry.registry import StandardRegistry

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
        ttl = config.proxy.ttl if profile.honours_ttl else DEFAULT_TTL
        graceful = profile.saves_state == "at-once" or config.http.draintimeout is not None
        uploads = local.storage.uploads
        self._claims = Claims(
            local.storage.driver.local_path(FILLS) if profile.shares_storage else None,
            forget=lambda left: uploads.forget(left.repository, left.upload),
        )
        expiry = None
        if ttl is not None:
            expiry = Expiry(
                local,
                ttl,
                profile=profile,
                clock=clock,
                claims=self._claims,
                saves_on_stop=profile.saves_state_on_drain and graceful,
            )
        self.local = local
        self.expiry = expiry
        self.counters = counters if counters is not None else ProxyCounters()
        self._profile = profile
        self._asks_helper = config.proxy.exec is not None
        background = Background()
        verify = config.proxy.verify if profile.notices_damage else "never"
        self._services = Services(
            local,
            Upstream(
                config.proxy,
                profile,
                clock,
                transport=transport,
                answered=self.counters.upstream_answered,
            ),
            profile,
            self.counters,
            self._claims,
            expiry,
            Soundness(local.storage.blobs, verify, background),
            background,
        )

    def repository(self, name: str) -> ProxyRepository:
        return ProxyRepository(name, self._services)

    def catalog(self) -> Sequence[str]:
        return self.local.catalog()

    async def settled(self) -> None:
        """Wait until nothing is being fetched in the background."""
        await self._services.settled()

    async def start(self) -> None:
        """Read the schedule and, as the profile has it, see whether upstream answers. Raises
        :class:`reference_registry.config.problem.CannotStart`."""
        await self.local.start()
        self._claims.sweep()
        if self.expiry is not None:
            await self.expiry.start()
        # A release asks at the start in order to learn whom to show its credentials to.
        if self._profile.pings_upstream_at_start and not self._asks_helper:
            await self._services.upstream.ping_at_start()

    async def stop(self) -> None:
        await self._services.stop()
        if self.expiry is not None:
            await self.expiry.stop()
        await self.local.stop()
