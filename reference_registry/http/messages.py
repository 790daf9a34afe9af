"""What a handler receives and returns: requests and responses as plain values.

Handlers know nothing of ASGI; ``reference_registry.app`` turns its messages into :class:`Request`
and sends the :class:`Response` that comes back.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qsl

_ESCAPES = {ord(each): f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"}
_CHUNK = 256 * 1024

_HOST = re.compile(
    r"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._~-]+)?\])"
    r"(?::[0-9]{0,5})?"
)


@lru_cache(maxsize=256)
def is_valid_host(host: str) -> bool:
    """Whether *host* is a value of ``Host`` (RFC 9110, 7.2; RFC 3986, 3.2.2): a host and a port
    without a user, or empty."""
    return not host or _HOST.fullmatch(host) is not None


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
    """The request body in chunks; ``ClientGone`` if the client leaves before its end."""
    remote_address: str = ""
    target: str = ""
    """Path and query exactly as the client sent them, for logs."""
    http_version: str = "1.1"

    @property
    def client_address(self) -> IPv4Address | IPv6Address | None:
        """The client's address without its port; None for a Unix socket. A socket for both
        families maps IPv4 addresses (RFC 4291, 2.5.5.2), which are IPv4 here."""
        try:
            address = ip_address(self.remote_address.rpartition(":")[0].strip("[]"))
        except ValueError:
            return None
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return mapped or address

    def header(self, name: str) -> str | None:
        """The first header line called *name* (lower case), or None."""
        lines = self.headers.get(name)
        return lines[0] if lines else None

    def query(self, name: str) -> str | None:
        """The first query parameter called *name*, or None."""
        return next(iter(self.queries(name)), None) if self.query_string else None

    def queries(self, name: str) -> list[str]:
        """Every query parameter called *name*, in order."""
        pairs = parse_qsl(self.query_string, keep_blank_values=True)
        return [value for key, value in pairs if key == name]


class ClientGone(Exception):
    """The client closed its connection before its request body was complete."""


@dataclass(frozen=True)
class BytesBody:
    """A body in memory."""

    content: bytes


@dataclass(frozen=True)
class FileBody:
    """A body that is in a file: *length* bytes from *start*.

    The server sends a *whole* file (ASGI ``http.response.pathsend``), so that its bytes never enter
    Python; a part is read in chunks.
    """

    path: Path
    start: int
    length: int
    whole: bool

    @property
    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes, in chunks."""
        return file_chunks(self._open, self.length)

    def _open(self) -> BinaryIO:
        file = self.path.open("rb")
        file.seek(self.start)
        return file


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
    """Says whether the same request would get the same response now. If true, the side effects of
    answering, such as recording a use, have happened. None if that is not known."""

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


def json_bytes(document: Any, indent: int | None = None) -> bytes:
    """*document* as Go's ``json.Encoder`` writes it: no spaces unless there is an *indent*,
    characters that are special in HTML and line separators of JavaScript escaped, one newline at
    the end."""
    separators = (",", ": " if indent else ":")
    text = json.dumps(document, indent=indent, separators=separators, ensure_ascii=False)
    escaped = text.translate(_ESCAPES)
    try:
        return escaped.encode() + b"\n"
    except UnicodeEncodeError:  # Half a surrogate pair, which a client or upstream sent as \\ud800.
        return (
            escaped.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode() + b"\n"
        )


async def file_chunks(open_file: Callable[[], BinaryIO], length: int) -> AsyncIterator[bytes]:
    """*length* bytes of a file; ``EOFError`` if it has fewer."""
    with open_file() as file:
        while length > 0:
            chunk = file.read(min(length, _CHUNK))
            if not chunk:
                raise EOFError(f"the file ends {length} bytes too early")
            length -= len(chunk)
            yield chunk


async def no_chunks() -> AsyncIterator[bytes]:
    """An empty body."""
    chunks: tuple[bytes, ...] = ()
    for chunk in chunks:
        yield chunk
