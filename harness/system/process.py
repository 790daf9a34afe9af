"""Child processes that never outlive the tests that started them.

Every :class:`Process` leads a process group of its own, so that a Ctrl-C in the terminal reaches
only pytest and fixtures stop things in order. ``atexit`` stops the others, and after the death of
the test process :mod:`harness.system.process_guard` kills them. (``PR_SET_PDEATHSIG`` follows the
*thread* that forked, and needs code between fork and exec.)
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TypeVar

from harness.system import process_guard

T = TypeVar("T")

_KEPT_LINES = 50_000
_LAST_WORDS = 10.0
"""Seconds to read the rest of a program's output after it ends."""


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of this process without variables that change a registry's behaviour, plus
    *extra*: ``REGISTRY_*`` and ``PULLPROOF_*`` override configurations, ``*_PROXY`` would redirect
    loopback requests, and 3.x exports traces unless that is switched off.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("REGISTRY_", "PULLPROOF_", "OTEL_"))
        and not name.upper().endswith("_PROXY")
    }
    return kept | {"OTEL_TRACES_EXPORTER": "none"} | dict(extra or {})


def run_program(
    command: Sequence[str | Path],
    environment: Mapping[str, str] | None = None,
    *,
    timeout: float = 60.0,
    directory: Path | None = None,
    given: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run *command* to its end, with *given* as standard input. Raises ``OSError`` if it cannot be
    executed, and ``subprocess.TimeoutExpired`` after *timeout* seconds."""
    return subprocess.run(
        command,
        env=clean_environment() if environment is None else environment,
        cwd=directory,
        input=given,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )


class Process:
    """A running program and the last 50,000 lines of its output. ``OSError`` if it cannot be
    executed."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
    ) -> None:
        """*stdout* and *stderr* are descriptors for output that is not kept."""
        self._popen = subprocess.Popen(
            [str(word) for word in command],
            env=clean_environment() if environment is None else dict(environment),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        _children.add(self)
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._changed = threading.Condition()
        self._silent = False
        self._reader = threading.Thread(target=self._read, name=f"output of {command[0]}")
        self._reader.daemon = True
        self._reader.start()

    @property
    def pid(self) -> int:
        """The id of the process and of its group."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._popen.poll()

    @property
    def is_silent(self) -> bool:
        """Whether it has closed its output, as an ending program does."""
        with self._changed:
            return self._silent

    def output(self) -> str:
        """Standard output and standard error so far, in order of arrival."""
        with self._changed:
            return "".join(f"{line}\n" for line in self._lines)

    def await_output(self, pattern: re.Pattern[str], *, timeout: float) -> re.Match[str] | None:
        """The first match of *pattern* in a line of output; None if the program ends without one,
        or after *timeout* seconds."""
        return self._await(
            lambda: next(filter(None, map(pattern.search, self._lines)), None), timeout
        )

    def await_count(self, text: str, count: int, *, timeout: float) -> None:
        """Return once *count* lines of output contain *text*. ``TimeoutError`` with the output if
        the program ends before, or after *timeout* seconds."""
        if not self._await(lambda: sum(text in line for line in self._lines) >= count, timeout):
            raise TimeoutError(f"no {text!r} in the output:\n{self.output()}")

    def _await(self, condition: Callable[[], T], timeout: float) -> T:
        """The first true value of *condition*, or its last one when the output ends."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                value, left = condition(), deadline - time.monotonic()
                if value or self._silent or left <= 0:
                    return value
                self._changed.wait(left)

    def wait(self, timeout: float) -> int | None:
        """The exit code, or None if it still runs after *timeout* seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._popen.wait(timeout)
        return None

    def stop(self, *, grace: float = 10.0) -> int:
        """Send SIGTERM, and SIGKILL to the whole group *grace* seconds later. Returns the exit
        code. Can be called again."""
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            self.wait(grace)
        return self.kill()

    def kill(self) -> int:
        """Send SIGKILL to the whole group. Returns the exit code."""
        # The leader may have ended while its children run: the group keeps its id.
        if self in _children.running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        exit_code = self._popen.wait()
        _children.remove(self)
        # A descendant that left the group may keep the pipes open.
        self._reader.join(_LAST_WORDS)
        return exit_code

    def _read(self) -> None:
        streams: list[IO[bytes]] = [s for s in (self._popen.stdout, self._popen.stderr) if s]
        partial = dict.fromkeys(streams, b"")
        with selectors.DefaultSelector() as selector:
            for stream in streams:
                selector.register(stream, selectors.EVENT_READ, stream)
            while partial:
                for key, _ in selector.select():
                    stream = key.data
                    chunk = os.read(stream.fileno(), 65536)
                    *lines, partial[stream] = (partial[stream] + chunk).split(b"\n")
                    if not chunk:
                        selector.unregister(stream)
                        stream.close()
                        lines = [rest] if (rest := partial.pop(stream)) else []
                    self._keep(lines)
        with self._changed:
            self._silent = True
            self._changed.notify_all()

    def _keep(self, lines: Sequence[bytes]) -> None:
        with self._changed:
            self._lines.extend(line.decode(errors="replace") for line in lines)
            self._changed.notify_all()


class _Children:
    """The running processes, and the guard that has the same list."""

    def __init__(self) -> None:
        self.running: set[Process] = set()
        self._lock = threading.Lock()
        self._guard: subprocess.Popen[bytes] | None = None
        atexit.register(self._end)

    def add(self, process: Process) -> None:
        with self._lock:
            self.running.add(process)
            self._report(f"+{process.pid}\n")

    def remove(self, process: Process) -> None:
        with self._lock:
            if process in self.running:
                self.running.remove(process)
                self._report(f"-{process.pid}\n")

    def _report(self, line: str) -> None:
        if self._guard is None:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", process_guard.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                bufsize=0,
            )
        assert self._guard.stdin is not None
        # If the guard was killed, atexit still ends the processes.
        with contextlib.suppress(BrokenPipeError):
            self._guard.stdin.write(line.encode())

    def _end(self) -> None:
        for process in list(self.running):
            process.stop(grace=1.0)
        if self._guard is not None:
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            self._guard.wait()


_children = _Children()
