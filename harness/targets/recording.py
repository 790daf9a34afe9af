"""``recording:FILE``: what a target showed in an earlier run, as a column of this one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from harness.suite.scenario import Need
from harness.targets.errors import TargetError
from harness.targets.settings import Settings

if TYPE_CHECKING:
    from harness.compare.recording import Recording

__all__ = ["RecordingTarget"]


@dataclass(frozen=True)
class RecordingTarget:
    """Nothing is launched: each scenario's result is read from the recording and judged anew."""

    recording: Recording

    @classmethod
    def read(cls, path: str) -> RecordingTarget:
        """The target behind ``recording:``*path*; ``TargetError`` where it cannot be read."""
        # What is recorded is made of what targets show, and imports this package.
        from harness.compare.recording import Recording, RecordingError

        try:
            return cls(Recording.read(Path(path).expanduser()))
        except RecordingError as error:
            raise TargetError(f"recording:{error}") from error

    @property
    def name(self) -> str:
        return f"recording:{self.recording.target}"

    @property
    def known_as(self) -> str:
        return self.recording.target

    @property
    def implementation(self) -> str:
        return self.recording.implementation

    @property
    def version(self) -> str:
        return self.recording.version

    @property
    def release(self) -> str:
        return self.recording.release

    @property
    def capabilities(self) -> frozenset[Need]:
        """Everything: what the target lacked, the recorded result says."""
        return frozenset(Need)

    def check(self) -> None:
        """Reading it has checked it."""

    def launch(self, settings: Settings, workdir: Path) -> NoReturn:
        """Never: ``TargetError``."""
        raise TargetError(f"{self.name} cannot be launched; it only tells what it showed")
