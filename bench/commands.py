"""Measure ``pullproof lint`` and ``pullproof explain`` as whole processes, for 200 directories of
certs.d and for one hosts.toml with 200 hosts: ``python -m bench.commands``."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.registries import compiled_modules

_HOSTS = [
    f'[host."https://mirror{number}.example"]\n  capabilities = ["pull", "resolve"]\n'
    for number in range(200)
]
_TREES = {"certs.d with 200 directories": _HOSTS, "200 hosts in a file": ["\n".join(_HOSTS)]}
_CONFIG = """version = 2

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
"""


def _main() -> None:
    print(f"load {os.getloadavg()[0]:.2f}; 11 runs each: median and slowest, s")
    with TemporaryDirectory(prefix="pullproof-bench-") as made:
        environment = {**os.environ, **compiled_modules(Path(made) / "bytecode")}
        for name, hosts in _TREES.items():
            etc = Path(made) / name
            for number, text in enumerate(hosts):
                directory = etc / "certs.d" / f"r{number}.example"
                directory.mkdir(parents=True)
                server = f'server = "https://r{number}.example"\n\n'
                (directory / "hosts.toml").write_text(server + text)
            (etc / "config.toml").write_text(_CONFIG)
            files = ["--certs-d", f"{etc}/certs.d", "--config", f"{etc}/config.toml"]
            explain = ["explain", "r0.example/team/app:v1", "--containerd", "1.7.24", *files]
            for words in (["lint", str(etc)], explain, [*explain, "--format", "json"]):
                # The first run compiles modules.
                runs = [_seconds(words, environment) for _ in range(12)][1:]
                what = "explain, JSON" if "json" in words else words[0]
                print(f"{name:30} {what:14} {median(runs):.2f} {max(runs):.2f}", flush=True)


def _seconds(words: list[str], environment: dict[str, str]) -> float:
    program = Path(sys.executable).with_name("pullproof")
    begin = time.perf_counter()
    done = subprocess.run(
        [program, *words], env=environment, stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode == 2:
        raise RuntimeError(f"pullproof {words[0]} ended with 2")
    return time.perf_counter() - begin


if __name__ == "__main__":
    _main()
