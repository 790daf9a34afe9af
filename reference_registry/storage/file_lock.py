"""A lock between the processes that share a storage. The kernel lets go of it when its holder dies,
however it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import BinaryIO

__all__ = ["FileLock", "lock_while_open"]


def lock_while_open(file: BinaryIO) -> None:
    """Lock *file* until it is closed. ``BlockingIOError`` where somebody else has it open so; no
    lock where it is no file of the operating system, or lies where there are no locks."""
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return


class FileLock:
    """An exclusive ``flock(2)`` on a file, from :meth:`take` to :meth:`release`.

    It belongs to the open file and not to the process: two holders in one process exclude each
    other too. What the file holds is the holder's to say, and stays behind when that dies.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """As :meth:`take` makes it."""
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> FileLock | None:
        """The lock on *path*, created, parents too, where missing; None while another has it.
        ``OSError`` where the file system allows no such file or knows no locks."""
        while True:
            descriptor = _open(path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_still(path, descriptor):
                    return cls(path, descriptor)
                os.close(descriptor)  # Removed by its holder after we had opened it.
            except BlockingIOError:
                os.close(descriptor)
                return None
            except OSError:
                os.close(descriptor)
                raise

    def read(self) -> bytes:
        """What the file holds, be it from a holder that died."""
        return os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)

    def write(self, content: bytes) -> None:
        """Let the file hold *content*. A reader may see it half written."""
        os.pwrite(self._descriptor, content, 0)
        # Only where it must: ext4 syncs a file that was written after it had been emptied.
        if os.fstat(self._descriptor).st_size > len(content):
            os.ftruncate(self._descriptor, len(content))

    def release(self, *, remove: bool = False) -> None:
        """Let go, once; and *remove* the file, which nobody can have locked before."""
        try:
            if remove:
                self._path.unlink(missing_ok=True)
        finally:
            os.close(self._descriptor)


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o644)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o644)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether *path* is the file that is open as *descriptor*."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
