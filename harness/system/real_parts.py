"""Programs that are not Python's: found, or the reason why a test cannot run.

``PULLPROOF_REQUIRE_REAL=1`` (set in CI) turns a missing part from a skip into a failure, so that a
green run there means that the real thing was asked.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

__all__ = ["REQUIRED", "missing_part", "real_part"]

REQUIRED = "PULLPROOF_REQUIRE_REAL"
"""The variable that demands real parts where it is ``1``."""

_PACKAGES = {
    "docker-registry": "docker-registry",
    "skopeo": "skopeo",
    "htpasswd": "apache2-utils",
    "redis-server": "redis-server",
    "containerd": "containerd",
    "ctr": "containerd",
    "dockerd": "docker.io",
    "docker": "docker.io",
    "podman": "podman",
    "strace": "strace",
}


def real_part(program: str) -> Path:
    """The path of *program*. Without it: skips the test, or fails it where real parts are
    required; both say which Debian package brings the program."""
    found = shutil.which(program)
    if found is None:
        package = _PACKAGES.get(program, program)
        missing_part(f"{program} is not installed (Debian package {package})")
    return Path(found)


def missing_part(reason: str) -> NoReturn:
    """Skip the test for *reason*, or fail it where real parts are required."""
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason}, but {REQUIRED}=1 demands it", pytrace=False)
    pytest.skip(reason)
