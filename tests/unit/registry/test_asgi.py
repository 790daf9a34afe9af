"""ASGI in and out, with a server that is played by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest

from reference_registry.http.asgi import RequestBody, ResponseSender, Scope, read_request
from reference_registry.http.errors import RegistryError
from reference_registry.http.messages import (
    BytesBody,
    ClientGone,
    FileBody,
    Response,
    StreamBody,
)

Message = MutableMapping[str, Any]


class Server:
    """Gives messages to the application and keeps those that come back."""

    def __init__(self, *messages: Message, method: str = "GET", pathsend: bool = False) -> None:
        self._incoming = list(messages)
        self.left = asyncio.Event()
        self.has_sent = asyncio.Event()
        self.sent: list[Message] = []
        self.scope: Scope = {
            "type": "http",
            "method": method,
            "path": "/v2/a b",
            "raw_path": b"/v2/a%20b",
            "query_string": b"x=1&x=2&empty=",
            "headers": [(b"Host", b"h"), (b"accept", b"a"), (b"Accept", b"b")],
            "scheme": "https",
            "client": ("10.0.0.1", 99),
            "extensions": {"http.response.pathsend": {}} if pathsend else None,
        }

    async def receive(self) -> Message:
        if self._incoming:
            return self._incoming.pop(0)
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if message["type"] == "http.response.body":
            self.has_sent.set()

    async def answer(self, response: Response) -> ResponseSender:
        sender = ResponseSender(self.scope, self.receive, self.send)
        await sender.send(response)
        return sender

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}


async def _chunks(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


# -- requests ----------------------------------------------------------------------------------
def test_request(run: Any) -> None:
    async def test() -> None:
        server = Server()
        request, _ = read_request(server.scope, server.receive)
        assert (request.method, request.path, request.scheme) == ("GET", "/v2/a b", "https")
        assert request.headers["accept"] == ("a", "b")
        assert (request.header("host"), request.header("absent")) == ("h", None)
        assert (request.query("x"), request.queries("x")) == ("1", ["1", "2"])
        assert (request.query("empty"), request.query("absent")) == ("", None)
        assert request.remote_address == "10.0.0.1:99"
        assert request.target == "/v2/a%20b?x=1&x=2&empty="

    run(test())


def test_request_body(run: Any) -> None:
    async def test() -> None:
        server = Server(
            {"type": "http.request", "body": b"one", "more_body": True},
            {"type": "http.request", "body": b"", "more_body": True},
            {"type": "http.request", "body": b"two"},
        )
        body = RequestBody(server.receive)
        assert [chunk async for chunk in body] == [b"one", b"two"]
        assert body.received == 6
        assert [chunk async for chunk in body] == []

    run(test())


def test_a_stalled_body(run: Any) -> None:
    """RFC 9110, 15.5.9. Without patience it is waited for."""

    async def test() -> None:
        server = Server({"type": "http.request", "body": b"one", "more_body": True})
        body = RequestBody(server.receive, 0.01)
        assert await anext(body) == b"one"
        with pytest.raises(RegistryError) as refusal:
            await anext(body)
        assert refusal.value.status == 408
        assert refusal.value.headers == (("Connection", "close"),)
        assert [chunk async for chunk in body] == []

        waiting = asyncio.ensure_future(anext(RequestBody(server.receive)))
        await asyncio.wait({waiting}, timeout=0.05)
        assert not waiting.done()
        waiting.cancel()

    run(test())


def test_client_leaves_before_its_body_is_complete(run: Any) -> None:
    async def test() -> None:
        server = Server(
            {"type": "http.request", "body": b"one", "more_body": True},
            {"type": "http.disconnect"},
        )
        body = RequestBody(server.receive)
        assert await anext(body) == b"one"
        with pytest.raises(ClientGone):
            await anext(body)

    run(test())


# -- responses ---------------------------------------------------------------------------------
def test_bytes(run: Any) -> None:
    async def test() -> None:
        server = Server()
        sender = await server.answer(Response(201, (("X", "y"),), BytesBody(b"abc")))
        assert server.sent[0]["status"] == 201
        assert server.headers == {"X": "y", "Content-Length": "3"}
        assert server.sent[1:] == [
            {"type": "http.response.body", "body": b"abc", "more_body": False}
        ]
        assert sender.sent == 3

    run(test())


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_content_have_no_length(status: int, run: Any) -> None:
    async def test() -> None:
        server = Server()
        await server.answer(Response(status))
        assert server.headers == {}

    run(test())


def test_head_has_the_length_and_no_body(run: Any, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")

    async def test() -> None:
        for body in (BytesBody(b"0123456789"), FileBody(tmp_path / "f", 0, 10, whole=True)):
            server = Server(method="HEAD", pathsend=True)
            sender = await server.answer(Response(200, body=body))
            assert server.headers == {"Content-Length": "10"}
            assert (server.body, sender.sent, len(server.sent)) == (b"", 0, 2)

    run(test())


@pytest.mark.parametrize("pathsend", [True, False])
def test_whole_file(pathsend: bool, run: Any, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")

    async def test() -> None:
        server = Server(pathsend=pathsend)
        sender = await server.answer(
            Response(200, body=FileBody(tmp_path / "f", 0, 10, whole=True))
        )
        assert server.headers == {"Content-Length": "10"}
        assert sender.sent == 10
        if pathsend:
            path = {"type": "http.response.pathsend", "path": str(tmp_path / "f")}
            assert server.sent[1:] == [path]
        else:
            assert server.body == b"0123456789"
            assert server.sent[-1]["more_body"] is False

    run(test())


def test_part_of_a_file_is_read(run: Any, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")

    async def test() -> None:
        server = Server(pathsend=True)
        await server.answer(Response(206, body=FileBody(tmp_path / "f", 2, 3, whole=False)))
        assert (server.body, server.headers) == (b"234", {"Content-Length": "3"})

    run(test())


def test_file_that_is_too_short_is_an_error(run: Any, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123")

    async def test() -> None:
        server = Server()
        with pytest.raises(EOFError):
            await server.answer(Response(200, body=FileBody(tmp_path / "f", 0, 10, whole=True)))
        assert all(message.get("more_body", True) for message in server.sent)

    run(test())


def test_stream(run: Any) -> None:
    async def test() -> None:
        server = Server()
        sender = await server.answer(Response(200, body=StreamBody(_chunks(b"one", b"two"))))
        assert (server.body, sender.sent, server.headers) == (b"onetwo", 6, {})
        assert [message["more_body"] for message in server.sent[1:]][-2:] == [True, False]

    run(test())


def test_head_of_a_stream_goes_out_before_its_first_byte(run: Any) -> None:
    async def test() -> None:
        ready = asyncio.Event()

        async def late() -> AsyncIterator[bytes]:
            await ready.wait()
            yield b"late"

        server = Server()
        sending = asyncio.create_task(server.answer(Response(200, body=StreamBody(late()))))
        await server.has_sent.wait()
        assert server.sent[1]["body"] == b""
        ready.set()
        await sending
        assert server.body == b"late"

    run(test())


def test_a_stream_that_breaks_is_never_ended(run: Any) -> None:
    async def test() -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield b"one"
            raise ConnectionError

        server = Server()
        with pytest.raises(ConnectionError):
            await server.answer(Response(200, body=StreamBody(broken())))
        assert server.body == b"one"
        assert all(message["more_body"] for message in server.sent[1:])

    run(test())


def test_client_leaves_in_mid_stream(run: Any) -> None:
    """The stream is stopped at once, though nothing more comes of it, and cleans up."""

    async def test() -> None:
        closed = asyncio.Event()
        waiting = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            try:
                yield b"one"
                waiting.set()
                await asyncio.Event().wait()
            finally:
                closed.set()

        server = Server()
        sending = asyncio.create_task(server.answer(Response(200, body=StreamBody(endless()))))
        await waiting.wait()
        server.left.set()
        with pytest.raises(ClientGone):
            await sending
        assert closed.is_set()

    run(test())


def test_cancellation_closes_the_stream(run: Any) -> None:
    async def test() -> None:
        closed, waiting = asyncio.Event(), asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            try:
                yield b"one"
                waiting.set()
                await asyncio.Event().wait()
            finally:
                closed.set()

        sending = asyncio.create_task(Server().answer(Response(200, body=StreamBody(endless()))))
        await waiting.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert closed.is_set()

    run(test())
