"""Programs that are not Python's, and the reason why a test cannot run without one.

``PULLPROOF_REQUIRE_REAL=1`` (set in CI) turns a missing program from a skip into a failure, so that
a green run there has tested the real thing.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from harness.system.process import Process

REQUIRED = "PULLPROOF_REQUIRE_REAL"
"""The environment variable that requires real programs if it is ``1``."""

_TIMEOUT = 60.0
_PACKAGES = {
    "htpasswd": "apache2-utils",
    "ctr": "containerd",
    "dockerd": "docker.io",
    "docker": "docker.io",
    "unshare": "util-linux",
    "chattr": "e2fsprogs",
}
"""Debian packages that are not called like their program."""


def real_part(program: str) -> Path:
    """The path of *program*. If it is missing, skips the test, or fails it where real programs are
    required, and names the Debian package."""
    found = shutil.which(program)
    if found is None:
        package = _PACKAGES.get(program, program)
        missing_part(f"{program} is not installed (Debian package {package})")
    return Path(found)


def start_part(
    name: str,
    command: Sequence[str | Path],
    ready: str,
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Process:
    """Start *command* and return once a line of its output matches the pattern *ready*. If it does
    not start, skips the test, or fails it where real programs are required."""
    process = Process(command, environment=environment, directory=directory)
    if process.await_output(re.compile(ready), timeout=_TIMEOUT) is None:
        said = process.output().strip().splitlines()
        process.stop()
        missing_part(f"{name} does not start here: {said[-1] if said else 'no output'}")
    return process


def missing_part(reason: str) -> NoReturn:
    """Skip the test for *reason*, or fail it where real programs are required."""
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason}, but {REQUIRED}=1 requires it", pytrace=False)
    pytest.skip(reason)
