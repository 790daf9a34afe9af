"""Measure ``pullproof lint`` and ``pullproof explain`` as whole processes, for 200 directories of
certs.d and for one hosts.toml with 200 hosts: ``python -m bench.commands``."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from bench.registries import compiled_modules

_HOSTS = [
    f'[host."https://mirror{number}.example"]\n  capabilities = ["pull", "resolve"]\n'
    for number in range(200)
]
_REPETITIONS = 11
_CONFIG = """version = 2

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
"""


def _main() -> None:
    caption = f"{_REPETITIONS} runs each; {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}"
    table = Table("", "median, s", "slowest, s", caption=f"{caption} before")
    with TemporaryDirectory(prefix="pullproof-bench-") as made:
        environment = {**os.environ, **compiled_modules(Path(made) / "bytecode")}
        for name, hosts in (
            ("certs.d with 200 directories", _HOSTS),
            ("one hosts.toml with 200 hosts", ["\n".join(_HOSTS)]),
        ):
            etc = Path(made) / name
            _write(etc, hosts)
            files = ["--certs-d", f"{etc}/certs.d", "--config", f"{etc}/config.toml"]
            image = ["explain", "r0.example/team/app:v1", "--containerd", "1.7.24", *files]
            for what, arguments in (
                ("lint", ["lint", str(etc)]),
                ("explain, tree", image),
                ("explain, JSON", [*image, "--format", "json"]),
            ):
                # The first run compiles modules.
                runs = [_seconds(arguments, environment) for _ in range(_REPETITIONS + 1)][1:]
                table.add_row(f"{what}: {name}", f"{median(runs):.2f}", f"{max(runs):.2f}")
    Console(width=100).print(table)


def _seconds(arguments: list[str], environment: Mapping[str, str]) -> float:
    program = Path(sys.executable).with_name("pullproof")
    begin = time.perf_counter()
    done = subprocess.run(
        [program, *arguments], env=environment, stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode == 2:
        raise RuntimeError(f"pullproof {arguments[0]} ended with 2")
    return time.perf_counter() - begin


def _write(etc: Path, hosts: list[str]) -> None:
    for number, text in enumerate(hosts):
        directory = etc / "certs.d" / f"r{number}.example"
        directory.mkdir(parents=True)
        server = f'server = "https://r{number}.example"\n\n'
        (directory / "hosts.toml").write_text(server + text)
    (etc / "config.toml").write_text(_CONFIG)


if __name__ == "__main__":
    _main()
