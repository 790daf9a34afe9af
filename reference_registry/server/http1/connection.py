"""One connection: requests are parsed and handed on, one by one.

Parsing is done by llhttp (``httptools``), the parser of Node, which refuses what could be read in
two ways. RFC 9112 for the form of messages and the life of connections.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import cast
from urllib.parse import unquote

import httptools

from reference_registry.server.http1.exchange import REPEAT, Exchange, Message
from reference_registry.server.http1.heads import head
from reference_registry.server.http1.repeats import Again, Repeats

__all__ = ["Connection"]

_PATIENCE = 30.0
"""Seconds within which the next request has to begin, and its head to be complete."""
_LAST_WORDS = 2.0
"""Seconds for a client to read its last answer and leave."""
_MAX_HEAD = 64 * 1024
"""Bytes of a request's first line and headers, beyond which no more of them is read."""


class Connection(asyncio.Protocol):
    """*serve* is to answer an :class:`Exchange` and to call its ``ended`` in the end, but for what
    *repeats* answers. *connections* holds this one for as long as it is open."""

    transport: asyncio.Transport

    def __init__(
        self,
        serve: Callable[[Exchange], object],
        connections: set[Connection],
        repeats: Repeats,
    ) -> None:
        self.gone = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the connection has ended."""
        self._serve = serve
        self._connections = connections
        self._repeats = repeats
        self._parser = httptools.HttpRequestParser(self)
        self._answering: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        """Requests that came while another one was answered."""
        self._incoming: Exchange | None = None
        """The one whose body is on its way."""
        self._last = False
        """No further request is taken."""
        self._deaf = False
        """What still comes is swallowed."""
        self._due: float | None = time.monotonic() + _PATIENCE
        self._head_size = 0
        self._begun = 0
        """Requests that began with the bytes that are parsed now."""
        self._is_between = True
        """No request has begun that is not complete."""
        self._headers: list[tuple[bytes, bytes]] = []
        self._target = b""
        self._client: tuple[str, int] | None = None
        self.full = False
        self._room = asyncio.Event()
        self._room.set()

    # -- the socket --------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._client = (peer[0], peer[1])
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        self.closed.set_result(None)
        self._leave()

    def eof_received(self) -> None:
        self._leave()  # Who has closed one half has most likely closed both.

    def pause_writing(self) -> None:
        self.full = True
        self._room.clear()

    def resume_writing(self) -> None:
        self.full = False
        self._room.set()

    async def room(self) -> None:
        """Wait until enough of what was written has left, or the client has."""
        await self._room.wait()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        rests = self._is_between and self._answering is None
        if rests and not (self._last or self.full):
            answer = self._repeats.answer(data, self._client)
            if answer is not None:
                self._due = time.monotonic() + _PATIENCE
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
            elif rests and self._begun == 1 and self._is_between and self._answering is not None:
                self._answering.asked = data

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # It is not taken up: what follows is HTTP/1.1 as before (RFC 9110, 7.8).
            if rest := data[upgrade.args[0] :]:
                self._parse(rest)

    # -- what the parser finds ---------------------------------------------------------------------
    def on_message_begin(self) -> None:
        self._begun, self._is_between = self._begun + 1, False
        self._headers, self._target = [], b""

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._incoming is None:  # else a trailer, which nobody reads, however many there are
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._last:
            self._deaf = True
            return
        scope = self._scope()
        keeps = scope["http_version"] == "1.1" and self._parser.should_keep_alive()
        exchange = Exchange(self, scope, keeps=keeps)
        self._incoming, self._head_size, self._due = exchange, 0, None
        if self._answering is None:
            self._answer(exchange)
        else:
            self._waiting.append(exchange)
            self.transport.pause_reading()

    def on_body(self, chunk: bytes) -> None:
        if self._incoming is not None:
            self._incoming.received(chunk)

    def on_message_complete(self) -> None:
        if self._incoming is not None:
            self._incoming.complete()
        self._incoming, self._is_between = None, True

    def _scope(self) -> Message:
        target = self._target
        if not target.startswith(b"/"):  # in absolute form, as to a proxy
            url = httptools.parse_url(target)
            target = (url.path or b"/") + (b"?" + url.query if url.query else b"")
        raw_path, _, query = target.partition(b"?")
        path = raw_path.decode("latin-1")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": self._parser.get_http_version(),
            "method": self._parser.get_method().decode("latin-1"),
            "scheme": "http",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": self._headers,
            "client": self._client,
            "server": None,
            "extensions": {"http.response.pathsend": {}, REPEAT: {}},
        }

    # -- the life of the connection ----------------------------------------------------------------
    def _answer(self, exchange: Exchange) -> None:
        self._answering = exchange
        self._serve(exchange)

    def repeatable(self, exchange: Exchange, head: bytes, body: bytes, again: Again) -> None:
        if exchange.asked is not None:
            self._repeats.keep(exchange.asked, head, body, again)

    def finished(self, exchange: Exchange) -> None:
        """*exchange* is over; the next one may begin."""
        self._answering = None
        if self.gone:
            return
        if not exchange.is_whole:  # The client must not take what follows for a part of it.
            self.transport.close()
        elif self._last or not exchange.keeps:
            self.say_goodbye()
        elif self._waiting:
            self._answer(self._waiting.popleft())
        else:
            self._due = time.monotonic() + _PATIENCE
            self.transport.resume_reading()

    def say_goodbye(self) -> None:
        """Take no further request and close. A client that still sends can read its answer first
        (RFC 9112, 9.6)."""
        self._last = self._deaf = True
        if self._incoming is None or self.transport.is_closing():
            self.transport.close()
            return
        self._due = time.monotonic() + _LAST_WORDS
        self.transport.write_eof()
        self.transport.resume_reading()

    def retire(self) -> None:
        """Close at once if nothing is answered, else after that."""
        self._last = True
        if self._answering is None:
            self.transport.close()

    def tick(self, now: float) -> None:
        """End the connection if its client has let its time (of ``time.monotonic``) pass."""
        if self._due is not None and now > self._due:
            self.transport.abort()

    def _refuse(self, status: int) -> None:
        """What came is no request, and what follows cannot be understood."""
        if self._incoming is not None:  # a body that breaks off
            self.transport.abort()
        elif self._answering is None:
            self.transport.write(head(status, [(b"Content-Length", b"0")], last=True))
            self.transport.close()
        self._last = self._deaf = True

    def _leave(self) -> None:
        self.gone = True
        self.resume_writing()
        for exchange in (self._answering, self._incoming):
            if exchange is not None:
                exchange.wake()
