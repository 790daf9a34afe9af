"""Where the bytes of a fill go: to its first reader, into the hash and to the disk, each at its own
pace."""

from __future__ import annotations

from reference_registry.digest import Digest, algorithm_of
from reference_registry.proxy.blobs.partial import PartialBlob
from reference_registry.proxy.blobs.write_pipeline import Room, WriteBehind
from reference_registry.storage.writer import BlobWriter

__all__ = ["Intake"]

_ROOM = Room(24 * 1024 * 1024)
"""All fills of a process share its memory."""
_LARGE = 16 * 1024 * 1024


class Intake:
    """Takes the bytes of *content*, in order, for *writer*."""

    def __init__(self, content: PartialBlob, writer: BlobWriter) -> None:
        self._content = content
        self._writer = writer
        self._hashing = WriteBehind(writer.hash)
        self._disk = WriteBehind(writer.write, content.advance, _ROOM)

    async def put(self, chunk: bytes) -> None:
        """Take *chunk*, and wait where too much waits already. Raises what an earlier write
        raised."""
        self._content.arrive(chunk)
        await self._hashing.put(chunk)
        await self._disk.put(chunk)

    async def flush(self) -> None:
        """Return when everything is in the file, or raise what a write raised."""
        await self._hashing.flush()
        await self._disk.flush()

    async def verify(self, digest: Digest) -> None:
        """Return when everything, be it written or not, is known to be *digest*;
        :class:`DigestMismatch` where it is not. Algorithms other than the writer's are left to who
        commits.

        The readers of a large blob need not wait for the disk then. Those of a small one do, which
        costs them little: whoever has received it finds it in the cache.
        """
        await self._hashing.flush()
        if self._writer.hasher.name == algorithm_of(digest):
            self._writer.verify(digest)
            if self._content.arrived >= _LARGE:
                self._content.verify()

    async def abandon(self) -> None:
        """Drop what waits; return when what is under way has ended."""
        await self._hashing.abandon()
        await self._disk.abandon()
