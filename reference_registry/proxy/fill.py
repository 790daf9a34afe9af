"""One blob on its way from upstream into the cache, and everybody who reads along.

A fill is a task of its own. It writes what it gets into an upload, and readers follow behind
through that file, each at its own pace: a slow one holds nobody up, one that leaves ends nothing,
and memory holds no more than a few chunks of either. If upstream breaks off, the fill asks once for
the rest by Range. The bytes are verified before they become the blob, and until they are, the last
one is held back: nobody ever receives the whole of something wrong.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from typing import BinaryIO

from reference_registry.digest import Digest
from reference_registry.proxy.failures import UpstreamBroken, UpstreamFailure
from reference_registry.proxy.upstream_repository import BlobBody, BlobInfo, UpstreamRepository
from reference_registry.proxy.write_behind import WriteBehind
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.repository import LocalRepository
from reference_registry.storage.store import Storage
from reference_registry.storage.writer import BlobWriter, DigestMismatch

__all__ = ["Fill", "FillBroken"]

_CHUNK = 256 * 1024

_log = logging.getLogger(__name__)


class FillBroken(UpstreamFailure):
    """The fill that a client was reading from came to nothing."""


class Fill:
    """The transfer of *digest* into *local*. Begins at once; *cached* is called with each
    repository that has the blob in the end."""

    def __init__(
        self,
        digest: Digest,
        local: LocalRepository,
        upstream: UpstreamRepository,
        storage: Storage,
        cached: Callable[[LocalRepository, int], None],
    ) -> None:
        self.digest = digest
        self.written = 0
        """Bytes on disk so far."""
        self._repositories = {local.name: local}
        self._upstream = upstream
        self._storage = storage
        self._cached = cached
        self._info: asyncio.Future[BlobInfo] = asyncio.get_running_loop().create_future()
        self._size: int | None = None
        self._complete = False
        self._failure: UpstreamFailure | None = None
        self._changed = asyncio.Event()
        self._data_path = ""
        self.task = asyncio.create_task(self._run(local))

    # -- for readers ------------------------------------------------------------------------------
    async def info(self) -> BlobInfo:
        """Size and type, once upstream has answered; raises :class:`UpstreamFailure`."""
        return await asyncio.shield(self._info)

    def has_repository(self, name: str) -> bool:
        """Whether the blob will be linked in the repository *name*."""
        return name in self._repositories

    def also_for(self, local: LocalRepository) -> None:
        """Link the blob in *local* too, which upstream is known to allow."""
        self._repositories[local.name] = local
        if self._complete:
            self._link(local)

    def reaches(self, offset: int) -> bool:
        """Whether reading from *offset* needs no waiting for bytes before it."""
        return self._complete or offset <= self.written

    async def chunks(
        self, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """``length`` bytes from ``start`` (None: to the end), as they arrive.

        Raises :class:`FillBroken` where they will not all arrive.
        """
        position, end = start, None if length is None else start + length
        file: BinaryIO | None = None
        try:
            while end is None or position < end:
                readable = await self._readable_beyond(position)
                if readable <= position:
                    return
                wanted = min(_CHUNK, (readable if end is None else min(end, readable)) - position)
                chunk = file.read(wanted) if file is not None else b""
                if not chunk:  # Not opened yet, or a snapshot that has been read to its end.
                    if file is not None:
                        file.close()
                    file = self._open(position)
                    chunk = file.read(wanted)
                if not chunk:
                    raise FillBroken(f"{self.digest}: the file ends at {position}")
                position += len(chunk)
                yield chunk
        finally:
            if file is not None:
                file.close()

    async def _readable_beyond(self, position: int) -> int:
        """How far the bytes may be read, once that is beyond *position* or is the end."""
        while True:
            if self._complete:
                return self.written
            readable = self._held_back()
            if readable > position:
                return readable
            if self._failure is not None:
                raise FillBroken(str(self._failure)) from self._failure
            await self._changed.wait()

    def _held_back(self) -> int:
        """All but the last byte. Without a known size the end of the body is held back by itself:
        nobody is told that it is complete."""
        return self.written if self._size is None else min(self.written, self._size - 1)

    def _open(self, position: int) -> BinaryIO:
        if not self._complete:
            try:
                return self._storage.driver.open_read(self._data_path, position)
            except PathNotFound:
                pass  # It has just been moved into the blob store.
        try:
            return self._storage.blobs.open(self.digest, position)
        except PathNotFound:
            raise FillBroken(f"{self.digest}: the bytes are gone") from None

    # -- the transfer -----------------------------------------------------------------------------
    async def _run(self, local: LocalRepository) -> None:
        try:
            body = await self._upstream.open_blob(self.digest)
        except UpstreamFailure as failure:
            self._fail(failure)
            return
        except BaseException:
            self._fail(FillBroken("interrupted"))
            raise
        writer: BlobWriter | None = None
        try:
            writer = local.blob_writer()
            self._data_path = writer.data_path
            self._size = body.info.size
            self._info.set_result(body.info)
            await self._transfer(body, writer)
            await asyncio.to_thread(local.commit_blob, writer, self.digest)
        except BaseException as error:
            self._fail(_as_failure(error))
            await body.aclose()
            if writer is not None:
                writer.discard()
            if not isinstance(error, UpstreamFailure | DigestMismatch | OSError):
                raise
            _log.warning("%s@%s was not cached: %s", local.name, self.digest, error)
        else:
            self._complete = True
            for repository in self._repositories.values():
                self._link(repository)
            self._wake()

    async def cancel(self) -> None:
        """Give up, with all readers, and return when nothing is left of it."""
        self.task.cancel()
        await asyncio.wait([self.task])

    async def _transfer(self, body: BlobBody, writer: BlobWriter) -> None:
        """The bytes of *body*, and of one more for what is missing if it breaks off."""
        disk = WriteBehind(writer.append, self._advance)
        try:
            try:
                await self._copy(body, disk)
            except UpstreamFailure as failure:
                await disk.flush()
                _log.info("%s: %s: asking for the rest", self.digest, failure)
                await self._copy(await self._rest(), disk)
            await disk.flush()
        finally:
            await disk.abandon()
        if self._size is not None and self.written != self._size:
            raise UpstreamBroken(f"{self.digest}: {self.written} of {self._size} bytes came")

    async def _copy(self, body: BlobBody, disk: WriteBehind) -> None:
        skip = self.written - body.start
        left = None if self._size is None else self._size - self.written
        async for piece in body.chunks():
            chunk = piece[skip:] if skip else piece
            skip = max(0, skip - len(piece))
            if left is not None:
                left -= len(chunk)
                if left < 0:
                    await body.aclose()
                    raise UpstreamBroken(f"{self.digest}: more bytes came than were announced")
            if chunk:
                await disk.put(chunk)

    async def _rest(self) -> BlobBody:
        rest = await self._upstream.open_blob(self.digest, self.written)
        if self._size is not None and rest.info.size != self._size:
            await rest.aclose()
            raise UpstreamBroken(f"{self.digest}: {self._size} bytes became {rest.info.size}")
        return rest

    def _advance(self, count: int) -> None:
        self.written += count
        self._wake()

    def _link(self, repository: LocalRepository) -> None:
        try:
            if not repository.has_blob(self.digest):
                repository.link_blob(self.digest)
        except (OSError, PathNotFound) as error:
            _log.error("%s@%s could not be linked: %s", repository.name, self.digest, error)
        else:
            self._cached(repository, self.written)

    def _fail(self, failure: UpstreamFailure) -> None:
        self._failure = failure
        if not self._info.done():
            self._info.set_exception(failure)
            self._info.exception()  # Perhaps nobody is waiting for it.
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _as_failure(error: BaseException) -> UpstreamFailure:
    if isinstance(error, UpstreamFailure):
        return error
    if isinstance(error, DigestMismatch):
        return UpstreamBroken(f"upstream sent other bytes: {error}")
    return FillBroken(str(error) or type(error).__name__)
