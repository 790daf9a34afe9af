"""The answer to GET or HEAD of stored bytes: whole, in part, or not modified."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from reference_registry.http.errors import RANGE_INVALID
from reference_registry.http.messages import (
    Body,
    BytesBody,
    FileBody,
    Request,
    Response,
    StreamBody,
)
from reference_registry.http.ranges import (
    ByteRange,
    InvertedRange,
    RangeNotSatisfiable,
    RangeSyntaxError,
    parse_range,
    precondition_status,
)
from reference_registry.profiles import Profile
from reference_registry.repository import Descriptor

__all__ = ["Content", "StoredContent", "blob_headers", "serve_content"]

_CHUNK = 256 * 1024


class Content(Protocol):
    """Bytes of a known size that can be had from any offset."""

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    def body(self, part: ByteRange | None = None) -> Body:
        """The body of an answer that carries *part*, or all."""
        ...

    def chunks(self, start: int, length: int) -> AsyncIterator[bytes]:
        """``length`` bytes from ``start``; raises where they cannot all be had."""
        ...


class StoredContent:
    """Bytes of a known size that can be opened at any offset; *path* where they lie in a file."""

    def __init__(self, open_at: Callable[[int], BinaryIO], size: int, path: Path | None) -> None:
        self._open_at = open_at
        self.size = size
        self._path = path

    def body(self, part: ByteRange | None = None) -> Body:
        """The body of an answer that carries *part*, or all."""
        start, length = (part.start, part.length) if part else (0, self.size)
        if self._path is not None:
            return FileBody(self._path, start, length, whole=part is None)
        return StreamBody(self.chunks(start, length))

    async def chunks(self, start: int, length: int) -> AsyncIterator[bytes]:
        """``length`` bytes from ``start``; ``EOFError`` where there are fewer."""
        with self._open_at(start) as file:
            while length > 0:
                chunk = file.read(min(length, _CHUNK))
                if not chunk:
                    raise EOFError(f"{length} bytes are missing")
                length -= len(chunk)
                yield chunk


def blob_headers(descriptor: Descriptor) -> tuple[tuple[str, str], ...]:
    """What distribution says of every blob it has: the content never changes under its digest."""
    return (
        ("Cache-Control", "max-age=31536000"),
        ("Content-Type", descriptor.media_type),
        ("Docker-Content-Digest", descriptor.digest),
        ("Etag", f'"{descriptor.digest}"'),
    )


def serve_content(
    request: Request, descriptor: Descriptor, content: Content, profile: Profile
) -> Response:
    """The answer to *request* (GET or HEAD) for the blob *descriptor*.

    OCI distribution-spec, "Pulling blobs"; RFC 9110, sections 13 and 14. An unsatisfiable range
    raises RANGE_INVALID (``ideal``) or is answered as Go does (profile ``range_rules``).
    """
    etag = f'"{descriptor.digest}"'
    headers = blob_headers(descriptor)
    size = content.size
    status = precondition_status(request, etag)
    if status is not None:
        kept = tuple(h for h in headers if h[0] != "Content-Type")
        return Response(status, kept)
    headers = (("Accept-Ranges", "bytes"), *headers)
    try:
        ranges = _wanted_ranges(request, etag, size, profile)
    except RangeNotSatisfiable:
        unsatisfied = ("Content-Range", f"bytes */{size}")
        if profile.range_rules == "rfc9110":
            raise RANGE_INVALID().with_headers(unsatisfied) from None
        return _refusal_of_go(
            "invalid range: failed to overlap\n", descriptor, profile, (unsatisfied,)
        )
    except RangeSyntaxError:
        return _refusal_of_go("invalid range\n", descriptor, profile, ())
    length = ("Content-Length", str(size))
    if not ranges:
        return Response(200, (*headers, length), content.body())
    if len(ranges) == 1:
        part = ranges[0]
        return Response(
            206,
            (
                *headers,
                ("Content-Length", str(part.length)),
                ("Content-Range", part.content_range(size)),
            ),
            content.body(part),
        )
    if profile.multi_range == "multipart":
        return _multipart(headers, content, ranges)
    return Response(200, (*headers, length), content.body())


def _wanted_ranges(
    request: Request, etag: str, size: int, profile: Profile
) -> tuple[ByteRange, ...]:
    header = request.header("range")
    # RFC 9110, 14.2: a Range is defined for GET only. Go minds it on HEAD too.
    ignored = request.method != "GET" and profile.range_rules == "rfc9110"
    if not header or ignored or request.header("if-range") not in {None, etag}:
        return ()
    try:
        return parse_range(header, size)
    except InvertedRange:
        if profile.range_rules == "rfc9110":
            raise RangeNotSatisfiable(header) from None
        raise
    except RangeSyntaxError:
        if profile.range_rules == "rfc9110":
            return ()
        raise


def _refusal_of_go(
    text: str,
    descriptor: Descriptor,
    profile: Profile,
    more: tuple[tuple[str, str], ...],
) -> Response:
    kept = tuple(h for h in blob_headers(descriptor) if h[0] in {"Cache-Control", "Etag"})
    return Response(
        416,
        (
            *(kept if profile.keeps_caching_headers_on_416 else ()),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Docker-Content-Digest", descriptor.digest),
            ("X-Content-Type-Options", "nosniff"),
            *more,
        ),
        BytesBody(text.encode()),
    )


def _multipart(
    headers: tuple[tuple[str, str], ...], content: Content, ranges: Sequence[ByteRange]
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
    kept = tuple(h for h in headers if h[0] != "Content-Type")
    return Response(
        206,
        (
            *kept,
            ("Content-Length", str(length)),
            ("Content-Type", f"multipart/byteranges; boundary={boundary}"),
        ),
        StreamBody(chunks()),
    )
