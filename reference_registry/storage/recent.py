"""A bounded memory of values: those that were used last stay."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Recent"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_ENTRY = 512
"""Bytes that a key and the bookkeeping of a value take, roughly."""


class Recent(Generic[K, V]):
    """Values by key, of at most *bound* bytes together; what was not used for longest goes first.

    A value that would take more than a sixteenth of that is not kept, so that one large thing does
    not drive out all the small ones. May be used from several threads.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes, by what the values were said to take."""
        return self._size

    def get(self, key: K) -> V | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def keep(self, key: K, value: V, size: int) -> None:
        """Let *value*, which takes *size* bytes, be what is known under *key*."""
        size += _ENTRY
        with self._lock:
            self._drop(key)
            if size > self._bound // 16:
                return
            self._entries[key] = (value, size)
            self._size += size
            while self._size > self._bound:
                self._drop(next(iter(self._entries)))

    def forget(self, key: K) -> None:
        with self._lock:
            self._drop(key)

    def _drop(self, key: K) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size -= entry[1]
