"""Kept answers: which requests the server answers without the application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reference_registry.http.asgi import Receive, Scope, Send
from tests.unit.server.talking import Client, talk

_REQUEST = b"GET /same HTTP/1.1\r\nHost: h\r\n\r\n"


class _App:
    """Answers with the number of the call; repeatable while *still_valid* returns true."""

    def __init__(self, still_valid: Callable[[Any], bool] = lambda client: True) -> None:
        self.calls = 0
        self.still_valid = still_valid

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        body = b"%s %d" % (scope["path"].encode(), self.calls)
        headers = [(b"Content-Length", b"%d" % len(body))]
        start = {"type": "http.response.start", "status": 200, "headers": headers}
        await send({**start, "still_valid": self.still_valid})
        await send({"type": "http.response.body", "body": body})


def _bodies(app: _App, *requests: bytes) -> list[bytes]:
    async def conversation(client: Client) -> list[bytes]:
        bodies = []
        for request in requests:
            await client.says(request)
            status, headers, body = await client.answer(head_only=request.startswith(b"HEAD"))
            assert (status, "date" in headers) == (200, True)
            bodies.append(body)
        return bodies

    found: list[bytes] = talk(app, conversation)
    return found


def test_the_same_request_is_repeated_while_still_valid() -> None:
    clients: list[Any] = []
    valid = iter([True, True, False, True])

    def still_valid(client: Any) -> bool:
        clients.append(client)
        return next(valid)

    bodies = _bodies(_App(still_valid), *[_REQUEST] * 5)
    assert bodies == [b"/same 1", b"/same 1", b"/same 1", b"/same 2", b"/same 2"]
    address, port = clients[0]
    assert (address, type(port)) == ("127.0.0.1", int)


@pytest.mark.parametrize(
    "other",
    [
        b"GET /same HTTP/1.1\r\nHost: g\r\n\r\n",
        b"GET /same HTTP/1.1\r\nHost: h\r\nAccept: x\r\n\r\n",
        b"GET /same?n=1 HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
def test_a_different_request_is_not_a_repeat(other: bytes) -> None:
    assert _bodies(_App(), _REQUEST, other) == [b"/same 1", b"/same 2"]


def test_head_is_repeated_without_a_body() -> None:
    head = _REQUEST.replace(b"GET", b"HEAD")
    assert _bodies(_App(), head, head, _REQUEST) == [b"", b"", b"/same 2"]


def test_a_kept_request_inside_another_one_is_not_a_request() -> None:
    """Otherwise a client could smuggle a response to another client of the same proxy."""

    async def conversation(client: Client) -> list[bytes]:
        await client.says(_REQUEST)
        bodies = [(await client.answer())[2]]
        await client.says(b"GET /first HTTP/1.1\r\nHost: h\r\n\r\nGET /second HTTP/1.1\r\nX: ")
        bodies.append((await client.answer())[2])
        await client.says(_REQUEST)  # continues the header X above
        return [*bodies, (await client.answer())[2]]

    assert talk(_App(), conversation) == [b"/same 1", b"/first 2", b"/second 3"]
