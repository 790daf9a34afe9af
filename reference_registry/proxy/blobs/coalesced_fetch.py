"""``ideal`` serves a blob that is not cached, from one download for all clients that ask meanwhile.

``coalesced`` has the states of a download and what readers get in each. This module decides who
joins which download, and makes the response.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace

from reference_registry.digest import Digest
from reference_registry.http.messages import Request, Response, StreamBody
from reference_registry.http.ranges import precondition_status
from reference_registry.proxy.blobs.coalesced import DiskFailed, State
from reference_registry.proxy.blobs.download import Download
from reference_registry.proxy.errors import blob_error
from reference_registry.proxy.expiry.schedule import BLOB
from reference_registry.proxy.services import BlobFetch
from reference_registry.proxy.upstream.client import BlobInfo, UpstreamRepository
from reference_registry.proxy.upstream.errors import UpstreamFailure
from reference_registry.repository import Descriptor
from reference_registry.storage.driver import PathNotFound
from reference_registry.storage.repository import LocalRepository
from reference_registry.storage.serving import ServedContent, blob_headers, serve_content

_log = logging.getLogger(__name__)

_BLOB_TYPE = "application/octet-stream"
"""A cache hit has this type too, so that a client cannot tell a miss from a hit."""
_OTHER_UPSTREAM = 10.0
"""Seconds to wait until another upstream answers before this one is asked."""


class CoalescedFetch(BlobFetch):
    """Serves blobs of the repository *local*, whose upstream is *upstream*."""

    async def serve(self, digest: Digest, request: Request) -> Response:
        """The response to GET or HEAD. Failures become those of ``proxy.errors``."""
        # For HEAD, and GET with a 304, it is enough to know that upstream has the blob.
        if request.method == "HEAD" or precondition_status(request, f'"{digest}"') is not None:
            info = await self._stat(digest)
            answer = self._answer(digest, request, info, ServedContent(info.size or 0))
            if info.size is not None:
                return answer
            kept = tuple(header for header in answer.headers if header[0] != "Content-Length")
            return replace(answer, headers=kept)
        if self._is_stored(digest):
            return await self._adopt(digest, request)
        download, info = await self._begun(digest)
        if info.size is None:
            self._services.counters.blob.pushed(0, hit=False)
            descriptor = Descriptor(digest, 0, _BLOB_TYPE)
            return Response(200, blob_headers(descriptor), StreamBody(download.chunks()))
        content = _DownloadContent(download, info.size, self._upstream)
        return self._answer(digest, request, info, content)

    def _answer(
        self, digest: Digest, request: Request, info: BlobInfo, content: ServedContent
    ) -> Response:
        self._services.counters.blob.pushed(info.size or 0, hit=False)
        descriptor = Descriptor(digest, info.size or 0, _BLOB_TYPE)
        return serve_content(request, descriptor, content, self._profile)

    # -- asking upstream --------------------------------------------------------------------------
    async def _stat(self, digest: Digest) -> BlobInfo:
        """Size and type from upstream, or from a download whose answer is valid here."""
        download = self._services.downloads.get(digest)
        try:
            if download is not None and self._may_use_answer_of(download):
                info = await download.known()
                if info.size is not None:
                    return info
            with self._services.asking(self._local.name, digest):
                return await self._services.joined_stats.run(
                    (self._local.name, digest), lambda: self._upstream.stat_blob(digest)
                )
        except UpstreamFailure as failure:
            raise blob_error(failure, digest, self._profile) from failure

    def _may_use_answer_of(self, download: Download) -> bool:
        name = self._local.name
        return download.repository == name or (download.info is not None and download.is_for(name))

    # -- bytes that another repository cached -----------------------------------------------------
    def _is_stored(self, digest: Digest) -> bool:
        return (
            not self._profile.refetches_blob_cached_elsewhere
            and digest not in self._services.downloads
            and self._services.local.storage.blobs.has(digest)
        )

    async def _adopt(self, digest: Digest, request: Request) -> Response:
        """Link bytes that another repository has cached, or that are damaged, if upstream says that
        this repository has them."""
        info = await self._stat(digest)
        integrity = self._services.integrity
        try:
            if await integrity.are_damaged(digest, info.size):
                _log.warning("%s@%s is damaged: downloading it again", self._local.name, digest)
                self._local.delete_bytes(digest)
            descriptor = self._local.link_blob(digest)
        except PathNotFound:  # Deleted, or expired while upstream was asked.
            return await self.serve(digest, request)
        integrity.sizes.learn(digest, descriptor.size)
        self._services.cached(self._local.name, digest, BLOB)
        self._services.counters.blob.pushed(descriptor.size, hit=True)
        return await self._local.serve_blob(digest, request)

    # -- joining a download -----------------------------------------------------------------------
    async def _begun(self, digest: Digest) -> tuple[Download, BlobInfo]:
        """A download of *digest* for this repository, once upstream has answered."""
        while True:
            try:
                with self._services.asking(self._local.name, digest):
                    download = await self._join(digest)
                    info = None if download is None else await self._answer_to(download)
            except UpstreamFailure as failure:
                raise blob_error(failure, digest, self._profile) from failure
            if download is not None and info is not None:
                return download, info

    async def _join(self, digest: Digest) -> Download | None:
        """The running download, or a new one; None if the running one ended meanwhile."""
        download = self._services.downloads.get(digest)
        if download is None or await self._is_too_slow(download):
            return self._start(digest)
        if not download.is_for(self._local.name):
            await self._stat(digest)
            if self._services.downloads.get(digest) is not download:
                return None
            download.also_for(self._local, self._upstream)
        return download

    async def _is_too_slow(self, download: Download) -> bool:
        """Whether another upstream keeps its clients waiting, which ours need not share."""
        if download.upstream_key == self._upstream.upstream_key:
            return False
        with suppress(UpstreamFailure, TimeoutError):
            async with asyncio.timeout(_OTHER_UPSTREAM):
                await download.known()
        return download.state is State.ASKING

    async def _answer_to(self, download: Download) -> BlobInfo | None:
        """None if upstream failed another repository, which says nothing about this one."""
        try:
            return await download.known()
        except UpstreamFailure:
            if download.repository == self._local.name:
                raise
            return None

    def _start(self, digest: Digest) -> Download:
        services = self._services

        def cached(local: LocalRepository) -> None:
            services.cached(local.name, digest, BLOB)
            services.integrity.learn(digest, download.size)
            if local is self._local and download.pulled:
                services.counters.blob.pulled(download.pulled)

        download = Download(digest, self._local, self._upstream, services.local.storage, cached)
        services.downloads[digest] = download
        services.background.start(self._run(download))
        return download

    async def _run(self, download: Download) -> None:
        try:
            await download.run()
        finally:
            if self._services.downloads.get(download.digest) is download:
                del self._services.downloads[download.digest]


class _DownloadContent(ServedContent):
    """The content of a running download. What it cannot serve comes straight from upstream."""

    def __init__(self, download: Download, size: int, upstream: UpstreamRepository) -> None:
        super().__init__(size)
        self._download = download
        self._upstream = upstream

    async def chunks(self, start: int, length: int) -> AsyncGenerator[bytes, None]:
        """From the download if it has come as far as *start*. Otherwise from upstream, which may
        serve a range long before the download reaches it; if that fails, from the download after
        all. If the disk fails, from upstream."""
        end = start + length
        sources = [self._download.chunks, self._from_upstream]
        if not self._download.has_arrived(start):
            sources.insert(0, self._from_upstream)
        failure: DiskFailed | None = None
        for source in sources:
            try:
                async with aclosing(source(start, end - start)) as chunks:
                    async for chunk in chunks:
                        start += len(chunk)
                        yield chunk
            except DiskFailed as error:
                failure = error
            if start == end:
                return
        assert failure is not None
        raise failure

    async def _from_upstream(self, start: int, length: int) -> AsyncGenerator[bytes, None]:
        """As many of *length* bytes from *start* as upstream gives."""
        end = start + length
        try:
            body = await self._upstream.open_blob(self._download.digest, start, end - 1)
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
