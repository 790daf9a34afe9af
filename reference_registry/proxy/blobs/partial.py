"""A blob whose bytes are arriving in a file, for those who read along.

Readers follow through the file, each at its own pace: a slow one holds nobody up, one that leaves
ends nothing, and memory holds no more than a chunk of each. The first of them need not wait for
the disk: as long as it keeps up it is given what waits in memory to be written. Until the bytes are
known to be right the last one is held back: nobody ever receives the whole of something wrong.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from operator import itemgetter
from typing import BinaryIO

from reference_registry.digest import Digest
from reference_registry.proxy.upstream.client import BlobInfo
from reference_registry.proxy.upstream.errors import UpstreamFailure
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.store import Storage

__all__ = ["DiskFailed", "FillBroken", "PartialBlob"]

_CHUNK = 256 * 1024


class FillBroken(UpstreamFailure):
    """The fill that a client was reading from came to nothing."""


class DiskFailed(FillBroken):
    """... because it could not be written. Upstream has it all the same."""


class PartialBlob:
    """The blob *digest* on its way into *storage*. Whoever writes it tells this object how far it
    has come; whoever reads it asks for :meth:`info` and :meth:`chunks`."""

    def __init__(self, digest: Digest, storage: Storage) -> None:
        self.digest = digest
        self.written = 0
        """Bytes on disk so far."""
        self.size: int | None = None
        """Of the whole, where upstream told it."""
        self.is_complete = False
        self.arrived = 0
        """Bytes that came so far, of which some may wait to be written."""
        self._unwritten: deque[tuple[int, bytes]] = deque()  # offset and bytes
        self._is_verified = False
        self._has_first_reader = False
        self._storage = storage
        self._info: asyncio.Future[BlobInfo] = asyncio.get_running_loop().create_future()
        self._failure: UpstreamFailure | None = None
        self._changed = asyncio.Event()
        self._arrival = asyncio.Event()
        self._path = ""

    # -- for the writer ---------------------------------------------------------------------------
    @property
    def has_begun(self) -> bool:
        """Whether size and type are known, and may have been told to clients."""
        return self._info.done()

    @property
    def known(self) -> BlobInfo:
        """Size and type, once it :attr:`has_begun`."""
        return self._info.result()

    def begin(self, info: BlobInfo, path: str) -> None:
        """The bytes will be written to the storage path *path*."""
        self.size = info.size
        self._path = path
        self._info.set_result(info)

    def begin_again(self, path: str) -> None:
        """The same bytes will be written anew, to *path*."""
        self._path = path
        self.written = self.arrived = 0
        self._unwritten.clear()
        self._wake()

    def go_on_in(self, path: str) -> None:
        """The same bytes, those so far included, are in *path* too, where the rest will come."""
        self._path = path
        self._wake()

    def arrive(self, chunk: bytes) -> None:
        """*chunk* is going to be written, after all that arrived before."""
        self._unwritten.append((self.arrived, chunk))
        self.arrived += len(chunk)
        self._arrival.set()
        self._arrival = asyncio.Event()

    def advance(self, count: int) -> None:
        """*count* more bytes can be read from the file."""
        self.written += count
        self.arrived = max(self.arrived, self.written)
        while self._unwritten and self._end_of_oldest() <= self.written:
            self._unwritten.popleft()
        self._wake()

    def verify(self) -> None:
        """What has arrived is the blob, although not all of it need be written yet."""
        self._is_verified = True
        self._wake()

    def complete(self) -> None:
        """All bytes are in the blob store."""
        self.is_complete = True
        self._wake()

    def fail(self, failure: UpstreamFailure) -> None:
        """The bytes will not come."""
        self._failure = failure
        if not self._info.done():
            self._info.set_exception(failure)
            self._info.exception()  # Perhaps nobody is waiting for it.
        self._wake()

    def _end_of_oldest(self) -> int:
        offset, chunk = self._unwritten[0]
        return offset + len(chunk)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
        self._arrival.set()
        self._arrival = asyncio.Event()

    # -- for readers ------------------------------------------------------------------------------
    async def info(self) -> BlobInfo:
        """Size and type, once upstream has answered; raises :class:`UpstreamFailure`."""
        return await asyncio.shield(self._info)

    def reaches(self, offset: int) -> bool:
        """Whether reading from *offset* needs no waiting for bytes before it."""
        return self.is_complete or offset <= self.arrived

    async def chunks(
        self, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """``length`` bytes from ``start`` (None: to the end), as they arrive.

        Raises :class:`FillBroken` where they will not all arrive.
        """
        is_first, self._has_first_reader = not self._has_first_reader, True
        try:
            async with aclosing(self._chunks(start, length, is_first)) as chunks:
                async for chunk in chunks:
                    yield chunk
            if start == 0 and length == self.size:
                await self._settled()
        finally:
            if is_first:
                self._has_first_reader = False

    async def _chunks(
        self, start: int, length: int | None, is_first: bool
    ) -> AsyncGenerator[bytes, None]:
        position, end = start, None if length is None else start + length
        file: BinaryIO | None = None
        path = ""
        try:
            while end is None or position < end:
                readable = await self._readable_beyond(position, is_first)
                if readable <= position:
                    if end is not None:
                        raise FillBroken(f"{self.digest}: it has no more than {position} bytes")
                    return
                wanted = min(_CHUNK, (readable if end is None else min(end, readable)) - position)
                if is_first and (chunk := self._unwritten_at(position, wanted)):
                    path = ""  # An open file is not where we are any more.
                    position += len(chunk)
                    yield chunk
                    continue
                chunk = file.read(wanted) if file is not None and path == self._path else b""
                if not chunk:  # Not opened yet, or another file, or one read to its end before.
                    if file is not None:
                        file.close()
                    path, file = self._path, self._open(position)
                    if file is None:
                        await self._changed.wait()
                        continue
                    chunk = file.read(wanted)
                if not chunk:
                    raise FillBroken(f"{self.digest}: the file ends at {position}")
                position += len(chunk)
                yield chunk
        finally:
            if file is not None:
                file.close()

    async def _settled(self) -> None:
        """All is sent by now; but what the same client asks next finds the blob in the cache."""
        while not self.is_complete and self._failure is None:
            await self._changed.wait()

    def _unwritten_at(self, position: int, wanted: int) -> bytes:
        """At most *wanted* bytes from *position* on; none where they have been written."""
        if not self._unwritten or position < self._unwritten[0][0]:
            return b""
        at = bisect_right(self._unwritten, position, key=itemgetter(0)) - 1
        offset, chunk = self._unwritten[at]
        return chunk[position - offset : position - offset + wanted]

    async def _readable_beyond(self, position: int, is_first: bool) -> int:
        """How far the bytes may be read, once that is beyond *position* or is the end."""
        while True:
            if self.is_complete:
                return self.written
            readable = self._held_back(self.arrived if is_first else self.written)
            if readable > position:
                return readable
            if self._failure is not None:
                if isinstance(self._failure, DiskFailed):
                    raise self._failure
                raise FillBroken(str(self._failure)) from self._failure
            await (self._arrival if is_first else self._changed).wait()

    def _held_back(self, so_far: int) -> int:
        """All but the last byte, until the whole has been verified. Without a known size the end of
        the body is held back by itself: nobody is told that it is complete."""
        if self.size is None or self._is_verified:
            return so_far
        return min(so_far, self.size - 1)

    def _open(self, position: int) -> BinaryIO | None:
        """None where neither is the file there any more nor the blob yet: whoever writes it will
        say how it goes on."""
        if not self.is_complete:
            try:
                return self._storage.driver.open_read(self._path, position)
            except PathNotFound:
                pass  # It has just been moved into the blob store.
        try:
            return self._storage.blobs.open(self.digest, position)
        except PathNotFound:
            if self.is_complete or self._failure is not None:
                raise FillBroken(f"{self.digest}: the bytes are gone") from None
        return None
