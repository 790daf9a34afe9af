"""Runs a real client to its end and keeps its output."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.system.process import run_program


@dataclass(frozen=True)
class Ran:
    """One finished call of a client program."""

    exit_code: int
    output: str
    """Standard output, then standard error."""

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.exit_code == 0


def run_client(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    given: str = "",
    timeout: float = 60.0,
) -> Ran:
    """Run *command* with exactly *environment* and with *given* as standard input. Raises
    ``subprocess.TimeoutExpired`` after *timeout* seconds."""
    done = run_program(command, environment, given=given, timeout=timeout)
    return Ran(done.returncode, done.stdout + done.stderr)


def write_login(file: Path, registry: str, user: str, password: str) -> None:
    """Write a login for *registry*, as ``docker login`` (config.json) and ``podman login``
    (containers-auth.json(5)) store it."""
    basic = b64encode(f"{user}:{password}".encode()).decode()
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"auths": {registry: {"auth": basic}}}))
