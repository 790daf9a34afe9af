"""Runs a real client to its end and keeps its output."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Ran", "run_client"]

_TIMEOUT = 60.0


@dataclass(frozen=True)
class Ran:
    """One finished call of a client program."""

    exit_code: int
    output: str
    """Standard output, then standard error."""

    @property
    def ok(self) -> bool:
        return self.exit_code == 0


def run_client(
    command: Sequence[str | Path], environment: Mapping[str, str], *, given: str = ""
) -> Ran:
    """Run *command* with exactly *environment* with *given* as standard input.
    Raises ``subprocess.TimeoutExpired`` after a minute."""
    done = subprocess.run(
        [str(word) for word in command],
        env=dict(environment),
        input=given,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    return Ran(done.returncode, done.stdout + done.stderr)
