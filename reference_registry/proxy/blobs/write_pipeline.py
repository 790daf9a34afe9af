"""Hashing and writing to disk while the next bytes come in from the network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from reference_registry.digest import Digest, algorithm_of
from reference_registry.storage.uploads import BlobWriter

__all__ = ["Arrivals", "Intake", "Room", "WriteBehind"]

_ALWAYS = 4 * 1024 * 1024
_ENOUGH = 1024 * 1024
_MOMENT = 0.002  # seconds


class Room:
    """A memory limit for waiting bytes, shared by several :class:`WriteBehind`: *most* bytes in
    all, except that each may always hold 4 MiB."""

    def __init__(self, most: int = _ALWAYS) -> None:
        self._most = most
        self._taken = 0

    def take(self, size: int) -> None:
        self._taken += size

    def give_back(self, size: int) -> None:
        self._taken -= size

    def is_enough(self, held: int) -> bool:
        """Whether a holder of *held* bytes may take more before it gives some back."""
        return held <= _ALWAYS or self._taken <= self._most


class WriteBehind:
    """Passes chunks to *write* in a worker thread, as lists of chunks, one list at a time and in
    order.

    Chunks that arrive during a write form the next list. So do chunks that arrive within two
    milliseconds, up to one MiB, because waking a thread takes as long as writing a little.
    *written* is called on the event loop with the number of bytes of each finished write. Waiting
    chunks take up *room*; when it is full, :meth:`put` waits, which slows the source down.
    """

    def __init__(
        self,
        write: Callable[[Sequence[bytes]], None],
        written: Callable[[int], None] | None = None,
        room: Room | None = None,
    ) -> None:
        self._write = write
        self._written = written
        self._room = room or Room()
        self._pending: list[bytes] = []
        self._waiting = 0  # bytes in the pending chunks
        self._held = 0  # bytes waiting or being written
        self._soon: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    async def put(self, chunk: bytes) -> None:
        """Take *chunk*. Raises what an earlier write raised."""
        self._pending.append(chunk)
        self._waiting += len(chunk)
        self._held += len(chunk)
        self._room.take(len(chunk))
        while not self._room.is_enough(self._held) or self._has_ended():
            await self._list_written()
        if self._writing is None:
            self._begin_soon()

    async def flush(self) -> None:
        """Return when all chunks are written, or raise what a write raised."""
        while self._pending or self._writing is not None:
            await self._list_written()

    async def abandon(self) -> None:
        """Drop waiting chunks; return when the current write has ended."""
        self._take_pending()
        if self._writing is not None:
            await asyncio.wait([self._writing])
            self._writing = None
        self._free(self._held)

    def _has_ended(self) -> bool:
        return self._writing is not None and self._writing.done()

    def _take_pending(self) -> list[bytes]:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        chunks, self._pending, self._waiting = self._pending, [], 0
        return chunks

    def _begin_soon(self) -> None:
        if self._waiting >= _ENOUGH:
            self._begin()
        elif self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(_MOMENT, self._begin)

    def _begin(self) -> asyncio.Task[None]:
        self._writing = asyncio.create_task(self._write_list(self._take_pending()))
        return self._writing

    async def _write_list(self, chunks: list[bytes]) -> None:
        await asyncio.to_thread(self._write, chunks)
        size = sum(map(len, chunks))
        self._free(size)
        if self._written is not None:
            self._written(size)
        if self._pending:
            self._begin_soon()

    async def _list_written(self) -> None:
        writing = self._writing or self._begin()
        await asyncio.shield(writing)
        if self._writing is writing:  # The next has not begun yet.
            self._writing = None

    def _free(self, size: int) -> None:
        self._held -= size
        self._room.give_back(size)


_ROOM = Room(24 * 1024 * 1024)
"""Memory for the chunks of all downloads of this process that wait to be written."""
_LARGE = 16 * 1024 * 1024


class Arrivals(Protocol):
    """What an intake reports, on the event loop."""

    def arrived(self, chunk: bytes) -> None:
        """*chunk* has arrived and is going to be written."""
        ...

    def written(self, count: int) -> None:
        """*count* more bytes are in the file."""
        ...

    def verified(self) -> None:
        """All bytes have arrived and have the digest, although some may not be written yet."""
        ...


class Intake:
    """Takes the bytes of a download, in order, and passes each to the readers in memory, to the
    hash and to the disk, each at its own pace."""

    def __init__(self, writer: BlobWriter, progress: Arrivals) -> None:
        self._writer = writer
        self._progress = progress
        self._hashing = WriteBehind(writer.hash)
        self._disk = WriteBehind(writer.write, progress.written, _ROOM)

    async def put(self, chunk: bytes) -> None:
        """Take *chunk*, and wait while too much is waiting. Raises what an earlier write raised."""
        self._progress.arrived(chunk)
        await self._hashing.put(chunk)
        await self._disk.put(chunk)

    async def flush(self) -> None:
        """Return when everything is in the file, or raise what a write raised."""
        await self._hashing.flush()
        await self._disk.flush()

    async def verify(self, digest: Digest, size: int) -> None:
        """Check that the *size* bytes that arrived have *digest*; :class:`DigestMismatch` if not.
        Does nothing for a digest algorithm other than the writer's: the commit checks those.

        Readers of a large blob need not wait for the disk then. Readers of a small one do, which
        costs little and means that a client that has the blob finds it in the cache.
        """
        await self._hashing.flush()
        if self._writer.hasher.name == algorithm_of(digest):
            self._writer.verify(digest)
            if size >= _LARGE:
                self._progress.verified()

    async def abandon(self) -> None:
        """Drop waiting chunks; return when the current writes have ended."""
        await self._hashing.abandon()
        await self._disk.abandon()
