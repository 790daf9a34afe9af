"""The interface of targets."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from harness.system.needs import Need
from harness.targets.registry import RunningRegistry
from harness.targets.settings import Settings

__all__ = ["Target"]


class Target(Protocol):
    """A registry implementation that can be launched as often as wanted."""

    @property
    def name(self) -> str:
        """The column's heading: ``reference@ideal``, ``docker-registry``."""
        ...

    @property
    def known_as(self) -> str:
        """Its name in ``differences.toml`` and ``divergences.toml``. A recording has the name of
        its target."""
        ...

    @property
    def implementation(self) -> str:
        """``pullproof`` or ``distribution``: whose deviations count."""
        ...

    @property
    def version(self) -> str:
        """The release series of its deviations (``2.8``), or ``ideal``."""
        ...

    @property
    def release(self) -> str:
        """The exact version, for people and recordings (``2.8.2``)."""
        ...

    @property
    def capabilities(self) -> frozenset[Need]:
        """What scenarios may ask of it beyond HTTP."""
        ...

    def check(self) -> None:
        """Check, once per session, that it works. Raises ``TargetError``."""
        ...

    def launch(self, settings: Settings, workdir: Path) -> RunningRegistry:
        """A registry that listens. Raises ``DidNotStart``, or ``NotOffered`` for *settings*."""
        ...
