"""The storage driver that forgets everything with the process (distribution's ``inmemory``)."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from reference_registry.storage.driver import PathNotFound

__all__ = ["MemoryDriver"]

_Directory = dict[str, "_Directory | bytearray"]


class MemoryDriver:
    """A tree of dictionaries, with ``bytearray`` for files. May be used from several threads."""

    name = "inmemory"

    def __init__(self) -> None:
        self._root: _Directory = {}
        self._lock = threading.RLock()

    def read(self, path: str) -> bytes:
        with self._lock:
            return bytes(self._file(path))

    def write(self, path: str, content: bytes) -> None:
        with self._lock:
            self._parent(path)[_name(path)] = bytearray(content)

    def replace(self, path: str, content: bytes, aside: str) -> None:
        self.write(path, content)

    def size(self, path: str) -> int:
        with self._lock:
            node = self._find(path)
            if node is None:
                raise self._missing(path)
            return len(node)

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
            content = self._parent(path).setdefault(_name(path), bytearray())
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
        base = path.rstrip("/")
        return [f"{base}/{name}" for name in sorted(self.names(path))]

    def walk_files(self, path: str) -> Iterator[str]:
        with self._lock:
            node = self._find(path)
            if node is None:
                raise self._missing(path)
            return iter(list(_files(path.rstrip("/"), node)))

    def move(self, source: str, target: str) -> None:
        with self._lock:
            node = self._find(source)
            if node is None:
                raise self._missing(source)
            self._parent(target)[_name(target)] = node
            del self._parent(source)[_name(source)]

    def delete(self, path: str) -> None:
        with self._lock:
            if self._find(path) is None:
                raise self._missing(path)
            del self._parent(path)[_name(path)]

    def local_path(self, path: str) -> Path | None:
        return None

    def _missing(self, path: str) -> PathNotFound:
        return PathNotFound(self.name, path)

    def _find(self, path: str) -> _Directory | bytearray | None:
        node: _Directory | bytearray = self._root
        for name in filter(None, path.split("/")):
            if not isinstance(node, dict) or name not in node:
                return None
            node = node[name]
        return node

    def _file(self, path: str) -> bytearray:
        node = self._find(path)
        if not isinstance(node, bytearray):
            raise self._missing(path)
        return node

    def _parent(self, path: str) -> _Directory:
        """The directory that holds *path*, made where missing."""
        directory = self._root
        for name in path.split("/")[1:-1]:
            node = directory.setdefault(name, {})
            if not isinstance(node, dict):
                raise NotADirectoryError(path)
            directory = node
        return directory


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


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _files(path: str, node: _Directory | bytearray) -> Iterator[str]:
    if isinstance(node, bytearray):
        yield path
        return
    for name in sorted(node):
        yield from _files(f"{path}/{name}", node[name])
