"""Storage that is timed, and a descriptor cache whose hits are counted.

Actions have the names that distribution's drivers give them (``GetContent``, ``Stat``...). As
there, the opening of a stream is not timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar

from reference_registry.counters import CacheCounters, Counters
from reference_registry.digest import Digest
from reference_registry.repository import Descriptor
from reference_registry.storage import layout
from reference_registry.storage.descriptor_cache import DescriptorCache
from reference_registry.storage.driver import StorageDriver

__all__ = ["CountedCache", "TimedDriver"]

P = ParamSpec("P")
T = TypeVar("T")


class TimedDriver:
    """A :class:`StorageDriver` that does what *driver* does. *serving* is the action under which it
    counts that a blob is about to be served: a release asks its driver for another place then."""

    def __init__(
        self, driver: StorageDriver, counters: Counters, *, serving: str = "RedirectURL"
    ) -> None:
        self._driver = driver
        self._counters = counters
        self._serving = serving

    @property
    def name(self) -> str:
        return self._driver.name

    def read(self, path: str) -> bytes:
        return self._timed("GetContent", self._driver.read, path)

    def write(self, path: str, content: bytes) -> None:
        self._timed("PutContent", self._driver.write, path, content)

    def replace(self, path: str, content: bytes, aside: str) -> None:
        self._timed("PutContent", self._driver.replace, path, content, aside)

    def size(self, path: str) -> int:
        return self._timed("Stat", self._driver.size, path)

    def is_file(self, path: str) -> bool:
        return self._timed("Stat", self._driver.is_file, path)

    def exists(self, path: str) -> bool:
        return self._timed("Stat", self._driver.exists, path)

    def open_read(self, path: str, start: int = 0) -> BinaryIO:
        return self._driver.open_read(path, start)

    def open_append(self, path: str) -> BinaryIO:
        return self._driver.open_append(path)

    def names(self, path: str) -> list[str]:
        return self._timed("List", self._driver.names, path)

    def sorted_names(self, path: str) -> Sequence[str]:
        return self._timed("List", self._driver.sorted_names, path)

    def children(self, path: str) -> list[str]:
        return self._timed("List", self._driver.children, path)

    def walk_files(self, path: str) -> Iterator[str]:
        # A missing path has to be found out here, and not when the first file is wanted.
        began, files = time.perf_counter(), self._driver.walk_files(path)
        return self._until_counted(files, began)

    def move(self, source: str, target: str) -> None:
        self._timed("Move", self._driver.move, source, target)

    def delete(self, path: str) -> None:
        self._timed("Delete", self._driver.delete, path)

    def local_path(self, path: str) -> Path | None:
        if not path.startswith(layout.BLOBS):
            return self._driver.local_path(path)
        return self._timed(self._serving, self._driver.local_path, path)

    def _until_counted(self, files: Iterator[str], began: float) -> Iterator[str]:
        yield from files
        self._count("Walk", began)

    def _timed(self, action: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        began = time.perf_counter()
        try:
            return call(*args, **kwargs)
        finally:
            self._count(action, began)

    def _count(self, action: str, began: float) -> None:
        self._counters.storage_action(self._driver.name, action, time.perf_counter() - began)


class CountedCache:
    """A :class:`DescriptorCache` that does what *cache* does."""

    def __init__(self, cache: DescriptorCache, counters: CacheCounters) -> None:
        self._cache = cache
        self._counters = counters

    def find(self, repository: str, digest: Digest) -> Descriptor | None:
        self._counters.requests += 1
        found = self._cache.find(repository, digest)
        if found is None:
            self._counters.misses += 1
        else:
            self._counters.hits += 1
        return found

    def remember(self, repository: str, digest: Digest, descriptor: Descriptor) -> None:
        self._cache.remember(repository, digest, descriptor)

    def remember_bytes(self, descriptor: Descriptor) -> None:
        self._cache.remember_bytes(descriptor)

    def forget(self, repository: str, digest: Digest) -> None:
        self._cache.forget(repository, digest)

    def close(self) -> None:
        self._cache.close()
