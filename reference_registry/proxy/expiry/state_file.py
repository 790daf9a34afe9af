"""The schedule in memory, and ``scheduler-state.json``, which it is loaded from and saved to.

The file is always complete, since each version replaces the one before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

from reference_registry.config.problem import CannotStart
from reference_registry.profiles import Profile
from reference_registry.proxy.expiry.schedule import (
    Entry,
    Schedule,
    StateUnreadable,
    parse_state,
    render_state,
)
from reference_registry.storage.driver import PathNotFound, StorageDriver

__all__ = ["STATE_FILE", "StoredSchedule"]

STATE_FILE = "/scheduler-state.json"
"""Storage path; beside ``/docker``."""

_log = logging.getLogger(__name__)


class StoredSchedule:
    """The schedule of the cache behind *driver*. *rebuild* makes one from what is stored; it is
    called in a thread."""

    def __init__(
        self, driver: StorageDriver, profile: Profile, rebuild: Callable[[], Schedule]
    ) -> None:
        self.schedule: Schedule | None = Schedule()
        """None if the state file held ``null`` and the profile cannot recover from that."""
        self.rescheduled = asyncio.Event()
        """Set whenever an entry was added or removed."""
        self.unsaved = asyncio.Event()
        """Set while the file is out of date."""
        self._driver = driver
        self._profile = profile
        self._rebuild = rebuild
        self._saving = asyncio.Lock()

    def add(self, entry: Entry) -> None:
        """Schedule *entry* in place of what had its key. Requires a schedule."""
        assert self.schedule is not None
        self.schedule.add(entry)
        self._changed()

    def remove(self, entry: Entry) -> None:
        """Remove *entry*, unless its key has been rescheduled meanwhile. Requires a schedule."""
        assert self.schedule is not None
        self.schedule.remove(entry)
        self._changed()

    def _changed(self) -> None:
        self.rescheduled.set()
        self.unsaved.set()

    # -- loading ----------------------------------------------------------------------------------
    async def load(self) -> None:
        """Load the file. Raises :class:`CannotStart` if it is damaged and the profile cannot
        recover from that."""
        if self._profile.removes_leftovers:
            try:
                await asyncio.to_thread(self._remove_parts)
            except OSError as error:
                _log.warning("parts of %s that a killed process left stay: %s", STATE_FILE, error)
        self.schedule = await self._load()

    def _remove_parts(self) -> None:
        path = self._driver.local_path(STATE_FILE)
        if path is not None:
            with suppress(FileNotFoundError):
                for part in path.parent.glob(f"{path.name}.*part"):
                    part.unlink()

    async def _load(self) -> Schedule | None:
        try:
            schedule = parse_state(self._driver.read(STATE_FILE))
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
        self.unsaved.set()
        return schedule

    # -- saving -----------------------------------------------------------------------------------
    async def save(self) -> bool:
        """Whether the file now holds what was scheduled when this was called."""
        async with self._saving:
            if self.schedule is None:
                return True
            self.unsaved.clear()
            content = self.schedule.snapshot()
            writing = asyncio.create_task(asyncio.to_thread(self._write, content))
            try:
                await asyncio.shield(writing)
            finally:
                # The caller may be cancelled and save again: that must not overtake this write.
                await asyncio.wait([writing])
                if not writing.result():
                    self.unsaved.set()
            return writing.result()

    def _write(self, entries: dict[str, Entry]) -> bool:
        try:
            # ``ideal`` overwrites a part that a killed process left; releases use a new name.
            mark = "" if self._profile.removes_leftovers else f"{uuid4().hex}."
            self._driver.replace(STATE_FILE, render_state(entries), f"{STATE_FILE}.{mark}part")
        except OSError as error:
            _log.error("Error writing %s: %s", STATE_FILE[1:], error)
            return False
        return True
