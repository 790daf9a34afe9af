"""A registry as a process of its own, for what only the end of a process shows."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.system.process import Process, clean_environment
from harness.targets import Settings
from harness.targets.binary import BinaryTarget
from harness.targets.settings import config_text, render
from tests.contract.profiles.bench import Bench

__all__ = ["command", "end_by", "listening", "serving", "written"]

_LISTENING = re.compile(r"listening on ([^\s\",]+:\d+)")
_TIMEOUT = 30.0


def command(bench: Bench) -> list[str | Path]:
    """The program of the release, without arguments."""
    if isinstance(bench.target, BinaryTarget):
        return [bench.target.path]
    return [sys.executable, "-m", "reference_registry", "--profile", bench.release]


def written(bench: Bench, settings: Settings) -> Path:
    """A configuration file of *settings*; storage is ``storage`` beside it."""
    path = bench.workdir / "config.yml"
    root, htpasswd = bench.workdir / "storage", bench.workdir / "htpasswd"
    document = render(settings, root=root, htpasswd=htpasswd)
    path.write_text(config_text(document))
    return path


@contextmanager
def serving(bench: Bench, config: Path, **environment: str) -> Iterator[Process]:
    """``serve`` with *config*."""
    process = Process(
        [*command(bench), "serve", config],
        environment=clean_environment(environment),
        directory=bench.workdir,
    )
    try:
        yield process
    finally:
        process.kill()


def listening(process: Process) -> str:
    """The URL of *process*, once it listens."""
    found = process.await_output(_LISTENING, timeout=_TIMEOUT)
    assert found, process.output()
    return f"http://{found[1]}"


def end_by(process: Process, number: signal.Signals) -> int | None:
    """The exit code of *process* after the signal *number*; negative where that kills it."""
    os.kill(process.pid, number)
    return process.wait(_TIMEOUT)
