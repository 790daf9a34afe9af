"""One request and its answer, as ASGI's ``receive`` and ``send``.

https://asgi.readthedocs.io/en/latest/specs/www.html, with ``http.response.pathsend``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import MutableMapping
from typing import Any, Protocol

from reference_registry.server.http1.heads import BadMessage, ending, head, undated_head
from reference_registry.server.http1.repeats import Again
from reference_registry.server.http1.sending import send_file

__all__ = ["REPEAT", "Exchange", "Line", "Message"]

_READ_AHEAD = 256 * 1024
"""Bytes of a request's body that wait to be read, or are swallowed if nobody wants them."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NO_CONTENT = frozenset({204, 304})
REPEAT = "pullproof.repeat"
"""Our extension of ASGI: ``http.response.start`` may have an ``again`` (:data:`Again`)."""

Message = MutableMapping[str, Any]


class Line(Protocol):
    """The connection, as an exchange sees it."""

    transport: asyncio.Transport
    gone: bool
    """Whether the client has left."""

    full: bool
    """Whether so much waits to leave that no more should be written."""

    async def room(self) -> None:
        """Wait until enough of what was written has left."""
        ...

    def repeatable(self, exchange: Exchange, head: bytes, body: bytes, again: Again) -> None:
        """*exchange* was answered by *head*, without its end, and *body*, and may be *again*."""
        ...

    def finished(self, exchange: Exchange) -> None:
        """*exchange* is over; the next one may begin."""
        ...

    def say_goodbye(self) -> None:
        """Take no further request and close, giving the client time to read."""
        ...


class Exchange:
    """*keeps*: whether the connection may be used again afterwards."""

    def __init__(self, line: Line, scope: Message, *, keeps: bool) -> None:
        self.scope = scope
        self.keeps = keeps
        self.is_whole = False
        """Whether the answer has been sent, all of it."""
        self.asked: bytes | None = None
        """The request's bytes, where nothing came with them."""
        self._line = line
        self._bodiless = scope["method"] == "HEAD"
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._complete = False
        self._told_complete = False
        self._over = False
        self._news: asyncio.Event | None = None
        self._start: Message | None = None
        self._begun = False
        self._chunked = False
        self._left: int | None = None
        """Bytes that Content-Length promises and that have not been sent."""

    # -- the request's body ------------------------------------------------------------------------
    def received(self, chunk: bytes) -> None:
        """A piece of the body has come."""
        self._size += len(chunk)
        if not self._over:
            self._chunks.append(chunk)
            if self._size > _READ_AHEAD:
                self._line.transport.pause_reading()
            self.wake()
        elif self._size > _READ_AHEAD:
            self._line.say_goodbye()

    def complete(self) -> None:
        """All of the body has come."""
        self._complete = True
        self.wake()

    def wake(self) -> None:
        """Have :meth:`receive` look again."""
        if self._news is not None:
            self._news.set()

    async def receive(self) -> Message:
        """``http.request`` for each piece of the body, and ``http.disconnect`` once the client has
        left or its answer is complete."""
        if self._news is None:
            self._news = asyncio.Event()
            if not (self._complete or self._begun or self._chunks) and self._waits_for_leave():
                self._line.transport.write(_CONTINUE)
        while not (self._over or self._line.gone):
            if self._chunks:
                chunk = self._chunks.popleft()
                self._size -= len(chunk)
                if self._size <= _READ_AHEAD:
                    self._line.transport.resume_reading()
                return self._request(chunk)
            if self._complete and not self._told_complete:
                return self._request(b"")
            self._news.clear()
            await self._news.wait()
        return {"type": "http.disconnect"}

    def _request(self, chunk: bytes) -> Message:
        self._told_complete = self._complete and not self._chunks
        return {"type": "http.request", "body": chunk, "more_body": not self._told_complete}

    def _waits_for_leave(self) -> bool:
        """``Expect: 100-continue`` (RFC 9110, 10.1.1)."""
        return self.scope["http_version"] != "1.0" and any(
            name == b"expect" and value.lower() == b"100-continue"
            for name, value in self.scope["headers"]
        )

    # -- the answer --------------------------------------------------------------------------------
    async def send(self, message: Message) -> None:
        """Raises :class:`BadMessage`, and ``OSError`` or ``EOFError`` for a file that cannot be
        sent. What is sent to a client that has left is lost."""
        match message["type"]:
            case "http.response.start":
                self._start = message
            case "http.response.body":
                more = message.get("more_body", False)
                self._write(message.get("body", b""), more=more)
                if not more:
                    self._finish()
                if self._line.full:
                    await self._line.room()
            case "http.response.pathsend":
                self._write(b"", more=True)
                if self._left and not self._bodiless:
                    await self._send_file(message["path"], self._left)
                self._finish()

    async def _send_file(self, path: str, length: int) -> None:
        transport = self._line.transport
        transport.set_write_buffer_limits(high=0)
        try:
            await self._line.room()
            await send_file(transport, path, length)
        except OSError:
            if not self._line.gone and not transport.is_closing():
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
                raise BadMessage("more body than Content-Length says")
            self._left -= len(body)
        if (begins or body) and not self._line.gone:
            self._line.transport.write(begins + body)

    def _begin(self, body: bytes, *, more: bool) -> bytes:
        """The head; *body* is the first piece of the body."""
        if self._start is None:
            raise BadMessage("a body before its head")
        status: int = self._start["status"]
        headers: list[tuple[bytes, bytes]] = list(self._start["headers"])
        self._bodiless = self._bodiless or status in _NO_CONTENT
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
        again = self._start.get("again")
        if again is not None and self.keeps and not more:
            content = b"" if self._bodiless else body
            self._line.repeatable(self, begins, content, again)
        return begins + ending(last=not self.keeps)

    def _finish(self) -> None:
        if self._left and not self._bodiless:
            raise BadMessage("less body than Content-Length says")
        self.is_whole = self._over = True
        self.wake()

    def abort(self) -> None:
        """Cut the connection, so that the client gets no answer at all."""
        self._line.gone = True
        self._line.transport.abort()

    def ended(self) -> None:
        """The application has returned. A client that was told nothing is told that it failed."""
        self._over = True
        self._chunks.clear()
        self._size = 0
        if not self._begun and not self._line.gone:
            self._line.transport.write(head(500, [(b"Content-Length", b"0")], last=True))
        self._line.finished(self)
