"""What all repositories of one proxy share, started and stopped together."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

import httpx

from reference_registry.clock import Clock
from reference_registry.config import DEFAULT_TTL, Config
from reference_registry.config.proxy import upstreams_of
from reference_registry.counters import Counters
from reference_registry.digest import Digest
from reference_registry.profiles import Profile
from reference_registry.proxy.blobs.download import Download
from reference_registry.proxy.expiry.scheduler import Expiry
from reference_registry.proxy.integrity import Integrity
from reference_registry.proxy.policy.memory import NegativeCache, Uses
from reference_registry.proxy.policy.size_limit import SizeLimit
from reference_registry.proxy.tasks import Background, SingleFlight
from reference_registry.proxy.upstream.client import BlobInfo, UpstreamManifest, UpstreamRepository
from reference_registry.proxy.upstream.routing import MAIN, UpstreamRouting
from reference_registry.proxy.upstream.upstream import MARKER, Offline, Upstream
from reference_registry.registry import StandardRegistry
from reference_registry.repository import FoundManifest
from reference_registry.storage import layout
from reference_registry.storage.repository import LocalRepository


class Services:
    """The parts of the proxy that *config* describes, over the cache *local*. Parts that the
    configuration does not ask for are None. *transport* replaces the network in tests.

    ``ValueError`` if *config* has no proxy section.
    """

    def __init__(
        self,
        config: Config,
        profile: Profile,
        clock: Clock,
        local: StandardRegistry,
        transport: httpx.AsyncBaseTransport | None,
        counters: Counters,
    ) -> None:
        proxy = config.proxy
        if proxy is None:
            raise ValueError("the configuration has no proxy.remoteurl")
        policy = proxy.policy
        self.local = local
        self.profile = profile
        self.counters = counters
        driver = local.storage.driver
        self.offline = Offline(
            proxy.offline, driver.local_path(MARKER) if profile.has_x_keys else None
        )
        self.routing = UpstreamRouting(proxy)
        self._ttls = {prefix: upstream.ttl for prefix, _, upstream in upstreams_of(proxy)}
        self._upstreams = {
            prefix: Upstream(
                upstream,
                profile,
                clock,
                key=key,
                transport=transport,
                answered=counters.upstream_answered,
                offline=self.offline,
                timeout=proxy.upstream_timeout.total_seconds(),
            )
            for prefix, key, upstream in upstreams_of(proxy)
        }
        self._negative_cache = (
            NegativeCache(policy.negative_ttl, clock) if policy.negative_ttl else None
        )
        self.uses = Uses(clock) if policy.refresh_on_hit or policy.max_size else None
        self.background = Background()
        verify = proxy.verify if profile.notices_damage else "never"
        self.integrity = Integrity(local.storage.blobs, verify, self.background)
        self.joined_tags: SingleFlight[tuple[str, str], tuple[Digest, UpstreamManifest | None]] = (
            SingleFlight()
        )
        self.joined_manifests: SingleFlight[tuple[str, Digest], FoundManifest] = SingleFlight()
        self.joined_stats: SingleFlight[tuple[str, Digest], BlobInfo] = SingleFlight()
        self.downloads: dict[Digest, Download] = {}
        """The downloads that ``ideal`` has running, for all upstreams and repositories."""
        self.storing: set[Digest] = set()
        """The blobs that a release is caching, for all repositories."""
        self._reporting: asyncio.Task[None] | None = None

        self.expiry: Expiry | None = None
        if not profile.honours_ttl or any(ttl is not None for ttl in self._ttls.values()):
            graceful = profile.saves_state == "at-once" or config.http.draintimeout is not None
            self.expiry = Expiry(
                local,
                self._ttl,
                offline=self.offline,
                profile=profile,
                clock=clock,
                downloading=self.downloads,
                saves_on_stop=profile.saves_state_on_drain and graceful,
            )
            if policy.refresh_on_hit and self.uses is not None:
                self.uses.subscribe(self.expiry.used)
                self.expiry.before_due = self.uses.settle
        self.size_limit: SizeLimit | None = None
        blobs = driver.local_path(layout.BLOBS)
        if policy.max_size and blobs is not None and self.uses is not None:
            self.size_limit = SizeLimit(
                local,
                blobs,
                policy.max_size,
                clock=clock,
                downloading=self.downloads,
                uses=self.uses,
                expiry=self.expiry,
                offline=self.offline,
            )

    @property
    def main_upstream(self) -> Upstream:
        """The upstream ``proxy.remoteurl``; the only one that releases have."""
        return self._upstreams[MAIN]

    def upstream_of(self, repository: str) -> UpstreamRepository:
        """The upstream repository of what is cached as *repository*, for one client request."""
        prefix, name = self._belonging(repository)
        return UpstreamRepository(self._upstreams[prefix], name)

    def _ttl(self, repository: str) -> timedelta | None:
        """How long content of *repository* is cached; None: until it is removed."""
        if not self.profile.honours_ttl:
            return DEFAULT_TTL
        return self._ttls[self._belonging(repository)[0]]

    def _belonging(self, repository: str) -> tuple[str, str]:
        """The prefix of the upstream of *repository*, and the repository's name there."""
        if len(self._upstreams) == 1:
            return MAIN, repository
        return self.routing.belonging(repository)

    def cached(self, repository: str, digest: Digest, kind: int) -> None:
        """*repository* has just cached *digest*, of *kind* ``BLOB`` or ``MANIFEST``."""
        if self.expiry is not None:
            self.expiry.cached(repository, digest, kind)
        if self._negative_cache is not None:
            self._negative_cache.seen(repository)
        if self.uses is not None:
            self.uses.note(repository, digest)
        if self.size_limit is not None:
            self.size_limit.stored()

    def asking(
        self, repository: str, reference: str, *, revalidate: bool = False
    ) -> AbstractContextManager[None]:
        """See :meth:`NegativeCache.asking`."""
        if self._negative_cache is None:
            return nullcontext()
        return self._negative_cache.asking(repository, reference, revalidate=revalidate)

    async def start(self) -> None:
        """Load the schedule and start what runs in the background. Raises
        :class:`reference_registry.config.problem.CannotStart`."""
        if self.expiry is not None:
            await self.expiry.start()
        if self.uses is not None:
            self._reporting = asyncio.create_task(self.uses.keep_settling())
        if self.size_limit is not None:
            await self.size_limit.start()

    async def stop(self) -> None:
        """Cancel what is running, close connections to upstream, and save what has to survive."""
        await self.background.stop()
        await self.integrity.stop()
        for joined in (self.joined_tags, self.joined_manifests, self.joined_stats):
            await joined.stop()
        for upstream in self._upstreams.values():
            await upstream.aclose()
        if self._reporting is not None:
            self._reporting.cancel()
            await asyncio.gather(self._reporting, return_exceptions=True)
        if self.uses is not None:
            self.uses.settle()
        if self.size_limit is not None:
            await self.size_limit.stop()
        if self.expiry is not None:
            await self.expiry.stop()


class BlobFetch:
    """Serves blobs that the repository *local*, whose upstream is *upstream*, has not cached."""

    def __init__(
        self, local: LocalRepository, upstream: UpstreamRepository, services: Services
    ) -> None:
        self._local = local
        self._upstream = upstream
        self._services = services
        self._profile = services.profile
