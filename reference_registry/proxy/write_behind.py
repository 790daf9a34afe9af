"""Writing to disk, and hashing, while the next bytes come in from the network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

__all__ = ["Room", "WriteBehind"]

_ALWAYS = 4 * 1024 * 1024


class Room:
    """Memory for bytes that wait, shared by all who are given it: *most* bytes in all, though
    nobody is refused the first 4 MiB."""

    def __init__(self, most: int = _ALWAYS) -> None:
        self._most = most
        self._taken = 0

    def take(self, size: int) -> None:
        self._taken += size

    def give_back(self, size: int) -> None:
        self._taken -= size

    def is_enough(self, held: int) -> bool:
        """Whether one who holds *held* bytes may go on without giving any back."""
        return held <= _ALWAYS or self._taken <= self._most


class WriteBehind:
    """Hands what is put in to *write*, in a worker thread, as lists of chunks, one list at a time
    and in order.

    What arrives during a write is one list, the next: a fast source makes large ones, a slow one is
    not kept waiting, and neither are those who read what a stalled one sent. *written* is told,
    on the event loop, how many bytes each write had. What waits takes up *room*; where there is
    none left, a source that is faster than the disk is held up.
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
        self._held = 0  # bytes that wait or are being written
        self._writing: asyncio.Task[None] | None = None

    async def put(self, chunk: bytes) -> None:
        """Take *chunk*. Raises what an earlier write raised."""
        self._pending.append(chunk)
        self._held += len(chunk)
        self._room.take(len(chunk))
        while (writing := self._writing) is not None and (
            writing.done() or not self._room.is_enough(self._held)
        ):
            await self._list_written(writing)
        if self._writing is None:
            self._begin()

    async def flush(self) -> None:
        """Return when everything has been written, or raise what a write raised."""
        while self._writing is not None:
            await self._list_written(self._writing)

    async def abandon(self) -> None:
        """Drop what waits; return when the write that is under way has ended."""
        self._pending.clear()
        if self._writing is not None:
            await asyncio.wait([self._writing])
            self._writing = None
        self._free(self._held)

    def _begin(self) -> None:
        chunks, self._pending = self._pending, []
        self._writing = asyncio.create_task(self._write_list(chunks))

    async def _write_list(self, chunks: list[bytes]) -> None:
        await asyncio.to_thread(self._write, chunks)
        size = sum(map(len, chunks))
        self._free(size)
        if self._written is not None:
            self._written(size)
        if self._pending:
            self._begin()

    def _free(self, size: int) -> None:
        self._held -= size
        self._room.give_back(size)

    async def _list_written(self, writing: asyncio.Task[None]) -> None:
        await asyncio.shield(writing)
        if self._writing is writing:  # Nothing waited to be the next.
            self._writing = None
