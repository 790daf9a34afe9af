"""What all repositories of one proxy share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from reference_registry.digest import Digest
from reference_registry.observability.counters import ProxyCounters
from reference_registry.profiles import Profile
from reference_registry.proxy.background import Background
from reference_registry.proxy.blobs.download_lock import Claims
from reference_registry.proxy.blobs.fill import Fill
from reference_registry.proxy.expiry.scheduler import Expiry
from reference_registry.proxy.integrity import Integrity
from reference_registry.proxy.known_sizes import KnownSizes
from reference_registry.proxy.policy.retention import Retention
from reference_registry.proxy.single_flight import SingleFlight
from reference_registry.proxy.upstream.client import BlobInfo, UpstreamManifest
from reference_registry.proxy.upstream.upstream import Upstream
from reference_registry.proxy.upstream.upstreams import Upstreams
from reference_registry.registry import StandardRegistry
from reference_registry.repository import Descriptor

__all__ = ["Services"]


@dataclass(frozen=True)
class Services:
    """The parts of a proxy. ``expiry`` is None where nothing ever expires."""

    local: StandardRegistry
    upstreams: Upstreams
    profile: Profile
    counters: ProxyCounters
    claims: Claims
    expiry: Expiry | None
    soundness: Integrity
    background: Background
    retention: Retention
    sizes: KnownSizes = field(default_factory=KnownSizes)
    storing: set[Digest] = field(default_factory=set)
    """The blobs that a release is caching just now, whichever repository they are for."""
    fills: dict[tuple[str, Digest], Fill] = field(default_factory=dict)
    """The blobs that ``ideal`` is caching just now, by the upstream that they come from. The fill
    for another one reads along in the same file, and goes on by itself where that one fails."""
    joined_tags: SingleFlight[tuple[str, str], tuple[Digest, UpstreamManifest | None]] = field(
        default_factory=SingleFlight
    )
    joined_manifests: SingleFlight[tuple[str, Digest], UpstreamManifest] = field(
        default_factory=SingleFlight
    )
    joined_stats: SingleFlight[tuple[str, Digest], BlobInfo] = field(default_factory=SingleFlight)

    @property
    def upstream(self) -> Upstream:
        """The only one that a release has."""
        return self.upstreams.main

    async def may_serve(self, cached: Descriptor) -> bool:
        """Whether the stored bytes of a blob, which are as many as *cached* says, may be served. A
        manifest that tells of another size may be the one that is wrong, and another repository's:
        then they are hashed."""
        if not self.profile.notices_damage:
            return True
        if self.sizes.allow(cached.digest, cached.size):
            return await self.soundness.may_serve(cached.digest)
        if not await self.soundness.verify(cached.digest):
            return False
        self.sizes.learn(cached.digest, cached.size)
        return True

    def cached_blob(self, repository: str, digest: Digest) -> None:
        """*repository* has just cached the blob *digest*."""
        if self.expiry is not None:
            self.expiry.cached_blob(repository, digest)
        self.retention.came(repository, digest)

    def cached_manifest(self, repository: str, digest: Digest) -> None:
        """*repository* has just cached the manifest *digest*."""
        if self.expiry is not None:
            self.expiry.cached_manifest(repository, digest)
        self.retention.came(repository, digest)

    async def settled(self) -> None:
        """Wait until nothing is being cached in the background."""
        while self.fills:
            await asyncio.wait([fill.task for fill in self.fills.values()])
            await asyncio.sleep(0)
        await self.background.settled()

    async def stop(self) -> None:
        """End what is under way and close the connections to upstream."""
        for fill in list(self.fills.values()):
            await fill.cancel()
        await self.background.stop()
        await self.soundness.stop()
        for joined in (self.joined_tags, self.joined_manifests, self.joined_stats):
            await joined.stop()
        await self.upstreams.aclose()
