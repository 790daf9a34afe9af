"""What comes of a whole configuration file: that it is served, or an exit code."""

from __future__ import annotations

import re
from pathlib import Path

from harness.system.loop import lab_loop
from harness.system.process import Process, clean_environment
from harness.targets.binary import BinaryTarget
from reference_registry.config.file import load
from reference_registry.config.problem import CannotStart, ConfigError
from reference_registry.profiles import profile_named
from reference_registry.server.server import Server
from tests.contract.profiles.bench import Bench
from tests.unit.server.config_cases import GOOD

__all__ = ["GOOD", "STORAGE", "outcome"]

STORAGE = (
    "version: 0.1\nhttp: {addr: '127.0.0.1:0'}\nstorage:\n  filesystem: {rootdirectory: /data}\n"
)
"""As ``GOOD``, for what goes into the section ``storage``, two blanks in."""

_LISTENING = re.compile(r"listening on [^\s\",]+:\d+")
_TIMEOUT = 20.0


def outcome(bench: Bench, text: str, **environment: str) -> str | int | None:
    """``"starts"``, or the exit code, of the release that is given *text* as its file, with
    ``/data`` as its storage, and the variables of *environment*."""
    path = bench.workdir / "config.yml"
    path.write_text(text.replace("/data", str(bench.workdir / "data")), newline="")
    if isinstance(bench.target, BinaryTarget):
        return _of_process([bench.target.path, "serve", path], environment)
    return _in_process(path, environment, bench.release)


def _in_process(path: Path, environment: dict[str, str], release: str) -> str | int:
    profile = profile_named(release)
    try:
        server = Server(load(path, environment, profile), profile=profile)
    except ConfigError as refused:
        return refused.exit_code
    try:
        lab_loop().run(server.start())
    except CannotStart as refused:
        return refused.released_exit_code
    lab_loop().run(server.stop())
    return "starts"


def _of_process(command: list[str | Path], environment: dict[str, str]) -> str | int | None:
    process = Process(command, environment=clean_environment(environment))
    try:
        if process.await_output(_LISTENING, timeout=_TIMEOUT):
            return "starts"
        return process.wait(_TIMEOUT)
    finally:
        process.kill()
