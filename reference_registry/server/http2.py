"""HTTP/2 for an ASGI application (RFC 9113), with the protocol engine ``h2``.

A connection begins as :class:`Negotiating` and becomes HTTP/2 if the client chooses ``h2`` in the
TLS handshake (ALPN), or sends the HTTP/2 preface without TLS ("prior knowledge"). Otherwise it
stays HTTP/1.1.
"""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hyperframe.frame import GoAwayFrame

from reference_registry.http.messages import is_valid_host
from reference_registry.server import base
from reference_registry.server.base import (
    HttpConnection,
    HttpExchange,
    Message,
    Serve,
    request_scope,
)
from reference_registry.server.http1.connection import Http1Connection

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_IDLE_TIMEOUT = 30.0
"""Seconds without a request after which a connection closes."""
_MAX_STREAMS = 100
"""Concurrent requests of one connection, announced to the client. Requests that the client has
reset count until their handler returns ("rapid reset", CVE-2023-44487)."""
_MAX_UNPARSED = 128 << 10
"""Bytes of incomplete frames: ``h2`` checks the size of a frame only once it is complete."""
_STREAM_WINDOW = 256 << 10
"""Bytes of a request body that are buffered."""
_CONNECTION_WINDOW = 1 << 20
_CONNECTION_HEADERS = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
"""Not allowed in HTTP/2 (RFC 9113, 8.2.2)."""


class Negotiating(Http1Connection):
    """An HTTP/1.1 connection that becomes an :class:`Http2Connection` if the client asks for it."""

    _first: bytes | None = b""
    """What has been received, until the protocol is known."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._first = None
            if tls.selected_alpn_protocol() == "h2":
                self._become_http2(b"")

    def data_received(self, data: bytes) -> None:
        if self._first is not None:
            data = self._first + data
            if data.startswith(_PREFACE):
                self._become_http2(data)
                return
            self._first = data if _PREFACE.startswith(data) else None
            if self._first is not None:
                return
        super().data_received(data)

    def _become_http2(self, received: bytes) -> None:
        self._connections.discard(self)
        self.closed.set_result(None)
        successor = Http2Connection(self._serve, self._connections)
        self.transport.set_protocol(successor)
        successor.connection_made(self.transport)
        if received:
            successor.data_received(received)


class Http2Connection(HttpConnection):
    """Gives each request to *serve* as an :class:`Http2Stream`."""

    def __init__(self, serve: Serve, connections: set[HttpConnection]) -> None:
        super().__init__(serve, connections, _IDLE_TIMEOUT)
        config = h2.config.H2Configuration(client_side=False, header_encoding=None)
        self.h2 = h2.connection.H2Connection(config)
        self._streams: dict[int, Http2Stream] = {}
        """Requests whose handlers have not returned."""
        self._retired = False
        self._unparsed = 0
        """Bytes received since the last event."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: _MAX_STREAMS,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 64 << 10,
            },
        )
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(_CONNECTION_WINDOW - 65_535)
        self.flush()

    def pause_writing(self) -> None:
        super().pause_writing()
        # A client that does not read must not fill the buffer with answers to PING and SETTINGS.
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self.gone:
            return
        try:
            events = self.h2.receive_data(data)
            self._unparsed = 0 if events else self._unparsed + len(data)
            if self._unparsed > _MAX_UNPARSED:
                raise h2.exceptions.FrameTooLargeError
            for event in events:
                if not self.gone:
                    self._handle(event)
        except h2.exceptions.ProtocolError:  # h2 has queued a GOAWAY with the reason
            self._close()
        else:
            self.flush()

    def flush(self) -> None:
        """Write what ``h2`` has queued."""
        data = self.h2.data_to_send()
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def _handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                self._begin(event)
            case h2.events.DataReceived():
                stream = self._streams.get(event.stream_id)
                if stream is None:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                else:
                    stream.received(event.data, event.flow_controlled_length)
            case h2.events.StreamEnded() if event.stream_id in self._streams:
                self._streams[event.stream_id].complete()
            case h2.events.StreamReset() if event.stream_id in self._streams:
                self._streams[event.stream_id].leave()
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                for stream in self._streams.values():
                    stream.wake()
            case h2.events.ConnectionTerminated():
                self._close()

    def _begin(self, event: h2.events.RequestReceived) -> None:
        if self._retired:
            self.h2.reset_stream(event.stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
            return
        if len(self._streams) >= _MAX_STREAMS:
            self.h2.close_connection(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
            self._close()
            return
        headers = list(event.headers)
        pseudo = {name: value for name, value in headers if name.startswith(b":")}
        target = pseudo.get(b":path", b"")
        hosts = [
            value.decode("latin-1") for name, value in headers if name in {b":authority", b"host"}
        ]
        # CONNECT, or "OPTIONS *"; or a host that is none
        if not target.startswith(b"/") or not all(map(is_valid_host, hosts)):
            self.h2.reset_stream(event.stream_id, h2.errors.ErrorCodes.PROTOCOL_ERROR)
            return
        plain = [header for header in headers if not header[0].startswith(b":")]
        if b":authority" in pseudo:
            plain = [(b"host", pseudo[b":authority"]), *(x for x in plain if x[0] != b"host")]
        method = pseudo[b":method"].decode("latin-1")
        scope = request_scope(method, target, "2.0", plain, self._client, self._scheme)
        stream = Http2Stream(self, event.stream_id, scope)
        self._streams[event.stream_id] = stream
        self._deadline = None
        self._serve(stream)

    def finished(self, exchange: Http2Stream) -> None:
        """The handler of *exchange* has returned."""
        self._streams.pop(exchange.id, None)
        if not self._streams:
            self._deadline = time.monotonic() + self._timeout

    def retire(self) -> None:
        """Accept no further requests. An idle connection closes; otherwise it is left to the client
        to close it, which can then read the last response to its end."""
        if not self._retired and not self.gone:
            # Not h2's close_connection(), after which h2 sends no more responses.
            last = self.h2.highest_inbound_stream_id
            self.transport.write(GoAwayFrame(stream_id=0, last_stream_id=last).serialize())
        self._retired = True
        if not self._streams:
            self._close()

    def _close(self) -> None:
        self.flush()
        self._leave()
        self.transport.close()

    def _leave(self) -> None:
        super()._leave()
        for stream in self._streams.values():
            stream.leave()


class Http2Stream(HttpExchange):
    """One request and its response."""

    _connection: Http2Connection

    def __init__(self, connection: Http2Connection, stream_id: int, scope: Message) -> None:
        super().__init__(connection, scope)
        self.id = stream_id

    def received(self, chunk: bytes, size: int) -> None:
        """A piece of the body has arrived. The client may send more once it has been read."""
        self._chunks.append((chunk, size))
        self._changed.set()

    def leave(self) -> None:
        """The client has reset the stream or disconnected."""
        self._over = True
        self._changed.set()

    def _continue(self) -> None:
        self._connection.h2.send_headers(self.id, [(b":status", b"100")])
        self._connection.flush()

    def _consumed(self, size: int) -> None:
        if size and not self._connection.gone:
            self._connection.h2.acknowledge_received_data(size, self.id)
            self._connection.flush()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if not self._begun:
            self._begin(None if more else len(body))
        self._count(len(body))
        if not more:
            self._check_length()
        if not self._bodiless:
            await self._send_data(body, last=not more)
        if not more and not self._over:
            self._over = True
            if not self._complete:  # the client may stop sending (RFC 9113, 8.1)
                self._reset(h2.errors.ErrorCodes.NO_ERROR)
        self._changed.set()

    def _begin(self, size: int | None) -> None:
        """Send the head; *size* is the length of the whole body if that is known."""
        status, given = self._head(size)
        self._begun = True
        lowered = ((name.lower(), value) for name, value in given)
        headers = [
            (b":status", b"%d" % status),
            *(header for header in lowered if header[0] not in _CONNECTION_HEADERS),
            (b"date", formatdate(usegmt=True).encode()),
        ]
        if not self._over:
            self._connection.h2.send_headers(self.id, headers, end_stream=self._bodiless)
            self._connection.flush()

    async def _send_data(self, body: bytes, *, last: bool) -> None:
        """Send *body* as the client's flow-control windows allow."""
        engine, rest = self._connection.h2, memoryview(body)
        while not self._over and (rest or last):
            window = engine.local_flow_control_window(self.id) if rest else 1
            piece = rest[: max(0, min(window, engine.max_outbound_frame_size))]
            if window <= 0:
                self._changed.clear()
                async with asyncio.timeout(base.WRITE_TIMEOUT):
                    await self._changed.wait()
                continue
            rest = rest[len(piece) :]
            ends = last and not rest
            engine.send_data(self.id, bytes(piece), end_stream=ends)
            self._connection.flush()
            if ends:
                break
            await self._connection.room.wait()

    def abort(self) -> None:
        """Give the client no response: reset the stream, as Go does when a handler panics."""
        self._reset(h2.errors.ErrorCodes.INTERNAL_ERROR)

    def ended(self) -> None:
        """The application has returned. If it sent nothing, the client gets 500."""
        if not self._over and not self._begun:
            headers = [(b":status", b"500"), (b"content-length", b"0")]
            self._connection.h2.send_headers(self.id, headers, end_stream=True)
            self._reset(h2.errors.ErrorCodes.NO_ERROR, only=not self._complete)
        elif not self._over:
            self._reset(h2.errors.ErrorCodes.INTERNAL_ERROR)
        while self._chunks:
            self._consumed(self._chunks.popleft()[1])
        self._over = True
        self._connection.finished(self)

    def _reset(self, code: h2.errors.ErrorCodes, *, only: bool = True) -> None:
        self._over = True
        if only and not self._connection.gone:
            self._connection.h2.reset_stream(self.id, code)
        self._connection.flush()
