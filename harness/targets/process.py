"""Registries that run outside this process, and ``binary:PATH``, a registry as a program:
distribution's ``registry``, Debian's ``docker-registry``, or ours."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import struct
import subprocess
import termios
import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.http.redaction import redact_text
from harness.system.ports import free_port, hold_port, opens, scaled
from harness.system.process import Process, clean_environment, run_program
from harness.targets.errors import DidNotStart, TargetError
from harness.targets.readings import GcRun
from harness.targets.registry import Addresses, During, RunningRegistry, TargetServer
from harness.targets.settings import Files, Settings
from harness.targets.target import Identity, Target, identify, version_line

STARTS = 60.0
"""Seconds until a program listens or ends. Only a failure takes that long."""
STOP_GRACE = 30.0
"""Seconds between SIGTERM and SIGKILL."""
_ENDS = 30.0
"""Seconds between the end of a program's output and its exit code."""
_COLLECTS = 300.0
_ATTEMPTS = 3
LISTENING = re.compile(r"listening on ([^\s\",]+):(\d+)")
_SMALLEST_PIPE = 4096
_LONGEST_LINE = 1024


class OutsideServer(TargetServer):
    """A server outside this process, called *label* in errors. It is launched with other ports if
    another process takes the free ones, and its output outlives a restart."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.earlier_output = ""

    def start(self, files: Files) -> Addresses:
        for _ in range(_ATTEMPTS):
            if addresses := self.launch(files):
                return addresses
            failure = self.give_up(files)
            if "in use" not in failure.message:
                break
        raise failure

    @abstractmethod
    def launch(self, files: Files) -> Addresses | None:
        """Start it and return once it listens; None if it does not."""

    @abstractmethod
    def give_up(self, files: Files) -> DidNotStart:
        """Kill it because it does not listen; its exit code is None if it still ran."""

    @abstractmethod
    def said(self) -> str:
        """The output of what runs now."""

    def output(self) -> str:
        return self.earlier_output + self.said()

    @staticmethod
    def port_for(settings: Settings) -> int:
        """The port to configure: 0 if the log says which one it got (from level info on)."""
        return 0 if settings.log_level in {"info", "debug"} else free_port()


class OwnProcess(OutsideServer):
    """A server that is the process ``process``."""

    process: Process | None = None

    @property
    def pid(self) -> int | None:
        return None if self.process is None else self.process.pid

    def stop(self) -> None:
        if self.process is not None:
            self.ended(self.process.stop(grace=STOP_GRACE))

    def kill(self) -> None:
        if self.process is not None:
            self.ended(self.process.kill())

    def ended(self, exit_code: int) -> None:
        """Keep the output of the process that has ended."""
        self.exit_code = exit_code
        self.earlier_output, self.process = self.output(), None

    def said(self) -> str:
        return self.process.output() if self.process else ""

    def give_up(self, files: Files) -> DidNotStart:
        assert self.process is not None
        # A program that closed its output is ending, however slowly on a busy machine.
        ended = self.process.is_silent
        exit_code = self.process.wait(_ENDS) if ended else self.process.exit_code
        said = redact_text(self.process.output(), files.settings.secrets())
        self.kill()
        return DidNotStart(self.label, exit_code, said)


class ServerProcess(OwnProcess):
    """Runs ``serve CONFIG`` and ``garbage-collect CONFIG``, appended to *command*."""

    def __init__(self, command: Sequence[str | Path], label: str, identity: Identity) -> None:
        super().__init__(label)
        self._command = command
        self._identity = identity
        self._held: socket.socket | None = None

    def ended(self, exit_code: int) -> None:
        super().ended(exit_code)
        if self._held is not None:
            self._held.close()

    def launch(self, files: Files) -> Addresses | None:
        # 3.x opens its debug port after it says that it listens, and ends if it is taken.
        self._held, debug_port = hold_port()
        debug_address = f"127.0.0.1:{debug_port}"
        port = self.port_for(files.settings)
        files.write_config(f"127.0.0.1:{port}", debug_address, self._identity.redis_key)
        self.process = process = self._run(files, "serve", files.config)
        if port == 0:
            match = process.await_output(LISTENING, timeout=STARTS)
            port = int(match[2]) if match else 0
        elif not opens(port, lambda: process.exit_code is None, STARTS):
            port = 0
        return Addresses(f"http://127.0.0.1:{port}", f"http://{debug_address}") if port else None

    def _run(self, files: Files, *words: str | Path, **streams: int) -> Process:
        return Process(
            [*self._command, *words],
            environment=clean_environment(files.settings.environment),
            directory=files.workdir,
            **streams,
        )

    def collect(self, files: Files, *, dry_run: bool, delete_untagged: bool, online: bool) -> GcRun:
        flags = self._identity.collection_flags(dry_run, delete_untagged, online)
        run = run_program(
            [*self._command, "garbage-collect", *flags, files.config],
            clean_environment(files.settings.environment),
            directory=files.workdir,
            timeout=_COLLECTS,
        )
        return GcRun(run.returncode, run.stdout, run.stderr)

    def kill_collection(self, files: Files, during: During, *, gently: bool) -> None:
        """It prints what it marks on standard output and what it deletes on standard error. That
        stream goes to a small pipe without a reader: once the pipe is full, the collection blocks
        in the middle of its work, and is killed there."""
        (pipe, writer), unused = os.pipe2(os.O_CLOEXEC), subprocess.DEVNULL
        capacity = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _SMALLEST_PIPE)
        out, err = (writer, unused) if during == "marking" else (unused, writer)
        run = self._run(files, "garbage-collect", files.config, stdout=out, stderr=err)
        os.close(writer)
        try:
            deadline = time.monotonic() + scaled(10.0)
            while _waiting(pipe) <= capacity - _LONGEST_LINE and run.exit_code is None:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.005)
            exit_code = run.stop(grace=STOP_GRACE) if gently else run.kill()
            if exit_code >= 0:
                raise RuntimeError(f"garbage collection ended before it could be killed {during}")
        finally:
            os.close(pipe)


def _waiting(pipe: int) -> int:
    """How many bytes are in *pipe*."""
    (count,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))
    return int(count)


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
        return cls(Path(found), identify(where, version_line(where, found)))

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def must_start(self) -> str:  # type: ignore[override]
        return f"`{self.path} serve CONFIG` must start with a plain configuration"

    def registry(self, settings: Settings, workdir: Path) -> RunningRegistry:
        server = ServerProcess([self.path], f"binary:{self.path}", self.identity)
        return RunningRegistry(settings, workdir, server)


def _why_missing(path: str) -> str:
    file = Path(path).expanduser()
    if file.is_dir():
        return "is a directory; give the path of the program inside"
    if file.is_file():
        return f"is not executable; chmod +x {file}"
    if "/" in path:
        return "no such file; give the path of a registry binary"
    return "no such program on PATH; install it (apt-get install docker-registry) or give its path"
