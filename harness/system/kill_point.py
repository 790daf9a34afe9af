"""Kill a process at the moment when it touches a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from harness.system.process import Process
from harness.system.real_parts import missing_part, real_part

__all__ = ["KillPoint"]

_ATTACHED = re.compile(r"Process \d+ attached")
_TIMEOUT = 60.0


class KillPoint:
    """``strace(1)``, attached to the process *pid*, kills it as it is about to make one of *calls*
    on a file that is, or was opened as, one of *paths*: the call is not made any more. With
    *signal* ``SIGTERM`` it is asked to stop at that moment instead, and makes the call.

    Skips the test, or fails it where real parts are demanded, if processes cannot be traced here.
    """

    def __init__(
        self,
        pid: int,
        paths: Sequence[Path],
        calls: Sequence[str],
        *,
        signal: Literal["SIGKILL", "SIGTERM"] = "SIGKILL",
    ) -> None:
        command: list[str | Path] = [real_part("strace"), "-f", "-p", str(pid), "-o", "/dev/null"]
        for path in paths:
            command += ["-P", path]
        # Not --seccomp-bpf: with it strace 6.1 injects no signals.
        named = ",".join(calls)
        command += ["-e", f"trace={named}", "-e", f"inject={named}:signal={signal}"]
        self._strace = Process(command)
        if self._strace.await_output(_ATTACHED, timeout=_TIMEOUT) is None:
            said = self._strace.output().strip()
            self._strace.kill()
            missing_part(f"strace cannot trace processes here: {said}")

    def await_death(self, timeout: float = 30.0) -> bool:
        """Whether the process has been killed, within *timeout* seconds."""
        ended = self._strace.wait(timeout) is not None
        self._strace.kill()
        return ended
