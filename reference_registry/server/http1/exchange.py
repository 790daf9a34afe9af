"""One request of HTTP/1.1 and its response, with the extension ``http.response.pathsend``."""

from __future__ import annotations

import asyncio
import os
import select
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from reference_registry.server import base
from reference_registry.server.base import BadMessage, HttpConnection, HttpExchange, Message

_READ_AHEAD = 256 * 1024
"""Bytes of a request body that are buffered, or discarded if the application does not read them."""

StillValid = Callable[[tuple[str, int] | None], bool]
"""Whether the client with that address and port would get the same response now. If true, the
request has also been counted and logged; if false, nothing has happened."""


class Http1Exchange(HttpExchange):
    """*keeps*: the connection may be reused afterwards."""

    def __init__(self, connection: HttpConnection, scope: Message, *, keeps: bool) -> None:
        super().__init__(connection, scope)
        self.keeps = keeps
        self.is_whole = False
        """The response has been sent completely."""
        self.raw_request: bytes | None = None
        """The bytes of the request, if they came in one piece and alone."""
        self.repeatable: tuple[bytes, bytes, StillValid] | None = None
        """Head without its end, and body, of a response that may be sent again."""
        self._size = 0
        self._chunked = False

    @property
    def has_begun(self) -> bool:
        """A part of the response has been sent."""
        return self._begun

    # -- the request body --------------------------------------------------------------------------
    def received(self, chunk: bytes) -> bool:
        """A piece of the body has arrived. False if too much of it has been discarded."""
        self._size += len(chunk)
        if self._over:
            return self._size <= _READ_AHEAD
        self._chunks.append((chunk, len(chunk)))
        if self._size > _READ_AHEAD:
            self._connection.transport.pause_reading()
        self._changed.set()
        return True

    def _continue(self) -> None:
        self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _consumed(self, size: int) -> None:
        self._size -= size
        if size and self._size <= _READ_AHEAD:
            self._connection.transport.resume_reading()

    # -- the response ------------------------------------------------------------------------------
    async def send(self, message: Message) -> None:
        match message["type"]:
            case "http.response.start":
                self._start = message
            case "http.response.body":
                more = message.get("more_body", False)
                self._write(message.get("body", b""), more=more)
                if not more:
                    self._finish()
                await self._connection.room.wait()
            case "http.response.pathsend":
                self._write(b"", more=True)
                if self._left and not self._bodiless:
                    await self._send_file(message["path"], self._left)
                self._finish()

    async def _send_file(self, path: str, length: int) -> None:
        transport = self._connection.transport
        transport.set_write_buffer_limits(high=0)
        try:
            await self._connection.room.wait()
            await _send_file(transport, path, length)
        except OSError:
            if not self._connection.gone and not transport.is_closing():
                raise
        finally:
            transport.set_write_buffer_limits()
        self._left = 0

    def _write(self, body: bytes, *, more: bool) -> None:
        begins = b"" if self._begun else self._begin(body, more=more)
        self._begun = True
        self._count(len(body))
        if self._bodiless:
            body = b""
        elif self._chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                body += b"0\r\n\r\n"
        if (begins or body) and not self._connection.gone:
            self._connection.transport.write(begins + body)

    def _begin(self, body: bytes, *, more: bool) -> bytes:
        """The head; *body* is the first piece of the body."""
        status, headers = self._head(None if more else len(body))
        if self._left is None and not self._bodiless and self.keeps:
            self._chunked = True
            headers.append((b"Transfer-Encoding", b"chunked"))
        begins = _undated_head(status, headers)
        still_valid = None if self._start is None else self._start.get("still_valid")
        if still_valid is not None and self.keeps and not more:
            self.repeatable = (begins, b"" if self._bodiless else body, still_valid)
        return begins + head_end(last=not self.keeps)

    def _finish(self) -> None:
        self._check_length()
        self.is_whole = self._over = True
        self._changed.set()

    def abort(self) -> None:
        """Cut the connection, so that the client gets no response."""
        self._connection.gone = True
        self._connection.transport.abort()

    def ended(self) -> None:
        self._over = True
        self._chunks.clear()
        self._size = 0
        if not self._begun and not self._connection.gone:
            self._connection.transport.write(head(500, [(b"Content-Length", b"0")], last=True))
        self._connection.finished(self)


# -- heads as bytes -------------------------------------------------------------------------------
def head(status: int, headers: Iterable[tuple[bytes, bytes]], *, last: bool) -> bytes:
    """Status line, headers, date and the empty line. With *last*, the connection closes after the
    response (RFC 9112, 9.6).

    Raises :class:`BadMessage` for a header that contains a line break or NUL (RFC 9110, 5.5).
    """
    return _undated_head(status, headers) + head_end(last=last)


def _undated_head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join((_status_line(status), *map(_line, headers)))


def head_end(*, last: bool = False) -> bytes:
    """The ``Date`` header of this second, ``Connection: close`` if *last*, and the empty line."""
    return _date(int(time.time())) + (b"Connection: close\r\n\r\n" if last else b"\r\n")


@lru_cache(maxsize=256)
def _line(header: tuple[bytes, bytes]) -> bytes:
    line = b"%b: %b" % header
    if b"\n" in line or b"\r" in line or b"\0" in line:
        raise BadMessage("a header contains a line break or NUL")
    return line + b"\r\n"


@lru_cache(maxsize=64)
def _status_line(status: int) -> bytes:
    reasons = {each.value: each.phrase for each in HTTPStatus}
    return f"HTTP/1.1 {status} {reasons.get(status, '')}\r\n".encode("ascii")


@lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    return f"Date: {formatdate(second, usegmt=True)}\r\n".encode("ascii")


# -- files, by sendfile(2): without copying them through this process -----------------------------
_THREADS = ThreadPoolExecutor(8, thread_name_prefix="sendfile")
"""Threads of their own, so that a slow disk blocks neither the event loop nor other work."""
_TURN = 0.05
"""Seconds that one response may use a thread before another response gets it."""
_PIECE = 4 << 20
"""Bytes per ``sendfile`` call."""
_WAIT = 2
"""Milliseconds that a thread waits for a socket to become writable. After that the event loop
waits: threads are few, but going through the loop costs more for a fast client."""


async def _send_file(transport: asyncio.Transport, path: str, length: int) -> None:
    """Send the first *length* bytes of the file at *path*. The buffer of *transport* must be empty.

    Raises ``OSError``, for example if the client has disconnected or does not read, and
    ``EOFError`` if the file is shorter than *length*.
    """
    loop = asyncio.get_running_loop()
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # asyncio refuses add_writer for a descriptor that a transport uses, so use a duplicate.
        out = os.dup(transport.get_extra_info("socket").fileno())
        try:
            offset = 0
            while offset < length:
                sent = await _send_turn(loop, out, file, offset, length - offset)
                offset += sent
                if sent == 0:
                    await _writable(loop, out)
        finally:
            os.close(out)
    finally:
        os.close(file)


async def _send_turn(
    loop: asyncio.AbstractEventLoop, out: int, file: int, offset: int, left: int
) -> int:
    call = loop.run_in_executor(_THREADS, _send_in_thread, out, file, offset, left)
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        await asyncio.wait({call})  # its descriptors must stay open until then
        if not call.cancelled():
            call.exception()  # mark it as retrieved, or asyncio logs it
        raise


def _send_in_thread(out: int, file: int, offset: int, length: int) -> int:
    """Send for at most one turn. Returns the number of bytes sent, 0 if the socket takes none.
    Raises ``EOFError`` if the file ends."""
    ready = select.poll()
    ready.register(out, select.POLLOUT)
    sent, end = 0, time.monotonic() + _TURN
    while sent < length:
        try:
            count = os.sendfile(out, file, offset + sent, min(length - sent, _PIECE))
        except BlockingIOError:
            if time.monotonic() < end and ready.poll(_WAIT):
                continue
            break
        if count == 0:
            raise EOFError(f"the file ends {length - sent} bytes too early")
        sent += count
        if time.monotonic() >= end:
            break
    return sent


async def _writable(loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
    ready = asyncio.Event()
    loop.add_writer(descriptor, ready.set)
    try:
        async with asyncio.timeout(base.WRITE_TIMEOUT):
            await ready.wait()
    finally:
        loop.remove_writer(descriptor)
