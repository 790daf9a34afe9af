"""A wheel of this tree in an empty environment elsewhere, made once for all processes of a run."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.system.process import clean_environment
from harness.system.real_parts import missing_part

TREE = Path(__file__).parents[3]


@dataclass(frozen=True)
class Installed:
    """The environment at *place*, and the files that it was made of."""

    place: Path

    @property
    def wheel(self) -> Path:
        (wheel,) = (self.place / "dist").glob("*.whl")
        return wheel

    @property
    def sdist(self) -> Path:
        (sdist,) = (self.place / "dist").glob("*.tar.gz")
        return sdist

    def program(self, name: str) -> Path:
        """An installed command, or ``python``."""
        return self.place / "environment" / "bin" / name

    def run(self, *command: str, cwd: Path, expect: int = 0) -> str:
        """What *command* writes; fails where its exit code is not the one to *expect*."""
        ended = subprocess.run(
            [self.program(command[0]), *command[1:]],
            cwd=cwd,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert ended.returncode == expect, ended.stdout
        return ended.stdout


def environment() -> dict[str, str]:
    """Without anything that leads back to this tree, or that makes pytest part of this run."""
    kept = clean_environment({"PIP_NO_COMPILE": "1"}).items()  # a quarter faster
    return {name: text for name, text in kept if not name.startswith(("PYTHON", "PYTEST_"))}


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Installed:
    """Skips where the index cannot be reached from which dependencies come, or fails where real
    parts are required."""
    base = tmp_path_factory.getbasetemp()
    place = (base if worker_id == "master" else base.parent) / "installed"
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        outcome = place / "outcome"
        if not outcome.exists():
            outcome.write_text(_install(place))
    if problem := outcome.read_text():
        missing_part(problem)
    return Installed(place)


def _install(place: Path) -> str:
    """Build and install; the reason why nothing could be installed, or an empty string."""
    build = ["-m", "build", "--no-isolation", "--outdir", str(place / "dist"), str(TREE)]
    built = _python(*build)
    assert built.returncode == 0, built.stdout
    made = _python("-m", "venv", "--without-pip", str(place / "environment"))
    assert made.returncode == 0, made.stdout
    installed = Installed(place)
    pip = ["-m", "pip", "--python", str(installed.program("python")), "install", "--retries=0"]
    alone = _python(*pip, "--no-deps", str(installed.wheel))
    assert alone.returncode == 0, alone.stdout
    ended = _python(*pip, str(installed.wheel))
    if ended.returncode == 0:
        return ""
    return f"the wheel's dependencies cannot be had: {ended.stdout.strip().splitlines()[-1]}"


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd="/",
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
