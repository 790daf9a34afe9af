"""One blob on its way from upstream into the cache.

A fill is a task of its own. It writes what it gets into an upload, and readers follow behind (see
``growing``). If upstream breaks off, the fill asks once for the rest by Range. The bytes are
verified before they become the blob.

Where several processes share the storage one of them fetches, by a claim, and the fills of the
others read along in its file. Should it end before the blob is whole, be it that it was killed, one
of them takes what there is and fetches the rest; should it stand still, they go on without it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing, suppress
from functools import partial
from typing import BinaryIO

from reference_registry.digest import Digest
from reference_registry.proxy.blobs.download_lock import Announcement, Claim, Claims
from reference_registry.proxy.blobs.following import Followed, same_beginning
from reference_registry.proxy.blobs.intake import Intake
from reference_registry.proxy.blobs.partial import DiskFailed, FillBroken, PartialBlob
from reference_registry.proxy.blobs.stall_timeout import Patience
from reference_registry.proxy.upstream.client import BlobBody, BlobInfo, UpstreamRepository
from reference_registry.proxy.upstream.errors import UpstreamBroken, UpstreamFailure
from reference_registry.storage import layout
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.repository import LocalRepository
from reference_registry.storage.store import Storage
from reference_registry.storage.writer import BlobWriter, DigestMismatch

__all__ = ["Fill"]

_BLOB_TYPE = "application/octet-stream"
_PATIENCE = 10.0
"""Seconds without progress after which another process is not waited for any longer."""

_log = logging.getLogger(__name__)


class Fill:
    """The transfer of *digest* into *local*. Begins at once; *cached* is called with each
    repository that has the blob in the end."""

    def __init__(
        self,
        digest: Digest,
        local: LocalRepository,
        upstream: UpstreamRepository,
        storage: Storage,
        claims: Claims,
        cached: Callable[[LocalRepository], None],
    ) -> None:
        self.digest = digest
        self.content = PartialBlob(digest, storage)
        self.pulled = 0
        """Bytes that came from upstream, and not from another process."""
        self._repositories = {local.name: local}
        self._local = local
        self._upstream = upstream
        self._storage = storage
        self._claims = claims
        self._cached = cached
        self._followed: Followed | None = None
        self._announced = 0
        self._is_allowed = False
        self.task = asyncio.create_task(self._run())

    @property
    def repository(self) -> str:
        """The name that upstream is asked under."""
        return self._local.name

    def has_repository(self, name: str) -> bool:
        """Whether the blob will be linked in the repository *name*."""
        return name in self._repositories

    def also_for(self, local: LocalRepository) -> None:
        """Link the blob in *local* too, which upstream is known to allow."""
        self._repositories[local.name] = local
        if self.content.is_complete:
            self._link(local)

    async def cancel(self) -> None:
        """Give up, with all readers, and return when nothing is left of it."""
        self.task.cancel()
        await asyncio.wait([self.task])

    async def _run(self) -> None:
        claim: Claim | None = None
        try:
            claim = await self._claim()
            if not await self._is_stored_meanwhile():
                await self._fetch(claim)
            for repository in self._repositories.values():
                self._link(repository)
            self.content.complete()
            # Nobody has to wait for it: see docs/durability.md.
            asyncio.get_running_loop().run_in_executor(None, self._sync)
        except BaseException as error:
            self.content.fail(_as_failure(error))
            if not isinstance(error, UpstreamFailure | DigestMismatch | OSError):
                raise
            if self.content.has_begun:
                _log.warning("%s@%s was not cached: %s", self._local.name, self.digest, error)
        finally:
            if claim is not None:
                claim.release()
            if self._followed is not None:
                self._followed.close()

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

    # -- another process has the claim ------------------------------------------------------------
    async def _claim(self) -> Claim:
        """The claim on the blob, as soon as no other process holds it."""
        now = asyncio.get_running_loop().time
        patience = Patience(_PATIENCE, now())
        while (claim := self._claims.take(self.digest)) is None:
            pause = patience.looked(now(), progress=await self._look())
            if pause is None:
                _log.warning("%s: another process stands still, not waiting for it", self.digest)
                return self._claims.take_aside(self.digest)
            await asyncio.sleep(pause)
        return claim

    async def _look(self) -> bool:
        """Whether the process that holds the claim has come further."""
        told = self._claims.announced(self.digest)
        followed = self._followed
        if told is not None and (followed is None or told.upload != followed.upload):
            return await self._follow(told)
        if followed is None:
            return False
        grown = followed.size() - self.content.written
        if grown > 0:
            self.content.advance(grown)
        return grown > 0

    async def _follow(self, told: Announcement) -> bool:
        """Read along in the file that *told* names, once that has all that readers may have had
        from the one before. Whether it has come further."""
        if told.repository != self._local.name and not self._is_allowed:
            await self._upstream.stat_blob(self.digest)
        self._is_allowed = True
        try:
            found = Followed(self._storage.driver, told)
        except PathNotFound:
            return False
        content, former = self.content, self._followed
        if former is None:
            content.begin(BlobInfo(told.size, told.media_type), found.path)
            self._followed = found
            return True
        size = found.size()
        try:
            if size >= content.written:
                await self._require_same(former, found.file)
                content.go_on_in(found.path)
                self._followed, found = found, former
        finally:
            found.close()
        grown, self._announced = size > self._announced, size
        return grown

    async def _require_same(self, followed: Followed, file: BinaryIO) -> None:
        """Raise :class:`FillBroken` unless *file* begins with what readers have been given."""
        length = self.content.written
        if not await asyncio.to_thread(same_beginning, followed.file, file, length):
            raise FillBroken(f"{self.digest}: another process had other bytes")

    async def _is_stored_meanwhile(self) -> bool:
        """Whether the blob has come into the store since somebody found it missing there. It is for
        our repository too if that has it, or upstream says so."""
        try:
            size = self._storage.blobs.size(self.digest)
            if not self._is_allowed and not self._local.has_blob(self.digest):
                await self._upstream.stat_blob(self.digest)
            if self._followed is not None:
                with self._storage.blobs.open(self.digest) as stored:
                    await self._require_same(self._followed, stored)
        except PathNotFound:
            return False
        content = self.content
        if not content.has_begun:
            content.begin(BlobInfo(size, _BLOB_TYPE), layout.blob_data(self.digest))
        content.advance(size - content.written)
        return True

    # -- we have it -------------------------------------------------------------------------------
    async def _fetch(self, claim: Claim) -> None:
        content, local = self.content, self._local
        body = None if content.has_begun else await self._upstream.open_blob(self.digest)
        info = content.known if body is None else body.info
        upload = self._storage.uploads.new_id()
        writer: BlobWriter | None = None
        try:
            claim.announce(Announcement(local.name, upload, info.size, info.media_type))
            writer = local.blob_writer(upload)
            if body is not None:
                content.begin(info, writer.data_path)
            else:
                content.begin_again(writer.data_path)
            await self._transfer(body, writer)
            commit = partial(local.commit_blob, writer, self.digest, synced=False)
            await asyncio.to_thread(commit)
        except BaseException as error:
            if body is not None:
                await body.aclose()
            if isinstance(error, OSError) and not content.has_begun:
                # Clients can go on by what is known, although the disk does not let us.
                content.begin(info, layout.upload_data(local.name, upload))
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

    async def _transfer(self, body: BlobBody | None, writer: BlobWriter) -> None:
        """The bytes of *body*, or what another process had of them; and of one more body for what
        is missing after that."""
        intake = Intake(self.content, writer)
        try:
            if body is None:
                await self._copy_followed(intake)
                body = await self._rest()
            try:
                await self._copy(body, intake)
            except UpstreamFailure as failure:
                await intake.flush()
                _log.info("%s: %s: asking for the rest", self.digest, failure)
                body = await self._rest()
                if body is None:  # More bytes came than there can be.
                    raise
                await self._copy(body, intake)
            size, arrived = self.content.size, self.content.arrived
            if size is not None and arrived != size:
                raise UpstreamBroken(f"{self.digest}: {arrived} of {size} bytes came")
            await intake.verify(self.digest)
            await intake.flush()
        finally:
            await intake.abandon()

    async def _copy_followed(self, intake: Intake) -> None:
        """What another process has left, although its name may be gone: readers have had of it."""
        if self._followed is not None:
            chunks = self._followed.chunks()
            while chunk := await asyncio.to_thread(next, chunks, b""):
                await intake.put(chunk)
            await intake.flush()

    async def _copy(self, body: BlobBody | None, intake: Intake) -> None:
        if body is None:
            return
        size, written = self.content.size, self.content.written
        skip = written - body.start
        left = None if size is None else size - written
        async with aclosing(body.chunks()) as pieces:
            async for piece in pieces:
                self.pulled += len(piece)
                chunk = piece[skip:] if skip else piece
                skip = max(0, skip - len(piece))
                if left is not None:
                    left -= len(chunk)
                    if left < 0:
                        raise UpstreamBroken(f"{self.digest}: more bytes came than were announced")
                if chunk:
                    await intake.put(chunk)

    async def _rest(self) -> BlobBody | None:
        """What is not written yet; None where that is nothing. Where the size is unknown it is told
        by the end of the whole body alone."""
        size = self.content.size
        if size is None:
            return await self._upstream.open_blob(self.digest)
        if size == self.content.written:
            return None
        rest = await self._upstream.open_blob(self.digest, self.content.written)
        if rest.info.size not in {size, None}:  # None: all of it again, of untold size.
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
    return FillBroken(str(error) or type(error).__name__)
