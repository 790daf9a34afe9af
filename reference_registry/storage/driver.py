"""The contract of storage drivers, and the driver that keeps everything in memory.

Paths are absolute and slash-separated, as in distribution's storage drivers
(``/docker/registry/v2/...``). Calls are synchronous: on a local file system they cost microseconds,
and callers make long walks in a worker thread.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

__all__ = ["MemoryDriver", "PathNotFound", "StorageDriver"]


@dataclass(eq=False)
class PathNotFound(Exception):
    """There is nothing at ``path``."""

    driver: str
    path: str

    def __str__(self) -> str:
        return f"{self.driver}: Path not found: {self.path}"


class StorageDriver:
    """Methods raise :class:`PathNotFound` if *path* does not exist, ``OSError`` for the rest."""

    name: str
    """``filesystem`` or ``inmemory``."""

    def read(self, path: str) -> bytes:
        raise NotImplementedError

    def write(self, path: str, content: bytes) -> None:
        """Create or replace the file, and its parents; a reader never sees a part of it."""
        raise NotImplementedError

    def replace(self, path: str, content: bytes, aside: str) -> None:
        """As :meth:`write`, but even after a crash of the machine the file has its old content or
        the new one. It is written to *aside* first, a path that has no other writer."""
        raise NotImplementedError

    def size(self, path: str) -> int:
        """Of a file, in bytes."""
        raise NotImplementedError

    def is_file(self, path: str) -> bool:
        raise NotImplementedError

    def exists(self, path: str) -> bool:
        raise NotImplementedError

    def open_read(self, path: str, start: int = 0) -> BinaryIO:
        raise NotImplementedError

    def open_append(self, path: str) -> BinaryIO:
        """For writing at the end; a missing file is created, with its parents."""
        raise NotImplementedError

    def names(self, path: str) -> list[str]:
        """The names of the entries of a directory, in any order."""
        raise NotImplementedError

    def sorted_names(self, path: str) -> Sequence[str]:
        """The same in bytewise order; fast if a large directory has not changed since."""
        return sorted(self.names(path))

    def children(self, path: str) -> list[str]:
        """Full paths of the entries of a directory, sorted by name."""
        base = path.rstrip("/")
        return [f"{base}/{name}" for name in sorted(self.names(path))]

    def move(self, source: str, target: str) -> None:
        """Atomically; parents of *target* are created."""
        raise NotImplementedError

    def delete(self, path: str) -> None:
        """The file, or the directory with everything below it."""
        raise NotImplementedError

    def local_path(self, path: str) -> Path | None:
        """The file of the operating system behind *path*, or None if the driver has none."""
        return None

    def _missing(self, path: str) -> PathNotFound:
        return PathNotFound(self.name, path)


_Directory = dict[str, "_Directory | bytearray"]


class MemoryDriver(StorageDriver):
    """distribution's ``inmemory``: a tree of dictionaries, with ``bytearray`` for files. May be
    used from several threads."""

    name = "inmemory"

    def __init__(self) -> None:
        self._root: _Directory = {}
        self._lock = threading.RLock()

    def read(self, path: str) -> bytes:
        with self._lock:
            return bytes(self._file(path))

    def write(self, path: str, content: bytes) -> None:
        with self._lock:
            directory, name = self._parent(path)
            directory[name] = bytearray(content)

    def replace(self, path: str, content: bytes, aside: str) -> None:
        self.write(path, content)

    def size(self, path: str) -> int:
        with self._lock:
            return len(self._existing(path))

    def is_file(self, path: str) -> bool:
        with self._lock:
            return isinstance(self._find(path), bytearray)

    def exists(self, path: str) -> bool:
        with self._lock:
            return self._find(path) is not None

    def open_read(self, path: str, start: int = 0) -> BinaryIO:
        with self._lock:
            return io.BytesIO(self._file(path)[start:])

    def open_append(self, path: str) -> BinaryIO:
        with self._lock:
            directory, name = self._parent(path)
            content = directory.setdefault(name, bytearray())
        if not isinstance(content, bytearray):
            raise IsADirectoryError(path)
        return cast("BinaryIO", _Appender(content, self._lock))

    def names(self, path: str) -> list[str]:
        with self._lock:
            node = self._find(path)
            if not isinstance(node, dict):
                raise self._missing(path)
            return list(node)

    def move(self, source: str, target: str) -> None:
        with self._lock:
            node = self._existing(source)
            directory, name = self._parent(target)
            directory[name] = node
            self.delete(source)

    def delete(self, path: str) -> None:
        with self._lock:
            self._existing(path)
            directory, name = self._parent(path)
            del directory[name]

    def _find(self, path: str) -> _Directory | bytearray | None:
        node: _Directory | bytearray = self._root
        for name in filter(None, path.split("/")):
            if not isinstance(node, dict) or name not in node:
                return None
            node = node[name]
        return node

    def _existing(self, path: str) -> _Directory | bytearray:
        node = self._find(path)
        if node is None:
            raise self._missing(path)
        return node

    def _file(self, path: str) -> bytearray:
        node = self._find(path)
        if not isinstance(node, bytearray):
            raise self._missing(path)
        return node

    def _parent(self, path: str) -> tuple[_Directory, str]:
        """The directory of *path*, which is created if it is missing, and the name there."""
        directory = self._root
        *parents, last = path.split("/")[1:]
        for name in parents:
            node = directory.setdefault(name, {})
            if not isinstance(node, dict):
                raise NotADirectoryError(path)
            directory = node
        return directory, last


class _Appender(io.RawIOBase):
    def __init__(self, content: bytearray, lock: threading.RLock) -> None:
        self._content = content
        self._lock = lock

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        with self._lock:
            self._content += data
        return len(data)
