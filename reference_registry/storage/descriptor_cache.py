"""Remembering which repository has which blob, and how large it is (``storage.cache``).

Entries are kept per repository, since a blob that one repository links is unknown to the next.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Protocol

from reference_registry.digest import Digest
from reference_registry.repository import Descriptor

__all__ = ["DescriptorCache", "MemoryDescriptorCache"]


class DescriptorCache(Protocol):
    """What ``blobdescriptor: inmemory`` and ``redis`` have in common."""

    def find(self, repository: str, digest: Digest) -> Descriptor | None:
        """The blob, if *repository* is known to have it."""
        ...

    def remember(self, repository: str, digest: Digest, descriptor: Descriptor) -> None:
        """*repository* has the blob *digest*, stored as *descriptor* says."""
        ...

    def remember_bytes(self, descriptor: Descriptor) -> None:
        """The bytes are stored, whichever repository may have them."""
        ...

    def forget(self, repository: str, digest: Digest) -> None:
        """*repository* has the blob no longer; others may."""
        ...

    def close(self) -> None:
        """Let go of what is open; for the end of the registry."""
        ...


class MemoryDescriptorCache:
    """Least recently used entries go first once there are more than *size*; 0 means no bound."""

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._entries: OrderedDict[tuple[str, Digest], Descriptor] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, repository: str, digest: Digest) -> Descriptor | None:
        with self._lock:
            descriptor = self._entries.get((repository, digest))
            if descriptor is not None:
                self._entries.move_to_end((repository, digest))
            return descriptor

    def remember(self, repository: str, digest: Digest, descriptor: Descriptor) -> None:
        with self._lock:
            self._entries[repository, digest] = descriptor
            self._entries.move_to_end((repository, digest))
            if 0 < self._size < len(self._entries):
                self._entries.popitem(last=False)

    def remember_bytes(self, descriptor: Descriptor) -> None:
        pass  # Never asked for but by the repository.

    def forget(self, repository: str, digest: Digest) -> None:
        with self._lock:
            self._entries.pop((repository, digest), None)

    def close(self) -> None:
        pass
