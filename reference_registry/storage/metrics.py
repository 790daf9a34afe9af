"""A storage driver whose actions are timed, and a descriptor cache whose hits are counted.

Actions have the names that distribution's drivers give them (``GetContent``, ``Stat``...). As
there, the opening of a stream is not timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reference_registry.counters import CacheCounters, Metrics
from reference_registry.digest import Digest
from reference_registry.repository import Descriptor
from reference_registry.storage import layout
from reference_registry.storage.descriptor_cache import DescriptorCache
from reference_registry.storage.driver import StorageDriver

__all__ = ["CountedCache", "TimedDriver"]

_ACTIONS = {
    "read": "GetContent",
    "write": "PutContent",
    "replace": "PutContent",
    "size": "Stat",
    "is_file": "Stat",
    "exists": "Stat",
    "names": "List",
    "sorted_names": "List",
    "children": "List",
    "move": "Move",
    "delete": "Delete",
}


class TimedDriver:
    """A :class:`StorageDriver` that does what *driver* does. *serving* is the action under which it
    counts that a blob is about to be served: a release asks its driver for a redirect then."""

    def __init__(self, driver: StorageDriver, metrics: Metrics, *, serving: str) -> None:
        self._driver = driver
        self._metrics = metrics
        self._serving = serving

    def __getattr__(self, name: str) -> Any:
        """A method of the driver, timed if it is in the table above."""
        found = getattr(self._driver, name)
        if name in _ACTIONS:
            found = self._timed(_ACTIONS[name], found)
        setattr(self, name, found)  # for the next call
        return found

    def local_path(self, path: str) -> Path | None:
        if not path.startswith(layout.BLOBS):
            return self._driver.local_path(path)
        found: Path | None = self._timed(self._serving, self._driver.local_path)(path)
        return found

    def _timed(self, action: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*args)
            finally:
                self._observe(action, began)

        return timed

    def _observe(self, action: str, began: float) -> None:
        seconds = time.perf_counter() - began
        self._metrics.storage_actions.labels(self._driver.name, action).observe(seconds)


class CountedCache:
    """A :class:`DescriptorCache` that does what *cache* does."""

    def __init__(self, cache: DescriptorCache, counters: CacheCounters) -> None:
        self._cache = cache
        self._counters = counters

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def find(self, repository: str, digest: Digest) -> Descriptor | None:
        self._counters.requests += 1
        found = self._cache.find(repository, digest)
        if found is None:
            self._counters.misses += 1
        else:
            self._counters.hits += 1
        return found
