"""HTTP/1.1 on the wire: the bytes that a client sends, and the responses it gets."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from reference_registry.config.units import ListenAddress
from reference_registry.http.asgi import ASGIApp, Receive, Scope, Send
from reference_registry.server import base
from reference_registry.server import listener as listeners
from reference_registry.server.base import BadMessage
from reference_registry.server.http1 import connection as connections
from reference_registry.server.http1.exchange import head
from reference_registry.server.listener import Listener
from tests.unit.server.talking import Client, answer, echo, talk

_TIMEOUT = 10.0


def test_one_request_after_another() -> None:
    async def conversation(client: Client) -> None:
        for number in range(3):
            await client.says(b"GET /%d?n=1 HTTP/1.1\r\nHost: h\r\n\r\n" % number)
            assert (await client.answer())[2] == b"GET /%d n=1 " % number

    talk(echo, conversation)


def test_a_request_in_pieces() -> None:
    async def conversation(client: Client) -> None:
        request = b"PUT /a%20b HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
        for octet in request:
            await client.says(bytes([octet]))
            await asyncio.sleep(0)
        assert (await client.answer())[2] == b"PUT /a b  body"

    talk(echo, conversation)


def test_requests_that_are_sent_at_once_are_answered_in_order() -> None:
    async def conversation(client: Client) -> None:
        requests = [b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(20)]
        await client.says(b"".join(requests))
        for number in range(20):
            assert (await client.answer())[2] == b"GET /%d  " % number

    talk(echo, conversation)


def test_a_chunked_body_after_100_continue() -> None:
    async def conversation(client: Client) -> None:
        await client.says(
            b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.says(b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n")
        assert (await client.answer())[2] == b"PUT /  abcde"

    talk(echo, conversation)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
        (b"GET /\xe9 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        # Requests that two parsers may split differently (RFC 9112, 6.3 and 11.2).
        (
            b"PUT / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"PUT / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 70_000, 431),
    ],
)
def test_malformed_and_ambiguous_requests(request_: bytes, status: int) -> None:
    async def conversation(client: Client) -> None:
        await client.says(request_)
        assert (await client.answer())[0] == status
        assert await client.is_left()

    talk(echo, conversation)


def test_a_malformed_body_disconnects_the_application() -> None:
    kinds: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not kinds or kinds[-1] == "http.request":
            kinds.append((await receive())["type"])

    async def conversation(client: Client) -> None:
        head = b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        await client.says(head + b"1\r\na\r\nzz\r\n")
        assert (await client.answer())[0] == 400
        assert await client.is_left()

    talk(app, conversation)
    assert kinds[-1] == "http.disconnect"


def test_an_upgrade_is_ignored() -> None:
    async def conversation(client: Client) -> None:
        asks = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk"
        await client.says(b"GET /1 HTTP/1.1\r\nHost: h\r\n" + asks + b"\r\n\r\n")
        assert (await client.answer())[2] == b"GET /1  "
        await client.says(b"GET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await client.answer())[2] == b"GET /2  "

    talk(echo, conversation)


@pytest.mark.parametrize("pieces", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("method", "framing", "body"),
    [
        (b"PUT", b"Content-Length: 34\r\n", b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"[:34]),
        (b"GET", b"Content-Length: 5\r\n", b"GET /"),
        (b"PUT", b"Transfer-Encoding: chunked\r\n", b"5\r\nGET /\r\n0\r\n\r\n"),
        (b"PUT", b"Content-Length: 0\r\n", b""),
    ],
)
def test_the_body_of_an_upgrade_is_not_a_request(
    method: bytes, framing: bytes, body: bytes, pieces: int
) -> None:
    """Otherwise it would be smuggled past whatever checks requests before this server."""
    head = method + b" /1 HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n"
    data = head + framing + b"\r\n" + body + b"GET /2 HTTP/1.1\r\nHost: h\r\n\r\n"
    size = -(-len(data) // pieces)
    content = b"GET /" if b"chunked" in framing else body

    async def conversation(client: Client) -> None:
        for start in range(0, len(data), size):
            await client.says(data[start : start + size])
            await asyncio.sleep(0)
        assert (await client.answer())[2] == method + b" /1  " + content
        assert (await client.answer())[2] == b"GET /2  "

    talk(echo, conversation)


@pytest.mark.parametrize(
    "line", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"]
)
def test_a_client_that_closes_after_one_response(line: bytes) -> None:
    async def conversation(client: Client) -> None:
        await client.says(line)
        _, headers, body = await client.answer()
        assert (headers["connection"], body) == ("close", b"GET /  ")
        assert await client.is_left()

    talk(echo, conversation)


def test_a_stream_is_chunked_and_ends_visibly() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b"two", "more_body": False})

    async def conversation(client: Client) -> None:
        await client.says(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await client.answer())[2] == b"onetwo"
        await client.says(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
        _, headers, _ = await client.answer(head_only=True)
        assert "content-length" not in headers

    talk(app, conversation)


@pytest.mark.parametrize("sent", [b"short", b"much too long"])
def test_a_body_that_contradicts_content_length_ends_the_connection(sent: bytes) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": sent})

    async def conversation(client: Client) -> None:
        await client.says(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        with pytest.raises(asyncio.IncompleteReadError):
            await client.answer()

    talk(app, conversation)


def test_a_client_gets_its_response_if_its_body_is_not_read() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"no")

    async def conversation(client: Client) -> None:
        await client.says(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
        assert (await client.answer())[2] == b"no"
        await client.says(b"x" * 100_000)  # is discarded
        await client.says(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n")
        assert (await client.answer())[2] == b"no"
        await client.says(b"x" * 1_000_000)  # is too much to discard
        assert await client.is_left()

    talk(app, conversation)


def test_a_file_follows_its_head_on_a_pipelined_connection(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    content = os.urandom(20_000_000)
    path.write_bytes(content)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.pathsend", "path": str(path)})

    async def conversation(client: Client) -> None:
        await client.says(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 2)
        for _ in range(2):
            assert (await client.answer())[2] == content

    talk(app, conversation)


@pytest.mark.parametrize("stored", [b"short", None])
def test_a_short_or_missing_file_breaks_the_response_off(
    tmp_path: Path, stored: bytes | None
) -> None:
    path = tmp_path / "blob"
    if stored is not None:
        path.write_bytes(stored)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"100")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.pathsend", "path": str(path)})

    async def conversation(client: Client) -> None:
        await client.says(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        with pytest.raises(asyncio.IncompleteReadError):
            await client.answer()

    talk(app, conversation)


def test_the_application_sees_the_client_disconnect() -> None:
    left = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async def conversation(client: Client) -> None:
        await client.says(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        client.writer.close()
        await left.wait()

    talk(app, conversation)


def test_a_connection_without_a_request_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_HEAD_TIMEOUT", -1.0)  # has passed before it begins

    async def conversation(client: Client) -> None:
        await client.says(b"GET / HTTP/1.1\r\nHo")
        assert await client.is_left()

    talk(echo, conversation)


def test_a_slow_head_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A slowloris client does not get more time for each line."""
    monkeypatch.setattr(connections, "_HEAD_TIMEOUT", 0.05)

    async def conversation(client: Client) -> bool:
        async def drip() -> None:
            client.writer.write(b"GET / HTTP/1.1\r\n")
            while True:
                client.writer.write(b"X: y\r\n")
                await asyncio.sleep(0.02)

        dripping = asyncio.ensure_future(drip())
        try:
            return await client.is_left()
        finally:
            dripping.cancel()

    assert talk(echo, conversation)


def test_trailers_are_ignored() -> None:
    """RFC 9110, 6.5.1."""
    seen: list[list[tuple[bytes, bytes]]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        seen.append(scope["headers"])

    async def conversation(client: Client) -> int:
        head = b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        trailers = b"Authorization: Basic eA==\r\n" * 1000
        await client.says(head, b"1\r\na\r\n0\r\n", trailers, b"\r\n")
        return (await client.answer())[0]

    assert talk(app, conversation) == 200
    assert [name for name, _ in seen[0]] == [b"host", b"transfer-encoding"]


def test_headers_with_line_breaks_are_refused() -> None:
    with pytest.raises(BadMessage):
        head(301, [(b"location", b"/\r\nset-cookie: a=b")], last=False)
    with pytest.raises(BadMessage):
        head(301, [(b"location", b"/\nset-cookie: a=b")], last=False)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"", (b"location", b"/\r\nset-cookie: a=b"))

    async def conversation(client: Client) -> None:
        await client.says(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        status, headers, _ = await client.answer()
        assert (status, "set-cookie" in headers) == (500, False)

    talk(app, conversation)


def test_slow_clients_of_a_file_do_not_block_others(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(bytes(8_000_000))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/small":
            return await answer(send, b"small")
        headers = [(b"content-length", b"8000000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.pathsend", "path": str(path)})
        return None

    async def conversation(client: Client) -> None:
        peer = client.writer.get_extra_info("peername")
        stuck = [await asyncio.open_connection(*peer, limit=1024) for _ in range(30)]
        try:
            for _, writer in stuck:  # never read, so their buffers fill up
                writer.write(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
            await client.says(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
            assert len((await client.answer())[2]) == 8_000_000
            await client.says(b"GET /small HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await client.answer())[2] == b"small"
        finally:
            for _, writer in stuck:
                writer.transport.abort()

    talk(app, conversation)


@pytest.mark.parametrize("rounds", range(4))
def test_connections_accepted_during_the_stop_are_closed(rounds: int) -> None:
    """However many loop iterations they have had."""

    async def run() -> None:
        listener = Listener(echo, ListenAddress("127.0.0.1", 0), key="http.addr")
        await listener.start()
        clients = [socket.create_connection(("127.0.0.1", listener.address.port)) for _ in range(5)]
        try:
            for _ in range(rounds):
                await asyncio.sleep(0)
            await listener.stop()
            for client in clients:
                client.settimeout(_TIMEOUT)
                with suppress(ConnectionResetError):
                    assert client.recv(1) == b""
        finally:
            for client in clients:
                client.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    ],
)
def test_heads_that_parsers_read_differently(request_: bytes, status: int) -> None:
    async def conversation(client: Client) -> None:
        await client.says(request_ + b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await client.answer())[0] == status
        assert await client.is_left()

    talk(echo, conversation)


@pytest.mark.parametrize("chunk", [b"zz\r\n", b"1\r\nabc\r\n0\r\n\r\n", b"-1\r\n"])
def test_a_malformed_chunk_gets_400(chunk: bytes) -> None:
    async def conversation(client: Client) -> None:
        head = b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        await client.says(head + chunk)
        assert (await client.answer())[0] == 400
        assert await client.is_left()

    talk(echo, conversation)


@pytest.mark.parametrize("framing", [b"0\r\n" + b"X: y\r\n" * 50_000, b"1;" + b"x" * 300_000])
def test_what_frames_a_body_is_bounded(framing: bytes) -> None:
    """CVE-2023-39326 is the same for chunk extensions in Go."""

    async def conversation(client: Client) -> None:
        head = b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        await client.says(head)
        with suppress(ConnectionError):
            for start in range(0, len(framing), 1000):
                await client.says(framing[start : start + 1000])
        assert (await client.answer())[0] == 431

    talk(echo, conversation)


def test_many_small_chunks_are_a_usual_body() -> None:
    async def conversation(client: Client) -> None:
        head = b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        await client.says(head, b"1\r\na\r\n" * 50_000, b"0\r\n\r\n")
        assert (await client.answer())[2] == b"PUT /  " + b"a" * 50_000

    talk(echo, conversation)


@pytest.mark.parametrize("from_file", [True, False])
def test_a_client_that_does_not_read_is_disconnected(
    from_file: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(base, "WRITE_TIMEOUT", 0.2)
    monkeypatch.setattr(listeners, "_TICK", 0.05)
    path, ended = tmp_path / "blob", asyncio.Event()
    path.write_bytes(bytes(30_000_000))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            headers = [(b"content-length", b"30000000")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if from_file:
                await send({"type": "http.response.pathsend", "path": str(path)})
            else:
                await send({"type": "http.response.body", "body": bytes(30_000_000)})
        finally:
            ended.set()

    async def conversation(client: Client) -> None:
        await client.says(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await ended.wait()

    talk(app, conversation)


async def _asks(port: int) -> Client:
    client = Client(*await asyncio.open_connection("127.0.0.1", port))
    await client.says(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (await client.answer())[2] == b"GET /x  "
    return client


async def _listening(app: ASGIApp) -> Listener:
    listener = Listener(app, ListenAddress("127.0.0.1", 0), key="http.addr")
    await listener.start()
    return listener


@pytest.mark.parametrize("per_client", [1, 2])
def test_connections_are_bounded(per_client: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new client takes the place of the one that has been idle longest."""
    monkeypatch.setattr(listeners, "_MAX_CONNECTIONS", 8)
    monkeypatch.setattr(listeners, "_PER_CLIENT", per_client)

    async def run() -> None:
        listener = await _listening(echo)
        port = listener.address.port
        async with asyncio.timeout(_TIMEOUT):
            idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]
            asked = False
            while not asked:  # the one that is one too many for its address is closed
                client = Client(*await asyncio.open_connection("127.0.0.1", port))
                with suppress(OSError, asyncio.IncompleteReadError):
                    await client.says(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
                    asked = (await client.answer())[0] == 200
                client.writer.close()
            assert len(listener._connections) <= 8 // per_client
        for _, writer in idle:
            writer.close()
        await listener.stop()
        assert not listener._clients

    asyncio.run(run())


class _WithoutDescriptors:
    """A listening socket of a process that may open no further file."""

    def __init__(self, bound: socket.socket) -> None:
        self.bound, self.full, self.tried = bound, True, 0
        self.fileno, self.close = bound.fileno, bound.close

    def accept(self) -> Any:
        self.tried += 1
        if self.full:
            raise OSError(errno.EMFILE, "Too many open files")
        return self.bound.accept()


def test_a_process_without_descriptors_keeps_serving() -> None:
    """EMFILE neither spins nor ends the accept loop: idle connections make room, and those that
    are open go on."""

    async def run() -> None:
        listener = await _listening(echo)
        port = listener.address.port
        async with asyncio.timeout(_TIMEOUT):
            idle = await _asks(port)
            assert listener._bound is not None
            full = _WithoutDescriptors(listener._bound)
            listener._bound = full  # type: ignore[assignment]
            further = asyncio.ensure_future(_asks(port))
            assert await idle.is_left()
            await asyncio.sleep(0.3)
            assert full.tried < 10
            full.full = False
            for client in (idle, await further):
                client.writer.close()
        await listener.stop()

    asyncio.run(run())
