"""The storage drivers: :class:`FilesystemDriver`, whose methods describe the contract, and one in
memory."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

from reference_registry.storage.filesystem import FilesystemDriver, PathNotFound

__all__ = ["MemoryDriver", "PathNotFound", "StorageDriver"]


_Directory = dict[str, "_Directory | bytearray"]


class MemoryDriver:
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

    def sorted_names(self, path: str) -> Sequence[str]:
        return sorted(self.names(path))

    def children(self, path: str) -> list[str]:
        return [f"{path.rstrip('/')}/{name}" for name in sorted(self.names(path))]

    def local_path(self, path: str) -> Path | None:
        return None

    def move(self, source: str, target: str) -> None:
        with self._lock:
            node = self._existing(source)
            directory, name = self._parent(target)
            directory[name] = node
            self.delete(source)

    def delete(self, path: str) -> bool:
        with self._lock:
            if self._find(path) is None:
                return False
            directory, name = self._parent(path)
            del directory[name]
            return True

    def _missing(self, path: str) -> PathNotFound:
        return PathNotFound(self.name, path)

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


StorageDriver = FilesystemDriver | MemoryDriver
