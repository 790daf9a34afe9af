"""What a handler receives and returns: requests and responses as plain values.

Handlers know nothing of ASGI; ``reference_registry.app`` turns its messages into :class:`Request`
and sends the :class:`Response` that comes back.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

__all__ = [
    "Body",
    "BytesBody",
    "ClientGone",
    "FileBody",
    "Request",
    "Response",
    "StreamBody",
    "file_chunks",
    "json_bytes",
]

_ESCAPES = {ord(each): f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"}
_CHUNK = 256 * 1024


@dataclass(frozen=True)
class Request:
    """One HTTP request. Header names are lower case; several lines of one name are kept apart."""

    method: str
    path: str
    """The percent-decoded path, without the configured ``http.prefix``."""
    query_string: str
    headers: Mapping[str, tuple[str, ...]]
    scheme: str
    body: AsyncIterator[bytes]
    """The request body in chunks; ends early with ``ClientGone`` where the client left."""
    remote_address: str = ""
    target: str = ""
    """Path and query exactly as the client sent them, for logs."""
    http_version: str = "1.1"

    def header(self, name: str) -> str | None:
        """The first header line called *name* (lower case), or None."""
        lines = self.headers.get(name)
        return lines[0] if lines else None

    def query(self, name: str) -> str | None:
        """The first query parameter called *name*, or None."""
        for key, value in parse_qsl(self.query_string, keep_blank_values=True):
            if key == name:
                return value
        return None

    def queries(self, name: str) -> list[str]:
        """Every query parameter called *name*, in order."""
        pairs = parse_qsl(self.query_string, keep_blank_values=True)
        return [value for key, value in pairs if key == name]


class ClientGone(Exception):
    """The client closed its connection before its request body was complete."""


@dataclass(frozen=True)
class BytesBody:
    """A body that is at hand."""

    content: bytes


@dataclass(frozen=True)
class FileBody:
    """A body, or the part ``[start, start + length)`` of it, that lies in a file.

    A whole file is handed to the server to send (ASGI ``http.response.pathsend``), so that its
    bytes never enter Python; a part is read in chunks.
    """

    path: Path
    start: int
    length: int
    whole: bool


@dataclass(frozen=True)
class StreamBody:
    """A body that arrives in chunks. An exception raised by ``chunks`` cuts the connection, so
    that the client sees a truncated body and not a complete one."""

    chunks: AsyncIterator[bytes]


Body = BytesBody | FileBody | StreamBody


@dataclass(frozen=True)
class Response:
    """One HTTP response. ``Content-Length`` is added for ``BytesBody`` and ``FileBody`` unless
    given; a ``StreamBody`` without it goes out chunked. Nothing of the body is sent for HEAD."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: Body = field(default_factory=lambda: BytesBody(b""))
    still_valid: Callable[[], bool] | None = None
    """Says whether the same request would get the same response now. If it returns true, the side
    effects of answering (such as noting a use) have happened. None if that cannot be known."""

    def header(self, name: str) -> str | None:
        """The first header called *name*, compared without case, or None."""
        wanted = name.lower()
        for key, value in self.headers:
            if len(key) == len(wanted) and key.lower() == wanted:
                return value
        return None

    def with_headers(
        self, before: tuple[tuple[str, str], ...] = (), after: tuple[tuple[str, str], ...] = ()
    ) -> Response:
        """The same with more headers."""
        return Response(self.status, (*before, *self.headers, *after), self.body, self.still_valid)


def json_bytes(document: Any) -> bytes:
    """*document* as Go's ``json.Encoder`` writes it: no spaces, nothing that a browser could take
    for HTML or the end of a line of JavaScript, one newline at the end."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return text.translate(_ESCAPES).encode() + b"\n"


async def file_chunks(body: FileBody) -> AsyncIterator[bytes]:
    """The bytes of *body*, piece by piece; ``EOFError`` where the file ends too early."""
    left = body.length
    with body.path.open("rb") as file:
        file.seek(body.start)
        while left > 0:
            chunk = file.read(min(left, _CHUNK))
            if not chunk:
                raise EOFError(f"{body.path} ends {left} bytes too early")
            left -= len(chunk)
            yield chunk
