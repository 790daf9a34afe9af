"""Identify a registry by the line that its ``--version`` prints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from harness.targets.errors import TargetError

__all__ = ["Identity", "exact_release", "identify", "release_series"]

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

    @property
    def online_collection(self) -> tuple[str, ...]:
        """The flags of a collection beside a registry that serves, if it has any."""
        return ("--grace=1h",) if self.implementation == "pullproof" else ()


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
    if not versions:
        return "unknown"
    last = versions[-1]
    return last[0].removeprefix("v") if last[2] else last[1]


def exact_release(said: str) -> str:
    """The full version in *said*: ``2.8.2`` for 2.8.2+ds1, ``unknown`` without a number."""
    versions = list(_VERSION.finditer(said))
    return versions[-1][0].removeprefix("v") if versions else "unknown"
