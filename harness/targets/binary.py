"""A registry as a program: distribution's ``registry``, Debian's ``docker-registry``, or ours."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from harness.process import Process, clean_environment
from harness.redaction import redact_text
from harness.scenario import Need
from harness.targets.errors import DidNotStart, TargetError
from harness.targets.garbage import GcRun
from harness.targets.registry import RunningRegistry
from harness.targets.settings import Settings
from harness.targets.state import SAVE_INTERVAL, shift_expiry

__all__ = ["BinaryRegistry", "BinaryTarget"]

_START_TIMEOUT = 20.0
_STOP_GRACE = 15.0
_ATTEMPTS = 3
"""How often to try another debug port where somebody took the one that was free a moment ago."""

_LISTENING = re.compile(r"listening on ([^\s\",]+):(\d+)")
_TAKEN = "address already in use"
_VERSION = re.compile(r"\bv?(\d+\.\d+)\.\d+(?:(-[0-9A-Za-z.]+))?")


@dataclass(frozen=True)
class BinaryTarget:
    """``binary:PATH``. PATH is a file, or the name of a program on the search path."""

    path: Path
    implementation: Literal["distribution", "pullproof"]
    version: str
    """The release series (``2.8``), a pre-release in full (``3.0.0-alpha.1``), ``unknown`` for a
    distribution built without its version, or ``ideal`` for ours."""

    @classmethod
    def find(cls, path: str) -> BinaryTarget:
        """The target behind ``binary:``*path*, asked for its version. ``TargetError`` where it is
        absent, cannot be executed, or is no registry."""
        where = f"binary:{path}"
        found = shutil.which(Path(path).expanduser())
        if found is None:
            raise TargetError(f"{where}: {_why_missing(path)}")
        said = _ask_version(where, found)
        if "pullproof" in said:
            return cls(Path(found), "pullproof", "ideal")
        if "distribution" not in said:
            raise TargetError(
                f"{where}: --version says {said!r}, which is no registry; give the path of "
                "distribution's registry (docker-registry in Debian) or of pullproof-registry"
            )
        return cls(Path(found), "distribution", release_series(said))

    @property
    def name(self) -> str:
        """The program's own name."""
        return self.path.name

    @property
    def capabilities(self) -> frozenset[Need]:
        """Everything: it is started by us, on storage and configuration of ours. The ``x-`` keys
        are ours alone."""
        return frozenset(Need) - (set() if self.implementation == "pullproof" else {Need.X_KEYS})

    def check(self) -> None:
        """Launch it once with nothing special; ``TargetError`` where that fails."""
        with TemporaryDirectory(prefix="pullproof-") as workdir:
            try:
                self.launch(Settings(), Path(workdir)).stop()
            except DidNotStart as failure:
                raise TargetError(
                    f"{failure}; `{self.path} serve CONFIG` must start with a plain configuration"
                ) from failure

    def launch(self, settings: Settings, workdir: Path) -> BinaryRegistry:
        """A registry of this program that listens, its files under *workdir*. ``DidNotStart``."""
        registry = BinaryRegistry(self, settings, workdir)
        registry.start()
        return registry


class BinaryRegistry(RunningRegistry):
    """A process that serves."""

    def __init__(self, target: BinaryTarget, settings: Settings, workdir: Path) -> None:
        super().__init__(settings, workdir)
        self._target = target
        self._process: Process | None = None
        self._earlier_output = ""
        self._started_at = 0.0

    def _begin(self) -> tuple[str, str]:
        for _ in range(_ATTEMPTS):
            url = self._try_to_begin(debug_port := free_port())
            if url is not None:
                return url, f"http://127.0.0.1:{debug_port}"
            assert self._process is not None
            exit_code = self._process.wait(1.0)
            said = redact_text(self._process.output(), self.settings.secrets())
            self._end_at_once()
            if _TAKEN not in said or str(debug_port) not in said:
                break
        raise DidNotStart(f"binary:{self._target.path}", exit_code, said)

    def _try_to_begin(self, debug_port: int) -> str | None:
        # Only the log tells which port it got for port 0, and only from level info on.
        told = self.settings.log_level in {"info", "debug"}
        port = 0 if told else free_port()
        self._write_config(
            f"127.0.0.1:{port}",
            f"127.0.0.1:{debug_port}",
            "addr" if self._target.version.startswith(("2.", "3.0.0-alpha")) else "addrs",
        )
        self._started_at = time.time()
        self._process = Process(
            [self._target.path, "serve", self.config_path],
            environment=clean_environment(self.settings.environment),
            directory=self.workdir,
        )
        if not told:
            return f"http://127.0.0.1:{port}" if _opens(port, self._process) else None
        listening = self._process.await_output(_LISTENING, timeout=_START_TIMEOUT)
        return f"http://127.0.0.1:{listening[2]}" if listening else None

    def _end(self) -> None:
        if self._process is not None:
            self._process.stop(grace=_STOP_GRACE)
            self._bury()

    def _end_at_once(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._bury()

    def _bury(self) -> None:
        self._earlier_output = self._output()
        self._process = None

    def _output(self) -> str:
        return self._earlier_output + (self._process.output() if self._process else "")

    def pass_time(self, delta: timedelta) -> None:
        """Let the process save its schedule, stop it, move what is saved into the past, start it
        again. Whatever it holds in memory (descriptor cache, metrics) starts anew, too."""
        if delta < timedelta(0):
            raise ValueError(f"time only passes forward, not by {delta}")
        # After one interval the schedule is saved, or what is missing will never be scheduled.
        self.eventually(self._schedule_is_saved, SAVE_INTERVAL.total_seconds() + 0.5)
        self.stop()
        with suppress(FileNotFoundError, json.JSONDecodeError):
            self.state_path.write_text(shift_expiry(self.state_path.read_text(), -delta))
        self.start()

    def _schedule_is_saved(self) -> bool:
        """Whether the saved schedule speaks of all that this process cached, and of nothing that it
        must have dropped."""
        if any(self.disk.uploads(name) for name in self.disk.repositories()):
            return False
        links = self.disk.links()
        cached = {key: written for key, written in links.items() if written >= self._started_at}
        try:
            saved = self.state() or {}
            saved_at = self.state_path.stat().st_mtime
        except FileNotFoundError:
            return not cached
        except ValueError:
            return False
        now = datetime.now(UTC)
        return all(key in saved and written <= saved_at for key, written in cached.items()) and all(
            entry.expires > now for entry in saved.values()
        )

    def garbage_collect(self, *, dry_run: bool = False, delete_untagged: bool = False) -> GcRun:
        flags = ["--dry-run"] * dry_run + ["--delete-untagged"] * delete_untagged
        run = subprocess.run(
            [self._target.path, "garbage-collect", *flags, self.config_path],
            env=clean_environment(self.settings.environment),
            cwd=self.workdir,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return GcRun(run.returncode, run.stdout, run.stderr)


def release_series(said: str) -> str:
    """The series that *said*, the line that ``--version`` prints, speaks of: ``2.8`` for 2.8.2+ds1,
    ``3.0.0-alpha.1`` for that pre-release, ``unknown`` where there is no number."""
    versions = list(_VERSION.finditer(said))
    if not versions:
        return "unknown"
    last = versions[-1]
    return last[0].removeprefix("v") if last[2] else last[1]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _opens(port: int, process: Process) -> bool:
    deadline = time.monotonic() + _START_TIMEOUT
    while process.exit_code is None and time.monotonic() < deadline:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 1.0):
            return True
        time.sleep(0.002)
    return False


def _why_missing(path: str) -> str:
    file = Path(path).expanduser()
    if file.is_dir():
        return "is a directory; give the path of the program in it"
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
            timeout=20,
            check=False,
        )
    except OSError as failure:
        raise TargetError(
            f"{where}: cannot be executed: {failure.strerror}; give a binary built for this machine"
        ) from failure
    except subprocess.TimeoutExpired as failure:
        raise TargetError(f"{where}: --version did not end; is it a registry?") from failure
    said = (run.stdout + run.stderr).strip().partition("\n")[0]
    if run.returncode != 0:
        raise TargetError(
            f"{where}: --version ended with {run.returncode}, saying {said!r}; is it a registry?"
        )
    return said
