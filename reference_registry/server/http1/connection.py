"""HTTP/1.1: parses the requests of a connection and hands them on one at a time (RFC 9112).

Why this is our own code: one server has to serve plain HTTP and TLS, cut a single connection
without a response (a Go handler that panics does that), limit head size and idle time, and end
within a drain time. uvicorn 0.54 with httptools qualifies, but this server serves hot blobs twice
as fast; ``docs/performance.md`` has the comparison.

Framing is that of h11 (``tests/fuzz/test_http1.py`` compares them and lists every difference).
llhttp (``httptools``), the parser of Node, takes a missing or repeated ``Host``, ``HTTP/2.0`` in
the request line and ``Transfer-Encoding: gzip, chunked``; this module refuses them.
"""

from __future__ import annotations

import time
from collections import deque

import httptools

from reference_registry.http.asgi import PATHSEND, STILL_VALID
from reference_registry.http.messages import is_valid_host
from reference_registry.server.base import (
    HttpConnection,
    Message,
    Serve,
    request_scope,
)
from reference_registry.server.http1.exchange import Http1Exchange, StillValid, head, head_end
from reference_registry.storage.filesystem import LruCache

_HEAD_TIMEOUT = 30.0
"""Seconds within which the next request must begin and its head must be complete."""
_LINGER = 2.0
"""Seconds for a client to read its last response and disconnect."""
_MAX_HEAD = 64 * 1024
"""Bytes of a request line with its headers; a longer head is refused with 431. The same bound holds
for trailers, chunk extensions and chunk sizes beyond what small chunks need (CVE-2023-39326)."""
_CHUNK_ALLOWANCE = 16
"""Bytes of framing that a chunk may need, as in Go's ``net/http``, which also allows twice the
bytes of its content."""
_MAX_KEPT = 8 << 20
"""Bytes of kept requests and responses together."""
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class KeptAnswers:
    """Responses that are sent again to a client that sends the same bytes.

    A hundred nodes that pull one image send identical requests. A response that may be repeated is
    kept under the bytes of its request, so that a repeat costs no parsing and no handler. Before
    each repeat, ``still_valid`` asks whether the response would be the same now.
    """

    def __init__(self) -> None:
        self._kept: LruCache[bytes, tuple[bytes, bytes, StillValid]] = LruCache(_MAX_KEPT)

    def keep(self, request: bytes, head: bytes, body: bytes, still_valid: StillValid) -> None:
        """Keep the response to the whole *request*: *head* without its end, and *body*."""
        size = len(request) + len(head) + len(body)
        self._kept.keep(request, (head, body, still_valid), size)

    def answer(self, request: bytes, client: tuple[str, int] | None) -> bytes | None:
        """The complete response to *request*, or None if a handler has to make it."""
        kept = self._kept.get(request)
        if kept is None:
            return None
        head, body, still_valid = kept
        if not still_valid(client):
            self._kept.forget(request)
            return None
        return b"".join((head, head_end(), body))


class Http1Connection(HttpConnection):
    """Gives requests to *serve*, except those that *kept* answers."""

    def __init__(self, serve: Serve, connections: set[HttpConnection], kept: KeptAnswers) -> None:
        super().__init__(serve, connections, _HEAD_TIMEOUT)
        self._kept = kept
        self._parser = httptools.HttpRequestParser(self)
        self._answering: Http1Exchange | None = None
        self._waiting: deque[Http1Exchange] = deque()
        """Pipelined requests that wait for the one in ``_answering``."""
        self._incoming: Http1Exchange | None = None
        """The exchange whose request body is being received."""
        self._last = False
        """No further request is accepted."""
        self._discards = False
        """Bytes that still arrive are discarded."""
        self._head_size = 0
        """Bytes of the head, or of what frames the body, that have arrived."""
        self._status = 400
        """The status for bytes that the parser refuses."""
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

    # -- the socket --------------------------------------------------------------------------------
    def eof_received(self) -> None:
        self._leave()  # A client that has closed one direction has most likely closed both.

    def data_received(self, data: bytes) -> None:
        if self._discards:
            return
        idle = self._is_between and self._answering is None
        if idle and not self._last and self.room.is_set():
            answer = self._kept.answer(data, self._client)
            if answer is not None:
                self._deadline = time.monotonic() + self._timeout
                self.transport.write(answer)
                return
        self._head_size += len(data)
        self._begun = 0
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._refuse(self._status)
        else:
            self._head_size = max(self._head_size, 0)
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
        self._check_head()
        if self._parser.should_upgrade():
            self._upgrade_body = [header for header in self._headers if header[0] in _FRAMING]
        scope = self._scope()
        keeps = scope["http_version"] == "1.1" and self._parser.should_keep_alive()
        exchange = Http1Exchange(self, scope, keeps=keeps)
        self._incoming, self._head_size, self._deadline = exchange, 0, None
        if self._answering is None:
            self._answer(exchange)
        else:
            self._waiting.append(exchange)
            self.transport.pause_reading()

    def _check_head(self) -> None:
        """Refuse a request that others may read otherwise, by an exception in a callback."""
        hosts, encodings = [], []
        for name, value in self._headers:
            if name == b"host":
                hosts.append(value)
            elif name == b"transfer-encoding":
                encodings.append(value)
        version = self._parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            self._status = 505
        elif encodings and (len(encodings) > 1 or encodings[0].lower() != b"chunked"):
            self._status = 501  # RFC 9112, 6.1: a coding that the server does not understand
        elif len(hosts) > 1 or (not hosts and version == "1.1"):
            self._status = 400  # RFC 9112, 3.2
        elif hosts and not is_valid_host(hosts[0].decode("latin-1")):
            self._status = 400
        elif self._head_size > _MAX_HEAD and _size(self._headers) > _MAX_HEAD:
            self._status = 431  # a long head that came in one piece
        else:
            return
        raise ValueError(self._status)

    def on_body(self, chunk: bytes) -> None:
        self._head_size -= _CHUNK_ALLOWANCE + 3 * len(chunk)
        if self._incoming is not None and not self._incoming.received(chunk):
            self.linger()

    def on_message_complete(self) -> None:
        if self._upgrade_body:
            return
        if self._incoming is not None:
            self._incoming.complete()
        self._incoming, self._is_between, self._head_size = None, True, 0

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
            self._scheme,
        )
        scope["extensions"] = {STILL_VALID: {}}
        if self._scheme == "http":  # sendfile(2) cannot encrypt
            scope["extensions"][PATHSEND] = {}
        return scope

    # -- the life of the connection ----------------------------------------------------------------
    def _answer(self, exchange: Http1Exchange) -> None:
        self._answering = exchange
        self._serve(exchange)

    def finished(self, exchange: Http1Exchange) -> None:
        """*exchange* is over; the next one may begin."""
        self._answering = None
        if exchange.is_whole and exchange.repeatable and exchange.raw_request is not None:
            self._kept.keep(exchange.raw_request, *exchange.repeatable)
        if self.gone:
            return
        if not exchange.is_whole:  # The client must not take what follows for a part of it.
            self.transport.close()
        elif self._last or not exchange.keeps:
            self.linger()
        elif self._waiting:
            self._answer(self._waiting.popleft())
        else:
            self._deadline = time.monotonic() + self._timeout
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
        self._last = True
        if self._answering is None:
            self.transport.close()

    def _refuse(self, status: int) -> None:
        """Refuse bytes that are not a request. What follows them cannot be parsed."""
        incoming = self._incoming
        if incoming is not None:  # a malformed body
            if incoming is self._answering and not incoming.has_begun:
                self.transport.write(head(status, [(b"Content-Length", b"0")], last=True))
                self._leave()
                self.linger()
            else:
                self.transport.abort()
        elif self._answering is None:
            self.transport.write(head(status, [(b"Content-Length", b"0")], last=True))
            self.transport.close()
        self._last = self._discards = True

    def _leave(self) -> None:
        super()._leave()
        for exchange in (self._answering, self._incoming):
            if exchange is not None:
                exchange.wake()


def _size(headers: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)
