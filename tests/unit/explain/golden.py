"""The commands whose output is kept in ``golden/``.

``python -m tests.unit.explain.golden`` writes it.

Read what changed before it is committed: the files are what users see.
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

from harness.cli import main

PROJECT = Path(__file__).parents[3]
DIRECTORY = Path(__file__).with_name("golden")
PRACTICE = "fixtures/mission/practice"
NODE = "fixtures/mission/node"
IMAGE = "ccr.ccs.tencentyun.com/proxmox/image:v1"
MIRROR = "192.168.3.121:5000"
FILES = [
    *("--certs-d", f"{PRACTICE}/etc/containerd/certs.d"),
    *("--config", f"{NODE}/etc/containerd/config.toml"),
]
FOR_THE_MIRROR = ["--pull-secret", f"{PRACTICE}/kubernetes/config-for-the-mirror.json"]
FOR_THE_IMAGE = ["--pull-secret", f"{PRACTICE}/kubernetes/config-for-the-image.json"]
ON_1_7 = ["--containerd", "1.7.24"]
ON_2_1 = ["--containerd", "2.1.9"]

CASES: dict[str, tuple[int, list[str]]] = {
    "secret-for-the-mirror.txt": (
        0,
        [IMAGE, *FILES, *ON_1_7, *FOR_THE_MIRROR, "--when", f"{MIRROR}=basic"],
    ),
    "secret-for-the-image.txt": (
        0,
        [IMAGE, *FILES, *ON_1_7, *FOR_THE_IMAGE, "--when", f"{MIRROR}=basic"],
    ),
    "mirror-down.txt": (0, [IMAGE, *FILES, *ON_1_7, "--when", f"{MIRROR}=down"]),
    "both-down.txt": (
        1,
        [
            *(IMAGE, *FILES, *ON_2_1),
            *("--when", f"{MIRROR}=unreachable", "--when", "ccr.ccs.tencentyun.com=404"),
        ],
    ),
    "directory-for-the-mirror.txt": (
        0,
        ["nginx", "--certs-d", "fixtures/mission/theory/etc/containerd/certs.d", *ON_1_7],
    ),
    "without-version.txt": (
        0,
        [IMAGE, *FILES[:2], "--config", f"{PRACTICE}/etc/containerd/config.toml", *ON_1_7],
    ),
    "server-docker-io.txt": (0, ["nginx", "--certs-d", f"{NODE}/wrong.d", *ON_1_7]),
    "server-registry-1.txt": (0, ["nginx", "--certs-d", f"{NODE}/right.d", *ON_1_7]),
    "ctr.txt": (0, [IMAGE, *FILES, *ON_1_7, "--puller", "ctr"]),
    "mirror-down.json": (
        0,
        [IMAGE, *FILES, *ON_1_7, "--when", f"{MIRROR}=down", "--format", "json"],
    ),
    "mirror-down.md": (
        0,
        [IMAGE, *FILES, *ON_1_7, "--when", f"{MIRROR}=down", "--format", "markdown"],
    ),
    "mirror-down.mmd": (
        0,
        [IMAGE, *FILES, *ON_1_7, "--when", f"{MIRROR}=down", "--format", "mermaid"],
    ),
}
"""File to the exit code and the arguments of ``pullproof explain``, run in the project."""


def output(arguments: list[str]) -> tuple[int, str]:
    """Exit code and standard output of the command."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.chdir(PROJECT):
        code = main(["explain", *arguments])
    return code, text.getvalue()


def write() -> None:
    """Write all files."""
    DIRECTORY.mkdir(exist_ok=True)
    for name, (expected, arguments) in CASES.items():
        code, text = output(arguments)
        if code != expected:
            sys.exit(f"{name}: exit code {code}, not {expected}")
        (DIRECTORY / name).write_text(text, encoding="utf-8")
    for file in DIRECTORY.iterdir():
        if file.name not in CASES:
            file.unlink()


if __name__ == "__main__":
    write()
