"""Writing to disk while the next bytes come in from the network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["WriteBehind"]

_MOST_PENDING = 4 * 1024 * 1024


class WriteBehind:
    """Hands what is put in to *write*, in a worker thread, one piece at a time and in order.

    What arrives during a write is one piece of the next: a fast source makes large pieces and a
    slow one is not kept waiting. *written* is told, on the event loop, how many bytes each write
    had. At most 4 MiB wait in memory; a source that is faster than the disk is held up then.
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
            await self._finish()
        if self._writing is None:
            self._begin()

    async def flush(self) -> None:
        """Return when everything has been written, or raise what a write raised."""
        await self._finish()
        if self._pending:
            self._begin()
            await self._finish()

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

    async def _finish(self) -> None:
        if self._writing is not None:
            await asyncio.shield(self._writing)
            self._writing = None
