"""One process per root directory: a lock that ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

__all__ = ["DIRECTORY", "RootInUse", "RootLock"]

DIRECTORY = "/.pullproof"
"""Storage path for files of ours. Distribution ignores everything outside ``/docker``."""


class RootInUse(Exception):
    """Another process, ``pid`` if known, holds the root directory."""

    def __init__(self, root: Path, pid: int | None) -> None:
        holder = "another process" if pid is None else f"process {pid}"
        super().__init__(f"{root} is in use by {holder}")
        self.root = root
        self.pid = pid


class RootLock:
    """``flock(2)`` on ``<root>/.pullproof/lock`` until :meth:`release`, or the end of the process.
    Two holders within one process exclude each other too."""

    def __init__(self, root: Path, *, create: bool = True) -> None:
        """Raises :class:`RootInUse`, or ``OSError`` where *root* is read-only or its file system
        has no locks. Without *create*, a missing file is ``FileNotFoundError``."""
        path = root / DIRECTORY[1:] / "lock"
        flags = os.O_RDWR | os.O_CLOEXEC
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags |= os.O_CREAT
        self._descriptor = os.open(path, flags, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)
        except BlockingIOError:
            pid = os.pread(self._descriptor, 20, 0)
            os.close(self._descriptor)
            raise RootInUse(root, int(pid) if pid.isdigit() else None) from None
        except OSError:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        """Let another process have the directory. The file stays: removing it would let two
        processes lock two files of one name."""
        os.close(self._descriptor)
