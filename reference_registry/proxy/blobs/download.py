"""``ideal`` downloads a blob: ask upstream, hash and write while bytes arrive, resume once, verify,
store, link."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress

from reference_registry.digest import Digest, algorithm_of
from reference_registry.proxy.blobs.coalesced import (
    DiskFailed,
    DownloadFailed,
    DownloadProgress,
    Event,
    State,
)
from reference_registry.proxy.upstream.client import BlobBody, UpstreamRepository
from reference_registry.proxy.upstream.errors import UpstreamBroken, UpstreamFailure
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.repository import LocalRepository
from reference_registry.storage.store import Storage
from reference_registry.storage.uploads import BlobWriter, DigestMismatch

_ALWAYS = 4 * 1024 * 1024
_ENOUGH = 1024 * 1024
_MOMENT = 0.002  # seconds
_LARGE = 16 * 1024 * 1024
"""Bytes from which a client gets the end of a blob before the blob is on disk. Waiting for the disk
costs little for a smaller one, and its client then finds it in the cache."""

_log = logging.getLogger(__name__)


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


class Download(DownloadProgress):
    """The download of *digest* from *source* into *local*, and into the other repositories that
    join. *cached* is called with each repository that has the blob in the end.

    A repository joins once upstream has said that it has the blob (:meth:`also_for`). If it belongs
    to another upstream, that upstream is asked for the rest when the first one fails.
    """

    def __init__(
        self,
        digest: Digest,
        local: LocalRepository,
        source: UpstreamRepository,
        storage: Storage,
        cached: Callable[[LocalRepository], None],
    ) -> None:
        super().__init__(digest, storage)
        self.repository = local.name
        """The repository that upstream is asked for."""
        self.upstream_key = source.upstream_key
        self.pulled = 0
        """Bytes that came from upstream so far."""
        self._local = local
        self._storage = storage
        self._cached = cached
        self._repositories = {local.name: local}
        self._sources = [source]
        self._retries = 0

    def is_for(self, repository: str) -> bool:
        """Whether the blob will be linked in *repository*."""
        return repository in self._repositories

    def also_for(self, local: LocalRepository, source: UpstreamRepository) -> None:
        """Link the blob in *local* too, whose upstream repository *source* is known to have it."""
        self._repositories[local.name] = local
        if all(source.upstream_key != known.upstream_key for known in self._sources):
            self._sources.append(source)
        if self.state is State.STORED:
            self._link(local)

    async def run(self) -> None:
        """Download. Failures are reported to the readers and logged."""
        try:
            await self._transfer()
            for repository in self._repositories.values():
                self._link(repository)
            self.happen(Event.STORED)
            # No client waits for this: see docs/durability.md.
            asyncio.get_running_loop().run_in_executor(None, self._sync)
        except BaseException as error:
            self.failed(_as_failure(error))
            if not isinstance(error, UpstreamFailure | DigestMismatch | OSError):
                raise
            if self.info is not None:
                _log.warning("%s@%s was not cached: %s", self.repository, self.digest, error)

    def _sync(self) -> None:
        with suppress(OSError):
            self._storage.blobs.sync(self.digest)

    def _link(self, repository: LocalRepository) -> None:
        try:
            if not repository.has_blob(self.digest):
                repository.link_blob(self.digest)
        except (OSError, PathNotFound) as error:
            _log.error("%s@%s could not be linked: %s", repository.name, self.digest, error)
        else:
            self._cached(repository)

    async def _transfer(self) -> None:
        """Return when the blob is in the store. Raises :class:`UpstreamFailure`, ``DigestMismatch``
        or ``OSError``, and leaves nothing behind then."""
        body = await self._sources[0].open_blob(self.digest)
        upload = self._storage.uploads.new_id()
        writer: BlobWriter | None = None
        try:
            try:
                writer = self._local.blob_writer(upload)
            except OSError:  # Clients can be served past the disk.
                self.answered(body.info, "")
                raise
            self.answered(body.info, writer.data_path)
            await self._receive(body, writer)
            await asyncio.to_thread(self._local.commit_blob, writer, self.digest, synced=False)
        except BaseException:
            await body.aclose()
            self._discard(upload, writer)
            raise

    def _discard(self, upload: str, writer: BlobWriter | None) -> None:
        try:
            if writer is None:
                self._storage.uploads.forget(self.repository, upload)
            else:
                writer.discard()
        except OSError as error:
            _log.warning("%s: upload %s stays: %s", self.repository, upload, error)

    async def _receive(self, body: BlobBody, writer: BlobWriter) -> None:
        """Hash and write *body*, and one more body for what is missing after that. Readers get the
        bytes from memory meanwhile."""
        hashing = WriteBehind(writer.hash)
        disk = WriteBehind(writer.write, self.written, _ROOM)
        size = body.info.size
        try:
            while True:
                try:
                    await self._copy(body, size, hashing, disk)
                    break
                except UpstreamFailure as failure:
                    await hashing.flush()
                    await disk.flush()
                    body = await self._rest(size, failure)
            if size is not None and self._content.arrived != size:
                raise UpstreamBroken(f"{self.digest}: {self._content.arrived} of {size} bytes came")
            await hashing.flush()
            if writer.hasher.name == algorithm_of(self.digest):  # The commit checks the others.
                writer.verify(self.digest)
                if self._content.arrived >= _LARGE:
                    self.happen(Event.VERIFIED)
            await disk.flush()
        finally:
            await hashing.abandon()
            await disk.abandon()

    async def _copy(
        self, body: BlobBody, size: int | None, hashing: WriteBehind, disk: WriteBehind
    ) -> None:
        skip = self._content.arrived - body.start
        async with aclosing(body.chunks()) as pieces:
            async for piece in pieces:
                self.pulled += len(piece)
                chunk = piece[skip:] if skip else piece
                skip = max(0, skip - len(piece))
                if size is not None and self._content.arrived + len(chunk) > size:
                    raise UpstreamBroken(f"{self.digest}: more bytes came than were announced")
                if chunk:
                    self.arrived(chunk)
                    await hashing.put(chunk)
                    await disk.put(chunk)

    async def _rest(self, size: int | None, failure: UpstreamFailure) -> BlobBody:
        """The missing bytes, after *failure*: from the first source once more, then from each other
        upstream. Raises *failure*, or that of the last attempt."""
        if size == self._content.arrived:  # Nothing is missing.
            raise failure
        while self._retries < len(self._sources):
            source = self._sources[self._retries]
            self._retries += 1
            _log.info("%s: %s: asking for the rest", self.digest, failure)
            try:
                return await self._open_rest(source, size)
            except UpstreamFailure as another:
                failure = another
        raise failure

    async def _open_rest(self, source: UpstreamRepository, size: int | None) -> BlobBody:
        """Without a known size only the end of the whole body says where the blob ends."""
        if size is None:
            return await source.open_blob(self.digest)
        rest = await source.open_blob(self.digest, self._content.arrived)
        if rest.info.size not in {size, None}:  # None: the whole body, of unknown size.
            await rest.aclose()
            raise UpstreamBroken(f"{self.digest}: {size} bytes became {rest.info.size}")
        return rest


def _as_failure(error: BaseException) -> UpstreamFailure:
    if isinstance(error, UpstreamFailure):
        return error
    if isinstance(error, DigestMismatch):
        return UpstreamBroken(f"upstream sent other bytes: {error}")
    if isinstance(error, OSError):
        return DiskFailed(str(error))
    return DownloadFailed(str(error) or type(error).__name__)
