"""Carrying the schedule out: deleting what has expired, and keeping ``scheduler-state.json``.

All waiting goes by the clock, except that ``ideal`` writes the file at once after a change, and
again after a quarter of a second of real time if more has changed by then.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

from reference_registry.api.hooks import Panic
from reference_registry.clock import Clock
from reference_registry.config.problem import CannotStart
from reference_registry.digest import Digest
from reference_registry.profiles import Profile
from reference_registry.proxy.eviction import evict
from reference_registry.proxy.moment import Moment
from reference_registry.proxy.schedule import (
    BLOB,
    MANIFEST,
    Entry,
    Schedule,
    StateUnreadable,
    parse_state,
    render_state,
)
from reference_registry.registry import StandardRegistry
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.enumeration import repository_names

__all__ = ["STATE_FILE", "Expiry", "ScheduleLost"]

STATE_FILE = "/scheduler-state.json"
"""Storage path; beside ``/docker``."""

_TICK = timedelta(seconds=5)
_SPACING = 0.25  # seconds of real time between two writes of the file
_SPACING_AFTER_FAILURE = 5.0

_log = logging.getLogger(__name__)


class ScheduleLost(Panic):
    """Nothing can be scheduled, because the state file held ``null``: distribution then writes to a
    nil map, and the panic ends the request."""


class Expiry:
    """The life of everything in the cache *local*, each entry for *ttl* from when it was cached.

    *saves_on_stop*: whether :meth:`stop` writes what the file lacks.
    """

    def __init__(
        self,
        local: StandardRegistry,
        ttl: timedelta,
        *,
        profile: Profile,
        clock: Clock,
        saves_on_stop: bool,
    ) -> None:
        self._local = local
        self._driver = local.storage.driver
        self._ttl = ttl
        self._profile = profile
        self._clock = clock
        self._saves_on_stop = saves_on_stop
        self._schedule: Schedule | None = Schedule()
        self._rescheduled = asyncio.Event()
        self._unsaved = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def entries(self) -> list[Entry]:
        """What is scheduled now."""
        return list(self._schedule or ())

    def cached_blob(self, repository: str, digest: Digest) -> None:
        """*repository* has just cached the blob *digest*."""
        self._add(repository, digest, BLOB)

    def cached_manifest(self, repository: str, digest: Digest) -> None:
        """*repository* has just cached the manifest *digest*."""
        self._add(repository, digest, MANIFEST)

    def _add(self, repository: str, digest: Digest, kind: int) -> None:
        if self._schedule is None:
            raise ScheduleLost("assignment to entry in nil map")
        moment = Moment.of(self._clock.now() + self._ttl)
        self._schedule.add(Entry.of(repository, digest, kind, moment))
        self._changed()

    def _changed(self) -> None:
        self._rescheduled.set()
        self._unsaved.set()

    # -- life -----------------------------------------------------------------------------------
    async def start(self) -> None:
        """Read the state and begin. :class:`CannotStart` where the file is damaged and the profile
        does not know how to go on."""
        self._schedule = await self._load()
        save = self._save_soon if self._profile.saves_state == "at-once" else self._save_by_ticker
        self._tasks = [asyncio.create_task(self._expire()), asyncio.create_task(save())]

    async def stop(self) -> None:
        """End, and write the file if it lacks something."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if tasks and self._saves_on_stop and self._unsaved.is_set():
            await self._save()

    async def _load(self) -> Schedule | None:
        try:
            content = self._driver.read(STATE_FILE)
        except PathNotFound:
            return Schedule()
        try:
            schedule = parse_state(content)
        except StateUnreadable as damage:
            if not self._profile.rebuilds_damaged_state:
                raise CannotStart(
                    "proxy", f"{STATE_FILE[1:]}: {damage}", "remove it", released_exit_code=2
                ) from damage
            return await self._rebuild(str(damage))
        if not self._profile.rebuilds_damaged_state:
            return schedule
        if schedule is None:
            return await self._rebuild("null")
        tidy, problems = schedule.tidied()
        for problem in problems:
            _log.warning("%s: dropped the entry %s", STATE_FILE[1:], problem)
            self._unsaved.set()
        return tidy

    async def _rebuild(self, damage: str) -> Schedule:
        """A schedule of all that is cached, as if it had been cached just now."""
        moment = Moment.of(self._clock.now() + self._ttl)
        schedule = await asyncio.to_thread(self._schedule_of_tree, moment)
        _log.warning(
            "%s is damaged (%s): rebuilt from the storage, %d entries expire at %s",
            STATE_FILE[1:],
            damage,
            len(schedule),
            moment,
        )
        self._unsaved.set()
        return schedule

    def _schedule_of_tree(self, moment: Moment) -> Schedule:
        schedule = Schedule()
        try:
            names = list(repository_names(self._driver))
        except PathNotFound:
            return schedule
        for name in names:
            repository = self._local.repository(name)
            for digest in repository.links.layers():
                if repository.has_blob(digest):
                    schedule.add(Entry.of(name, digest, BLOB, moment))
            for digest in repository.links.revisions():
                if repository.has_manifest(digest):
                    schedule.add(Entry.of(name, digest, MANIFEST, moment))
        return schedule

    # -- expiring -------------------------------------------------------------------------------
    async def _expire(self) -> None:
        if self._schedule is None:
            return
        while True:
            self._rescheduled.clear()
            for entry in self._schedule.due(Moment.of(self._clock.now())):
                await self._expire_entry(self._schedule, entry)
            await self._wait_for_next(self._schedule)

    async def _expire_entry(self, schedule: Schedule, entry: Entry) -> None:
        try:
            await evict(self._local, schedule, entry, self._profile)
        except Exception:  # One entry that fails must not keep the others for ever.
            _log.exception("Scheduler error returned from OnExpire(%s)", entry.key)
        schedule.remove(entry)
        self._changed()

    async def _wait_for_next(self, schedule: Schedule) -> None:
        """Until the next entry is due, or another one was scheduled that may be due before it."""
        moment = schedule.next_moment()
        waiting: list[asyncio.Task[Any]] = [asyncio.create_task(self._rescheduled.wait())]
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

    async def _save(self) -> bool:
        """Whether the file now holds what was scheduled when this was called."""
        if self._schedule is None:
            return True
        self._unsaved.clear()
        writing = asyncio.create_task(asyncio.to_thread(self._write, self._schedule.snapshot()))
        try:
            return await asyncio.shield(writing)
        finally:
            # When stop() cancels us, its own write must neither overtake this one nor be left out.
            await asyncio.wait([writing])
            if not writing.result():
                self._unsaved.set()

    def _write(self, entries: dict[str, Entry]) -> bool:
        try:
            self._driver.write(STATE_FILE, render_state(entries))
        except OSError as error:
            _log.error("Error writing %s: %s", STATE_FILE[1:], error)
            return False
        return True
