"""How releases copy a blob from upstream to the client: Go's ``io.CopyN`` to a response whose
headers are already written. Later errors end up in the body."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from reference_registry.digest import Digest
from reference_registry.http.messages import BytesBody, Request, Response, StreamBody, json_bytes
from reference_registry.profiles import Profile
from reference_registry.proxy.blobs.services import BlobServices
from reference_registry.proxy.errors import blob_error, unknown_error
from reference_registry.proxy.upstream.client import BlobInfo, UpstreamRepository
from reference_registry.proxy.upstream.errors import (
    UpstreamBroken,
    UpstreamFailure,
    UpstreamRefused,
)
from reference_registry.storage.repository import LocalRepository

__all__ = ["ReleaseFetch", "answer_from", "copy_blob"]

_BUFFERED_BY_GO = 2048
"""Bytes of a response that Go buffers before it sends anything."""


class ReleaseFetch:
    """What releases do for every blob of the repository *local* that is not cached."""

    def __init__(
        self, local: LocalRepository, upstream: UpstreamRepository, services: BlobServices
    ) -> None:
        self._local = local
        self._upstream = upstream
        self._services = services
        self._profile = services.profile

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

    def _count(self, size: int) -> None:
        self._services.counters.pulled(size)
        self._services.counters.pushed(size, hit=False)


async def copy_blob(
    upstream: UpstreamRepository, digest: Digest, size: int
) -> AsyncGenerator[bytes, None]:
    """The first *size* bytes of the blob; :class:`UpstreamFailure` if there are fewer. For a size
    of 0, Go's ``io.CopyN`` does not ask upstream."""
    if not size:
        return
    try:
        body = await upstream.open_blob(digest)
    except UpstreamRefused as refused:
        if refused.status == 404:
            raise UpstreamBroken(str(refused), "unknown blob") from refused
        raise
    left = size
    async with aclosing(body.chunks()) as chunks:
        async for chunk in chunks:
            if not left:
                break
            wanted = chunk[:left]
            left -= len(wanted)
            yield wanted
    if left:
        raise UpstreamBroken("EOF")


async def answer_from(
    source: AsyncGenerator[bytes, None],
    request: Request,
    digest: Digest,
    info: BlobInfo,
    profile: Profile,
    *,
    with_headers: bool = True,
) -> Response:
    """A response with *source* as its body, which gives as many bytes as *info* says, or raises.

    HEAD reads the whole source too, and is answered after that.
    """
    size = info.size or 0
    headers = _headers(digest, info) if with_headers else ()
    try:
        first = await anext(source, b"")
    except UpstreamFailure as failure:
        return _refusal(failure, request, headers, size, profile)
    if not with_headers:
        return await _guessed(request.method, _body(first, source, None, profile))
    if request.method == "HEAD":
        return await _head(source, headers)
    return Response(200, headers, StreamBody(_body(first, source, size, profile)))


def _headers(digest: Digest, info: BlobInfo) -> tuple[tuple[str, str], ...]:
    return (
        ("Content-Length", str(info.size)),
        ("Content-Type", info.media_type),
        ("Docker-Content-Digest", digest),
        ("Etag", digest),
    )


async def _guessed(method: str, body: AsyncGenerator[bytes, None]) -> Response:
    """A response without headers of its own. Go adds the type that it detects in the content, and
    the length if all of it is in its buffer when the handler ends."""
    start = bytearray()
    async for chunk in body:
        start += chunk
        if len(start) > _BUFFERED_BY_GO:
            break
    content = bytes(start)
    typed = ("Content-Type", _sniffed(content))
    if len(content) <= _BUFFERED_BY_GO:
        if method == "HEAD":
            length = ("Content-Length", str(len(content)))
            return Response(200, (typed, length), StreamBody(_nothing()))
        return Response(200, (typed,), BytesBody(content))
    rest = _joined(content, body)
    if method == "HEAD":
        async for _ in rest:
            pass
        return Response(200, (typed,), StreamBody(_nothing()))
    return Response(200, (typed,), StreamBody(rest))


async def _joined(start: bytes, body: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(body) as chunks:
        yield start
        async for chunk in chunks:
            yield chunk


async def _head(
    source: AsyncGenerator[bytes, None], headers: tuple[tuple[str, str], ...]
) -> Response:
    try:
        async for _ in source:
            pass
    except UpstreamFailure:
        pass  # The status went out with the first byte.
    return Response(200, headers, StreamBody(_nothing()))


async def _body(
    first: bytes, source: AsyncGenerator[bytes, None], size: int | None, profile: Profile
) -> AsyncGenerator[bytes, None]:
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
        if profile.appends_error_to_broken_body:
            text = json_bytes(unknown_error(failure, profile).body())
            if size is None or sent + len(text) <= size:
                sent += len(text)
                yield text
        if size is not None and sent < size:
            raise


def _refusal(
    failure: UpstreamFailure,
    request: Request,
    headers: tuple[tuple[str, str], ...],
    size: int,
    profile: Profile,
) -> Response:
    """500 with the headers of the blob, even its length, which the text does not have."""
    error = unknown_error(failure, profile)
    if not headers:
        raise error from failure
    kept = tuple(header for header in headers if header[0] != "Content-Type")
    typed = (("Content-Type", profile.json_content_type), *kept)
    if request.method == "HEAD":
        return Response(500, typed, StreamBody(_nothing()))
    text = json_bytes(error.body())

    async def body() -> AsyncIterator[bytes]:
        if len(text) <= size:
            yield text
        if len(text) != size:
            raise failure

    return Response(500, typed, StreamBody(body()))


def _sniffed(content: bytes) -> str:
    """What Go's ``http.DetectContentType`` detects in the kinds of content that blobs have."""
    if content.startswith(b"\x1f\x8b\x08"):
        return "application/x-gzip"
    binary = set(range(0x20)) - set(b"\t\n\x0c\r\x1b")
    return (
        "application/octet-stream" if binary & set(content[:512]) else "text/plain; charset=utf-8"
    )


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
