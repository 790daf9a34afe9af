"""Time for a registry whose clock nobody can turn: what it saved is moved into the past instead."""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.targets.registry import RunningRegistry
from harness.targets.settings import Settings
from harness.targets.state import SAVE_INTERVAL, shift_expiry

__all__ = ["SavedSchedule"]


class SavedSchedule(RunningRegistry):
    """A registry of another process, which keeps ``scheduler-state.json`` in a storage of ours."""

    def __init__(self, settings: Settings, workdir: Path) -> None:
        super().__init__(settings, workdir)
        self._started_at = 0.0

    def _begin(self) -> tuple[str, str]:
        self._started_at = time.time()
        return self._run()

    @abstractmethod
    def _run(self) -> tuple[str, str]:
        """As :meth:`RunningRegistry._begin`."""

    def pass_time(self, delta: timedelta) -> None:
        """Let the process save its schedule, stop it, move what is saved into the past, start it
        again. Whatever it holds in memory (descriptor cache, metrics) starts anew, too."""
        if delta < timedelta(0):
            raise ValueError(f"time only passes forward, not by {delta}")
        # After one interval the schedule is saved, or what is missing will never be scheduled.
        self.eventually(self._schedule_is_saved, SAVE_INTERVAL.total_seconds() + 0.5)
        self.stop()
        with suppress(FileNotFoundError, json.JSONDecodeError):
            self.state_path.write_text(shift_expiry(self.state_path.read_text(), -delta))
        self.start()

    def _schedule_is_saved(self) -> bool:
        """Whether the saved schedule speaks of all that this process cached, and of nothing that it
        must have dropped."""
        if any(self.disk.uploads(name) for name in self.disk.repositories()):
            return False
        links = self.disk.links()
        cached = {key: written for key, written in links.items() if written >= self._started_at}
        try:
            saved = self.state() or {}
            saved_at = self.state_path.stat().st_mtime
        except FileNotFoundError:
            return not cached
        except ValueError:
            return False
        now = datetime.now(UTC)
        return all(key in saved and written <= saved_at for key, written in cached.items()) and all(
            entry.expires > now for entry in saved.values()
        )
