"""Keeping a cache below ``proxy.x-max-size``: what has been used the longest time ago goes.

Of the processes that share a storage one does it; all of them keep when something was used. What is
chosen is said by ``size_policy``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from reference_registry.clock import Clock
from reference_registry.config.sizes import short_size
from reference_registry.digest import Digest
from reference_registry.proxy.blobs.download_lock import Claims
from reference_registry.proxy.expiry.lead import Lead
from reference_registry.proxy.expiry.removal import Linked, find, remove
from reference_registry.proxy.policy.disk_usage import DiskUsage
from reference_registry.proxy.policy.size_policy import Holding, Holdings, victims
from reference_registry.proxy.policy.usage import Uses, UseTimes
from reference_registry.proxy.upstream.offline import Offline
from reference_registry.registry import StandardRegistry

__all__ = ["SizeBound"]

_GLANCE = 1.0
"""Seconds of real time between two looks at what others have stored."""
_SPACING = 0.1
"""Seconds between two looks at least, however much comes."""
_IN_USE = 2.0
"""Seconds for which what was used counts as in use: time enough for a server to open the file."""

_log = logging.getLogger(__name__)


class SizeBound:
    """Lets the bytes stored in *local*, which lies in files, be no more than *bound*; while it is
    *offline* nothing comes, and nothing goes that could not be fetched again.

    *removed* is told of each digest that has gone; *lock* is the file that processes which share
    the storage agree by, None where they do not.
    """

    def __init__(
        self,
        local: StandardRegistry,
        blobs: Path,
        bound: int,
        *,
        clock: Clock,
        claims: Claims,
        uses: Uses,
        removed: Callable[[Digest], None],
        offline: Offline,
        lock: Path | None,
    ) -> None:
        self._local = local
        self._bound = bound
        self._clock = clock
        self._claims = claims
        self._uses = uses
        self._removed = removed
        self._offline = offline
        self._lead = Lead(lock)
        self._census = DiskUsage(blobs)
        self._holdings = Holdings()
        self._unwritten: dict[Digest, float] = {}
        self._spared: set[Digest] = set()
        """What was chosen in the last round and could not go: it is not chosen in the next."""
        self._stored = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        uses.hand_to(self._used)

    def stored(self) -> None:
        """Something has come into the cache: look soon."""
        self._stored.set()

    async def start(self) -> None:
        """Begin to watch."""
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._keep_uses())]

    async def stop(self) -> None:
        """End, and keep when everything was used."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if tasks:
            await self._write_uses()
        self._lead.release()

    # -- uses -----------------------------------------------------------------------------------
    def _used(self, uses: UseTimes) -> None:
        for (_, digest), moment in uses.items():
            when = moment.timestamp()
            self._holdings.use(digest, when)
            self._unwritten[digest] = max(when, self._unwritten.get(digest, 0.0))

    async def _keep_uses(self) -> None:
        while True:
            await asyncio.sleep(_GLANCE)
            await self._write_uses()

    async def _write_uses(self) -> None:
        if not self._unwritten:
            return
        moments, self._unwritten = self._unwritten, {}
        try:
            await asyncio.to_thread(self._census.note_use, moments)
        except OSError as error:
            _log.warning("when content was used is forgotten at the next start: %s", error)

    # -- eviction -------------------------------------------------------------------------------
    async def _watch(self) -> None:
        while True:
            if self._lead.take():
                _log.info("this process keeps the cache below %s", short_size(self._bound))
            self._stored.clear()
            if self._lead.is_held:
                try:
                    await self._evict()
                except OSError as error:
                    _log.error("the cache cannot be kept below its size: %s", error)
            await asyncio.sleep(_SPACING)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stored.wait(), _GLANCE - _SPACING)

    async def _evict(self) -> None:
        """One round; what is in use now, or turns out to have been used by another process, is left
        to the next one."""
        changes = await asyncio.to_thread(self._census.look)
        for digest in changes.gone:
            self._holdings.drop(digest)
        for holding in changes.held:
            self._holdings.put(holding)
            self._holdings.use(holding.digest, self._unwritten.get(holding.digest, 0.0))
        if self._holdings.total <= self._bound or self._offline:
            return
        self._uses.settle()
        held = self._holdings.all()
        going = await asyncio.to_thread(victims, held, self._bound, self._is_idle)
        used = await asyncio.to_thread(self._census.last_used, [h.digest for h in going])
        for digest, moment in used.items():
            self._holdings.use(digest, moment)
        places = await asyncio.to_thread(find, self._local, used)
        self._uses.settle()
        self._spared = set()
        freed = 0
        for holding in going:
            if self._is_as_chosen(holding) and self._remove(holding, places):
                freed += holding.size
            else:
                self._spared.add(holding.digest)
            await asyncio.sleep(0)  # Requests go first.
        if self._spared:  # Others have to go in their place.
            self._stored.set()
        if freed:
            said = (short_size(freed), short_size(self._holdings.total), short_size(self._bound))
            _log.info("evicted %s of what was used the longest time ago: %s of %s are left", *said)

    def _is_idle(self, holding: Holding) -> bool:
        if holding.digest in self._spared:
            return False
        # What was used in the future was used before the clock was set back.
        return not -1.0 < self._clock.now().timestamp() - holding.used < _IN_USE

    def _is_as_chosen(self, holding: Holding) -> bool:
        """Whether it has not been used, nor gone, since *holding* was chosen. Times that a file
        system keeps may be rounded."""
        known = self._holdings.get(holding.digest)
        return known is not None and known.used < holding.used + 0.001

    def _remove(self, holding: Holding, places: Mapping[Digest, Sequence[Linked]]) -> bool:
        """Whether it went; not what is just being fetched."""
        digest = holding.digest
        claim = self._claims.take(digest)
        if claim is None:
            return False
        try:
            remove(self._local, digest, places.get(digest, ()))
        finally:
            claim.release()
        self._holdings.drop(digest)
        self._unwritten.pop(digest, None)
        self._removed(digest)
        return True
