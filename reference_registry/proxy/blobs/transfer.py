"""Moving one blob from upstream into the blob store: ask, copy, resume once, verify, commit."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from functools import partial
from typing import Protocol

from reference_registry.digest import Digest
from reference_registry.proxy.blobs.write_pipeline import Arrivals, Intake
from reference_registry.proxy.upstream.client import BlobBody, BlobInfo, UpstreamRepository
from reference_registry.proxy.upstream.errors import UpstreamBroken, UpstreamFailure
from reference_registry.storage.repository import LocalRepository
from reference_registry.storage.store import Storage
from reference_registry.storage.uploads import BlobWriter

__all__ = ["Progress", "Transfer"]

_log = logging.getLogger(__name__)


class Progress(Arrivals, Protocol):
    """What a transfer reports, on the event loop."""

    def answered(self, info: BlobInfo, path: str) -> None:
        """Upstream has the blob; its bytes will be written to the storage path *path*."""
        ...


class Transfer:
    """Transfers *digest* from *source* into the repository *local* of *storage*."""

    def __init__(
        self,
        digest: Digest,
        local: LocalRepository,
        source: UpstreamRepository,
        storage: Storage,
        progress: Progress,
    ) -> None:
        self.pulled = 0
        """Bytes that came from upstream."""
        self._digest = digest
        self._local = local
        self._storage = storage
        self._progress = progress
        self._sources = [source]
        self._retries = 0
        self._size: int | None = None
        self._arrived = 0

    def also_from(self, source: UpstreamRepository) -> None:
        """*source* has the blob too: ask it for the rest if its predecessors fail. Only useful if
        it belongs to another upstream."""
        if all(source.upstream_key != known.upstream_key for known in self._sources):
            self._sources.append(source)

    async def run(self) -> None:
        """Return when the blob is in the store. Raises :class:`UpstreamFailure`, ``DigestMismatch``
        or ``OSError``, and leaves nothing behind then."""
        body = await self._sources[0].open_blob(self._digest)
        self._size = body.info.size
        upload = self._storage.uploads.new_id()
        writer: BlobWriter | None = None
        try:
            try:
                writer = self._local.blob_writer(upload)
            except OSError:  # Clients can be served past the disk.
                self._progress.answered(body.info, "")
                raise
            self._progress.answered(body.info, writer.data_path)
            await self._receive(body, writer)
            commit = partial(self._local.commit_blob, writer, self._digest, synced=False)
            await asyncio.to_thread(commit)
        except BaseException:
            await body.aclose()
            self._clear_away(upload, writer)
            raise

    def _clear_away(self, upload: str, writer: BlobWriter | None) -> None:
        try:
            if writer is None:
                self._storage.uploads.forget(self._local.name, upload)
            else:
                writer.discard()
        except OSError as error:
            _log.warning("%s: upload %s stays: %s", self._local.name, upload, error)

    async def _receive(self, body: BlobBody, writer: BlobWriter) -> None:
        """The bytes of *body*, and of one more body for what is missing after that."""
        intake = Intake(writer, self._progress)
        try:
            while True:
                try:
                    await self._copy(body, intake)
                    break
                except UpstreamFailure as failure:
                    await intake.flush()
                    body = await self._rest(failure)
            if self._size is not None and self._arrived != self._size:
                raise UpstreamBroken(f"{self._digest}: {self._arrived} of {self._size} bytes came")
            await intake.verify(self._digest, self._arrived)
            await intake.flush()
        finally:
            await intake.abandon()

    async def _copy(self, body: BlobBody, intake: Intake) -> None:
        skip = self._arrived - body.start
        async with aclosing(body.chunks()) as pieces:
            async for piece in pieces:
                self.pulled += len(piece)
                chunk = piece[skip:] if skip else piece
                skip = max(0, skip - len(piece))
                if self._size is not None and self._arrived + len(chunk) > self._size:
                    raise UpstreamBroken(f"{self._digest}: more bytes came than were announced")
                if chunk:
                    self._arrived += len(chunk)
                    await intake.put(chunk)

    async def _rest(self, failure: UpstreamFailure) -> BlobBody:
        """The missing bytes, after *failure*: from the first source once more, then from each other
        upstream. Raises *failure*, or that of the last attempt."""
        if self._size == self._arrived:  # Nothing is missing.
            raise failure
        while self._retries < len(self._sources):
            source = self._sources[self._retries]
            self._retries += 1
            _log.info("%s: %s: asking for the rest", self._digest, failure)
            try:
                return await self._open_rest(source)
            except UpstreamFailure as another:
                failure = another
        raise failure

    async def _open_rest(self, source: UpstreamRepository) -> BlobBody:
        """Without a known size only the end of the whole body says where the blob ends."""
        if self._size is None:
            return await source.open_blob(self._digest)
        rest = await source.open_blob(self._digest, self._arrived)
        if rest.info.size not in {self._size, None}:  # None: the whole body, of unknown size.
            await rest.aclose()
            raise UpstreamBroken(f"{self._digest}: {self._size} bytes became {rest.info.size}")
        return rest
