"""The response to GET or HEAD of a blob: whole, in part, or not modified."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence

from reference_registry.http.errors import RANGE_INVALID
from reference_registry.http.messages import (
    Body,
    BytesBody,
    FileBody,
    Request,
    Response,
    StreamBody,
    file_chunks,
    no_chunks,
)
from reference_registry.http.ranges import (
    ByteRange,
    RangeRefused,
    precondition_status,
    wanted_ranges,
)
from reference_registry.profiles import Profile
from reference_registry.repository import Descriptor
from reference_registry.storage.blobs import BlobStore


class ServedContent:
    """Content of *size* bytes. This class has no bytes, for responses without a body; subclasses
    have."""

    def __init__(self, size: int) -> None:
        self.size = size

    def body(self, start: int, length: int) -> Body:
        """The body of a response with ``length`` bytes from ``start``."""
        return StreamBody(self.chunks(start, length))

    def chunks(self, start: int, length: int) -> AsyncIterator[bytes]:
        """``length`` bytes from ``start``; raises if they are not all available."""
        return no_chunks()


class StoredContent(ServedContent):
    """The bytes of *descriptor* in *blobs*."""

    def __init__(self, blobs: BlobStore, descriptor: Descriptor) -> None:
        super().__init__(descriptor.size)
        self._blobs = blobs
        self._digest = descriptor.digest
        self._path = blobs.local_path(descriptor.digest)

    def body(self, start: int, length: int) -> Body:
        if self._path is None:
            return super().body(start, length)
        return FileBody(self._path, start, length, whole=length == self.size)

    def chunks(self, start: int, length: int) -> AsyncIterator[bytes]:
        return file_chunks(lambda: self._blobs.open(self._digest, start), length)


def blob_headers(descriptor: Descriptor) -> tuple[tuple[str, str], ...]:
    """The headers of every blob in distribution: the content never changes under its digest."""
    return (
        ("Cache-Control", "max-age=31536000"),
        ("Content-Type", descriptor.media_type),
        ("Docker-Content-Digest", descriptor.digest),
        ("Etag", f'"{descriptor.digest}"'),
    )


def serve_content(
    request: Request, descriptor: Descriptor, content: ServedContent, profile: Profile
) -> Response:
    """The response to *request* (GET or HEAD) for the blob *descriptor*.

    OCI distribution-spec, "Pulling blobs"; RFC 9110, sections 13 and 14. An unsatisfiable range
    raises RANGE_INVALID (``ideal``) or is refused as by Go (profile ``range_rules``).
    """
    etag, size, as_go = f'"{descriptor.digest}"', content.size, profile.range_rules == "go"
    headers = blob_headers(descriptor)
    status = precondition_status(request, etag)
    if status is not None:
        return Response(status, tuple(each for each in headers if each[0] != "Content-Type"))
    headers = (("Accept-Ranges", "bytes"), *headers)
    try:
        ranges = wanted_ranges(request, etag, size, as_go=as_go)
    except RangeRefused as refused:
        size_header = () if refused.overlaps else (("Content-Range", f"bytes */{size}"),)
        if not as_go:
            raise RANGE_INVALID().with_headers(*size_header) from None
        return _refusal_of_go(f"{refused}\n", descriptor, profile, size_header)
    if len(ranges) > 1 and profile.multi_range == "multipart":
        return _multipart(headers, content, ranges)
    if len(ranges) != 1:
        headers = (*headers, ("Content-Length", str(size)))
        return Response(200, headers, content.body(0, size))
    part = ranges[0]
    headers = (
        *headers,
        ("Content-Length", str(part.length)),
        ("Content-Range", part.content_range(size)),
    )
    return Response(206, headers, content.body(part.start, part.length))


def _refusal_of_go(
    text: str, descriptor: Descriptor, profile: Profile, more: tuple[tuple[str, str], ...]
) -> Response:
    headers = (
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Docker-Content-Digest", descriptor.digest),
        ("X-Content-Type-Options", "nosniff"),
        *more,
    )
    if profile.keeps_caching_headers_on_416:
        cached = tuple(h for h in blob_headers(descriptor) if h[0] in {"Cache-Control", "Etag"})
        headers = (*cached, *headers)
    return Response(416, headers, BytesBody(text.encode()))


def _multipart(
    headers: tuple[tuple[str, str], ...], content: ServedContent, ranges: Sequence[ByteRange]
) -> Response:
    """RFC 9110, 14.6."""
    boundary = secrets.token_hex(30)
    content_type = dict(headers)["Content-Type"]
    openings = [
        (
            f"\r\n--{boundary}\r\n"
            f"Content-Range: {part.content_range(content.size)}\r\n"
            f"Content-Type: {content_type}\r\n\r\n"
        ).encode()
        for part in ranges
    ]
    openings[0] = openings[0].removeprefix(b"\r\n")
    closing = f"\r\n--{boundary}--\r\n".encode()

    async def chunks() -> AsyncIterator[bytes]:
        for opening, part in zip(openings, ranges, strict=True):
            yield opening
            async for chunk in content.chunks(part.start, part.length):
                yield chunk
        yield closing

    length = sum(map(len, openings)) + sum(part.length for part in ranges) + len(closing)
    headers = (
        *(header for header in headers if header[0] != "Content-Type"),
        ("Content-Length", str(length)),
        ("Content-Type", f"multipart/byteranges; boundary={boundary}"),
    )
    return Response(206, headers, StreamBody(chunks()))
