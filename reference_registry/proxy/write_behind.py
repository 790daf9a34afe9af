"""Writing to disk while the next bytes come in from the network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["WriteBehind"]

_MOST_PENDING = 4 * 1024 * 1024


class WriteBehind:
    """Hands what is put in to *write*, in a worker thread, one piece at a time and in order.

    What arrives during a write is one piece, the next: a fast source makes large pieces, a slow one
    is not kept waiting, and neither are those who read what a stalled one sent. *written* is told,
    on the event loop, how many bytes each write had. At most 4 MiB wait in memory; a source that is
    faster than the disk is held up then.
    """

    def __init__(self, write: Callable[[bytes], None], written: Callable[[int], None]) -> None:
        self._write = write
        self._written = written
        self._pending: list[bytes] = []
        self._size = 0
        self._writing: asyncio.Task[None] | None = None

    async def put(self, chunk: bytes) -> None:
        """Take *chunk*. Raises what an earlier write raised."""
        self._pending.append(chunk)
        self._size += len(chunk)
        if self._writing is not None and (self._writing.done() or self._size > _MOST_PENDING):
            await self._piece_written(self._writing)
        if self._writing is None:
            self._begin()

    async def flush(self) -> None:
        """Return when everything has been written, or raise what a write raised."""
        while self._writing is not None:
            await self._piece_written(self._writing)

    async def abandon(self) -> None:
        """Drop what waits; return when the write that is under way has ended."""
        self._pending.clear()
        if self._writing is not None:
            await asyncio.wait([self._writing])
            self._writing = None

    def _begin(self) -> None:
        piece = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
        self._pending = []
        self._size = 0
        self._writing = asyncio.create_task(self._write_piece(piece))

    async def _write_piece(self, piece: bytes) -> None:
        await asyncio.to_thread(self._write, piece)
        self._written(len(piece))
        if self._pending:
            self._begin()

    async def _piece_written(self, writing: asyncio.Task[None]) -> None:
        await asyncio.shield(writing)
        if self._writing is writing:  # Nothing waited to be the next.
            self._writing = None
