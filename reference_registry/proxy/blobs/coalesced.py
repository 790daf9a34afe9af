"""A blob that is not cached, as ``ideal`` fetches it: once, for everybody who asks meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractContextManager, aclosing
from dataclasses import replace

from reference_registry.digest import Digest
from reference_registry.http.messages import Body, Request, Response, StreamBody
from reference_registry.http.ranges import ByteRange, precondition_status
from reference_registry.proxy.blobs.fill import Fill
from reference_registry.proxy.blobs.partial import DiskFailed, PartialBlob
from reference_registry.proxy.errors import blob_error
from reference_registry.proxy.services import Services
from reference_registry.proxy.upstream.client import BlobInfo, UpstreamRepository
from reference_registry.proxy.upstream.errors import UpstreamFailure
from reference_registry.repository import Descriptor
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.repository import LocalRepository
from reference_registry.storage.serving import blob_headers, serve_content

__all__ = ["CoalescedFetch"]

_log = logging.getLogger(__name__)

_BLOB_TYPE = "application/octet-stream"
"""What a hit says too, so that an answer does not tell the first pull from the second."""


class CoalescedFetch:
    """Answers for one repository."""

    def __init__(
        self, local: LocalRepository, upstream: UpstreamRepository, services: Services
    ) -> None:
        self._local = local
        self._upstream = upstream
        self._services = services
        self._profile = services.profile

    async def serve(self, digest: Digest, request: Request) -> Response:
        """The answer to GET or HEAD; raises the error that ``proxy.answers`` makes of a failure."""
        # HEAD, and GET that will be 304, need no more than to know that upstream has the blob.
        if request.method == "HEAD" or precondition_status(request, f'"{digest}"') is not None:
            info = await self._stat(digest)
            answer = self._answer(digest, request, info, _Nothing(info.size or 0))
            return answer if info.size is not None else _of_untold_size(answer)
        if self._is_stored(digest):
            return await self._adopt(digest, request)
        fill, info = await self._begun(digest)
        if info.size is None:
            self._services.counters.blob.pushed(0, hit=False)
            descriptor = Descriptor(digest, 0, _BLOB_TYPE)
            return Response(200, blob_headers(descriptor), StreamBody(fill.content.chunks()))
        content = _FillingContent(fill.content, info.size, self._upstream)
        return self._answer(digest, request, info, content)

    def _answer(
        self, digest: Digest, request: Request, info: BlobInfo, content: _FillingContent | _Nothing
    ) -> Response:
        self._services.counters.blob.pushed(info.size or 0, hit=False)
        descriptor = Descriptor(digest, info.size or 0, _BLOB_TYPE)
        return serve_content(request, descriptor, content, self._profile)

    async def _stat(self, digest: Digest) -> BlobInfo:
        """What upstream says of the blob, or a fill that has asked already."""
        fill = self._services.fills.get(self._key(digest))
        try:
            if fill is not None and self._is_answered_by(fill):
                info = await fill.content.info()
                if info.size is not None:
                    return info
            with self._minding_absence(digest):
                return await self._services.joined_stats.run(
                    (self._local.name, digest), lambda: self._upstream.stat_blob(digest)
                )
        except UpstreamFailure as failure:
            raise blob_error(failure, digest, self._profile) from failure

    def _is_answered_by(self, fill: Fill) -> bool:
        """Whether what *fill* gets for an answer is one for this repository."""
        name = self._local.name
        return fill.repository == name or (fill.content.has_begun and fill.has_repository(name))

    def _minding_absence(self, digest: Digest) -> AbstractContextManager[None]:
        return self._services.retention.absences.minded(self._local.name, digest)

    async def _adopt(self, digest: Digest, request: Request) -> Response:
        """There are bytes, be they another repository's or damaged: ask upstream whether this one
        has them, and how many."""
        info = await self._stat(digest)
        try:
            if await self._are_damaged(digest, info.size):
                _log.warning("%s@%s is damaged: fetched again", self._local.name, digest)
                self._local.delete_bytes(digest)
            descriptor = self._local.link_blob(digest)
        except PathNotFound:  # deleted, or expired while upstream was asked
            return await self.serve(digest, request)
        self._services.sizes.learn(digest, descriptor.size)
        self._services.cached_blob(self._local.name, digest)
        self._services.counters.blob.pushed(descriptor.size, hit=True)
        return await self._local.serve_blob(digest, request)

    async def _are_damaged(self, digest: Digest, size: int | None) -> bool:
        """Whether the bytes are not the blob: where there are not *size* of them, by reading all of
        them, since upstream may be mistaken."""
        blobs = self._services.local.storage.blobs
        if blobs.size(digest) != size:
            return not await asyncio.to_thread(blobs.verify, digest)
        return not await self._services.soundness.may_serve(digest)

    def _is_stored(self, digest: Digest) -> bool:
        return (
            not self._profile.refetches_blob_cached_elsewhere
            and self._key(digest) not in self._services.fills
            and self._services.local.storage.blobs.has(digest)
        )

    async def _begun(self, digest: Digest) -> tuple[Fill, BlobInfo]:
        """The fill of *digest*, once upstream has begun to answer it."""
        while True:
            try:
                with self._minding_absence(digest):
                    fill = await self._join(digest)
                    info = await self._answer_to(fill)
            except UpstreamFailure as failure:
                raise blob_error(failure, digest, self._profile) from failure
            if info is not None:
                return fill, info

    async def _answer_to(self, fill: Fill) -> BlobInfo | None:
        """None where upstream failed another repository, which says nothing of this one."""
        try:
            return await fill.content.info()
        except UpstreamFailure:
            if fill.repository == self._local.name:
                raise
            await asyncio.wait([fill.task])
            return None

    async def _join(self, digest: Digest) -> Fill:
        """The fill of *digest* that is under way, or a new one."""
        fills, key = self._services.fills, self._key(digest)
        fill = fills.get(key)
        if fill is not None and not fill.has_repository(self._local.name):
            await self._stat(digest)
            fill.also_for(self._local)
        if fill is None:
            fill = fills[key] = self._begin(digest)
            fill.task.add_done_callback(lambda _: fills.pop(key))
        return fill

    def _key(self, digest: Digest) -> tuple[str, Digest]:
        return self._upstream.upstream_key, digest

    def _begin(self, digest: Digest) -> Fill:
        services = self._services

        def cached(local: LocalRepository) -> None:
            services.cached_blob(local.name, digest)
            services.sizes.learn(digest, fill.content.written)
            services.soundness.learn(digest)
            if local is self._local and fill.pulled:
                services.counters.blob.pulled(fill.pulled)

        storage = services.local.storage
        fill = Fill(digest, self._local, self._upstream, storage, services.claims, cached)
        return fill


def _of_untold_size(answer: Response) -> Response:
    kept = tuple(header for header in answer.headers if header[0] != "Content-Length")
    return replace(answer, headers=kept)


class _Nothing:
    """Content of a size, for answers without a body."""

    def __init__(self, size: int) -> None:
        self.size = size

    def body(self, part: ByteRange | None = None) -> Body:
        return StreamBody(self.chunks(0, 0))

    async def chunks(self, start: int, length: int) -> AsyncIterator[bytes]:
        return
        yield b""


class _FillingContent:
    """The content of a fill that is under way."""

    def __init__(self, growing: PartialBlob, size: int, upstream: UpstreamRepository) -> None:
        self.size = size
        self._growing = growing
        self._upstream = upstream

    def body(self, part: ByteRange | None = None) -> Body:
        start, length = (part.start, part.length) if part else (0, self.size)
        return StreamBody(self.chunks(start, length))

    async def chunks(self, start: int, length: int) -> AsyncGenerator[bytes, None]:
        """From the fill where it has come that far, else straight from upstream, which may serve a
        range long before the fill would reach it. Where that fails, the fill is waited for."""
        end = start + length
        if not self._growing.reaches(start):
            async with aclosing(self._from_upstream(start, end)) as chunks:
                async for chunk in chunks:
                    start += len(chunk)
                    yield chunk
        try:
            async with aclosing(self._growing.chunks(start, end - start)) as chunks:
                async for chunk in chunks:
                    start += len(chunk)
                    yield chunk
        except DiskFailed:
            async with aclosing(self._from_upstream(start, end)) as chunks:
                async for chunk in chunks:
                    start += len(chunk)
                    yield chunk
            if start < end:
                raise

    async def _from_upstream(self, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """As many bytes from *start* towards *end* as upstream gives."""
        try:
            body = await self._upstream.open_blob(self._growing.digest, start, end - 1)
            if body.start != start or body.info.size != self.size:
                await body.aclose()
                return
            async with aclosing(body.chunks()) as chunks:
                async for chunk in chunks:
                    wanted = chunk[: end - start]
                    start += len(wanted)
                    yield wanted
        except UpstreamFailure:
            return
