"""What HTTP/1.1 and HTTP/2 share: a connection with its deadline, and a request with its response
as ASGI's ``receive`` and ``send`` (https://asgi.readthedocs.io/en/latest/specs/www.html)."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Any, cast
from urllib.parse import unquote

_NO_CONTENT = frozenset({204, 304})
"""Statuses of responses without a body, as RFC 9110 defines them."""

WRITE_TIMEOUT = 60.0
"""Seconds without any progress after which a client that does not read is disconnected."""

Message = MutableMapping[str, Any]


class BadMessage(Exception):
    """The application's response cannot be sent."""


class HttpConnection(asyncio.Protocol, ABC):
    """Gives each request to *serve*, which must call :meth:`HttpExchange.ended`. *connections*
    contains every open connection. An idle connection is closed after *timeout* seconds."""

    transport: asyncio.Transport

    def __init__(self, serve: Serve, connections: set[HttpConnection], timeout: float) -> None:
        self.gone = False
        """The client has disconnected."""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the connection is closed."""
        self.room = asyncio.Event()
        """Set while the write buffer is below its limit, or the client has disconnected."""
        self.room.set()
        self._serve = serve
        self._connections = connections
        self._timeout = timeout
        self._deadline: float | None = time.monotonic() + timeout
        self._unread = (0, 0.0)
        """Bytes that the client had not read yet, and since when it is that many."""
        self._client: tuple[str, int] | None = None
        self._scheme = "http"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._client = (peer[0], peer[1])
        if transport.get_extra_info("sslcontext") is not None:
            self._scheme = "https"
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        self.closed.set_result(None)
        self._leave()

    def pause_writing(self) -> None:
        self.room.clear()

    def resume_writing(self) -> None:
        self.room.set()

    @abstractmethod
    def finished(self, exchange: Any) -> None:
        """*exchange* is over."""

    @abstractmethod
    def retire(self) -> None:
        """Close now, or after the responses that are being sent."""

    def check_deadline(self, now: float) -> None:
        """Abort the connection if its deadline is before *now* (``time.monotonic``), or if its
        client reads nothing of what waits for it."""
        waits = self.transport.get_write_buffer_size()
        if waits != self._unread[0]:
            self._unread = (waits, now)
        stuck = waits > 0 and now > self._unread[1] + WRITE_TIMEOUT
        if stuck or (self._deadline is not None and now > self._deadline):
            self.transport.abort()

    @property
    def client_address(self) -> str:
        """The address of the client without its port; empty for a Unix socket."""
        return self._client[0] if self._client else ""

    @property
    def idle_until(self) -> float | None:
        """When the connection closes unless a request arrives; None while it answers one."""
        return self._deadline

    def _leave(self) -> None:
        self.gone = True
        self.room.set()


class HttpExchange(ABC):
    """One request and its response."""

    def __init__(self, connection: HttpConnection, scope: Message) -> None:
        self.scope = scope
        self._connection = connection
        self._changed = asyncio.Event()
        """Set when a waiting :meth:`receive` should check the state again."""
        self._chunks: deque[tuple[bytes, int]] = deque()
        """Pieces of the body, each with its size for flow control."""
        self._complete = False
        self._reported_complete = False
        self._received = False
        """The application has called :meth:`receive`."""
        self._over = False
        """The response is complete, or the client has left."""
        self._bodiless = scope["method"] == "HEAD"
        self._start: Message | None = None
        self._begun = False
        self._left: int | None = None
        """Bytes that Content-Length announces and that are still to be sent."""

    def complete(self) -> None:
        """The whole body of the request has arrived."""
        self._complete = True
        self._changed.set()

    def wake(self) -> None:
        """Make a waiting :meth:`receive` check the state again."""
        self._changed.set()

    async def receive(self) -> Message:
        """``http.request`` for each piece of the body; ``http.disconnect`` once the client has
        disconnected or its response is complete."""
        if not self._received:
            self._received = True
            if not (self._complete or self._begun or self._chunks) and self._expects_continue():
                self._continue()
        while not (self._over or self._connection.gone):
            if self._chunks or (self._complete and not self._reported_complete):
                chunk, size = self._chunks.popleft() if self._chunks else (b"", 0)
                self._consumed(size)
                more = bool(self._chunks) or not self._complete
                self._reported_complete = not more
                return {"type": "http.request", "body": chunk, "more_body": more}
            self._changed.clear()
            await self._changed.wait()
        return {"type": "http.disconnect"}

    def _expects_continue(self) -> bool:
        """``Expect: 100-continue`` (RFC 9110, 10.1.1)."""
        return self.scope["http_version"] != "1.0" and any(
            name == b"expect" and value.lower() == b"100-continue"
            for name, value in self.scope["headers"]
        )

    @abstractmethod
    def _continue(self) -> None:
        """Send 100 Continue."""

    @abstractmethod
    def _consumed(self, size: int) -> None:
        """The client may send *size* bytes more."""

    @abstractmethod
    async def send(self, message: Message) -> None:
        """Discards what is sent after the client has disconnected.

        Raises :class:`BadMessage`, and ``OSError`` or ``EOFError`` for a file that cannot be sent.
        """

    def _head(self, size: int | None) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Status and headers of the response; *size* is the length of its whole body, if known."""
        if self._start is None:
            raise BadMessage("a body before its head")
        status: int = self._start["status"]
        headers: list[tuple[bytes, bytes]] = list(self._start["headers"])
        self._bodiless = self._bodiless or status in _NO_CONTENT
        for name, value in headers:
            if len(name) == 14 and name.lower() == b"content-length":
                self._left = int(value)
        if self._left is None and size is not None and not self._bodiless:
            self._left = size
            headers.append((b"Content-Length", b"%d" % size))
        return status, headers

    def _count(self, size: int) -> None:
        """*size* more bytes of the body are sent. :class:`BadMessage` if that is too many."""
        if self._left is not None and not self._bodiless:
            self._left -= size
            if self._left < 0:
                raise BadMessage("the body is longer than Content-Length")

    def _check_length(self) -> None:
        """The body is complete. :class:`BadMessage` if it is too short."""
        if self._left and not self._bodiless:
            raise BadMessage("the body is shorter than Content-Length")

    @abstractmethod
    def abort(self) -> None:
        """Give the client no response."""

    @abstractmethod
    def ended(self) -> None:
        """The application has returned. If it sent nothing, the client gets 500."""


Serve = Callable[[HttpExchange], object]


def request_scope(
    method: str,
    target: bytes,
    version: str,
    headers: list[tuple[bytes, bytes]],
    client: tuple[str, int] | None,
    scheme: str,
) -> Message:
    """The ASGI scope of a request for *target*, a path with its query."""
    raw_path, _, query = target.partition(b"?")
    path = raw_path.decode("latin-1")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": version,
        "method": method,
        "scheme": scheme,
        "path": unquote(path) if "%" in path else path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": client,
        "server": None,
        "extensions": {},
    }
