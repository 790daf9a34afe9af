"""Storage that fills up or freezes, and processes killed at the moment when they touch a file."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from harness.system.process import Process
from harness.system.real_parts import missing_part, real_part

__all__ = ["KillPoint", "NoSmallDisk", "SmallDisk"]

_MOUNT = 'mount -t tmpfs -o "size=$1,mode=755" tmpfs "$0" && echo mounted && exec sleep infinity'
_READY = re.compile("^mounted$")
_TIMEOUT = 60.0
_PAGE = 4096


class NoSmallDisk(Exception):
    """This machine lets us have none; the text says why."""


class SmallDisk:
    """*size* bytes, mounted on *place*, an empty directory, as one process sees it.

    Raises :class:`NoSmallDisk`. Root needs nothing else; other users need the kernel's leave to
    make a user namespace, and cannot :meth:`freeze`.
    """

    def __init__(self, place: Path, size: int) -> None:
        # A namespace of its own for users makes anybody root over it.
        users = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        command = ["unshare", "--mount", *users, "sh", "-c", _MOUNT, str(place), str(size)]
        try:
            self._keeper = Process(command)
        except OSError as error:
            raise NoSmallDisk(f"unshare (Debian package util-linux): {error.strerror}") from error
        if self._keeper.await_output(_READY, timeout=_TIMEOUT) is None:
            said = self._keeper.output().strip().splitlines()
            self._keeper.kill()
            raise NoSmallDisk(f"no tmpfs can be mounted: {said[-1] if said else 'no answer'}")
        self._top = Path(f"/proc/{self._keeper.pid}/root{place}")
        self._filler = self._top / "filler"
        self.root = self._top / "storage"
        """An empty directory on it."""
        self.root.mkdir()

    def fill(self, leave: int = 0) -> None:
        """Take all space but *leave* bytes, which are rounded up to whole pages."""
        self.free()
        with self._filler.open("wb", buffering=0) as filler, suppress(OSError):
            while filler.write(bytes(_PAGE)):
                pass
        if leave:
            taken = self._filler.stat().st_size
            os.truncate(self._filler, max(0, taken - -(-leave // _PAGE) * _PAGE))

    def free(self) -> None:
        """Give the space back that :meth:`fill` took."""
        self._filler.unlink(missing_ok=True)

    def freeze(self) -> None:
        """From now on nothing below ``root`` can be made, written or removed, even by root.
        :class:`NoSmallDisk` where the kernel does not know how."""
        self._change("+i")

    def thaw(self) -> None:
        """End :meth:`freeze`."""
        self._change("-i")

    def _change(self, attribute: str) -> None:
        # Sockets have no attributes.
        paths = [path for path in (self.root, *self.root.rglob("*")) if _is_file_or_dir(path)]
        try:
            subprocess.run(["chattr", "-f", attribute, *paths], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise NoSmallDisk(f"chattr (Debian package e2fsprogs): {error}") from error

    def close(self) -> None:
        """Let it go, with all that is on it."""
        self._keeper.kill()


def _is_file_or_dir(path: Path) -> bool:
    return path.is_file() or path.is_dir()


_ATTACHED = re.compile(r"Process \d+ attached")


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
