"""A listening socket and its connections: requests are parsed by h11, answers are written by hand.

h11 validates what it sends, and a mock upstream has to send what no validation lets pass. So a
fresh h11 parser reads each request, and nothing but the parser is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import socket
import ssl
import struct
import termios
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import h11

from harness.content import CHUNK
from harness.upstream.calls import RegistryCall, route

_log = logging.getLogger(__name__)
_TLS_HANDSHAKE = b"\x16\x03"
"""RFC 8446, 5.1: content type and major version of the first record."""
_KEPT_BODY = 64 * 1024
"""Bytes of a request's body that are kept; the rest is read and discarded."""


class ClientLeft(Exception):
    """The other side closed or reset the connection."""


class BadRequest(Exception):
    """The input is not HTTP/1.1."""


class TlsAttempted(BadRequest):
    """The input is a TLS handshake, which many clients try first."""


class Connection(asyncio.Protocol):
    """One accepted socket. Lives on the server's event loop."""

    def __init__(
        self,
        sock: socket.socket,
        serve: Callable[[Connection], Awaitable[None]],
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._sock = sock
        self._serve = serve
        self._ssl_context = ssl_context
        self._incoming = bytearray()
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._ended = asyncio.Event()
        self._lost = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._started = False
        self.task = asyncio.get_running_loop().create_task(self._run())
        """Done when the connection has ended."""

    # -- asyncio's callbacks --------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._incoming += data
        self._readable.set()
        if len(self._incoming) > CHUNK:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self._ended.set()
        self._readable.set()
        # A half-closed client still gets its answer. asyncio's TLS does not support half-close.
        return self._ssl_context is None

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.set()
        self._ended.set()
        self._readable.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def _run(self) -> None:
        self._started = True
        try:
            await self._connect()
            await self._serve(self)
        except ClientLeft:
            pass
        except Exception:  # such as one from a condition that a test gave to a fault
            _log.exception("the mock upstream failed")
        finally:
            if self._transport is not None:
                self._transport.close()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: self, self._sock)
        if self._ssl_context is None:
            # With no room in the transport's own buffer, a finished write() is with the kernel.
            self.transport.set_write_buffer_limits(high=0)
            return
        try:
            tls = await loop.start_tls(self.transport, self, self._ssl_context, server_side=True)
        except OSError as error:  # ssl.SSLError is one
            raise ClientLeft from error
        if tls is None:  # lost meanwhile
            raise ClientLeft
        self._transport = tls
        # asyncio's TLS pauses at the limit, not above it: with 0 it would never resume.
        tls.set_write_buffer_limits(high=1, low=0)

    # -- for the server -------------------------------------------------------------------------
    @property
    def transport(self) -> asyncio.Transport:
        """The transport, once connected."""
        assert self._transport is not None
        return self._transport

    async def next_call(self) -> tuple[RegistryCall, bool] | None:
        """The next request, and whether the client wants to keep the connection after it; None
        if the client closed before it was complete. Raises :class:`BadRequest`."""
        parser = h11.Connection(h11.SERVER)
        request: h11.Request | None = None
        body = bytearray()
        try:
            while True:
                event = parser.next_event()
                if event is h11.NEED_DATA:
                    if parser.they_are_waiting_for_100_continue:
                        await self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                        # Informs the parser, which would ask for it again.
                        parser.send(h11.InformationalResponse(status_code=100, headers=[]))
                    data = await self._read()
                    if request is None and data.startswith(_TLS_HANDSHAKE):
                        raise TlsAttempted
                    parser.receive_data(data)
                elif isinstance(event, h11.Request):
                    request = event
                elif isinstance(event, h11.Data):
                    body += event.data[: _KEPT_BODY - len(body)]
                elif isinstance(event, h11.EndOfMessage) and request is not None:
                    break
                else:
                    return None
        except h11.RemoteProtocolError as error:
            if self._ended.is_set() and not self._incoming:
                return None
            raise BadRequest(str(error)) from error
        self._incoming[:0] = parser.trailing_data[0]
        headers = tuple((name.decode(), value.decode("latin-1")) for name, value in request.headers)
        call = route(request.method.decode(), request.target.decode(), headers, bytes(body))
        options = (call.header("connection") or "").lower()
        keep = "close" not in options and request.http_version != b"1.0"
        return call, keep

    async def _read(self) -> bytes:
        """The next input; empty at the end, as h11 expects it."""
        while not self._incoming and not self._ended.is_set():
            self._readable.clear()
            await self._readable.wait()
        data = bytes(self._incoming)
        self._incoming.clear()
        if not self._lost.is_set():
            self.transport.resume_reading()
        return data

    async def write(self, data: bytes | memoryview) -> None:
        """Hand *data* to the kernel. Raises :class:`ClientLeft`."""
        if not self._lost.is_set():
            self.transport.write(data)
            await self._writable.wait()
        if self.transport.is_closing():
            raise ClientLeft

    async def unless_gone(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Await *coroutine*; raise :class:`ClientLeft` once the client closes its side."""
        waiting = asyncio.create_task(coroutine)
        gone = asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise ClientLeft
        finally:
            waiting.cancel()
            gone.cancel()

    async def close(self) -> None:
        """Close in order: written data still arrives."""
        self.transport.close()
        await self._lost.wait()

    async def reset(self) -> None:
        """Reset the connection, after the client has received all written data."""
        sock: socket.socket = self.transport.get_extra_info("socket")
        # A reset discards what the kernel has not delivered yet, so wait for that first. There is
        # no event for it.
        while not self._lost.is_set() and _undelivered(sock) > 0:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
        await self._lost.wait()

    async def cut(self) -> None:
        """Abort the connection and return when its task has ended."""
        if self._transport is not None:
            self._transport.abort()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        if not self._started:
            self._sock.close()


def _undelivered(sock: socket.socket) -> int:
    """Bytes in the send queue that the other side has not acknowledged (tcp(7), SIOCOUTQ)."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))[0])
    except OSError:
        return 0


_BACKLOG = 1024


class Listener:
    """Accepts connections and runs *serve* for each. Lives on one event loop.

    It does not use ``asyncio.Server``, which loses a connection that arrives while it closes.
    """

    def __init__(
        self,
        serve: Callable[[Connection], Awaitable[None]],
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._serve = serve
        self._host = host
        self.port = port
        """0 until started if any will do."""
        self._ssl_context = ssl_context
        self._reserved: socket.socket | None = None
        self._listening: socket.socket | None = None
        self._connections: set[Connection] = set()

    async def start(self) -> None:
        """Bind and listen. ``OSError`` if the address is in use."""
        if self._reserved is None:
            self._reserved = _bound(self._host, self.port)
            self.port = self._reserved.getsockname()[1]
        await self.up()

    async def up(self) -> None:
        """Listen. Does nothing if it already does."""
        if self._listening is None:
            self._listening = _bound(self._host, self.port)
            self._listening.setblocking(False)
            self._listening.listen(_BACKLOG)
            asyncio.get_running_loop().add_reader(self._listening, self._accept, self._listening)

    async def down(self) -> None:
        """Refuse connections and cut the open ones. The port stays reserved: a socket that is
        bound and does not listen keeps it."""
        listening, self._listening = self._listening, None
        if listening is not None:
            asyncio.get_running_loop().remove_reader(listening)
            listening.close()
            await asyncio.gather(*(connection.cut() for connection in list(self._connections)))

    async def stop(self) -> None:
        """Go down and give the port back. Harmless when not started."""
        await self.down()
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_BACKLOG):
            try:
                sock, _address = listening.accept()
            except OSError:  # no client waits, or there are no file descriptors left for now
                return
            sock.setblocking(False)
            connection = Connection(sock, self._serve, self._ssl_context)
            self._connections.add(connection)
            connection.task.add_done_callback(partial(self._forget, connection))

    def _forget(self, connection: Connection, task: asyncio.Task[None]) -> None:
        self._connections.discard(connection)


def _bound(host: str, port: int) -> socket.socket:
    """With SO_REUSEADDR on both, Linux lets two sockets share an address while at most one of them
    listens (socket(7)); the kernel does not give a bound port to a socket that asks for any port.
    asyncio switches Nagle's algorithm off only where the protocol is named."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
