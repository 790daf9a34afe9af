"""Coalescing: one download of a blob serves all clients that ask for the blob meanwhile.

A download is a task, so no client can end it by leaving. Its state decides what readers get; an
event changes the state and wakes readers::

    state      event      next state   wakes    what happened
    ---------  ---------  -----------  -------  ---------------------------------------------------
    ASKING     ANSWERED   STREAMING    all      upstream has the blob: size and media type are known
    STREAMING  ARRIVED    STREAMING    fastest  a chunk is in memory, and is going to be written
    STREAMING  WRITTEN    STREAMING    all      a chunk is in the file
    STREAMING  VERIFIED   VERIFIED     all      all bytes have arrived and have the digest
    VERIFIED   WRITTEN    VERIFIED     all      a chunk is in the file
    STREAMING  STORED     STORED       all      the file is in the blob store, and linked
    VERIFIED   STORED     STORED       all      the same
    any        FAILED     FAILED       all      upstream, the digest or the disk failed

    state      who asks for size and type   who reads
    ---------  ---------------------------  -------------------------------------------------------
    ASKING     waits                        waits
    STREAMING  gets them                    all but the last byte of what is in the file
    VERIFIED   gets them                    all of what is in the file
    STORED     gets them                    everything
    FAILED     gets them, or the failure    what STREAMING allowed, then the failure

- One reader, the *fastest*, is also served from memory, ahead of the disk. It is the first one that
  began to read and has not ended.
- A known size makes the last byte special: without it no client takes the blob for complete, so
  no client receives all of something wrong. Without a known size the end of the body does that.
- A slow reader does not delay the others, since it reads from the file.
- :meth:`DownloadProgress.chunks` is the only place that waits for bytes,
  :meth:`DownloadProgress.happen` the only one that wakes.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncGenerator
from enum import Enum, auto
from operator import itemgetter
from typing import BinaryIO

from reference_registry.digest import Digest
from reference_registry.proxy.upstream.client import BlobInfo
from reference_registry.proxy.upstream.errors import UpstreamFailure
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.store import Storage

_CHUNK = 256 * 1024


class State(Enum):
    """How far a download is."""

    ASKING = auto()
    STREAMING = auto()
    VERIFIED = auto()
    STORED = auto()
    FAILED = auto()


class Event(Enum):
    """What can happen to a download."""

    ANSWERED = auto()
    ARRIVED = auto()
    WRITTEN = auto()
    VERIFIED = auto()
    STORED = auto()
    FAILED = auto()


_FASTEST, _ALL = False, True

TRANSITIONS: dict[tuple[State, Event], tuple[State, bool]] = {
    (State.ASKING, Event.ANSWERED): (State.STREAMING, _ALL),
    (State.STREAMING, Event.ARRIVED): (State.STREAMING, _FASTEST),
    (State.STREAMING, Event.WRITTEN): (State.STREAMING, _ALL),
    (State.STREAMING, Event.VERIFIED): (State.VERIFIED, _ALL),
    (State.VERIFIED, Event.WRITTEN): (State.VERIFIED, _ALL),
    (State.STREAMING, Event.STORED): (State.STORED, _ALL),
    (State.VERIFIED, Event.STORED): (State.STORED, _ALL),
    (State.ASKING, Event.FAILED): (State.FAILED, _ALL),
    (State.STREAMING, Event.FAILED): (State.FAILED, _ALL),
    (State.VERIFIED, Event.FAILED): (State.FAILED, _ALL),
}
"""The next state, and whom the event wakes. Any other pair is a ``KeyError``, a bug."""


# -- the bytes so far: the latest ones in memory, the others in a file -----------------------------
class DownloadFailed(UpstreamFailure):
    """The download that a client was reading from failed."""


class DiskFailed(DownloadFailed):
    """The download failed because it could not be written. Upstream still has the blob."""


class PartialBlob:
    """The blob *digest*, written to the upload at the storage path :attr:`path` and moved into the
    blob store at the end. Reading never waits; :class:`DownloadProgress` waits."""

    def __init__(self, digest: Digest, storage: Storage) -> None:
        self.digest = digest
        self.path = ""
        self.arrived = 0
        """Bytes received so far."""
        self.written = 0
        """Bytes of these that are in the file."""
        self._storage = storage
        self._unwritten: deque[tuple[int, bytes]] = deque()  # offset and bytes

    def arrive(self, chunk: bytes) -> None:
        """*chunk* follows what arrived before. It stays in memory until it is written."""
        self._unwritten.append((self.arrived, chunk))
        self.arrived += len(chunk)

    def advance(self, count: int) -> None:
        """*count* more bytes are in the file."""
        self.written += count
        while self._unwritten:
            offset, chunk = self._unwritten[0]
            if offset + len(chunk) > self.written:
                break
            self._unwritten.popleft()

    def in_memory(self, position: int, wanted: int) -> bytes:
        """At most *wanted* bytes from *position* on; empty if they have been written already."""
        if not self._unwritten or position < self._unwritten[0][0]:
            return b""
        at = bisect_right(self._unwritten, position, key=itemgetter(0)) - 1
        offset, chunk = self._unwritten[at]
        return chunk[position - offset : position - offset + wanted]

    def open(self, position: int) -> BinaryIO | None:
        """The file at *position*: the upload, or the blob that it became. None if both are gone."""
        try:
            return self._storage.driver.open_read(self.path, position)
        except PathNotFound:
            pass  # It has been moved into the blob store.
        try:
            return self._storage.blobs.open(self.digest, position)
        except PathNotFound:
            return None


class PartialReader:
    """Reads *blob* front to back through one open file. Close it."""

    def __init__(self, blob: PartialBlob) -> None:
        self._blob = blob
        self._file: BinaryIO | None = None
        self._position = 0

    def read(self, position: int, wanted: int) -> bytes:
        """At most *wanted* written bytes from *position* on; empty if the file is gone or short."""
        if self._file is not None and position == self._position:
            chunk = self._file.read(wanted)
        else:
            chunk = b""
        if not chunk:  # Not open yet, open elsewhere, or read to what was its end.
            self.close()
            self._file = self._blob.open(position)
            chunk = b"" if self._file is None else self._file.read(wanted)
        self._position = position + len(chunk)
        return chunk

    def close(self) -> None:
        """Close the file. May be called twice."""
        file, self._file = self._file, None
        if file is not None:
            file.close()


# -- the state machine ---------------------------------------------------------------------------
class DownloadProgress:
    """The state machine: where the download of *digest* is, and how to read along."""

    def __init__(self, digest: Digest, storage: Storage) -> None:
        self.digest = digest
        self.state = State.ASKING
        self.info: BlobInfo | None = None
        """Size and media type, from ANSWERED on."""
        self._content = PartialBlob(digest, storage)
        self._failure: UpstreamFailure | None = None
        self._any = asyncio.Event()
        self._arrival = asyncio.Event()
        self._has_fastest = False

    def happen(self, event: Event) -> None:
        """Change the state and wake readers."""
        self.state, wakes_all = TRANSITIONS[self.state, event]
        if wakes_all:
            self._any.set()
            self._any = asyncio.Event()
        self._arrival.set()
        self._arrival = asyncio.Event()

    # -- events, reported by the transfer ---------------------------------------------------------
    def answered(self, info: BlobInfo, path: str) -> None:
        """Upstream has the blob; its bytes will be written to the storage path *path*."""
        self.info, self._content.path = info, path
        self.happen(Event.ANSWERED)

    def arrived(self, chunk: bytes) -> None:
        """*chunk* has arrived and is going to be written."""
        self._content.arrive(chunk)
        self.happen(Event.ARRIVED)

    def written(self, count: int) -> None:
        """*count* more bytes are in the file."""
        self._content.advance(count)
        self.happen(Event.WRITTEN)

    def failed(self, failure: UpstreamFailure) -> None:
        """The missing bytes will not come."""
        self._failure = failure
        self.happen(Event.FAILED)

    # -- readers ----------------------------------------------------------------------------------
    @property
    def size(self) -> int:
        """Bytes in the file so far; of the blob, once it is stored."""
        return self._content.written

    @property
    def has_ended(self) -> bool:
        """Whether no event can follow."""
        return self.state in {State.STORED, State.FAILED}

    def has_arrived(self, offset: int) -> bool:
        """Whether a reader at *offset* need not wait for bytes before it."""
        return self.state is State.STORED or offset <= self._content.arrived

    async def known(self) -> BlobInfo:
        """Size and media type, once upstream has answered; raises :class:`UpstreamFailure`."""
        while self.info is None:
            if self._failure is not None:
                raise self._failure
            await self._any.wait()
        return self.info

    async def chunks(
        self, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """*length* bytes from *start* (None: to the end), as they arrive. After the last byte of
        the whole blob this waits until the blob is stored, so that a client that has it and asks
        again finds it in the cache. Raises :class:`DownloadFailed` if bytes are missing."""
        is_fastest, self._has_fastest = not self._has_fastest, True
        reader = PartialReader(self._content)
        position, end = start, None if length is None else start + length
        try:
            while end is None or position < end:
                readable = await self._readable_beyond(position, is_fastest)
                if readable <= position and end is None:
                    return
                if readable <= position:
                    raise DownloadFailed(f"{self.digest}: it has no more than {position} bytes")
                wanted = min(_CHUNK, (readable if end is None else min(end, readable)) - position)
                chunk = self._content.in_memory(position, wanted) if is_fastest else b""
                chunk = chunk or reader.read(position, wanted)
                if chunk:
                    position += len(chunk)
                    yield chunk
                elif self.has_ended:
                    raise DownloadFailed(f"{self.digest}: the bytes after {position} are gone")
                else:  # The file is being moved into the blob store.
                    await self._any.wait()
            is_whole = start == 0 and self.info is not None and length == self.info.size
            while is_whole and not self.has_ended:
                await self._any.wait()
        finally:
            reader.close()
            if is_fastest:
                self._has_fastest = False

    async def _readable_beyond(self, position: int, is_fastest: bool) -> int:
        """How far a reader may read: beyond *position*, or the end of the blob."""
        content = self._content
        while self.state is not State.STORED:
            readable = content.arrived if is_fastest else content.written
            if self.info and self.info.size is not None and self.state is not State.VERIFIED:
                readable = min(readable, self.info.size - 1)
            if readable > position:
                return readable
            if isinstance(self._failure, DiskFailed):
                raise self._failure
            if self._failure is not None:
                raise DownloadFailed(str(self._failure)) from self._failure
            await (self._arrival if is_fastest else self._any).wait()
        return content.written
