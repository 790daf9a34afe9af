"""A registry as a program: distribution's ``registry``, Debian's ``docker-registry``, or ours."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.system.needs import Need
from harness.system.process import clean_environment
from harness.targets.errors import TargetError
from harness.targets.identity import Identity, identify
from harness.targets.process import Program, ServerProcess
from harness.targets.registry import RunningRegistry
from harness.targets.settings import Settings
from harness.targets.target import Target

__all__ = ["BinaryTarget"]


@dataclass(frozen=True)
class BinaryTarget(Target):
    """``binary:PATH``. PATH is a file, or the name of a program on the search path."""

    path: Path
    identity: Identity

    @classmethod
    def find(cls, path: str) -> BinaryTarget:
        """The target of ``binary:``*path*, identified by its ``--version``. ``TargetError`` if it
        is missing, cannot be executed or is not a registry."""
        where = f"binary:{path}"
        found = shutil.which(Path(path).expanduser())
        if found is None:
            raise TargetError(f"{where}: {_why_missing(path)}")
        said = _ask_version(where, found)
        return cls(Path(found), identify(where, said))

    @property
    def name(self) -> str:
        """The program's own name."""
        return self.path.name

    @property
    def capabilities(self) -> frozenset[Need]:
        """All of them, since the harness owns its process, storage and configuration; the ``x-``
        keys only if it is our registry."""
        return frozenset(Need) - (set() if self.implementation == "pullproof" else {Need.X_KEYS})

    @property
    def must_start(self) -> str:  # type: ignore[override]
        return f"`{self.path} serve CONFIG` must start with a plain configuration"

    def registry(self, settings: Settings, workdir: Path) -> RunningRegistry:
        label, identity = f"binary:{self.path}", self.identity
        program = Program([self.path], label, identity.redis_key, identity.online_collection)
        return RunningRegistry(settings, workdir, ServerProcess(program))


def _why_missing(path: str) -> str:
    file = Path(path).expanduser()
    if file.is_dir():
        return "is a directory; give the path of the program inside"
    if file.is_file():
        return f"is not executable; chmod +x {file}"
    if "/" in path:
        return "no such file; give the path of a registry binary"
    return "no such program on PATH; install it (apt-get install docker-registry) or give its path"


def _ask_version(where: str, program: str) -> str:
    try:
        run = subprocess.run(
            [program, "--version"],
            env=clean_environment(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )
    except OSError as failure:
        raise TargetError(
            f"{where}: cannot be executed: {failure.strerror}; give a binary built for this machine"
        ) from failure
    except subprocess.TimeoutExpired as failure:
        raise TargetError(f"{where}: --version does not end; is it a registry?") from failure
    said = (run.stdout + run.stderr).strip().partition("\n")[0]
    if run.returncode != 0:
        raise TargetError(
            f"{where}: --version exits with {run.returncode}: {said!r}; is it a registry?"
        )
    return said
