"""One connection: parses requests and hands them on one at a time.

llhttp (``httptools``), the parser of Node, does the parsing and refuses ambiguous messages.
Message syntax and the lifetime of connections: RFC 9112.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import cast
from urllib.parse import unquote

import httptools

from reference_registry.http.asgi import PATHSEND, STILL_VALID
from reference_registry.server.http1.exchange import Exchange, Message, OpenConnection, Serve
from reference_registry.server.http1.heads import head
from reference_registry.server.http1.kept_answers import KeptAnswers, StillValid

__all__ = ["Connection", "request_scope"]

_HEAD_TIMEOUT = 30.0
"""Seconds within which the next request must begin and its head must be complete."""
_LINGER = 2.0
"""Seconds for a client to read its last response and disconnect."""
_MAX_HEAD = 64 * 1024
"""Bytes of a request line with its headers; a longer head is refused with 431."""
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class Connection(asyncio.Protocol):
    """Gives each request to *serve* as an :class:`Exchange`, except those that *kept* answers.
    *serve* must call :meth:`Exchange.ended`. *connections* contains every open connection."""

    transport: asyncio.Transport

    def __init__(
        self,
        serve: Serve,
        connections: set[OpenConnection],
        kept: KeptAnswers,
    ) -> None:
        self.gone = False
        self.full = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the connection is closed."""
        self._serve = serve
        self._connections = connections
        self._kept = kept
        self._parser = httptools.HttpRequestParser(self)
        self._answering: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        """Pipelined requests that wait for the one in ``_answering``."""
        self._incoming: Exchange | None = None
        """The exchange whose request body is being received."""
        self._last = False
        """No further request is accepted."""
        self._discards = False
        """Bytes that still arrive are discarded."""
        self._deadline: float | None = time.monotonic() + _HEAD_TIMEOUT
        self._head_size = 0
        self._begun = 0
        """Requests that began in the bytes that are being parsed."""
        self._is_between = True
        """Every request that has begun is complete."""
        self._upgrade_body: list[tuple[bytes, bytes]] = []
        """The framing headers of a request with ``Upgrade`` and a body."""
        self._replays = False
        """The parser reads a head that it has read before."""
        self._headers: list[tuple[bytes, bytes]] = []
        self._target = b""
        self._client: tuple[str, int] | None = None
        self._secure = False
        self._room = asyncio.Event()
        self._room.set()

    # -- the socket --------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._client = (peer[0], peer[1])
        self._secure = transport.get_extra_info("sslcontext") is not None
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        self.closed.set_result(None)
        self._leave()

    def eof_received(self) -> None:
        self._leave()  # A client that has closed one direction has most likely closed both.

    def pause_writing(self) -> None:
        self.full = True
        self._room.clear()

    def resume_writing(self) -> None:
        self.full = False
        self._room.set()

    async def room(self) -> None:
        """Wait until the write buffer is below its limit, or the client has disconnected."""
        await self._room.wait()

    def data_received(self, data: bytes) -> None:
        if self._discards:
            return
        idle = self._is_between and self._answering is None
        if idle and not (self._last or self.full):
            answer = self._kept.answer(data, self._client)
            if answer is not None:
                self._deadline = time.monotonic() + _HEAD_TIMEOUT
                self.transport.write(answer)
                return
        if self._incoming is None:
            self._head_size += len(data)
        self._begun = 0
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._refuse(400)
        else:
            if self._head_size > _MAX_HEAD:
                self._refuse(431)
            elif idle and self._begun == 1 and self._is_between and self._answering is not None:
                self._answering.raw_request = data

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
            # Upgrade is ignored (RFC 9110, 7.8), so what follows is still HTTP/1.1. llhttp skips
            # the body of such a request, and would read it as the next request. A new parser
            # that gets the same framing headers without Upgrade reads it as the body.
            self._parser = httptools.HttpRequestParser(self)
            if self._upgrade_body:
                lines = [b"%b: %b\r\n" % header for header in self._upgrade_body]
                self._upgrade_body, self._replays = [], True
                self._parser.feed_data(b"PUT / HTTP/1.1\r\n" + b"".join(lines) + b"\r\n")
                self._replays = False

    # -- callbacks of the parser -------------------------------------------------------------------
    def on_message_begin(self) -> None:
        if not self._replays:
            self._begun, self._is_between = self._begun + 1, False
            self._headers, self._target = [], b""

    def on_url(self, target: bytes) -> None:
        if not self._replays:
            self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._incoming is None:  # otherwise a trailer, which is ignored
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._replays:
            return
        if self._last:
            self._discards = True
            return
        if self._parser.should_upgrade():
            self._upgrade_body = [header for header in self._headers if header[0] in _FRAMING]
        scope = self._scope()
        keeps = scope["http_version"] == "1.1" and self._parser.should_keep_alive()
        exchange = Exchange(self, scope, keeps=keeps)
        self._incoming, self._head_size, self._deadline = exchange, 0, None
        if self._answering is None:
            self._answer(exchange)
        else:
            self._waiting.append(exchange)
            self.transport.pause_reading()

    def on_body(self, chunk: bytes) -> None:
        if self._incoming is not None:
            self._incoming.received(chunk)

    def on_message_complete(self) -> None:
        if self._upgrade_body:
            return
        if self._incoming is not None:
            self._incoming.complete()
        self._incoming, self._is_between = None, True

    def _scope(self) -> Message:
        target = self._target
        if not target.startswith(b"/"):  # absolute form, as sent to a proxy
            url = httptools.parse_url(target)
            target = (url.path or b"/") + (b"?" + url.query if url.query else b"")
        scope = request_scope(
            self._parser.get_method().decode("latin-1"),
            target,
            self._parser.get_http_version(),
            self._headers,
            self._client,
            "https" if self._secure else "http",
        )
        scope["extensions"] = {STILL_VALID: {}}
        if not self._secure:  # sendfile(2) cannot encrypt
            scope["extensions"][PATHSEND] = {}
        return scope

    # -- the life of the connection ----------------------------------------------------------------
    def _answer(self, exchange: Exchange) -> None:
        self._answering = exchange
        self._serve(exchange)

    def keep_answer(
        self, exchange: Exchange, head: bytes, body: bytes, still_valid: StillValid
    ) -> None:
        if exchange.raw_request is not None:
            self._kept.keep(exchange.raw_request, head, body, still_valid)

    def finished(self, exchange: Exchange) -> None:
        """*exchange* is over; the next one may begin."""
        self._answering = None
        if self.gone:
            return
        if not exchange.is_whole:  # The client must not take what follows for a part of it.
            self.transport.close()
        elif self._last or not exchange.keeps:
            self.linger()
        elif self._waiting:
            self._answer(self._waiting.popleft())
        else:
            self._deadline = time.monotonic() + _HEAD_TIMEOUT
            self.transport.resume_reading()

    def linger(self) -> None:
        """Take no further request and close. A client that is still sending first gets time to
        read its response (RFC 9112, 9.6)."""
        self._last = self._discards = True
        if self._incoming is None or self.transport.is_closing():
            self.transport.close()
            return
        self._deadline = time.monotonic() + _LINGER
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.transport.resume_reading()

    def retire(self) -> None:
        """Close now, or after the response that is being sent."""
        self._last = True
        if self._answering is None:
            self.transport.close()

    def check_deadline(self, now: float) -> None:
        """Abort the connection if its deadline is before *now* (``time.monotonic``)."""
        if self._deadline is not None and now > self._deadline:
            self.transport.abort()

    def _refuse(self, status: int) -> None:
        """Refuse bytes that are not a request. What follows them cannot be parsed."""
        if self._incoming is not None:  # a malformed body
            self.transport.abort()
        elif self._answering is None:
            self.transport.write(head(status, [(b"Content-Length", b"0")], last=True))
            self.transport.close()
        self._last = self._discards = True

    def _leave(self) -> None:
        self.gone = True
        self.resume_writing()
        for exchange in (self._answering, self._incoming):
            if exchange is not None:
                exchange.wake()


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
