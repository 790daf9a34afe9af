"""Keeping a cache below ``proxy.x-max-size`` (d#3539): the least recently used content is evicted.

Content counts once per digest, however many repositories have it, since the disk holds it once; and
it is evicted from all of them at the same time. The store itself is counted, not what this process
put there: expiry, garbage collection and operators remove blobs too.

The time of last use of a blob is the modification time of its directory,
``blobs/sha256/ab/<hex>/``, beside its ``data``. Distribution ignores it. So it survives a restart,
and goes with the blob.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from reference_registry.clock import Clock
from reference_registry.config.units import short_size
from reference_registry.digest import Digest, parse_digest
from reference_registry.proxy.expiry.eviction import Linked, find, remove
from reference_registry.proxy.expiry.scheduler import Expiry
from reference_registry.proxy.policy.memory import Uses, UseTimes
from reference_registry.proxy.upstream.upstream import Offline
from reference_registry.registry import StandardRegistry

_LOW_WATER = 0.9
"""The part of the limit that eviction goes down to, so that it does not run at every pull."""
_LOOK = 60.0
"""Seconds of real time between two looks at the store if nothing was cached: others only remove."""
_LOOK_AGAIN = 1.0
"""Seconds after a look that found too much, but in use; and between two writes of uses."""
_SPACING = 0.1
"""Seconds between two looks at least; ten times as long as a look took if that is more."""
_IN_USE = 2.0
"""Seconds for which used content counts as in use: enough for a server to open the file."""

_log = logging.getLogger(__name__)


# -- the blob store -------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Holding:
    """A stored layer, config or manifest. ``used`` is when it was last served or else stored, in
    seconds since 1970; ``size`` is in bytes."""

    digest: Digest
    size: int
    used: float


def held_in(blobs: Path) -> list[Holding]:
    """Everything in the blob store *blobs*. Call this in a worker thread: it costs two ``stat`` per
    blob. Raises ``OSError`` if the disk cannot be read."""
    found = []
    for algorithm in _directories(str(blobs)):
        for shard in _directories(algorithm):
            for blob in _directories(shard):
                digest = parse_digest(f"{os.path.basename(algorithm)}:{os.path.basename(blob)}")
                if digest is None:
                    continue
                try:
                    size, used = os.stat(f"{blob}/data").st_size, os.stat(blob).st_mtime
                except (FileNotFoundError, NotADirectoryError):
                    continue  # Being created, removed meanwhile, or left by a killed process.
                found.append(Holding(digest, size, used))
    return found


def note_use(blobs: Path, moments: Mapping[Digest, float]) -> None:
    """Save times of last use. Raises ``OSError`` if the file system refuses."""
    for digest, moment in moments.items():
        algorithm, _, encoded = digest.partition(":")
        directory = blobs / algorithm / encoded[:2] / encoded
        try:
            if os.stat(directory).st_mtime < moment:
                os.utime(directory, (moment, moment))
        except FileNotFoundError:  # Deleted meanwhile.
            continue


def _directories(path: str) -> Iterator[str]:
    try:
        with os.scandir(path) as entries:
            yield from [entry.path for entry in entries if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return


# -- eviction -------------------------------------------------------------------------------------
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
    *downloading*. Evicted content leaves the schedule of *expiry*.
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
        expiry: Expiry | None,
        offline: Offline,
    ) -> None:
        self._local = local
        self._limit = limit
        self._clock = clock
        self._downloading = downloading
        self._uses = uses
        self._expiry = expiry
        self._offline = offline
        self._blobs = blobs
        self._uses_known: dict[Digest, float] = {}
        """Times of last use since the start, in seconds since 1970."""
        self._unwritten: set[Digest] = set()
        self._skipped: set[Digest] = set()
        """Chosen in the last round, but in use: not chosen in the next round."""
        self._stored = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        uses.subscribe(self._used)

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
            self._uses_known[digest] = max(moment.timestamp(), self._uses_known.get(digest, 0.0))
            self._unwritten.add(digest)

    async def _keep_uses(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_AGAIN)
            await self._write_uses()

    async def _write_uses(self) -> None:
        if not self._unwritten:
            return
        known = self._uses_known
        moments = {digest: known[digest] for digest in self._unwritten if digest in known}
        self._unwritten = set()
        try:
            await asyncio.to_thread(note_use, self._blobs, moments)
        except OSError as error:
            _log.warning("times of use cannot be saved and are lost at the next start: %s", error)

    # -- eviction ---------------------------------------------------------------------------------
    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._stored.clear()
            began, is_over = loop.time(), True
            try:
                is_over = await self._evict()
            except OSError as error:
                _log.error("the cache cannot be kept below its size: %s", error)
            await asyncio.sleep(max(_SPACING, 10 * (loop.time() - began)))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stored.wait(), _LOOK_AGAIN if is_over else _LOOK)

    async def _evict(self) -> bool:
        """One round; whether too much is left, because it is in use."""
        self._uses.settle()
        held = await asyncio.to_thread(held_in, self._blobs)
        self._uses_known = {
            holding.digest: max(holding.used, self._uses_known.get(holding.digest, 0.0))
            for holding in held
        }
        total = sum(holding.size for holding in held)
        if total <= self._limit or self._offline:
            return False
        held = [replace(each, used=self._uses_known[each.digest]) for each in held]
        going = await asyncio.to_thread(victims, held, self._limit, self._is_idle)
        links = await asyncio.to_thread(find, self._local, [holding.digest for holding in going])
        self._uses.settle()
        self._skipped = set()
        freed = 0
        for holding in going:
            is_unused = self._uses_known.get(holding.digest, 0.0) <= holding.used
            if is_unused and self._remove(holding, links):
                freed += holding.size
            else:
                self._skipped.add(holding.digest)
            await asyncio.sleep(0)  # Requests go first.
        if self._skipped:  # Other content has to go instead.
            self._stored.set()
        if freed:
            said = (short_size(freed), short_size(total - freed), short_size(self._limit))
            _log.info("evicted %s of least recently used content: %s of %s left", *said)
        return total - freed > self._limit

    def _is_idle(self, holding: Holding) -> bool:
        if holding.digest in self._skipped:
            return False
        # A use in the future is one from before the clock was set back.
        return not -1.0 < self._clock.now().timestamp() - holding.used < _IN_USE

    def _remove(self, holding: Holding, links: Mapping[Digest, Sequence[Linked]]) -> bool:
        """False if it is being downloaded."""
        digest = holding.digest
        if digest in self._downloading:
            return False
        remove(self._local, digest, links.get(digest, ()))
        self._unwritten.discard(digest)
        self._uses_known.pop(digest, None)
        if self._expiry is not None:
            self._expiry.forget(digest)
        return True
