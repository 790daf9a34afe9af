"""Storage that fills up or freezes, and processes killed at the moment when they touch a file."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from harness.system.real_parts import missing_part, real_part, start_part

_MOUNT = 'mount -t tmpfs -o "size=$1,mode=755" tmpfs "$0" && echo mounted && exec sleep infinity'
_PAGE = 4096


class SmallDisk:
    """A file system of *size* bytes, mounted on *place*, an empty directory, in the mount namespace
    of one process.

    Skips the test, or fails it where real programs are required, if the machine does not allow it.
    Users other than root need user namespaces, and cannot :meth:`freeze`.
    """

    def __init__(self, place: Path, size: int) -> None:
        users = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        unshare: list[str | Path] = [real_part("unshare"), "--mount", *users]
        command = [*unshare, "sh", "-c", _MOUNT, place, str(size)]
        self._keeper = start_part("a small file system", command, "^mounted$")
        top = Path(f"/proc/{self._keeper.pid}/root{place}")
        self._filler = top / "filler"
        self.root = top / "storage"
        """An empty directory on it."""
        self.root.mkdir()

    def fill(self, leave: int = 0) -> None:
        """Use all space except *leave* bytes, rounded up to whole pages."""
        self.free()
        with self._filler.open("wb", buffering=0) as filler, suppress(OSError):
            while filler.write(bytes(_PAGE)):
                pass
        if leave:
            taken = self._filler.stat().st_size
            os.truncate(self._filler, max(0, taken - -(-leave // _PAGE) * _PAGE))

    def free(self) -> None:
        """Release the space that :meth:`fill` took."""
        self._filler.unlink(missing_ok=True)

    def freeze(self) -> None:
        """Nothing below ``root`` can be created, written or removed until :meth:`thaw`, even by
        root. Skips the test if the kernel does not support that."""
        self._change("+i")

    def thaw(self) -> None:
        """End :meth:`freeze`."""
        self._change("-i")

    def _change(self, attribute: str) -> None:
        paths = (self.root, *self.root.rglob("*"))
        # Sockets have no attributes.
        changed = [path for path in paths if path.is_file() or path.is_dir()]
        try:
            subprocess.run(
                [real_part("chattr"), "-f", attribute, *changed], check=True, capture_output=True
            )
        except subprocess.CalledProcessError as error:
            missing_part(f"files cannot be made immutable here: {error}")

    def close(self) -> None:
        """Unmount it; its content is lost."""
        self._keeper.kill()


class KillPoint:
    """``strace(1)``, attached to the process *pid*, kills it as it is about to make one of *calls*
    on a file that is, or was opened as, one of *paths*; the call is not made. With ``SIGTERM`` as
    *signal* the process makes the call and is asked to stop.

    Skips the test, or fails it where real programs are required, if processes cannot be traced.
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
        self._strace = start_part("strace", command, r"Process \d+ attached")

    def await_death(self, timeout: float = 30.0) -> bool:
        """Whether the process is killed within *timeout* seconds."""
        ended = self._strace.wait(timeout) is not None
        self._strace.kill()
        return ended
