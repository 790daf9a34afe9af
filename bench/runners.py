"""The registries of a benchmark, each started as a process before the same upstream."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench.problem import CannotMeasure
from harness.system.ports import free_port
from harness.system.process import Process, clean_environment
from harness.targets.binary import BinaryTarget
from harness.targets.errors import gist
from harness.targets.settings import HTPASSWD, Settings, config_text, render

__all__ = [
    "OURS",
    "REAL",
    "Distribution",
    "Drayage",
    "Registry",
    "Running",
    "compiled_modules",
    "find_registries",
]

OURS = "pullproof"
REAL = "docker-registry"
"""What the ratios of the table are to."""

_START_TIMEOUT = 60.0


@dataclass(frozen=True)
class Running:
    """A registry that answers."""

    process: Process
    url: str
    seconds: float
    """From the start of the process to its first answer."""

    def stop(self) -> None:
        """As an operator does."""
        self.process.stop(grace=10.0)

    def peak_memory(self) -> int:
        """The most memory that it, with the processes it started, had resident so far, in bytes."""
        return sum(_peak(pid) for pid in _family(self.process.pid))


class Registry(Protocol):
    """A program that can be a pull-through cache."""

    @property
    def name(self) -> str:
        """The column's heading."""
        ...

    def proxy(self, upstream_url: str, workdir: Path) -> Running:
        """It, with an empty cache under *workdir*, in front of *upstream_url*."""
        ...

    def proxy_that_keeps_tags(self, upstream_url: str, workdir: Path) -> Running:
        """The same, which asks upstream about a tag every quarter of an hour only."""
        ...

    def serve(self, root: Path, workdir: Path) -> Running:
        """It, with what is stored under *root* and no upstream."""
        ...

    def garbage_collect(self, root: Path, workdir: Path, timeout: float) -> float:
        """The seconds of a dry run over *root*."""
        ...


@dataclass(frozen=True)
class Distribution:
    """Ours, and the original: one command line, one configuration file."""

    name: str
    command: tuple[str | Path, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    freshness: Mapping[str, Any] | None = None
    """What the configuration says to keep tags; None where it cannot say that."""

    def proxy(self, upstream_url: str, workdir: Path) -> Running:
        return self._start(Settings(upstream_url=upstream_url), workdir / "storage", workdir)

    def proxy_that_keeps_tags(self, upstream_url: str, workdir: Path) -> Running:
        if self.freshness is None:
            raise CannotMeasure("always asks")
        settings = Settings(upstream_url=upstream_url, extra={"proxy": self.freshness})
        return self._start(settings, workdir / "storage", workdir)

    def serve(self, root: Path, workdir: Path) -> Running:
        return self._start(Settings(), root, workdir)

    def garbage_collect(self, root: Path, workdir: Path, timeout: float) -> float:
        config = _config(Settings(), root, workdir, port=0)
        began = time.monotonic()
        try:
            run = subprocess.run(
                [*self.command, "garbage-collect", "--dry-run", config],
                env=clean_environment(self.environment),
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CannotMeasure(f"not done in {timeout:g} s") from error
        if run.returncode != 0:
            raise CannotMeasure(f"exit code {run.returncode}: {gist(run.stderr or run.stdout)}")
        return time.monotonic() - began

    def _start(self, settings: Settings, root: Path, workdir: Path) -> Running:
        port = free_port()
        words = [*self.command, "serve", _config(settings, root, workdir, port)]
        return _start(words, port, self.environment)


@dataclass(frozen=True)
class Drayage:
    """https://github.com/rvben/drayage, where it is installed. With its defaults: a tag is asked
    for again after 900 seconds."""

    command: Path
    name: str = "drayage"

    def proxy(self, upstream_url: str, workdir: Path) -> Running:
        port = free_port()
        cache = workdir / "cache"
        cache.mkdir(parents=True)
        config = workdir / "config.toml"
        # docker_io is the upstream of names that say no registry.
        config.write_text(
            f'listen = "127.0.0.1:{port}"\ncache_dir = "{cache}"\n'
            f'[upstreams.docker_io]\nregistry = "{upstream_url}"\n'
        )
        words: list[str | Path] = [self.command, "serve", "--config", config]
        return _start(words, port, {"RUST_LOG": "error"})

    def proxy_that_keeps_tags(self, upstream_url: str, workdir: Path) -> Running:
        return self.proxy(upstream_url, workdir)

    def serve(self, root: Path, workdir: Path) -> Running:
        raise CannotMeasure("only proxies")

    def garbage_collect(self, root: Path, workdir: Path, timeout: float) -> float:
        raise CannotMeasure("has none")


def compiled_modules(directory: Path) -> dict[str, str]:
    """Variables with which modules are kept compiled in *directory*, where Python keeps none by
    itself: an installed program does not compile them at every start."""
    if not sys.dont_write_bytecode:
        return {}
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(directory)}


def find_registries(binaries: list[str], bytecode: Path) -> list[Registry]:
    """Ours, Debian's, drayage and *binaries*, as far as they are installed. ``TargetError`` where
    one of *binaries* is no registry. *bytecode* is a directory for compiled modules where
    Python keeps none by itself."""
    command = (sys.executable, "-m", "reference_registry")
    ours = Distribution(
        OURS, command, compiled_modules(bytecode), freshness={"x-tag-freshness": "15m"}
    )
    found: list[Registry] = [ours]
    if real := shutil.which(REAL):
        found.append(Distribution(REAL, (real,)))
    for path in binaries:
        target = BinaryTarget.find(path)
        found.append(Distribution(target.name, (target.path.absolute(),)))
    # Beside this Python, too: a virtual environment need not be on the search path.
    beside = str(Path(sys.executable).parent)
    if drayage := shutil.which("drayage", path=os.pathsep.join((beside, os.environ["PATH"]))):
        found.append(Drayage(Path(drayage)))
    return found


def _config(settings: Settings, root: Path, workdir: Path, port: int) -> Path:
    workdir.mkdir(parents=True, exist_ok=True)
    addr = f"127.0.0.1:{port}"
    document = render(settings, root=root, htpasswd=workdir / HTPASSWD, addr=addr)
    del document["http"]["debug"]
    document["log"] = {"level": "error", "accesslog": {"disabled": True}}
    path = workdir / "config.yml"
    path.write_text(config_text(document))
    return path


def _start(
    command: list[str | Path], port: int, environment: Mapping[str, str] | None = None
) -> Running:
    began = time.monotonic()
    process = Process(command, environment=clean_environment(environment))
    url = f"http://127.0.0.1:{port}"
    while process.exit_code is None and time.monotonic() < began + _START_TIMEOUT:
        if _answers(port):
            return Running(process, url, time.monotonic() - began)
        time.sleep(0.002)
    process.kill()
    raise CannotMeasure(f"did not start: {gist(process.output())}")


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_START_TIMEOUT)
    try:
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/v2/")
            return connection.getresponse().status == 200
        return False
    finally:
        connection.close()


def _family(pid: int) -> list[int]:
    """*pid* and its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return [pid, *(one for child in children for one in _family(int(child)))]


def _peak(pid: int) -> int:
    """``VmHWM`` of proc(5)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError as error:
        raise CannotMeasure("no /proc, or the process ended") from error
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise CannotMeasure("no VmHWM in /proc")
