"""The storage driver over a directory of the local file system."""

# os and not pathlib: these calls are made for every request, and a Path costs as much as the call.

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from reference_registry.storage.caches import DirectoryMemory, FileMemory
from reference_registry.storage.driver import PathNotFound

__all__ = ["FilesystemDriver"]


class FilesystemDriver:
    """Keeps ``/a/b`` in ``<root>/a/b``. The root itself is made by the first write.

    A file is replaced by renaming a complete one over it, so that neither a reader nor a process
    killed in between leaves a part of it. Nothing is synced to disk: a cache can fetch again what
    a power cut took. Small files that have not changed are read once (:class:`FileMemory`).
    """

    name = "filesystem"

    def __init__(self, root: Path, *, synced: bool = False, in_place: bool = False) -> None:
        """*synced*: what :meth:`write` writes is on the disk before it has its name. *in_place*:
        files are emptied and written where they are, as releases before 3.1 do it."""
        self._root = str(root)
        self._synced = synced
        self._in_place = in_place
        self._memory = FileMemory()
        self._directories = DirectoryMemory()

    def _full(self, path: str) -> str:
        return self._root + path

    def _missing(self, path: str) -> PathNotFound:
        return PathNotFound(self.name, path)

    def read(self, path: str) -> bytes:
        try:
            return self._memory.read(self._full(path))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise self._missing(path) from None

    def write(self, path: str, content: bytes) -> None:
        full = self._full(path)
        self._put(full, content, f"{full}.{uuid.uuid4().hex}.part", synced=self._synced and content)

    def replace(self, path: str, content: bytes, aside: str) -> None:
        self._put(self._full(path), content, self._full(aside), synced=True)

    def _put(self, full: str, content: bytes, part: str, *, synced: object) -> None:
        if self._in_place:
            self._write_out(full, content)
            return
        try:
            self._write_out(part, content, synced=synced)
            os.replace(part, full)
        except OSError:
            with suppress(OSError):
                os.unlink(part)
            raise

    def _write_out(self, full: str, content: bytes, *, synced: object = False) -> None:
        with self._creating_parents(full, "wb") as file:
            left = memoryview(content)
            while left:  # A disk that is nearly full takes a part without a word.
                left = left[file.write(left) :]
            if synced:
                os.fsync(file.fileno())

    def size(self, path: str) -> int:
        try:
            found = os.stat(self._full(path))
        except (FileNotFoundError, NotADirectoryError):
            raise self._missing(path) from None
        if stat.S_ISDIR(found.st_mode):
            raise self._missing(path)
        return found.st_size

    def is_file(self, path: str) -> bool:
        return os.path.isfile(self._full(path))

    def exists(self, path: str) -> bool:
        return os.path.exists(self._full(path))

    def open_read(self, path: str, start: int = 0) -> BinaryIO:
        try:
            file = open(self._full(path), "rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise self._missing(path) from None
        file.seek(start)
        return file

    def open_append(self, path: str) -> BinaryIO:
        return self._creating_parents(self._full(path), "ab")

    def names(self, path: str) -> list[str]:
        try:
            return os.listdir(self._full(path))
        except (FileNotFoundError, NotADirectoryError):
            raise self._missing(path) from None

    def sorted_names(self, path: str) -> Sequence[str]:
        try:
            return self._directories.names(self._full(path))
        except (FileNotFoundError, NotADirectoryError):
            raise self._missing(path) from None

    def children(self, path: str) -> list[str]:
        base = path.rstrip("/")
        return [f"{base}/{name}" for name in sorted(self.names(path))]

    def walk_files(self, path: str) -> Iterator[str]:
        if not self.exists(path):
            raise self._missing(path)
        return iter([path]) if self.is_file(path) else self._walk(path.rstrip("/"))

    def _walk(self, path: str) -> Iterator[str]:
        try:
            with os.scandir(self._full(path)) as entries:
                found = sorted((entry.name, entry.is_dir()) for entry in entries)
        except (FileNotFoundError, NotADirectoryError):  # deleted while we walked
            return
        for name, is_directory in found:
            if is_directory:
                yield from self._walk(f"{path}/{name}")
            else:
                yield f"{path}/{name}"

    def move(self, source: str, target: str) -> None:
        if not self.exists(source):
            raise self._missing(source)
        full = self._full(target)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        os.replace(self._full(source), full)

    def delete(self, path: str) -> None:
        full = self._full(path)
        try:
            if os.path.isdir(full):
                shutil.rmtree(full)
            else:
                os.unlink(full)
        except (FileNotFoundError, NotADirectoryError):
            raise self._missing(path) from None

    def local_path(self, path: str) -> Path | None:
        return Path(self._full(path))

    def _creating_parents(self, full: str, mode: str) -> BinaryIO:
        """Open *full*; its parents are there nearly always, so they are made only on failure."""
        try:
            return open(full, mode, buffering=0)  # type: ignore[return-value]
        except FileNotFoundError:
            os.makedirs(os.path.dirname(full), exist_ok=True)
            return open(full, mode, buffering=0)  # type: ignore[return-value]
