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
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.http.redaction import redact_text
from harness.system.ports import free_port, hold_port, opens, scaled
from harness.system.process import Process, clean_environment
from harness.targets.errors import DidNotStart
from harness.targets.readings import GcRun
from harness.targets.server import Addresses, During, Files, Server

__all__ = ["LISTENING", "STARTS", "TAKEN", "OwnProcess", "Program", "ServerProcess"]

STARTS = 60.0
"""Seconds within which a program listens or ends. Failing takes that long, starting does not."""
_STOP_GRACE = 30.0
"""Seconds between SIGTERM and SIGKILL."""
_ENDS = 30.0
"""Seconds between the end of a program's output and its exit code."""
_COLLECTS = 300.0
_ATTEMPTS = 3
"""How often to try another port if another process took the free one."""
LISTENING = re.compile(r"listening on ([^\s\",]+):(\d+)")
TAKEN = "address already in use"
_SMALLEST_PIPE = 4096
_LONGEST_LINE = 1024


@dataclass(frozen=True)
class Program:
    """What ``serve CONFIG`` and ``garbage-collect CONFIG`` are appended to."""

    command: Sequence[str | Path]
    label: str
    """Its name in errors, such as ``binary:/usr/bin/docker-registry``."""
    redis_key: Literal["addr", "addrs"]
    """How its ``redis`` section spells the address."""
    online_collection: Sequence[str] = ()
    """The flags of a collection beside a registry that serves, if it has any."""


class OwnProcess(Server):
    """Stops and kills ``process``, and keeps the output of earlier ones."""

    def __init__(self) -> None:
        self.process: Process | None = None
        self._earlier_output = ""

    @property
    def pid(self) -> int | None:
        return None if self.process is None else self.process.pid

    def stop(self) -> None:
        if self.process is not None:
            self.exit_code = self.process.stop(grace=_STOP_GRACE)
            self._earlier_output, self.process = self.output(), None

    def kill(self) -> None:
        if self.process is not None:
            self.exit_code = self.process.kill()
            self._earlier_output, self.process = self.output(), None

    def output(self) -> str:
        return self._earlier_output + (self.process.output() if self.process else "")

    def give_up(self, files: Files) -> tuple[int | None, str]:
        """The exit code (None if it still ran) and the redacted output of a process that does not
        listen, after killing it."""
        assert self.process is not None
        # A program that closed its output is ending, however slowly on a busy machine.
        ended = self.process.is_silent
        exit_code = self.process.wait(_ENDS) if ended else self.process.exit_code
        said = redact_text(self.process.output(), files.settings.secrets())
        self.kill()
        return exit_code, said


class ServerProcess(OwnProcess):
    """Runs a :class:`Program`."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self._program = program
        self._held: socket.socket | None = None

    def stop(self) -> None:
        super().stop()
        self._release()

    def kill(self) -> None:
        super().kill()
        self._release()

    def _release(self) -> None:
        if self._held is not None:
            self._held.close()

    def start(self, files: Files) -> Addresses:
        for _ in range(_ATTEMPTS):
            # 3.x opens its debug port after it says that it listens, and ends if it is taken.
            self._held, debug_port = hold_port()
            if url := self._launch(files, debug_port):
                return Addresses(url, f"http://127.0.0.1:{debug_port}")
            exit_code, said = self.give_up(files)
            if TAKEN not in said or str(debug_port) not in said:
                break
        raise DidNotStart(self._program.label, exit_code, said)

    def _launch(self, files: Files, debug_port: int) -> str | None:
        """The URL of the API once it listens; None if it does not."""
        # Only the log says which port it got for port 0, and only from level info on.
        logged = files.settings.log_level in {"info", "debug"}
        port = 0 if logged else free_port()
        files.write_config(f"127.0.0.1:{port}", f"127.0.0.1:{debug_port}", self._program.redis_key)
        self.process = process = self._run(files, "serve", files.config)
        if not logged:
            is_open = opens(port, lambda: process.exit_code is None, STARTS)
            return f"http://127.0.0.1:{port}" if is_open else None
        listening = process.await_output(LISTENING, timeout=STARTS)
        return f"http://127.0.0.1:{listening[2]}" if listening else None

    def _run(self, files: Files, *words: str | Path, **streams: int) -> Process:
        return Process(
            [*self._program.command, *words],
            environment=clean_environment(files.settings.environment),
            directory=files.workdir,
            **streams,
        )

    def collect(self, files: Files, *, dry_run: bool, delete_untagged: bool, online: bool) -> GcRun:
        flags = ["--dry-run"] * dry_run + ["--delete-untagged"] * delete_untagged
        flags += self._program.online_collection if online else ()
        run = subprocess.run(
            [*self._program.command, "garbage-collect", *flags, files.config],
            env=clean_environment(files.settings.environment),
            cwd=files.workdir,
            capture_output=True,
            text=True,
            timeout=_COLLECTS,
            check=False,
        )
        return GcRun(run.returncode, run.stdout, run.stderr)

    def kill_collection(self, files: Files, during: During, *, gently: bool) -> None:
        """It prints what it marks on standard output and what it deletes on standard error. That
        stream goes to a small pipe without a reader: once the pipe is full, the collection stands
        still in the middle of its work, and is killed there."""
        (pipe, writer), unused = os.pipe2(os.O_CLOEXEC), subprocess.DEVNULL
        capacity = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _SMALLEST_PIPE)
        marking = during == "marking"
        run = self._run(
            files,
            "garbage-collect",
            files.config,
            stdout=writer if marking else unused,
            stderr=unused if marking else writer,
        )
        os.close(writer)
        try:
            deadline = time.monotonic() + scaled(10.0)
            while _waiting(pipe) <= capacity - _LONGEST_LINE and run.exit_code is None:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.005)
            exit_code = run.stop(grace=_STOP_GRACE) if gently else run.kill()
            if exit_code >= 0:
                raise RuntimeError(f"garbage collection ended before it could be killed {during}")
        finally:
            os.close(pipe)


def _waiting(pipe: int) -> int:
    """How many bytes are in *pipe*."""
    (count,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))
    return int(count)
