"""One request and its response, as ASGI's ``receive`` and ``send``.

https://asgi.readthedocs.io/en/latest/specs/www.html, with the extension ``http.response.pathsend``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Any, Protocol

from reference_registry.server.http1.heads import BadMessage, head, head_end, undated_head
from reference_registry.server.http1.kept_answers import StillValid
from reference_registry.server.http1.sending import send_file

__all__ = ["NO_CONTENT", "Exchange", "Message", "OpenConnection", "Serve", "expects_continue"]

_READ_AHEAD = 256 * 1024
"""Bytes of a request body that are buffered, or discarded if the application does not read them."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
NO_CONTENT = frozenset({204, 304})
"""Statuses of responses without a body, as RFC 9110 defines them."""

Message = MutableMapping[str, Any]


class Request(Protocol):
    """One request and its response, of either version of HTTP."""

    scope: Message

    async def receive(self) -> Message: ...
    async def send(self, message: Message) -> None: ...
    def abort(self) -> None:
        """Give the client no response."""
        ...

    def ended(self) -> None:
        """The application has returned. If it sent nothing, the client gets 500."""
        ...


Serve = Callable[[Request], object]


class OpenConnection(Protocol):
    """A connection of either version of HTTP."""

    transport: asyncio.Transport
    closed: asyncio.Future[None]

    def retire(self) -> None:
        """Close now, or after the responses that are being sent."""
        ...

    def check_deadline(self, now: float) -> None:
        """Abort the connection if its deadline is before *now* (``time.monotonic``)."""
        ...


class _Connection(Protocol):
    """What an exchange uses of its connection."""

    transport: asyncio.Transport
    gone: bool
    """The client has disconnected."""
    full: bool
    """The write buffer is above its limit."""

    async def room(self) -> None:
        """Wait until the write buffer is below its limit, or the client has disconnected."""
        ...

    def keep_answer(
        self, exchange: Exchange, head: bytes, body: bytes, still_valid: StillValid
    ) -> None:
        """The response to *exchange*, *head* without its end and *body*, may be repeated."""
        ...

    def finished(self, exchange: Exchange) -> None:
        """*exchange* is over; the next one may begin."""
        ...

    def linger(self) -> None:
        """Take no further request and close, leaving the client time to read the response."""
        ...


def expects_continue(scope: Message) -> bool:
    """``Expect: 100-continue`` (RFC 9110, 10.1.1)."""
    return scope["http_version"] != "1.0" and any(
        name == b"expect" and value.lower() == b"100-continue" for name, value in scope["headers"]
    )


class Exchange:
    """*keeps*: the connection may be reused afterwards."""

    def __init__(self, connection: _Connection, scope: Message, *, keeps: bool) -> None:
        self.scope = scope
        self.keeps = keeps
        self.is_whole = False
        """The response has been sent completely."""
        self.raw_request: bytes | None = None
        """The bytes of the request, if they came in one piece and alone."""
        self._connection = connection
        self._bodiless = scope["method"] == "HEAD"
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._complete = False
        self._reported_complete = False
        self._over = False
        self._changed: asyncio.Event | None = None
        self._start: Message | None = None
        self._begun = False
        self._chunked = False
        self._left: int | None = None
        """Bytes that Content-Length announces and that are still to be sent."""

    # -- the request body --------------------------------------------------------------------------
    def received(self, chunk: bytes) -> None:
        """A piece of the body has arrived."""
        self._size += len(chunk)
        if not self._over:
            self._chunks.append(chunk)
            if self._size > _READ_AHEAD:
                self._connection.transport.pause_reading()
            self.wake()
        elif self._size > _READ_AHEAD:
            self._connection.linger()

    def complete(self) -> None:
        """The whole body has arrived."""
        self._complete = True
        self.wake()

    def wake(self) -> None:
        """Make a waiting :meth:`receive` check the state again."""
        if self._changed is not None:
            self._changed.set()

    async def receive(self) -> Message:
        """``http.request`` for each piece of the body; ``http.disconnect`` once the client has
        disconnected or its response is complete."""
        if self._changed is None:
            self._changed = asyncio.Event()
            if not (self._complete or self._begun or self._chunks) and expects_continue(self.scope):
                self._connection.transport.write(_CONTINUE)
        while not (self._over or self._connection.gone):
            if self._chunks:
                chunk = self._chunks.popleft()
                self._size -= len(chunk)
                if self._size <= _READ_AHEAD:
                    self._connection.transport.resume_reading()
                return self._request(chunk)
            if self._complete and not self._reported_complete:
                return self._request(b"")
            self._changed.clear()
            await self._changed.wait()
        return {"type": "http.disconnect"}

    def _request(self, chunk: bytes) -> Message:
        self._reported_complete = self._complete and not self._chunks
        return {"type": "http.request", "body": chunk, "more_body": not self._reported_complete}

    # -- the response ------------------------------------------------------------------------------
    async def send(self, message: Message) -> None:
        """Discards what is sent after the client has disconnected.

        Raises :class:`BadMessage`, and ``OSError`` or ``EOFError`` for a file that cannot be sent.
        """
        match message["type"]:
            case "http.response.start":
                self._start = message
            case "http.response.body":
                more = message.get("more_body", False)
                self._write(message.get("body", b""), more=more)
                if not more:
                    self._finish()
                if self._connection.full:
                    await self._connection.room()
            case "http.response.pathsend":
                self._write(b"", more=True)
                if self._left and not self._bodiless:
                    await self._send_file(message["path"], self._left)
                self._finish()

    async def _send_file(self, path: str, length: int) -> None:
        transport = self._connection.transport
        transport.set_write_buffer_limits(high=0)
        try:
            await self._connection.room()
            await send_file(transport, path, length)
        except OSError:
            if not self._connection.gone and not transport.is_closing():
                raise
        finally:
            transport.set_write_buffer_limits()
        self._left = 0

    def _write(self, body: bytes, *, more: bool) -> None:
        begins = b"" if self._begun else self._begin(body, more=more)
        self._begun = True
        if self._bodiless:
            body = b""
        elif self._chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                body += b"0\r\n\r\n"
        elif self._left is not None:
            if len(body) > self._left:
                raise BadMessage("the body is longer than Content-Length")
            self._left -= len(body)
        if (begins or body) and not self._connection.gone:
            self._connection.transport.write(begins + body)

    def _begin(self, body: bytes, *, more: bool) -> bytes:
        """The head; *body* is the first piece of the body."""
        if self._start is None:
            raise BadMessage("a body before its head")
        status: int = self._start["status"]
        headers: list[tuple[bytes, bytes]] = list(self._start["headers"])
        self._bodiless = self._bodiless or status in NO_CONTENT
        for name, value in headers:
            if len(name) == 14 and name.lower() == b"content-length":
                self._left = int(value)
        if self._left is None and not self._bodiless:
            if not more:
                self._left = len(body)
                headers.append((b"Content-Length", b"%d" % len(body)))
            elif self.keeps:
                self._chunked = True
                headers.append((b"Transfer-Encoding", b"chunked"))
        begins = undated_head(status, headers)
        still_valid = self._start.get("still_valid")
        if still_valid is not None and self.keeps and not more:
            content = b"" if self._bodiless else body
            self._connection.keep_answer(self, begins, content, still_valid)
        return begins + head_end(last=not self.keeps)

    def _finish(self) -> None:
        if self._left and not self._bodiless:
            raise BadMessage("the body is shorter than Content-Length")
        self.is_whole = self._over = True
        self.wake()

    def abort(self) -> None:
        """Cut the connection, so that the client gets no response."""
        self._connection.gone = True
        self._connection.transport.abort()

    def ended(self) -> None:
        """The application has returned. If it sent nothing, the client gets 500."""
        self._over = True
        self._chunks.clear()
        self._size = 0
        if not self._begun and not self._connection.gone:
            self._connection.transport.write(head(500, [(b"Content-Length", b"0")], last=True))
        self._connection.finished(self)
