"""Measures ``pullproof lint`` and ``pullproof explain`` as whole processes: over 200 directories
of certs.d, and over one hosts.toml with 200 hosts. ``python -m bench.commands``."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from bench.problem import CannotMeasure
from bench.runners import compiled_modules

__all__ = ["main"]

_HOSTS = 200
_REPETITIONS = 11
_CONFIG = """version = 2

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
"""


def main() -> int:
    """Print the table; 0."""
    load = os.getloadavg()[0]
    rows: list[tuple[str, list[tuple[float, float]]]] = []
    with TemporaryDirectory(prefix="pullproof-bench-") as made:
        directory = Path(made)
        environment = {**os.environ, **compiled_modules(directory / "bytecode")}
        for name, etc in (
            ("certs.d with 200 directories", _directories(directory / "directories")),
            ("one hosts.toml with 200 hosts", _one_file(directory / "one")),
        ):
            files = ["--certs-d", f"{etc}/certs.d", "--config", f"{etc}/config.toml"]
            image = ["explain", "r0.example/team/app:v1", "--containerd", "1.7.24", *files]
            for what, arguments in (
                ("lint", ["lint", str(etc)]),
                ("explain, tree", image),
                ("explain, JSON", [*image, "--format", "json"]),
            ):
                rows.append((f"{what}: {name}", _times(arguments, environment)))
    _print(rows, load)
    return 0


def _print(rows: list[tuple[str, list[tuple[float, float]]]], load: float) -> None:
    caption = f"{_REPETITIONS} runs each; {os.cpu_count()} cores, load {load:.2f} before it began"
    shown = Table("", "median, s", "slowest, s", "processor, s", caption=caption)
    for title, runs in rows:
        waited, used = zip(*runs, strict=True)
        shown.add_row(title, f"{median(waited):.2f}", f"{max(waited):.2f}", f"{median(used):.2f}")
    Console(width=100).print(shown)


def _times(arguments: list[str], environment: Mapping[str, str]) -> list[tuple[float, float]]:
    """Seconds, and those of a processor, of each run but the first, which compiles modules."""
    return [_seconds(arguments, environment) for _ in range(_REPETITIONS + 1)][1:]


def _seconds(arguments: list[str], environment: Mapping[str, str]) -> tuple[float, float]:
    program = Path(sys.executable).with_name("pullproof")
    begin, before = time.perf_counter(), _processor()
    done = subprocess.run(
        [program, *arguments], env=environment, stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode == 2:
        raise CannotMeasure(f"pullproof {arguments[0]} ended with 2")
    return time.perf_counter() - begin, _processor() - before


def _processor() -> float:
    """Seconds that the processes so far took of a processor, however busy the machine was."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _directories(etc: Path) -> Path:
    for number in range(_HOSTS):
        server = f'server = "https://r{number}.example"\n\n'
        _write(etc / "certs.d" / f"r{number}.example" / "hosts.toml", server + _host(number))
    return _with_config(etc)


def _one_file(etc: Path) -> Path:
    hosts = "\n".join(map(_host, range(_HOSTS)))
    server = 'server = "https://r0.example"\n\n'
    _write(etc / "certs.d" / "r0.example" / "hosts.toml", server + hosts)
    return _with_config(etc)


def _host(number: int) -> str:
    return f'[host."https://mirror{number}.example"]\n  capabilities = ["pull", "resolve"]\n'


def _with_config(etc: Path) -> Path:
    _write(etc / "config.toml", _CONFIG)
    return etc


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
