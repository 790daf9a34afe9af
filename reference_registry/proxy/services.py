"""What all repositories of one proxy share, started and stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

from reference_registry.clock import Clock
from reference_registry.config import DEFAULT_TTL, ProxyConfig, UpstreamConfig
from reference_registry.config.proxy import upstreams_of
from reference_registry.counters import Counters
from reference_registry.digest import Digest
from reference_registry.profiles import Profile
from reference_registry.proxy.blobs.coalesced import Download
from reference_registry.proxy.blobs.services import BlobServices
from reference_registry.proxy.expiry.scheduler import Expiry
from reference_registry.proxy.integrity import Integrity
from reference_registry.proxy.policy.negative_cache import NegativeCache
from reference_registry.proxy.policy.size_limit import SizeLimit
from reference_registry.proxy.policy.tag_freshness import TagFreshness
from reference_registry.proxy.policy.usage import Uses
from reference_registry.proxy.tasks import Background, SingleFlight
from reference_registry.proxy.upstream.client import UpstreamManifest, UpstreamRepository
from reference_registry.proxy.upstream.http import Offline
from reference_registry.proxy.upstream.routing import MAIN, UpstreamRouting
from reference_registry.proxy.upstream.upstream import Upstream
from reference_registry.registry import StandardRegistry
from reference_registry.repository import Manifest
from reference_registry.storage import layout

__all__ = ["Services", "Upstreams"]


class Upstreams:
    """All upstreams of one cache, each with its own credentials, connections and tokens. *connect*
    makes one from its section and its key, ``proxy`` or ``proxy.x-upstreams.PREFIX``."""

    def __init__(
        self,
        config: ProxyConfig,
        connect: Callable[[UpstreamConfig, str], Upstream],
    ) -> None:
        self.routing = UpstreamRouting(config)
        self._configs = {MAIN: config, **config.upstreams}
        self._upstreams = {
            prefix: connect(upstream, key) for prefix, key, upstream in upstreams_of(config)
        }

    @property
    def main(self) -> Upstream:
        """The upstream ``proxy.remoteurl``; the only one that releases have."""
        return self._upstreams[MAIN]

    def repository(self, kept: str) -> UpstreamRepository:
        """The upstream repository of what is cached as *kept*, for one client request."""
        prefix, name = self._belonging(kept)
        return UpstreamRepository(self._upstreams[prefix], name)

    def ttl(self, kept: str) -> timedelta | None:
        """How long content of the repository *kept* is cached; None: until it is removed."""
        return self._configs[self._belonging(kept)[0]].ttl

    def _belonging(self, kept: str) -> tuple[str, str]:
        """The prefix of the upstream of the repository *kept*, and the repository's name there."""
        if len(self._upstreams) == 1:
            return MAIN, kept
        belonging = self.routing.belonging(kept)
        return belonging.prefix, belonging.name

    @property
    def anything_expires(self) -> bool:
        """Whether any content expires."""
        return any(config.ttl is not None for config in self._configs.values())

    async def aclose(self) -> None:
        """Close all connections."""
        for upstream in self._upstreams.values():
            await upstream.aclose()


class Services:
    """The parts of the proxy that *config* describes, over the cache *local*.

    Parts that the configuration does not ask for are None.
    """

    def __init__(
        self,
        config: ProxyConfig,
        local: StandardRegistry,
        upstreams: Upstreams,
        *,
        profile: Profile,
        clock: Clock,
        counters: Counters,
        offline: Offline,
        saves_on_stop: bool,
    ) -> None:
        self.local = local
        self.upstreams = upstreams
        self.profile = profile
        self.counters = counters
        policy = config.policy
        self.freshness = TagFreshness(policy.tag_freshness, clock) if policy.tag_freshness else None
        self.negative_cache = (
            NegativeCache(policy.negative_ttl, clock) if policy.negative_ttl else None
        )
        self.uses = Uses(clock) if policy.refresh_on_hit or policy.max_size else None
        self.background = Background()
        verify = config.verify if profile.notices_damage else "never"
        self.integrity = Integrity(local.storage.blobs, verify, self.background)
        self.joined_tags: SingleFlight[tuple[str, str], tuple[Digest, UpstreamManifest | None]] = (
            SingleFlight()
        )
        self.joined_manifests: SingleFlight[tuple[str, Digest], Manifest] = SingleFlight()
        self._reporting: asyncio.Task[None] | None = None

        downloads: dict[Digest, Download] = {}
        self.expiry: Expiry | None = None
        if upstreams.anything_expires or not profile.honours_ttl:
            self.expiry = Expiry(
                local,
                upstreams.ttl if profile.honours_ttl else _default_ttl,
                offline=offline,
                profile=profile,
                clock=clock,
                downloading=downloads,
                saves_on_stop=saves_on_stop,
            )
            if policy.refresh_on_hit and self.uses is not None:
                self.uses.subscribe(self.expiry.used)
                self.expiry.before_due = self.uses.settle
        self.size_limit: SizeLimit | None = None
        blobs = local.storage.driver.local_path(layout.BLOBS)
        if policy.max_size and blobs is not None and self.uses is not None:
            self.size_limit = SizeLimit(
                local,
                blobs,
                policy.max_size,
                clock=clock,
                downloading=downloads,
                uses=self.uses,
                removed=self._removed,
                offline=offline,
            )
        self.blobs = BlobServices(
            local.storage,
            profile,
            counters.blob,
            self.background,
            self.integrity,
            self.asking,
            self.cached_blob,
            downloads,
        )

    def cached_blob(self, repository: str, digest: Digest) -> None:
        """*repository* has just cached the blob *digest*."""
        if self.expiry is not None:
            self.expiry.cached_blob(repository, digest)
        self._cached(repository, digest)

    def cached_manifest(self, repository: str, digest: Digest) -> None:
        """*repository* has just cached the manifest *digest*."""
        if self.expiry is not None:
            self.expiry.cached_manifest(repository, digest)
        self._cached(repository, digest)

    def _cached(self, repository: str, digest: Digest) -> None:
        if self.negative_cache is not None:
            self.negative_cache.seen(repository)
        if self.uses is not None:
            self.uses.note(repository, digest)
        if self.size_limit is not None:
            self.size_limit.stored()

    def asking(
        self, repository: str, reference: str, *, revalidate: bool = False
    ) -> AbstractContextManager[None]:
        """See :meth:`NegativeCache.asking`."""
        if self.negative_cache is None:
            return nullcontext()
        return self.negative_cache.asking(repository, reference, revalidate=revalidate)

    def _removed(self, digest: Digest) -> None:
        if self.expiry is not None:
            self.expiry.forget(digest)

    async def start(self) -> None:
        """Load the schedule and start what runs in the background. Raises
        :class:`reference_registry.config.problem.CannotStart`."""
        if self.expiry is not None:
            await self.expiry.start()
        if self.uses is not None:
            self._reporting = asyncio.create_task(self.uses.keep_settling())
        if self.size_limit is not None:
            await self.size_limit.start()

    async def settled(self) -> None:
        """Wait until nothing is being cached in the background."""
        await self.background.settled()

    async def stop(self) -> None:
        """Cancel what is running, close connections to upstream, and save what has to survive."""
        await self.background.stop()
        await self.integrity.stop()
        for joined in (self.joined_tags, self.joined_manifests, self.blobs.joined_stats):
            await joined.stop()
        await self.upstreams.aclose()
        if self._reporting is not None:
            self._reporting.cancel()
            await asyncio.gather(self._reporting, return_exceptions=True)
        if self.uses is not None:
            self.uses.settle()
        if self.size_limit is not None:
            await self.size_limit.stop()
        if self.expiry is not None:
            await self.expiry.stop()


def _default_ttl(_: str) -> timedelta:
    """The ttl of releases that ignore ``proxy.ttl``."""
    return DEFAULT_TTL
