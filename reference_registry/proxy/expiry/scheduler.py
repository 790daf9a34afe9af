"""Runs the schedule: loads it, deletes what has expired, and saves changes in time.

All waiting uses the clock, except that ``ideal`` saves the file right after a change, and again
after a quarter of a second of real time if more has changed by then. ``scheduler-state.json`` is
always complete, since each version replaces the one before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from reference_registry.clock import Clock
from reference_registry.config.problem import CannotStart
from reference_registry.digest import Digest
from reference_registry.http.hooks import Panic
from reference_registry.profiles import Profile
from reference_registry.proxy.expiry.eviction import Eviction
from reference_registry.proxy.expiry.schedule import (
    BLOB,
    MANIFEST,
    STATE_FILE,
    GoTime,
    Schedule,
    ScheduleEntry,
    StateUnreadable,
    parse_state,
    render_state,
)
from reference_registry.proxy.upstream.upstream import Offline
from reference_registry.registry import StandardRegistry
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.layout import repository_names

_TICK = timedelta(seconds=5)
_SPACING = 0.25  # seconds of real time between two writes of the file
_SPACING_AFTER_FAILURE = 1.0
_LEAST_RENEWAL = timedelta(hours=1)

_log = logging.getLogger(__name__)


class ScheduleLost(Panic):
    """Nothing can be scheduled, because the state file held ``null``: distribution then writes to a
    nil map, and the panic ends the request."""


class Expiry:
    """Expires everything in the cache *local*: each entry one *ttl* of its repository after it was
    cached, or never if that is None.

    Nothing is deleted while the cache is *offline*: it may be the last copy. The bytes of what is
    *downloading* are not deleted either. *saves_on_stop*: whether :meth:`stop` saves changes.
    """

    def __init__(
        self,
        local: StandardRegistry,
        ttl: Callable[[str], timedelta | None],
        *,
        offline: Offline,
        profile: Profile,
        clock: Clock,
        downloading: Container[Digest],
        saves_on_stop: bool,
    ) -> None:
        self._local = local
        self._driver = local.storage.driver
        self._ttl = ttl
        self._offline = offline
        self._profile = profile
        self._clock = clock
        self._eviction = Eviction(local, profile, downloading)
        self._saves_on_stop = saves_on_stop
        self.before_due: Callable[[], None] = lambda: None
        """Called before entries expire; reports pending uses to :meth:`used`."""
        self._tasks: list[asyncio.Task[None]] = []
        self._saving = asyncio.Lock()
        self._schedule: Schedule | None = Schedule()
        """None if the state file held ``null`` and the profile cannot recover from that."""
        self._rescheduled = asyncio.Event()
        """Set whenever an entry was added or removed."""
        self._unsaved = asyncio.Event()
        """Set while the file is out of date."""

    @property
    def entries(self) -> list[ScheduleEntry]:
        """What is scheduled now."""
        return list(self._schedule or ())

    def cached(self, repository: str, digest: Digest, kind: int) -> None:
        """*repository* has just cached *digest*, of *kind* ``BLOB`` or ``MANIFEST``."""
        if self._schedule is None:
            raise ScheduleLost("assignment to entry in nil map")
        end = self._end(repository)
        if end is not None:
            self._put(self._schedule, ScheduleEntry.of(repository, digest, kind, end))

    def forget(self, digest: Digest) -> None:
        """*digest* has been removed from all repositories."""
        if self._schedule is not None:
            for entry in self._schedule.of_digest(digest):
                self._remove(self._schedule, entry)

    def used(self, uses: Mapping[tuple[str, Digest], datetime]) -> None:
        """Extend the expiry of what was used to one ttl after the last use (d#4659, d#4872); not by
        less than a hundredth of the ttl or an hour, so that a busy cache does not save its schedule
        all the time."""
        schedule = self._schedule
        if schedule is None:
            return
        for (repository, digest), moment in uses.items():
            entry = schedule.get(f"{repository}@{digest}")
            ttl = self._ttl(repository)
            if entry is None or ttl is None:
                continue
            if GoTime.of(moment + ttl - min(ttl / 100, _LEAST_RENEWAL)) > entry.moment:
                self._put(schedule, replace(entry, moment=GoTime.of(moment + ttl)))

    def _put(self, schedule: Schedule, entry: ScheduleEntry) -> None:
        schedule.add(entry)
        self._rescheduled.set()
        self._unsaved.set()

    def _remove(self, schedule: Schedule, entry: ScheduleEntry) -> None:
        schedule.remove(entry)
        self._rescheduled.set()
        self._unsaved.set()

    def _end(self, repository: str) -> GoTime | None:
        """When what *repository* caches now expires; None for never."""
        ttl = self._ttl(repository)
        return None if ttl is None else GoTime.of(self._clock.now() + ttl)

    def _schedule_of_tree(self) -> Schedule:
        """A schedule for all links, as if all had been cached just now. Includes links without
        bytes: they must expire too."""
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
                schedule.add(ScheduleEntry.of(name, digest, BLOB, end))
            for digest in repository.links.revisions():
                schedule.add(ScheduleEntry.of(name, digest, MANIFEST, end))
        return schedule

    # -- life -------------------------------------------------------------------------------------
    def _remove_parts(self) -> None:
        path = self._driver.local_path(STATE_FILE)
        if path is not None:
            with suppress(FileNotFoundError):
                for part in path.parent.glob(f"{path.name}.*part"):
                    part.unlink()

    async def _load(self) -> Schedule | None:
        """The schedule in the file. If it is damaged, ``ideal`` rebuilds it from the storage."""
        rebuilds = self._profile.rebuilds_damaged_state
        try:
            schedule = parse_state(self._driver.read(STATE_FILE))
        except PathNotFound:
            return Schedule()
        except StateUnreadable as damage:
            if not rebuilds:
                raise CannotStart(
                    "proxy", f"{STATE_FILE[1:]}: {damage}", "remove it", released_exit_code=2
                ) from damage
            problem = str(damage)
        else:
            if not rebuilds:
                return schedule
            if schedule is not None:
                schedule, problems = schedule.tidied()
                for each in problems:
                    _log.warning("%s: dropped the entry %s", STATE_FILE[1:], each)
                    self._unsaved.set()
                return schedule
            problem = "null"
        schedule = await asyncio.to_thread(self._schedule_of_tree)
        _log.warning(
            "%s is damaged (%s): rebuilt from the storage, %d entries, the next of which expires "
            "at %s",
            STATE_FILE[1:],
            problem,
            len(schedule),
            schedule.next_moment(),
        )
        self._unsaved.set()
        return schedule

    async def start(self) -> None:
        """Load the schedule and start. Raises
        :class:`reference_registry.config.problem.CannotStart` if the file is damaged and the
        profile cannot recover from that."""
        if self._profile.removes_leftovers:
            try:
                await asyncio.to_thread(self._remove_parts)
            except OSError as error:
                _log.warning("parts of %s that a killed process left stay: %s", STATE_FILE, error)
        self._schedule = await self._load()
        at_once = self._profile.saves_state == "at-once"
        work = (self._expire(), self._save_soon() if at_once else self._save_by_ticker())
        self._tasks = [asyncio.create_task(coroutine) for coroutine in work]

    async def stop(self) -> None:
        """Stop, and save unsaved changes."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if tasks and self._saves_on_stop and self._unsaved.is_set():
            await self._save()

    # -- expiring ---------------------------------------------------------------------------------
    async def _expire(self) -> None:
        schedule = self._schedule
        if schedule is None:
            return
        if self._profile.schedules_what_it_finds:
            await self._schedule_what_is_there(schedule)
        while True:
            self._rescheduled.clear()
            now = GoTime.of(self._clock.now())
            moment = schedule.next_moment()
            if moment is not None and moment.nanoseconds <= now.nanoseconds:
                await self._offline.is_over()
                self.before_due()
            for entry in schedule.due(now):
                await self._expire_entry(schedule, entry)
            await self._wait_for_next(schedule)

    async def _schedule_what_is_there(self, schedule: Schedule) -> None:
        """Content that is stored but not scheduled would never expire. It is left by a process that
        was killed before it saved the schedule, or by a time without ttl."""
        found = await asyncio.to_thread(self._schedule_of_tree)
        missing = [entry for entry in found if schedule.get(entry.key) is None]
        for entry in missing:
            self._put(schedule, entry)
        if missing:
            said = (len(missing), missing[0].moment)
            _log.warning("%d cached objects were in no schedule: they expire at %s", *said)

    async def _expire_entry(self, schedule: Schedule, entry: ScheduleEntry) -> None:
        if schedule.get(entry.key) not in {None, entry}:
            return  # Rescheduled while other entries were expiring.
        try:
            await self._eviction.evict(schedule, entry)
        except Exception:  # One failure must not keep the other entries from expiring.
            _log.exception("Scheduler error returned from OnExpire(%s)", entry.key)
        self._remove(schedule, entry)

    async def _wait_for_next(self, schedule: Schedule) -> None:
        """Until the next entry is due, or the schedule changes."""
        moment = schedule.next_moment()
        waiting: list[asyncio.Task[Any]] = [asyncio.create_task(self._rescheduled.wait())]
        if moment is not None:
            waiting.append(asyncio.ensure_future(self._clock.sleep_until(moment.as_datetime())))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in waiting:
                future.cancel()

    # -- saving -----------------------------------------------------------------------------------
    async def _save(self) -> bool:
        """Whether the file now holds what was scheduled when this was called."""
        if self._schedule is None:
            return True
        self._unsaved.clear()
        saved = False
        try:
            async with self._saving:
                entries = self._schedule.snapshot()
                writing = asyncio.create_task(asyncio.to_thread(self._write, entries))
                try:
                    saved = await asyncio.shield(writing)
                finally:
                    # The caller may be cancelled and save again, which must not overtake this.
                    await asyncio.wait([writing])
        finally:
            if not saved:
                self._unsaved.set()
        return saved

    def _write(self, entries: dict[str, ScheduleEntry]) -> bool:
        """False, and a line in the log, if the file cannot be written."""
        try:
            # ``ideal`` overwrites a part that a killed process left; releases use a new name.
            mark = "" if self._profile.removes_leftovers else f"{uuid4().hex}."
            self._driver.replace(STATE_FILE, render_state(entries), f"{STATE_FILE}.{mark}part")
        except OSError as error:
            _log.error("Error writing %s: %s", STATE_FILE[1:], error)
            return False
        return True

    async def _save_soon(self) -> None:
        while True:
            await self._unsaved.wait()
            saved = await self._save()
            await asyncio.sleep(_SPACING if saved else _SPACING_AFTER_FAILURE)

    async def _save_by_ticker(self) -> None:
        tick = self._clock.now()
        while True:
            # In step with the start; ticks that passed meanwhile are dropped, as by Go's ticker.
            tick += (1 + (self._clock.now() - tick) // _TICK) * _TICK
            await self._clock.sleep_until(tick)
            if self._unsaved.is_set():
                await self._save()
