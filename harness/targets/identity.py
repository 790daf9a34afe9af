"""Identify a registry by the line that its ``--version`` prints."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import Literal

from harness.system.process import clean_environment
from harness.targets.errors import TargetError

__all__ = ["Identity", "exact_release", "identify", "release_series", "version_line"]

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


def version_line(where: str, program: str) -> str:
    """The first line that *program* prints for ``--version``. ``TargetError``, beginning with
    *where*, if it fails."""
    try:
        run = subprocess.run(
            [program, "--version"],
            env=clean_environment(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )
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
