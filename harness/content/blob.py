"""Bytes with a digest: at hand, or made while they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Protocol

from reference_registry.digest import Digest, digest_of

__all__ = ["CHUNK", "Blob", "Content", "Pattern"]

CHUNK = 256 * 1024
"""Bytes per piece when content is read or sent in pieces."""

_OCTET_STREAM = "application/octet-stream"


class Content(Protocol):
    """Anything with bytes and a name for them: blobs, images, indexes, artifacts."""

    @property
    def media_type(self) -> str: ...
    @property
    def content(self) -> bytes: ...
    @property
    def digest(self) -> Digest: ...
    @property
    def size(self) -> int: ...


@dataclass(frozen=True)
class Pattern:
    """``size`` bytes that follow from ``seed``, readable from any offset without keeping them.

    Every block of :data:`CHUNK` bytes begins with its own number, so that no two blocks are equal
    and bytes that come from a wrong offset are found out.
    """

    size: int
    seed: str

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes ``[start, stop)`` in pieces that end at block boundaries."""
        base = _noise(self.seed)
        while start < stop:
            number, offset = divmod(start, CHUNK)
            block = number.to_bytes(16, "big") + base
            piece = block[offset : min(CHUNK, offset + stop - start)]
            yield piece
            start += len(piece)


@lru_cache(maxsize=64)
def _noise(seed: str) -> bytes:
    return hashlib.shake_256(seed.encode()).digest(CHUNK - 16)


@dataclass(frozen=True)
class Blob:
    """Bytes and their media type. The bytes are at hand, or made when they are read."""

    source: bytes | Pattern = field(repr=False)
    media_type: str = _OCTET_STREAM

    @classmethod
    def of_size(cls, size: int, seed: str = "blob", media_type: str = _OCTET_STREAM) -> Blob:
        """A blob of *size* bytes that is never in memory as a whole; hashed once per process."""
        return cls(Pattern(size, seed), media_type)

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.size

    @property
    def content(self) -> bytes:
        """All bytes at once."""
        return self.source if isinstance(self.source, bytes) else b"".join(self.chunks())

    @cached_property
    def digest(self) -> Digest:
        """The sha256 digest."""
        if isinstance(self.source, bytes):
            return digest_of(self.source)
        return _digest_of_pattern(self.source)

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes | memoryview]:
        """The bytes ``[start, stop)`` in pieces of at most :data:`CHUNK` bytes, not copied."""
        stop = self.size if stop is None else min(stop, self.size)
        if isinstance(self.source, Pattern):
            yield from self.source.chunks(start, stop)
            return
        view = memoryview(self.source)
        for offset in range(start, stop, CHUNK):
            yield view[offset : min(offset + CHUNK, stop)]


@lru_cache(maxsize=256)
def _digest_of_pattern(pattern: Pattern) -> Digest:
    sha256 = hashlib.sha256()
    for piece in pattern.chunks(0, pattern.size):
        sha256.update(piece)
    return Digest(f"sha256:{sha256.hexdigest()}")
