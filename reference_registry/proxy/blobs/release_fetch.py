"""How releases serve a blob that is not cached: 2.8 fetches it twice, 3.x feeds the client and the
cache from one stream.

Both copy with Go's ``io.CopyN`` to a response whose headers are already written, so that later
errors end up in the body. HEAD costs the same as GET.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress

from reference_registry.digest import Digest
from reference_registry.http.messages import BytesBody, Request, Response, StreamBody, json_bytes
from reference_registry.proxy.errors import blob_error, unknown_error
from reference_registry.proxy.expiry.schedule import BLOB
from reference_registry.proxy.services import BlobFetch
from reference_registry.proxy.upstream.client import BlobInfo
from reference_registry.proxy.upstream.errors import (
    UpstreamBroken,
    UpstreamFailure,
    UpstreamRefused,
)
from reference_registry.storage.uploads import DigestMismatch

_BUFFERED_BY_GO = 2048
"""Bytes of a response that Go buffers before it sends anything."""

_log = logging.getLogger(__name__)

Headers = tuple[tuple[str, str], ...]
Chunks = AsyncGenerator[bytes, None]


class _ReleaseFetch(BlobFetch):
    """What 2.8 and 3.x have in common."""

    async def _stat(self, digest: Digest) -> BlobInfo:
        """Size and type from upstream, and a ping before the next request."""
        try:
            info = await self._upstream.stat_blob(digest)
        except UpstreamFailure as failure:
            raise blob_error(failure, digest, self._profile) from failure
        try:
            await self._upstream.establish_challenge()
        except UpstreamFailure as failure:
            raise unknown_error(failure, self._profile) from failure
        return info

    async def _copy(self, digest: Digest, size: int) -> Chunks:
        """The first *size* bytes of the blob; :class:`UpstreamFailure` if there are fewer. For a
        size of 0, Go's ``io.CopyN`` does not ask upstream."""
        left = size
        if size:
            try:
                body = await self._upstream.open_blob(digest)
            except UpstreamRefused as refused:
                if refused.status == 404:
                    raise UpstreamBroken(str(refused), "unknown blob") from refused
                raise
            async with aclosing(body.chunks()) as chunks:
                async for chunk in chunks:
                    if not left:
                        break
                    wanted = chunk[:left]
                    left -= len(wanted)
                    yield wanted
        if left:
            raise UpstreamBroken("EOF")
        self._services.counters.blob.pulled(size)
        self._services.counters.blob.pushed(size, hit=False)

    # -- the response -----------------------------------------------------------------------------
    async def _answer(
        self,
        source: Chunks,
        request: Request,
        digest: Digest,
        info: BlobInfo,
        *,
        with_headers: bool = True,
    ) -> Response:
        """A response with *source* as its body, which yields as many bytes as *info* says, or
        raises. HEAD reads the whole source too, and is answered after that."""
        size = info.size or 0
        headers: Headers = (
            ("Content-Length", str(info.size)),
            ("Content-Type", info.media_type),
            ("Docker-Content-Digest", digest),
            ("Etag", digest),
        )
        try:
            first = await anext(source, b"")
        except UpstreamFailure as failure:
            return self._refusal(failure, request, headers if with_headers else (), size)
        if not with_headers:
            return await _guessed(request.method, self._body(first, source, None))
        if request.method == "HEAD":
            with suppress(UpstreamFailure):  # The status went out with the first byte.
                async for _ in source:
                    pass
            return Response(200, headers)
        return Response(200, headers, StreamBody(self._body(first, source, size)))

    async def _body(self, first: bytes, source: Chunks, size: int | None) -> Chunks:
        """The body, followed by the error if *source* breaks. If a *size* was announced, nothing is
        written beyond it, and a shorter body cuts the connection."""
        sent = len(first)
        try:
            async with aclosing(source) as chunks:
                yield first
                async for chunk in chunks:
                    sent += len(chunk)
                    yield chunk
        except UpstreamFailure as failure:
            if self._profile.appends_error_to_broken_body:
                text = json_bytes(unknown_error(failure, self._profile).body())
                if size is None or sent + len(text) <= size:
                    sent += len(text)
                    yield text
            if size is not None and sent < size:
                raise

    def _refusal(
        self, failure: UpstreamFailure, request: Request, headers: Headers, size: int
    ) -> Response:
        """500 with the headers of the blob, even its length, which the text does not have."""
        error = unknown_error(failure, self._profile)
        if not headers:
            raise error from failure
        kept = tuple(header for header in headers if header[0] != "Content-Type")
        typed = (("Content-Type", self._profile.json_content_type), *kept)
        if request.method == "HEAD":
            return Response(500, typed)
        text = json_bytes(error.body())

        async def body() -> AsyncIterator[bytes]:
            if len(text) <= size:
                yield text
            if len(text) != size:
                raise failure

        return Response(500, typed, StreamBody(body()))


async def _guessed(method: str, body: Chunks) -> Response:
    """A response without headers of its own. Go adds the type that it detects in the content, and
    the length if all of it is in its buffer when the handler ends."""
    content = b""
    async for chunk in body:
        content += chunk
        if len(content) > _BUFFERED_BY_GO:
            break
    typed = ("Content-Type", _sniffed(content))
    if len(content) <= _BUFFERED_BY_GO:
        return Response(200, (typed,), BytesBody(content))

    async def rest() -> Chunks:
        async with aclosing(body) as chunks:
            yield content
            async for chunk in chunks:
                yield chunk

    whole = rest()
    if method == "HEAD":
        async for _ in whole:
            pass
    return Response(200, (typed,), StreamBody(whole))


def _sniffed(content: bytes) -> str:
    """What Go's ``http.DetectContentType`` detects in the kinds of content that blobs have."""
    if content.startswith(b"\x1f\x8b\x08"):
        return "application/x-gzip"
    binary = set(range(0x20)) - set(b"\t\n\x0c\r\x1b")
    return (
        "application/octet-stream" if binary & set(content[:512]) else "text/plain; charset=utf-8"
    )


class TwoFetches(_ReleaseFetch):
    """2.8: one fetch for the client and one more for the cache. The blob is scheduled to expire
    whether it was stored or not, and a failed upload stays on disk."""

    async def serve(self, digest: Digest, request: Request) -> Response:
        """The response to GET or HEAD."""
        info = await self._stat(digest)
        size = info.size or 0
        stores = digest not in self._services.storing
        self._services.storing.add(digest)
        source = self._to_client(digest, size, stores=stores)
        try:
            return await self._answer(source, request, digest, info)
        finally:
            if stores:
                self._services.background.start(self._store(digest, size))

    async def _to_client(self, digest: Digest, size: int, *, stores: bool) -> Chunks:
        async with aclosing(self._copy(digest, size)) as chunks:
            async for chunk in chunks:
                yield chunk
        # The release then looks the blob up for its notifications, upstream if it has to. Its own
        # copy is stored later, since it is synced.
        if stores or not self._local.has_blob(digest):
            try:
                await self._upstream.establish_challenge()
            except UpstreamFailure as failure:
                _log.error("error dispatching blob pull to listener: %s", failure)

    async def _store(self, digest: Digest, size: int) -> None:
        try:
            writer = self._local.blob_writer()
            try:
                async with aclosing(self._copy(digest, size)) as chunks:
                    async for chunk in chunks:
                        writer.append(chunk)
                self._local.commit_blob(writer, digest)
            finally:
                writer.close()
        except (UpstreamFailure, DigestMismatch, OSError) as error:
            _log.error("Error committing to storage: %s", error)
        finally:
            self._services.storing.discard(digest)
        self._services.cached(self._local.name, digest, BLOB)


class StreamThrough(_ReleaseFetch):
    """3.x: one stream feeds the client and the cache. Clients that ask meanwhile are served from
    upstream, past the cache. If the client leaves, caching ends too."""

    async def serve(self, digest: Digest, request: Request) -> Response:
        """The response to GET or HEAD."""
        info = await self._stat(digest)
        size = info.size or 0
        if digest in self._services.storing:
            return await self._answer(self._copy(digest, size), request, digest, info)
        source = self._to_both(digest, size)
        with_headers = self._profile.blob_miss_headers
        return await self._answer(source, request, digest, info, with_headers=with_headers)

    async def _to_both(self, digest: Digest, size: int) -> Chunks:
        self._services.storing.add(digest)
        keep_upload = self._profile.fill_leaves_upload_on_abort
        writer = self._local.blob_writer()
        try:
            async with aclosing(self._copy(digest, size)) as chunks:
                async for chunk in chunks:
                    yield chunk
                    writer.append(chunk)
            try:
                self._local.commit_blob(writer, digest)
            except DigestMismatch as mismatch:
                keep_upload = self._profile.fill_leaves_upload_on_mismatch
                raise UpstreamBroken(str(mismatch)) from mismatch
            self._services.cached(self._local.name, digest, BLOB)
        finally:
            writer.close()
            if not keep_upload:
                writer.discard()
            self._services.storing.discard(digest)
