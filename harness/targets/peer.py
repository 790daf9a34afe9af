"""Other people's registries: programs on this machine with a configuration of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Self

from harness.http.redaction import redact_text
from harness.system.needs import Need
from harness.system.process import Process, clean_environment
from harness.targets.errors import DidNotStart, TargetError
from harness.targets.foreign import ForeignRegistry, refuse_settings
from harness.targets.identity import exact_release, release_series
from harness.targets.own_process import OwnProcess
from harness.targets.process_registry import free_port
from harness.targets.registry import NOWHERE
from harness.targets.settings import Settings

__all__ = ["PeerRegistry", "PeerTarget"]

_ATTEMPTS = 3
_TAKEN = "in use"


class PeerRegistry(OwnProcess, ForeignRegistry):
    """A process that serves on a port that was free a moment before."""

    known: frozenset[str]
    """The fields of ``Settings`` that it can be set up with."""

    def __init__(self, program: Path, settings: Settings, workdir: Path) -> None:
        super().__init__(settings, workdir)
        self._program = program

    @abstractmethod
    def _launch(self, port: int) -> Process:
        """Write the configuration for *port* of 127.0.0.1, and start. ``NotOffered``."""

    @abstractmethod
    def _listens(self, process: Process, port: int) -> bool:
        """True once it does, False where it ends or takes too long."""

    def _begin(self) -> tuple[str, str]:
        refuse_settings(self.where, self.settings, self.known)
        for attempt in range(1, _ATTEMPTS + 1):
            self._process = process = self._launch(port := free_port())
            if self._listens(process, port):
                break
            exit_code = process.wait(1.0)
            said = redact_text(process.output(), self.settings.secrets())
            self._end_at_once()
            if _TAKEN not in said or attempt == _ATTEMPTS:
                raise DidNotStart(self.where, exit_code, said)
        return f"http://127.0.0.1:{port}", NOWHERE


@dataclass(frozen=True)
class PeerTarget:
    """The program. What is the same of all of one kind is said by its class."""

    path: Path
    version: str
    release: str

    kind: ClassVar[str]
    """Its name everywhere: as a program, a column, a target and an implementation."""
    fix: ClassVar[str]
    """What to do where it is not installed."""
    offers: ClassVar[frozenset[Need]]
    registry: ClassVar[type[PeerRegistry]]

    @classmethod
    def find(cls) -> Self:
        """The one beside this Python or on the search path. ``TargetError`` where there is none."""
        # A virtual environment need not be on the search path.
        places = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
        found = shutil.which(cls.kind, path=places)
        if found is None:
            raise TargetError(f"{cls.kind}: is not installed; {cls.fix}")
        try:
            run = subprocess.run(
                [found, "--version"],
                env=clean_environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=20,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as failure:
            raise TargetError(f"{cls.kind}: --version failed: {failure}") from failure
        said = cls.version_in(run.stdout)
        return cls(Path(found), release_series(said), exact_release(said))

    @staticmethod
    def version_in(said: str) -> str:
        """The part of what ``--version`` said that names the release."""
        return said

    @property
    def name(self) -> str:
        return self.kind

    @property
    def known_as(self) -> str:
        return self.kind

    @property
    def implementation(self) -> str:
        return self.kind

    @property
    def capabilities(self) -> frozenset[Need]:
        return self.offers

    def check(self) -> None:
        """Launch it once; ``TargetError`` where that fails."""
        with TemporaryDirectory(prefix="pullproof-") as workdir:
            self.launch(Settings(upstream_url=NOWHERE), Path(workdir)).stop()

    def launch(self, settings: Settings, workdir: Path) -> PeerRegistry:
        """A cache that listens, its files under *workdir*. ``NotOffered`` for what it cannot be
        told, ``DidNotStart``."""
        registry = self.registry(self.path, settings, workdir)
        registry.start()
        return registry
