"""The base class of targets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.system.needs import Need
from harness.targets.errors import DidNotStart, TargetError
from harness.targets.identity import Identity
from harness.targets.registry import RunningRegistry
from harness.targets.settings import Settings

__all__ = ["Target"]


class Target(ABC):
    """A registry implementation, which can be launched any number of times."""

    identity: Identity
    """Its implementation and version, which decide which deviations count."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The column's heading: ``reference@ideal``, ``docker-registry``."""

    @property
    def known_as(self) -> str:
        """Its name in ``differences.toml`` and ``divergences.toml``. A recording has the name of
        its target."""
        return self.name

    @property
    def implementation(self) -> str:
        """Whose deviations count: ``pullproof`` or ``distribution``."""
        return self.identity.implementation

    @property
    def version(self) -> str:
        """The release series of its deviations (``2.8``), or ``ideal``."""
        return self.identity.version

    @property
    def release(self) -> str:
        """The exact version, for people and recordings (``2.8.2``)."""
        return self.identity.release

    @property
    def capabilities(self) -> frozenset[Need]:
        """What scenarios may need beyond HTTP: everything, the ``x-`` keys only of our registry."""
        return frozenset(Need) - (set() if self.implementation == "pullproof" else {Need.X_KEYS})

    @abstractmethod
    def registry(self, settings: Settings, workdir: Path) -> RunningRegistry:
        """A registry with *settings* and files below *workdir*, not started."""

    def launch(self, settings: Settings, workdir: Path) -> RunningRegistry:
        """:meth:`registry`, started. Raises ``DidNotStart``, or ``NotOffered`` for *settings*."""
        registry = self.registry(settings, workdir)
        registry.start()
        return registry

    plain_settings = Settings()
    """What :meth:`check` launches it with."""
    must_start = "it must start with a plain configuration"
    """The fix if that fails."""

    def check(self) -> None:
        """Launch it once. ``TargetError`` if it does not start. Called once per session."""
        with TemporaryDirectory(prefix="pullproof-") as workdir:
            try:
                self.launch(self.plain_settings, Path(workdir) / "registry").stop()
            except DidNotStart as failure:
                raise TargetError(f"{failure}; {self.must_start}") from failure
