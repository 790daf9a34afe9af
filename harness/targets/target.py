"""The base class of targets, and their identity by the line that ``--version`` prints."""

from __future__ import annotations

import re
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from harness.system.needs import Need
from harness.system.process import run_program
from harness.targets.errors import DidNotStart, TargetError
from harness.targets.registry import RunningRegistry
from harness.targets.settings import Settings

_VERSION = re.compile(r"\bv?(\d+\.\d+)\.\d+(?:(-[0-9A-Za-z.]+))?")


@dataclass(frozen=True)
class Identity:
    """Implementation and version, which decide about deviations and configuration keys."""

    implementation: str
    """``distribution``, ``pullproof``, or one that has deviations of its own."""
    version: str
    """The release series (``2.8``), a pre-release in full (``3.0.0-alpha.1``), ``unknown`` for a
    distribution built without its version, or ``ideal`` for ours."""
    release: str = "unknown"
    """The version in full (``2.8.2``)."""

    @property
    def redis_key(self) -> Literal["addr", "addrs"]:
        """How its ``redis`` section spells the address."""
        return "addr" if self.version.startswith(("2.", "3.0.0-alpha")) else "addrs"

    def collection_flags(self, dry_run: bool, delete_untagged: bool, online: bool) -> list[str]:
        """The flags of ``garbage-collect``; *online* while the registry serves."""
        flags = ["--dry-run"] * dry_run + ["--delete-untagged"] * delete_untagged
        return flags + ["--grace=1h"] * (online and self.implementation == "pullproof")


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


def version_line(where: str, program: str) -> str:
    """The first line that *program* prints for ``--version``. ``TargetError``, beginning with
    *where*, if it fails."""
    try:
        run = run_program([program, "--version"])
    except OSError as failure:
        raise TargetError(
            f"{where}: cannot be executed: {failure.strerror}; give a binary built for this machine"
        ) from failure
    except subprocess.TimeoutExpired as failure:
        raise TargetError(f"{where}: --version does not end; is it a registry?") from failure
    said = (run.stdout + run.stderr).strip().partition("\n")[0]
    if run.returncode != 0:
        raise TargetError(
            f"{where}: --version exits with {run.returncode}: {said!r}; is it a registry?"
        )
    return said


def identify(where: str, said: str) -> Identity:
    """The registry that prints *said* for ``--version``. ``TargetError``, beginning with *where*,
    if it is not one."""
    if "pullproof" in said:
        return Identity("pullproof", "ideal", "ideal")
    if "distribution" not in said:
        raise TargetError(
            f"{where}: --version prints {said!r}, which is not a registry; give the path of "
            "distribution's registry (docker-registry in Debian) or pullproof-registry"
        )
    return Identity("distribution", release_series(said), exact_release(said))


def release_series(said: str) -> str:
    """The series in *said*, the line that ``--version`` prints: ``2.8`` for 2.8.2+ds1,
    ``3.0.0-alpha.1`` for that pre-release, ``unknown`` without a number."""
    versions = list(_VERSION.finditer(said))
    pre_release = versions and versions[-1][2]
    return versions[-1][1] if versions and not pre_release else exact_release(said)


def exact_release(said: str) -> str:
    """The full version in *said*: ``2.8.2`` for 2.8.2+ds1, ``unknown`` without a number."""
    versions = list(_VERSION.finditer(said))
    return versions[-1][0].removeprefix("v") if versions else "unknown"
