"""Carrying the schedule out: deleting what has expired, and having the rest written down in time.

All waiting goes by the clock, except that ``ideal`` writes the file at once after a change, and
again after a quarter of a second of real time if more has changed by then.

Of the processes that share a storage one deletes, and another takes over when that has ended. All
of them write what they have cached, and look every second what the others wrote.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from reference_registry.clock import Clock
from reference_registry.digest import Digest
from reference_registry.http.hooks import Panic
from reference_registry.profiles import Profile
from reference_registry.proxy.blobs.download_lock import Claims
from reference_registry.proxy.expiry.eviction import evict
from reference_registry.proxy.expiry.go_time import GoTime
from reference_registry.proxy.expiry.lead import Lead
from reference_registry.proxy.expiry.schedule import BLOB, MANIFEST, Entry, Schedule
from reference_registry.proxy.expiry.store import KeptSchedule
from reference_registry.proxy.policy.usage import UseTimes
from reference_registry.proxy.upstream.offline import Offline
from reference_registry.registry import StandardRegistry
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.enumeration import repository_names

__all__ = ["Expiry", "ScheduleLost"]

_LOCKS = "/.pullproof"
"""Storage path of the directory of locks, which distribution does not look at."""

_TICK = timedelta(seconds=5)
_SPACING = 0.25  # seconds of real time between two writes of the file
_SPACING_AFTER_FAILURE = 1.0
_LEAST_RENEWAL = timedelta(hours=1)
_GLANCE = 1.0  # seconds of real time between two looks at what other processes do

_log = logging.getLogger(__name__)


class ScheduleLost(Panic):
    """Nothing can be scheduled, because the state file held ``null``: distribution then writes to a
    nil map, and the panic ends the request."""


class Expiry:
    """The life of everything in the cache *local*, each entry for the *ttl* of its repository from
    when it was cached, or for ever where that is None.

    Nothing is deleted while it is *offline*: it may be all that is left. *saves_on_stop*: whether
    :meth:`stop` writes what the file lacks.
    """

    def __init__(
        self,
        local: StandardRegistry,
        ttl: Callable[[str], timedelta | None],
        *,
        offline: Offline,
        profile: Profile,
        clock: Clock,
        claims: Claims,
        saves_on_stop: bool,
    ) -> None:
        self._local = local
        self._driver = local.storage.driver
        self._ttl = ttl
        self._offline = offline
        self._profile = profile
        self._clock = clock
        self._claims = claims
        self._saves_on_stop = saves_on_stop
        self.before_due: Callable[[], None] = _nothing
        """Called before entries expire: tells :meth:`used` what it does not know yet."""
        self._tasks: list[asyncio.Task[None]] = []
        locks = self._driver.local_path(_LOCKS) if profile.shares_storage else None
        self._is_shared = locks is not None
        self._lead = Lead(None if locks is None else locks / "scheduler.lock")
        self._kept = KeptSchedule(
            self._driver,
            profile,
            self._schedule_of_tree,
            None if locks is None else locks / "state.lock",
        )

    @property
    def entries(self) -> list[Entry]:
        """What is scheduled now."""
        return list(self._kept.schedule or ())

    def cached_blob(self, repository: str, digest: Digest) -> None:
        """*repository* has just cached the blob *digest*."""
        self._add(repository, digest, BLOB)

    def cached_manifest(self, repository: str, digest: Digest) -> None:
        """*repository* has just cached the manifest *digest*."""
        self._add(repository, digest, MANIFEST)

    def forget(self, digest: Digest) -> None:
        """*digest* has gone from all repositories."""
        for entry in self._kept.schedule.of_digest(digest) if self._kept.schedule else ():
            self._kept.remove(entry)

    def used(self, uses: UseTimes) -> None:
        """Put the expiry of what was used off, to a ttl after the last use (d#4659, d#4872); not by
        less than a hundredth of the ttl or an hour, so that a busy cache does not write its
        schedule all the time."""
        schedule = self._kept.schedule
        for (repository, digest), moment in uses.items():
            entry = schedule.get(f"{repository}@{digest}") if schedule is not None else None
            ttl = self._ttl(repository)
            if entry is None or ttl is None:
                continue
            if GoTime.of(moment + ttl - min(ttl / 100, _LEAST_RENEWAL)) > entry.moment:
                self._kept.add(replace(entry, moment=GoTime.of(moment + ttl)))

    def _add(self, repository: str, digest: Digest, kind: int) -> None:
        if self._kept.schedule is None:
            raise ScheduleLost("assignment to entry in nil map")
        end = self._end(repository)
        if end is not None:
            self._kept.add(Entry.of(repository, digest, kind, end))

    def _end(self, repository: str) -> GoTime | None:
        """When what *repository* caches now expires; None for never."""
        ttl = self._ttl(repository)
        return None if ttl is None else GoTime.of(self._clock.now() + ttl)

    def _schedule_of_tree(self) -> Schedule:
        """Of all that is linked, as if it had been cached just now. Links without bytes, too: they
        shall not stay for ever."""
        schedule = Schedule()
        try:
            names = list(repository_names(self._driver))
        except PathNotFound:
            return schedule
        for name in names:
            end = self._end(name)
            if end is None:
                continue
            repository = self._local.repository(name)
            for digest in repository.links.layers():
                schedule.add(Entry.of(name, digest, BLOB, end))
            for digest in repository.links.revisions():
                schedule.add(Entry.of(name, digest, MANIFEST, end))
        return schedule

    # -- life -----------------------------------------------------------------------------------
    async def start(self) -> None:
        """Read the state and begin. :class:`reference_registry.config.problem.CannotStart` where
        the file is damaged and the profile does not know how to go on."""
        await self._kept.load()
        self._lead.take()
        work = [self._expire()]
        work.append(
            self._save_soon() if self._profile.saves_state == "at-once" else self._save_by_ticker()
        )
        if self._is_shared:
            work.append(self._watch_others())
        self._tasks = [asyncio.create_task(coroutine) for coroutine in work]

    async def stop(self) -> None:
        """End, and write the file if it lacks something."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if tasks and self._saves_on_stop and self._kept.unsaved.is_set():
            await self._kept.save()
        self._lead.release()

    async def _watch_others(self) -> None:
        """See what they have cached, and take over what one of them did that has ended."""
        while True:
            await asyncio.sleep(_GLANCE)
            await self._kept.refresh()
            if self._lead.take():
                _log.info("another process has ended: expiry goes on in this one")
                await asyncio.to_thread(self._claims.sweep)

    # -- expiring -------------------------------------------------------------------------------
    async def _expire(self) -> None:
        schedule = self._kept.schedule
        if schedule is None:
            return
        await self._lead.is_ours()
        if self._profile.schedules_what_it_finds:
            await self._schedule_what_is_there(schedule)
        while True:
            self._kept.rescheduled.clear()
            now = GoTime.of(self._clock.now())
            if _is_due(schedule, now):
                await self._offline.is_over()
                self.before_due()
                await self._kept.refresh()
            for entry in schedule.due(now):
                await self._expire_entry(schedule, entry)
            await self._wait_for_next(schedule)

    async def _schedule_what_is_there(self, schedule: Schedule) -> None:
        """What is stored and not scheduled, because a process was killed before it could say so or
        because there was no ttl then, would never expire."""
        found = await asyncio.to_thread(self._schedule_of_tree)
        await self._kept.refresh()
        missing = [entry for entry in found if schedule.get(entry.key) is None]
        for entry in missing:
            self._kept.add(entry)
        if missing:
            said = (len(missing), missing[0].moment)
            _log.warning("%d cached objects were in no schedule: they expire at %s", *said)

    async def _expire_entry(self, schedule: Schedule, entry: Entry) -> None:
        if schedule.get(entry.key) not in {None, entry}:
            return  # Scheduled anew while others were deleted.
        try:
            await evict(self._local, schedule, entry, self._profile, self._claims)
        except Exception:  # One entry that fails must not keep the others for ever.
            _log.exception("Scheduler error returned from OnExpire(%s)", entry.key)
        self._kept.remove(entry)

    async def _wait_for_next(self, schedule: Schedule) -> None:
        """Until the next entry is due, or another one was scheduled that may be due before it."""
        moment = schedule.next_moment()
        waiting: list[asyncio.Task[Any]] = [asyncio.create_task(self._kept.rescheduled.wait())]
        if moment is not None:
            waiting.append(asyncio.ensure_future(self._clock.sleep_until(moment.as_datetime())))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in waiting:
                future.cancel()

    # -- saving ---------------------------------------------------------------------------------
    async def _save_soon(self) -> None:
        while True:
            await self._kept.unsaved.wait()
            saved = await self._kept.save()
            await asyncio.sleep(_SPACING if saved else _SPACING_AFTER_FAILURE)

    async def _save_by_ticker(self) -> None:
        tick = self._clock.now()
        while True:
            # In step with the start; ticks that passed meanwhile are dropped, as by Go's ticker.
            tick += (1 + (self._clock.now() - tick) // _TICK) * _TICK
            await self._clock.sleep_until(tick)
            if self._kept.unsaved.is_set():
                await self._kept.save()


def _nothing() -> None:
    """There is nobody to ask."""


def _is_due(schedule: Schedule, now: GoTime) -> bool:
    moment = schedule.next_moment()
    return moment is not None and moment.nanoseconds <= now.nanoseconds
