"""Writing to disk, and hashing, while the next bytes come in from the network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

__all__ = ["Room", "WriteBehind"]

_ALWAYS = 4 * 1024 * 1024
_ENOUGH = 1024 * 1024
_MOMENT = 0.002  # seconds


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

    What arrives during a write is one list, the next; so is what arrives within two milliseconds,
    up to one MiB, since waking a thread takes as long as writing a little. *written* is told,
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
        self._waiting = 0  # bytes in those
        self._held = 0  # ... and bytes that are being written
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
        """Return when everything has been written, or raise what a write raised."""
        while self._pending or self._writing is not None:
            await self._list_written()

    async def abandon(self) -> None:
        """Drop what waits; return when the write that is under way has ended."""
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
