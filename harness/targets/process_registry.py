"""A registry that is a process of its own: distribution's, or the reference registry's program."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.http.redaction import redact_text
from harness.system.process import Process, clean_environment
from harness.targets.errors import DidNotStart
from harness.targets.garbage import GcRun
from harness.targets.own_process import STOP_GRACE, OwnProcess
from harness.targets.saved_schedule import SavedSchedule
from harness.targets.settings import Settings

__all__ = ["ProcessRegistry", "Program", "free_port", "opens"]

_START_TIMEOUT = 20.0
_ATTEMPTS = 3
"""How often to try another debug port where somebody took the one that was free a moment ago."""

_LISTENING = re.compile(r"listening on ([^\s\",]+):(\d+)")
_SMALLEST_PIPE = 4096
_LONGEST_LINE = 1024
_TAKEN = "address already in use"


@dataclass(frozen=True)
class Program:
    """What ``serve CONFIG`` and ``garbage-collect CONFIG`` are added to."""

    command: Sequence[str | Path]
    label: str
    """What an error calls it (``binary:/usr/bin/docker-registry``)."""
    redis_key: Literal["addr", "addrs"]
    """How its ``redis`` section spells the address."""
    online_collection: Sequence[str] = ()
    """The flags of a collection beside a registry that serves, where there are some."""


class ProcessRegistry(OwnProcess, SavedSchedule):
    """A process that serves."""

    def __init__(self, program: Program, settings: Settings, workdir: Path) -> None:
        super().__init__(settings, workdir)
        self._program = program
        self._held: socket.socket | None = None

    def _bury(self) -> None:
        super()._bury()
        if self._held is not None:
            self._held.close()

    def _run(self) -> tuple[str, str]:
        for _ in range(_ATTEMPTS):
            self._held = held = _hold_port()
            url = self._try_to_begin(debug_port := held.getsockname()[1])
            if url is not None:
                return url, f"http://127.0.0.1:{debug_port}"
            assert self._process is not None
            exit_code = self._process.wait(1.0)
            said = redact_text(self._process.output(), self.settings.secrets())
            self._end_at_once()
            if _TAKEN not in said or str(debug_port) not in said:
                break
        raise DidNotStart(self._program.label, exit_code, said)

    def _try_to_begin(self, debug_port: int) -> str | None:
        # Only the log tells which port it got for port 0, and only from level info on.
        told = self.settings.log_level in {"info", "debug"}
        port = 0 if told else free_port()
        self._write_config(
            f"127.0.0.1:{port}",
            f"127.0.0.1:{debug_port}",
            self._program.redis_key,
        )
        self._process = Process(
            [*self._program.command, "serve", self.config_path],
            environment=clean_environment(self.settings.environment),
            directory=self.workdir,
        )
        if not told:
            return f"http://127.0.0.1:{port}" if opens(port, self._process) else None
        listening = self._process.await_output(_LISTENING, timeout=_START_TIMEOUT)
        return f"http://127.0.0.1:{listening[2]}" if listening else None

    def garbage_collect(
        self, *, dry_run: bool = False, delete_untagged: bool = False, online: bool = False
    ) -> GcRun:
        flags = ["--dry-run"] * dry_run + ["--delete-untagged"] * delete_untagged
        flags += self._program.online_collection if online else ()
        run = subprocess.run(
            [*self._program.command, "garbage-collect", *flags, self.config_path],
            env=clean_environment(self.settings.environment),
            cwd=self.workdir,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return GcRun(run.returncode, run.stdout, run.stderr)

    def kill_garbage_collection(
        self, during: Literal["marking", "deleting"], *, gently: bool = False
    ) -> None:
        """What it marks is told on standard output, what it deletes on standard error. Nobody reads
        that one, so that it stops where the pipe is full, and is killed there."""
        stuck, read = os.pipe2(os.O_CLOEXEC), subprocess.DEVNULL
        capacity = fcntl.fcntl(stuck[1], fcntl.F_SETPIPE_SZ, _SMALLEST_PIPE)
        marking = during == "marking"
        run = Process(
            [*self._program.command, "garbage-collect", self.config_path],
            environment=clean_environment(self.settings.environment),
            directory=self.workdir,
            stdout=stuck[1] if marking else read,
            stderr=read if marking else stuck[1],
        )
        os.close(stuck[1])
        try:
            full = self.eventually(
                lambda: _waiting(stuck[0]) > capacity - _LONGEST_LINE or run.exit_code is not None
            )
            exit_code = run.stop(grace=STOP_GRACE) if gently else run.kill()
            if exit_code >= 0 or not full:
                raise RuntimeError(
                    f"garbage collection was over before it could be killed {during}"
                )
        finally:
            os.close(stuck[0])


def _waiting(pipe: int) -> int:
    """How many bytes are in *pipe*."""
    (count,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))
    return int(count)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _hold_port() -> socket.socket:
    """A socket on a port of 127.0.0.1 that nobody else is given before it is closed. Whoever asks
    for just that port, and listens with SO_REUSEADDR as Go does, gets it: 3.x does so only after it
    has said that it listens, and ends where somebody came first."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder


def opens(port: int, process: Process) -> bool:
    """True once somebody listens on *port* of 127.0.0.1; False where *process* ends first, or after
    a while."""
    deadline = time.monotonic() + _START_TIMEOUT
    while process.exit_code is None and time.monotonic() < deadline:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 1.0):
            return True
        time.sleep(0.002)
    return False
