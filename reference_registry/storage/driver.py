"""Where bytes are kept: the contract of storage drivers.

Paths are absolute and slash-separated, as in distribution's storage drivers
(``/docker/registry/v2/...``). Calls are synchronous: on a local file system they cost microseconds,
and long walks are made in a worker thread by their callers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

__all__ = ["PathNotFound", "StorageDriver"]


@dataclass(eq=False)
class PathNotFound(Exception):
    """There is nothing at ``path``."""

    driver: str
    path: str

    def __str__(self) -> str:
        return f"{self.driver}: Path not found: {self.path}"


class StorageDriver(Protocol):
    """Methods raise :class:`PathNotFound` where *path* does not exist, ``OSError`` for the rest."""

    @property
    def name(self) -> str:
        """``filesystem`` or ``inmemory``."""
        ...

    def read(self, path: str) -> bytes: ...

    def write(self, path: str, content: bytes) -> None:
        """Create or replace the file, parents too; a reader never sees a part of it."""
        ...

    def replace(self, path: str, content: bytes, aside: str) -> None:
        """As :meth:`write`, but after a crash of the machine, too, the file has its old content or
        the new one. It is written to *aside* first, a path that has no other writer."""
        ...

    def size(self, path: str) -> int:
        """Of a file, in bytes."""
        ...

    def is_file(self, path: str) -> bool: ...

    def exists(self, path: str) -> bool: ...

    def open_read(self, path: str, start: int = 0) -> BinaryIO: ...

    def open_append(self, path: str) -> BinaryIO:
        """For writing at the end; created, parents too, where missing."""
        ...

    def names(self, path: str) -> list[str]:
        """The names of the entries of a directory, as they come."""
        ...

    def sorted_names(self, path: str) -> Sequence[str]:
        """The same in bytewise order; quick where a large directory has not changed since."""
        ...

    def children(self, path: str) -> list[str]:
        """Full paths of the entries of a directory, sorted by name."""
        ...

    def walk_files(self, path: str) -> Iterator[str]:
        """Full paths of all files below *path*, sorted within each directory."""
        ...

    def move(self, source: str, target: str) -> None:
        """Atomically, parents of *target* created."""
        ...

    def delete(self, path: str) -> None:
        """The file, or the directory with all below it."""
        ...

    def local_path(self, path: str) -> Path | None:
        """The file of the operating system behind *path*, or None for a driver that has none."""
        ...
