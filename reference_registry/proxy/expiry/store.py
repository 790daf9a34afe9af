"""The schedule in memory, and the way from and to ``scheduler-state.json``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from reference_registry.config.problem import CannotStart
from reference_registry.profiles import Profile
from reference_registry.proxy.expiry.journal import Journal
from reference_registry.proxy.expiry.schedule import Entry, Schedule, StateUnreadable, parse_state
from reference_registry.proxy.expiry.state_file import STATE_FILE, StateFile
from reference_registry.storage.driver import PathNotFound, StorageDriver

__all__ = ["KeptSchedule"]

_log = logging.getLogger(__name__)


class KeptSchedule:
    """The schedule of the cache behind *driver*. *rebuild* makes one of what is stored, in a
    thread; *lock* is the file that processes which share the storage agree by."""

    def __init__(
        self,
        driver: StorageDriver,
        profile: Profile,
        rebuild: Callable[[], Schedule],
        lock: Path | None,
    ) -> None:
        self.schedule: Schedule | None = Schedule()
        """None where the state file held ``null`` and the profile does not know how to go on."""
        self.rescheduled = asyncio.Event()
        """Set whenever something has come into the schedule or gone."""
        self.unsaved = asyncio.Event()
        """Set while the file lacks something."""
        self._profile = profile
        self._rebuild = rebuild
        self._is_shared = lock is not None
        self._file = StateFile(driver, lock)
        self._journal = Journal()
        self._exchange = asyncio.Lock()

    def add(self, entry: Entry) -> None:
        """Schedule *entry* in the place of what had its key. Not where the schedule is None."""
        assert self.schedule is not None
        self._journal.record(entry.key, self.schedule.get(entry.key), entry)
        self.schedule.add(entry)
        self._changed()

    def remove(self, entry: Entry) -> None:
        """Take *entry* out, unless its key has been scheduled anew meanwhile."""
        assert self.schedule is not None
        if self.schedule.get(entry.key) == entry:
            self._journal.record(entry.key, entry, None)
        self.schedule.remove(entry)
        self._changed()

    def _changed(self) -> None:
        self.rescheduled.set()
        self.unsaved.set()

    # -- reading ----------------------------------------------------------------------------------
    async def load(self) -> None:
        """Take over what the file holds. :class:`CannotStart` where it is damaged and the profile
        does not know how to go on."""
        if self._is_shared:
            try:
                await asyncio.to_thread(self._file.tidy_up)
            except OSError as error:
                _log.warning("what a killed process left stays: %s", error)
        self.schedule = await self._load()

    async def _load(self) -> Schedule | None:
        try:
            schedule = parse_state(self._file.read())
        except PathNotFound:
            return Schedule()
        except StateUnreadable as damage:
            if not self._profile.rebuilds_damaged_state:
                raise CannotStart(
                    "proxy", f"{STATE_FILE[1:]}: {damage}", "remove it", released_exit_code=2
                ) from damage
            return await self._rebuilt(str(damage))
        if not self._profile.rebuilds_damaged_state:
            return schedule
        if schedule is None:
            return await self._rebuilt("null")
        tidy, problems = schedule.tidied()
        for problem in problems:
            _log.warning("%s: dropped the entry %s", STATE_FILE[1:], problem)
            self.unsaved.set()
        return tidy

    async def _rebuilt(self, damage: str) -> Schedule:
        schedule = await asyncio.to_thread(self._rebuild)
        _log.warning(
            "%s is damaged (%s): rebuilt from the storage, %d entries, the next of which expires "
            "at %s",
            STATE_FILE[1:],
            damage,
            len(schedule),
            schedule.next_moment(),
        )
        for entry in schedule:
            self._journal.record(entry.key, None, entry)
        self.unsaved.set()
        return schedule

    async def refresh(self) -> None:
        """See what other processes have written since the file was read or written here."""
        if not self._file.has_news():
            return
        async with self._exchange:
            written = await asyncio.to_thread(self._file.news)
            if written is not None:
                self._take_over(written)

    def _take_over(self, entries: Mapping[str, Entry]) -> None:
        """Hold *entries* and what has been changed here since."""
        if self.schedule is not None:
            self.schedule.become(self._journal.applied_to(entries))
            self.rescheduled.set()

    # -- writing ----------------------------------------------------------------------------------
    async def save(self) -> bool:
        """Whether the file now holds what was scheduled when this was called."""
        async with self._exchange:
            if self.schedule is None:
                return True
            self.unsaved.clear()
            changes, self._journal = self._journal, Journal()
            entries = self.schedule.snapshot()
            writing = asyncio.create_task(asyncio.to_thread(self._write, entries, changes))
            try:
                await asyncio.shield(writing)
            finally:
                # Who cancels us may save again: that must not overtake this, nor be left out.
                await asyncio.wait([writing])
                written = writing.result()
                if written is None:
                    changes.append(self._journal)
                    self._journal = changes
                    self.unsaved.set()
                elif written is not entries:
                    self._take_over(written)
            return written is not None

    def _write(self, entries: Mapping[str, Entry], changes: Journal) -> Mapping[str, Entry] | None:
        try:
            return self._file.write(entries, changes)
        except OSError as error:
            _log.error("Error writing %s: %s", STATE_FILE[1:], error)
            return None
