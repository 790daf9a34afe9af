"""The registries of a benchmark, each a process in front of the same upstream."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.client import CannotMeasure, get
from harness.system.ports import free_port
from harness.system.process import Process, clean_environment, run_program
from harness.targets.errors import gist
from harness.targets.process import BinaryTarget
from harness.targets.settings import Files, Settings

REAL = "docker-registry"
"""The registry that the ratios of the table refer to."""

_START_TIMEOUT = 60.0


@dataclass(frozen=True)
class Running:
    """A registry that serves. As a context manager it stops at the end."""

    process: Process
    url: str
    seconds: float
    """From the start of the process to its first response."""

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()

    def peak_memory(self) -> float:
        """``VmHWM`` of the process and its descendants (proc(5)), in MiB."""
        return sum(map(_peak, _family(self.process.pid))) / 1024


@dataclass(frozen=True)
class MeasuredRegistry:
    """Ours or distribution's: same commands, same configuration file."""

    name: str
    """The column's heading."""
    command: tuple[str | Path, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    freshness: Mapping[str, Any] | None = None
    """The keys below ``proxy`` that make a tag stay fresh for 15 minutes; None: it has none."""

    def proxy(self, upstream_url: str, workdir: Path, *, keeps_tags: bool = False) -> Running:
        """Start a cache of *upstream_url*, empty, with all its files below *workdir*. With
        *keeps_tags* it revalidates a tag every 15 minutes only."""
        if keeps_tags and self.freshness is None:
            raise CannotMeasure("always asks")
        extra = {"proxy": self.freshness} if keeps_tags else {}
        settings = Settings(upstream_url=upstream_url, extra=extra)
        return self._serve(settings, workdir / "storage", workdir)

    def serve(self, root: Path, workdir: Path) -> Running:
        """Start a registry without an upstream on the storage *root*."""
        return self._serve(Settings(), root, workdir)

    def garbage_collect(self, root: Path, workdir: Path) -> float:
        """The seconds of a dry run over *root*."""
        config = _config(Settings(), root, workdir, port=0)
        began = time.monotonic()
        run = run_program(
            [*self.command, "garbage-collect", "--dry-run", config],
            clean_environment(self.environment),
        )
        if run.returncode != 0:
            raise CannotMeasure(f"exit code {run.returncode}: {gist(run.stderr or run.stdout)}")
        return time.monotonic() - began

    def _serve(self, settings: Settings, root: Path, workdir: Path) -> Running:
        port = free_port()
        return self._start(port, _config(settings, root, workdir, port))

    def _start(self, port: int, config: Path, *flags: str) -> Running:
        began = time.monotonic()
        process = Process(
            [*self.command, "serve", *flags, config],
            environment=clean_environment(self.environment),
        )
        url = f"http://127.0.0.1:{port}"
        while process.exit_code is None and time.monotonic() < began + _START_TIMEOUT:
            try:
                get(f"{url}/v2/")
            except (OSError, CannotMeasure):
                time.sleep(0.002)
            else:
                return Running(process, url, time.monotonic() - began)
        process.kill()
        raise CannotMeasure(f"did not start: {gist(process.output())}")


class Drayage(MeasuredRegistry):
    """https://github.com/rvben/drayage with its defaults: a tag stays fresh for 900 seconds."""

    def proxy(self, upstream_url: str, workdir: Path, *, keeps_tags: bool = False) -> Running:
        port, cache, config = free_port(), workdir / "cache", workdir / "config.toml"
        cache.mkdir(parents=True)
        # docker_io is the upstream of names without a registry.
        config.write_text(
            f'listen = "127.0.0.1:{port}"\ncache_dir = "{cache}"\n'
            f'[upstreams.docker_io]\nregistry = "{upstream_url}"\n'
        )
        return self._start(port, config, "--config")

    def serve(self, root: Path, workdir: Path) -> Running:
        raise CannotMeasure("only proxies")

    def garbage_collect(self, root: Path, workdir: Path) -> float:
        raise CannotMeasure("has none")


def compiled_modules(directory: Path) -> dict[str, str]:
    """Environment variables that keep compiled modules in *directory* if this Python writes none:
    an installed program does not compile them at every start."""
    if not sys.dont_write_bytecode:
        return {}
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(directory)}


def find_registries(binaries: list[str], bytecode: Path) -> list[MeasuredRegistry]:
    """Ours, Debian's and drayage if they are installed, and *binaries*. ``TargetError`` if one of
    *binaries* is not a registry. *bytecode* is for :func:`compiled_modules`."""
    command = (sys.executable, "-m", "reference_registry")
    ours = MeasuredRegistry(
        "pullproof", command, compiled_modules(bytecode), {"x-tag-freshness": "15m"}
    )
    found = [ours]
    if real := shutil.which(REAL):
        found.append(MeasuredRegistry(REAL, (real,)))
    for path in binaries:
        target = BinaryTarget.find(path)
        found.append(MeasuredRegistry(target.name, (target.path.absolute(),)))
    # The programs of a virtual environment need not be on PATH.
    beside = str(Path(sys.executable).parent)
    if drayage := shutil.which("drayage", path=os.pathsep.join((beside, os.environ["PATH"]))):
        found.append(Drayage("drayage", (drayage,), {"RUST_LOG": "error"}))
    return found


def _config(settings: Settings, root: Path, workdir: Path, port: int) -> Path:
    """Logs are at level error, without access logs, and there is no debug listener."""
    log = {"level": "error", "accesslog": {"disabled": True}}
    extra = {**settings.extra, "log": log, "http": {"debug": None}}
    files = Files(replace(settings, root=root, extra=extra), workdir)
    files.prepare()
    files.write_config(f"127.0.0.1:{port}", "", "addr")
    return files.config


def _family(pid: int) -> list[int]:
    """*pid* and its descendants."""
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *(one for child in children for one in _family(int(child)))]
    return [pid]


def _peak(pid: int) -> int:
    """``VmHWM`` in KiB."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])
    except (OSError, IndexError) as error:
        raise CannotMeasure("no /proc, or the process ended") from error
