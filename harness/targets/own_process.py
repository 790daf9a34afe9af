"""A registry that is one process, started and ended by us."""

from __future__ import annotations

from pathlib import Path

from harness.system.process import Process
from harness.targets.registry import RunningRegistry
from harness.targets.settings import Settings

__all__ = ["STOP_GRACE", "OwnProcess"]

STOP_GRACE = 15.0
"""Seconds that SIGTERM has before SIGKILL follows."""


class OwnProcess(RunningRegistry):
    """Keeps the process, and what earlier ones said. A subclass starts it, as ``_process``."""

    def __init__(self, settings: Settings, workdir: Path) -> None:
        super().__init__(settings, workdir)
        self._process: Process | None = None
        self._earlier_output = ""

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def _end(self) -> None:
        if self._process is not None:
            self.exit_code = self._process.stop(grace=STOP_GRACE)
            self._bury()

    def _end_at_once(self) -> None:
        if self._process is not None:
            self.exit_code = self._process.kill()
            self._bury()

    def _bury(self) -> None:
        self._earlier_output = self._output()
        self._process = None

    def _output(self) -> str:
        return self._earlier_output + (self._process.output() if self._process else "")
