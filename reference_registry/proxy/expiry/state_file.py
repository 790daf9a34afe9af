"""``scheduler-state.json``: loading the schedule from it and saving the schedule to it.

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

__all__ = ["STATE_FILE", "StateFile"]

STATE_FILE = "/scheduler-state.json"
"""Storage path; beside ``/docker``."""

_log = logging.getLogger(__name__)


class StateFile:
    """The state file of the cache behind *driver*. *rebuild* makes a schedule from what is stored;
    it is called in a thread."""

    def __init__(
        self, driver: StorageDriver, profile: Profile, rebuild: Callable[[], Schedule]
    ) -> None:
        self.is_outdated = False
        """Whether :meth:`load` repaired something that has to be saved."""
        self._driver = driver
        self._profile = profile
        self._rebuild = rebuild
        self._saving = asyncio.Lock()

    # -- loading ----------------------------------------------------------------------------------
    async def load(self) -> Schedule | None:
        """The schedule in the file; None if the file holds ``null`` and the profile cannot recover
        from that. Raises :class:`CannotStart` if it is damaged and the profile cannot recover."""
        if self._profile.removes_leftovers:
            try:
                await asyncio.to_thread(self._remove_parts)
            except OSError as error:
                _log.warning("parts of %s that a killed process left stay: %s", STATE_FILE, error)
        return await self._load()

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
            self.is_outdated = True
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
        self.is_outdated = True
        return schedule

    # -- saving -----------------------------------------------------------------------------------
    async def save(self, entries: dict[str, Entry]) -> bool:
        """Whether the file now holds *entries*. A failure is logged."""
        async with self._saving:
            writing = asyncio.create_task(asyncio.to_thread(self._write, entries))
            try:
                return await asyncio.shield(writing)
            finally:
                # The caller may be cancelled and save again: that must not overtake this write.
                await asyncio.wait([writing])

    def _write(self, entries: dict[str, Entry]) -> bool:
        try:
            # ``ideal`` overwrites a part that a killed process left; releases use a new name.
            mark = "" if self._profile.removes_leftovers else f"{uuid4().hex}."
            self._driver.replace(STATE_FILE, render_state(entries), f"{STATE_FILE}.{mark}part")
        except OSError as error:
            _log.error("Error writing %s: %s", STATE_FILE[1:], error)
            return False
        return True
