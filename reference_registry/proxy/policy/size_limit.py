"""Keeping a cache below ``proxy.x-max-size`` (d#3539): the least recently used content is evicted.

Content counts once per digest, however many repositories have it, since the disk holds it once; and
it is evicted from all of them at the same time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from reference_registry.clock import Clock
from reference_registry.config.sizes import short_size
from reference_registry.digest import Digest
from reference_registry.proxy.expiry.eviction import Linked, find, remove
from reference_registry.proxy.policy.disk_usage import DiskUsage, Holding
from reference_registry.proxy.policy.usage import Uses, UseTimes
from reference_registry.proxy.upstream.offline import Offline
from reference_registry.registry import StandardRegistry

__all__ = ["Holdings", "SizeLimit", "victims"]

_LOW_WATER = 0.9
"""The part of the limit that eviction goes down to, so that it does not run at every pull."""
_LOOK = 1.0
"""Seconds of real time between two looks at the store if nothing was cached."""
_SPACING = 0.1
"""Seconds between two looks at least, however much is cached."""
_IN_USE = 2.0
"""Seconds for which used content counts as in use: enough for a server to open the file."""

_log = logging.getLogger(__name__)


class Holdings:
    """All stored content, and how many bytes that is."""

    def __init__(self) -> None:
        self._held: dict[Digest, Holding] = {}
        self.total = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, digest: Digest) -> Holding | None:
        return self._held.get(digest)

    def all(self) -> list[Holding]:
        """A copy of the current list."""
        return list(self._held.values())

    def put(self, holding: Holding) -> None:
        """*holding* is stored. The later of two times of use counts."""
        known = self._held.get(holding.digest)
        if known is not None:
            self.total -= known.size
            holding = replace(holding, used=max(known.used, holding.used))
        self._held[holding.digest] = holding
        self.total += holding.size

    def use(self, digest: Digest, moment: float) -> None:
        """*digest* was used at *moment*. Ignored if it is not stored."""
        known = self._held.get(digest)
        if known is not None and moment > known.used:
            self._held[digest] = replace(known, used=moment)

    def drop(self, digest: Digest) -> None:
        """*digest* is no longer stored."""
        known = self._held.pop(digest, None)
        if known is not None:
            self.total -= known.size


def victims(
    holdings: Iterable[Holding], limit: int, may_go: Callable[[Holding], bool]
) -> list[Holding]:
    """What has to go, in order. Content for which *may_go* is false is in use and stays.

    Content that is larger than *limit* alone goes first, since no other eviction makes room for it.
    If the rest is larger than *limit*, the least recently used goes until 90 % of it is left.
    """
    held = list(holdings)
    going = [holding for holding in held if holding.size > limit and may_go(holding)]
    rest = [holding for holding in held if holding.size <= limit]
    size = sum(holding.size for holding in rest)
    if size > limit:
        for holding in sorted(rest, key=lambda holding: (holding.used, holding.digest)):
            if size <= limit * _LOW_WATER:
                break
            if may_go(holding):
                going.append(holding)
                size -= holding.size
    return going


class SizeLimit:
    """Limits the bytes that *local* has stored in the directory *blobs* to *limit*. Nothing is
    evicted while the cache is *offline*, since it could not be fetched again, nor what is
    *downloading*.

    *removed* is called with each evicted digest.
    """

    def __init__(
        self,
        local: StandardRegistry,
        blobs: Path,
        limit: int,
        *,
        clock: Clock,
        downloading: Container[Digest],
        uses: Uses,
        removed: Callable[[Digest], None],
        offline: Offline,
    ) -> None:
        self._local = local
        self._limit = limit
        self._clock = clock
        self._downloading = downloading
        self._uses = uses
        self._removed = removed
        self._offline = offline
        self._disk = DiskUsage(blobs)
        self._holdings = Holdings()
        self._unwritten: dict[Digest, float] = {}
        self._skipped: set[Digest] = set()
        """Chosen in the last round, but in use: not chosen in the next round."""
        self._stored = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        uses.subscribe(self._used)

    @property
    def total(self) -> int:
        """Bytes that were stored at the last look."""
        return self._holdings.total

    def stored(self) -> None:
        """Something was cached: look soon."""
        self._stored.set()

    async def start(self) -> None:
        """Start to watch."""
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._keep_uses())]

    async def stop(self) -> None:
        """Stop, and save the times of use."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if tasks:
            await self._write_uses()

    # -- uses -------------------------------------------------------------------------------------
    def _used(self, uses: UseTimes) -> None:
        for (_, digest), moment in uses.items():
            when = moment.timestamp()
            self._holdings.use(digest, when)
            self._unwritten[digest] = max(when, self._unwritten.get(digest, 0.0))

    async def _keep_uses(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            await self._write_uses()

    async def _write_uses(self) -> None:
        if not self._unwritten:
            return
        moments, self._unwritten = self._unwritten, {}
        try:
            await asyncio.to_thread(self._disk.note_use, moments)
        except OSError as error:
            _log.warning("times of use cannot be saved and are lost at the next start: %s", error)

    # -- eviction ---------------------------------------------------------------------------------
    async def _watch(self) -> None:
        while True:
            self._stored.clear()
            try:
                await self._evict()
            except OSError as error:
                _log.error("the cache cannot be kept below its size: %s", error)
            await asyncio.sleep(_SPACING)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stored.wait(), _LOOK - _SPACING)

    async def _evict(self) -> None:
        """One round. Content that turns out to be in use is left to the next round."""
        changes = await asyncio.to_thread(self._disk.look)
        for digest in changes.gone:
            self._holdings.drop(digest)
        for holding in changes.held:
            self._holdings.put(holding)
            self._holdings.use(holding.digest, self._unwritten.get(holding.digest, 0.0))
        if self._holdings.total <= self._limit or self._offline:
            return
        self._uses.settle()
        held = self._holdings.all()
        going = await asyncio.to_thread(victims, held, self._limit, self._is_idle)
        links = await asyncio.to_thread(find, self._local, [holding.digest for holding in going])
        self._uses.settle()
        self._skipped = set()
        freed = 0
        for holding in going:
            if self._is_unused_since(holding) and self._remove(holding, links):
                freed += holding.size
            else:
                self._skipped.add(holding.digest)
            await asyncio.sleep(0)  # Requests go first.
        if self._skipped:  # Other content has to go instead.
            self._stored.set()
        if freed:
            said = (short_size(freed), short_size(self._holdings.total), short_size(self._limit))
            _log.info("evicted %s of least recently used content: %s of %s left", *said)

    def _is_idle(self, holding: Holding) -> bool:
        if holding.digest in self._skipped:
            return False
        # A use in the future is one from before the clock was set back.
        return not -1.0 < self._clock.now().timestamp() - holding.used < _IN_USE

    def _is_unused_since(self, holding: Holding) -> bool:
        """Whether it was neither used nor removed since *holding* was chosen."""
        known = self._holdings.get(holding.digest)
        return known is not None and known.used <= holding.used

    def _remove(self, holding: Holding, links: Mapping[Digest, Sequence[Linked]]) -> bool:
        """False if it is being downloaded."""
        digest = holding.digest
        if digest in self._downloading:
            return False
        remove(self._local, digest, links.get(digest, ()))
        self._holdings.drop(digest)
        self._unwritten.pop(digest, None)
        self._removed(digest)
        return True
