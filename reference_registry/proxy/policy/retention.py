"""How long a cache trusts what it has and what it lacks, and how much it keeps: the parts that
``proxy.x-tag-freshness``, ``x-negative-ttl``, ``x-max-size`` and ``x-refresh-on-hit`` switch on."""

from __future__ import annotations

import asyncio

from reference_registry.clock import Clock
from reference_registry.config import CachePolicy
from reference_registry.digest import Digest
from reference_registry.profiles import Profile
from reference_registry.proxy.blobs.download_lock import Claims
from reference_registry.proxy.expiry.scheduler import Expiry
from reference_registry.proxy.policy.negative_cache import NegativeCache
from reference_registry.proxy.policy.size_limit import SizeBound
from reference_registry.proxy.policy.tag_freshness import TagFreshness
from reference_registry.proxy.policy.usage import Uses
from reference_registry.proxy.upstream.offline import Offline
from reference_registry.registry import StandardRegistry
from reference_registry.storage import layout

__all__ = ["Retention"]

_LOCK = "/.pullproof/size.lock"


class Retention:
    """Of the cache *local*. ``bound`` is None where its size has no bound, or it lies in memory."""

    def __init__(
        self,
        policy: CachePolicy,
        local: StandardRegistry,
        expiry: Expiry | None,
        *,
        profile: Profile,
        clock: Clock,
        claims: Claims,
        offline: Offline,
    ) -> None:
        self.freshness = TagFreshness(policy.tag_freshness, clock)
        self.absences = NegativeCache(policy.negative_ttl, clock)
        self.uses = Uses(clock)
        self.bound: SizeBound | None = None
        self._task: asyncio.Task[None] | None = None
        if policy.refresh_on_hit and expiry is not None:
            self.uses.hand_to(expiry.used)
            expiry.before_due = self.uses.settle
        driver = local.storage.driver
        blobs = driver.local_path(layout.BLOBS)
        if policy.max_size is not None and blobs is not None:
            self.bound = SizeBound(
                local,
                blobs,
                policy.max_size,
                clock=clock,
                claims=claims,
                uses=self.uses,
                removed=_nothing if expiry is None else expiry.forget,
                offline=offline,
                lock=driver.local_path(_LOCK) if profile.shares_storage else None,
            )

    def came(self, repository: str, digest: Digest) -> None:
        """The blob or manifest *digest* of *repository* has just been cached."""
        self.absences.seen(repository)
        self.uses.note(repository, digest)
        if self.bound is not None:
            self.bound.stored()

    async def start(self) -> None:
        """Begin what goes on in the background."""
        if self.uses.matter:
            self._task = asyncio.create_task(self.uses.keep_settling())
        if self.bound is not None:
            await self.bound.start()

    async def stop(self) -> None:
        """End it, and hand on what is known. Before the expiry stops, which saves it."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.uses.settle()
        if self.bound is not None:
            await self.bound.stop()


def _nothing(digest: Digest) -> None:
    """There is no schedule to take it out of."""
