"""HTTP/2: flow control, resets, drain and bounds, with ``h2`` as the client's engine."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import httpx
import pytest

from reference_registry.config import Config, HttpConfig, StorageConfig, TlsConfig
from reference_registry.config.units import ListenAddress
from reference_registry.http.asgi import Receive, Scope, Send
from reference_registry.http.hooks import Panic
from reference_registry.server.listener import Listener
from reference_registry.server.server import Server
from tests.unit.server.certificates import make_authority, make_certificate
from tests.unit.server.talking import answer, echo


class Client:
    """An HTTP/2 connection with prior knowledge."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="latin-1"))
        self.events: list[h2.events.Event] = []
        self.acknowledges = True
        self.h2.initiate_connection()

    def request(self, path: str, body: bytes | None = None, method: str = "GET") -> int:
        number = self.h2.get_next_available_stream_id()
        pseudo = {":method": method, ":path": path, ":scheme": "http", ":authority": "h:1"}
        self.h2.send_headers(number, list(pseudo.items()), end_stream=body is None)
        if body is not None:
            self.h2.send_data(number, body, end_stream=True)
        return number

    async def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())
        await self.writer.drain()

    async def until(self, kind: type[h2.events.Event], stream: int | None = None) -> Any:
        """Read until an event of *kind* (on *stream*) has arrived; return it."""
        while True:
            await self.flush()
            for event in self.events:
                if isinstance(event, kind) and stream in {None, getattr(event, "stream_id", None)}:
                    self.events.remove(event)
                    return event
            data = await self.reader.read(65_536)
            assert data, f"closed before {kind.__name__}"
            for event in self.h2.receive_data(data):
                self.events.append(event)
                if isinstance(event, h2.events.DataReceived) and self.acknowledges:
                    size = event.flow_controlled_length
                    self.h2.acknowledge_received_data(size, event.stream_id)

    async def body(self, stream: int) -> bytes:
        """The body of the response on *stream*, once it has ended."""
        await self.until(h2.events.StreamEnded, stream)
        data = [e for e in self.events if isinstance(e, h2.events.DataReceived)]
        return b"".join(event.data for event in data if event.stream_id == stream)


def talk(app: Any, conversation: Callable[[Client, Listener], Awaitable[None]]) -> None:
    async def run() -> None:
        address = ListenAddress("127.0.0.1", 0)
        listener = Listener(app, address, key="http.addr", http2=True)
        await listener.start()
        try:
            async with asyncio.timeout(20):
                opened = await asyncio.open_connection("127.0.0.1", listener.address.port)
                await conversation(Client(*opened), listener)
                opened[1].close()
        finally:
            await listener.stop()

    asyncio.run(run())


def test_requests_share_a_connection() -> None:
    async def conversation(client: Client, listener: Listener) -> None:
        first, second = client.request("/a%20b?c=d"), client.request("/2", b"body", "PUT")
        assert await client.body(second) == b"PUT /2  body"
        assert await client.body(first) == b"GET /a b c=d "

    talk(echo, conversation)


def test_http1_on_the_same_port() -> None:
    async def conversation(client: Client, listener: Listener) -> None:
        for piece in (b"P", b"UT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"):
            client.writer.write(piece)
            await asyncio.sleep(0.01)
        assert (await client.reader.readline()) == b"HTTP/1.1 200 OK\r\n"

    talk(echo, conversation)


def test_flow_control_of_a_response() -> None:
    """A client that does not open its window gets no more, and delays no other request."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"x" * (200_000 if scope["path"] == "/large" else 0))

    async def conversation(client: Client, listener: Listener) -> None:
        client.acknowledges = False
        large = client.request("/large")
        received = 0
        while received < 65_535:
            received += len((await client.until(h2.events.DataReceived, large)).data)
        assert received == 65_535
        await client.body(client.request("/small"))
        client.acknowledges = True
        client.h2.increment_flow_control_window(200_000)
        client.h2.increment_flow_control_window(200_000, large)
        assert received + len(await client.body(large)) == 200_000

    talk(app, conversation)


def test_flow_control_of_a_request() -> None:
    """A body that no handler reads is buffered up to the window only, then read completely."""
    reads = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reads.wait()
        await echo(scope, receive, send)

    async def conversation(client: Client, listener: Listener) -> None:
        await client.until(h2.events.SettingsAcknowledged)
        number = client.h2.get_next_available_stream_id()
        pseudo = {":method": "PUT", ":path": "/", ":scheme": "http", ":authority": "h"}
        client.h2.send_headers(number, list(pseudo.items()))
        left, sent = 600_000, 0
        while window := min(client.h2.local_flow_control_window(number), 16_384, left):
            client.h2.send_data(number, b"y" * window)
            left, sent = left - window, sent + window
        await client.flush()
        assert sent == 256 << 10
        reads.set()
        while left:
            while not client.h2.local_flow_control_window(number):
                await client.until(h2.events.WindowUpdated)
            size = min(client.h2.local_flow_control_window(number), 16_384, left)
            client.h2.send_data(number, b"y" * size)
            left -= size
        client.h2.end_stream(number)
        assert len(await client.body(number)) == len(b"PUT /  ") + 600_000

    talk(app, conversation)


def test_a_panic_resets_its_stream_only() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/panic":
            raise Panic
        if scope["path"] == "/short":
            head = [(b"Content-Length", b"9")]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            await send({"type": "http.response.body", "body": b"x"})
        if scope["path"] == "/fine":
            await echo(scope, receive, send)

    async def conversation(client: Client, listener: Listener) -> None:
        for path in ("/panic", "/short"):
            stream = client.request(path)
            reset = await client.until(h2.events.StreamReset, stream)
            assert reset.error_code == h2.errors.ErrorCodes.INTERNAL_ERROR
        nothing = client.request("/nothing")
        response = await client.until(h2.events.ResponseReceived, nothing)
        assert dict(response.headers)[":status"] == "500"
        assert await client.body(client.request("/fine")) == b"GET /fine  "

    talk(app, conversation)


def test_an_unread_body_is_refused_after_the_response() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"no")

    async def conversation(client: Client, listener: Listener) -> None:
        number = client.h2.get_next_available_stream_id()
        pseudo = {":method": "PUT", ":path": "/", ":scheme": "http", ":authority": "h"}
        client.h2.send_headers(number, list(pseudo.items()))
        client.h2.send_data(number, b"y")
        reset = await client.until(h2.events.StreamReset, number)
        assert reset.error_code == h2.errors.ErrorCodes.NO_ERROR

    talk(app, conversation)


def test_a_drain_finishes_requests_and_refuses_new_ones() -> None:
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await goes_on.wait()
        await echo(scope, receive, send)

    async def conversation(client: Client, listener: Listener) -> None:
        running = client.request("/1")
        await client.flush()
        await begun.wait()
        client.request("/2")
        stopping = asyncio.create_task(listener.stop(10))
        await asyncio.sleep(0)
        goaway = None
        data = client.h2.data_to_send()
        while goaway is None:
            received = await client.reader.read(65_536)
            at = received.find(b"\x00\x00\x08\x07\x00")
            goaway = received[at:] if at >= 0 else None
        assert goaway[9:13] == running.to_bytes(4)
        client.writer.write(data)
        await client.writer.drain()
        goes_on.set()
        rest = await client.reader.read()
        assert b"GET /1  " in rest
        assert b"GET /2  " not in rest
        assert await stopping

    talk(app, conversation)


def test_requests_that_were_reset_are_bounded() -> None:
    """A client that opens and resets streams rapidly is cut off."""
    running = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal running
        running += 1
        await asyncio.Event().wait()

    async def conversation(client: Client, listener: Listener) -> None:
        for _ in range(150):
            client.h2.reset_stream(client.request("/"))
        end = await client.until(h2.events.ConnectionTerminated)
        assert end.error_code == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
        assert running <= 100

    talk(app, conversation)


@pytest.mark.parametrize("data", [b"\x00\x00\x01\x00\x00\x00\x00\x00\x00x", b"\xff" * 600_000])
def test_broken_frames_end_the_connection(data: bytes) -> None:
    async def conversation(client: Client, listener: Listener) -> None:
        await client.until(h2.events.SettingsAcknowledged)
        client.writer.write(data)
        with pytest.raises((AssertionError, ConnectionError)):
            await client.until(h2.events.StreamReset)

    talk(echo, conversation)


def test_over_tls(tmp_path: Path) -> None:
    """A pull by httpx over HTTP/2."""
    authority = make_authority(tmp_path)
    certificate, key = make_certificate(tmp_path, "server", authority)
    context = ssl.create_default_context(cafile=str(authority[0]))
    tls = TlsConfig(certificate=certificate, key=key)
    http = HttpConfig(addr="127.0.0.1:0", secret="s", tls=tls)

    async def run() -> None:
        server = Server(Config(storage=StorageConfig(driver="inmemory"), http=http))
        await server.start()
        try:
            async with httpx.AsyncClient(verify=context, trust_env=False, http2=True) as client:
                base = await client.get(f"{server.url}/v2/")
                started = await client.post(f"{server.url}/v2/a/blobs/uploads/")
            assert (base.http_version, base.json(), started.status_code) == ("HTTP/2", {}, 202)
        finally:
            await server.stop()

    asyncio.run(run())
