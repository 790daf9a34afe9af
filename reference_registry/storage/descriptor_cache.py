"""The blob descriptor cache (``storage.cache``): which repository has which blob, and its size.

Entries are kept per repository, because a repository must not see blobs that only others link.
"""

from __future__ import annotations

import sys

from reference_registry.digest import Digest
from reference_registry.repository import Descriptor
from reference_registry.storage.filesystem import LruCache


class DescriptorCache:
    """The interface. This class remembers nothing: it is used without ``blobdescriptor``."""

    def find(self, repository: str, digest: Digest) -> Descriptor | None:
        """The blob, if *repository* is known to have it."""
        return None

    def remember(self, repository: str, digest: Digest, descriptor: Descriptor) -> None:
        """*repository* has the blob *digest*, with its bytes as in *descriptor*."""

    def remember_bytes(self, descriptor: Descriptor) -> None:
        """The bytes are stored, for any repository."""

    def forget(self, repository: str, digest: Digest) -> None:
        """*repository* no longer has the blob; others may."""

    def close(self) -> None:
        """Close connections when the registry stops."""


class MemoryDescriptorCache(DescriptorCache):
    """``blobdescriptor: inmemory``: at most *size* entries, the least recently used are evicted
    first; 0 means no limit. Entries are found by repository only."""

    def __init__(self, size: int = 10_000) -> None:
        bound = size if size > 0 else sys.maxsize
        self._entries: LruCache[tuple[str, Digest], Descriptor] = LruCache(
            bound, entry=1, largest=bound
        )

    def find(self, repository: str, digest: Digest) -> Descriptor | None:
        return self._entries.get((repository, digest))

    def remember(self, repository: str, digest: Digest, descriptor: Descriptor) -> None:
        self._entries.keep((repository, digest), descriptor)

    def forget(self, repository: str, digest: Digest) -> None:
        self._entries.forget((repository, digest))
