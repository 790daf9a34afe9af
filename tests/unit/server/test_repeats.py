"""What is answered a second time without asking the application, and what never is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reference_registry.server.asgi import Receive, Scope, Send
from tests.unit.server.talking import Client, talk

_ASKED = b"GET /same HTTP/1.1\r\nHost: h\r\n\r\n"


class _App:
    """Answers the number of the call, and may be repeated for as long as *again* says."""

    def __init__(self, again: Callable[[Any], bool] = lambda client: True) -> None:
        self.calls = 0
        self.again = again

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        body = b"%s %d" % (scope["path"].encode(), self.calls)
        headers = [(b"Content-Length", b"%d" % len(body))]
        start = {"type": "http.response.start", "status": 200, "headers": headers}
        await send({**start, "again": self.again})
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


def test_the_same_request_is_answered_again_for_as_long_as_it_may_be() -> None:
    allowed = iter([True, True, False, True])
    app = _App(lambda client: next(allowed))
    assert _bodies(app, *[_ASKED] * 5) == [
        b"/same 1",
        b"/same 1",
        b"/same 1",
        b"/same 2",  # made anew, and remembered anew
        b"/same 2",
    ]


def test_whoever_says_so_is_told_which_client_asks() -> None:
    clients: list[Any] = []

    def again(client: Any) -> bool:
        clients.append(client)
        return True

    _bodies(_App(again), _ASKED, _ASKED)
    ((address, port),) = clients
    assert (address, type(port)) == ("127.0.0.1", int)


@pytest.mark.parametrize(
    "other",
    [
        b"GET /same HTTP/1.1\r\nHost: g\r\n\r\n",
        b"GET /same HTTP/1.1\r\nHost: h\r\nAccept: x\r\n\r\n",
        b"GET /same?n=1 HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
def test_another_request_is_another_one(other: bytes) -> None:
    assert _bodies(_App(), _ASKED, other) == [b"/same 1", b"/same 2"]


def test_head_is_answered_again_without_a_body() -> None:
    app = _App()
    asked = _ASKED.replace(b"GET", b"HEAD")
    assert _bodies(app, asked, asked, _ASKED) == [b"", b"", b"/same 2"]
    assert app.calls == 2


def test_the_last_request_of_a_connection_is_not_kept() -> None:
    app = _App()
    last = b"GET /same HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

    async def conversation(client: Client) -> None:
        await client.says(last)
        assert (await client.answer())[1]["connection"] == "close"
        assert await client.is_left()

    talk(app, conversation)
    assert app.calls == 1


def test_requests_that_come_in_pieces_or_together_are_read_as_ever() -> None:
    async def conversation(client: Client) -> list[bytes]:
        await client.says(_ASKED, _ASKED + _ASKED)
        bodies = [(await client.answer())[2] for _ in range(3)]
        await client.says(_ASKED[:9])
        assert client.reader.at_eof() is False
        await client.says(_ASKED[9:])
        return [*bodies, (await client.answer())[2]]

    bodies = talk(_App(), conversation)
    assert all(body.startswith(b"/same ") for body in bodies)
    assert len(bodies) == 4


def test_a_known_request_within_another_one_is_no_request() -> None:
    """Else whoever writes headers could have a client behind the same proxy read another answer."""

    async def conversation(client: Client) -> list[bytes]:
        await client.says(_ASKED)
        bodies = [(await client.answer())[2]]
        await client.says(b"GET /first HTTP/1.1\r\nHost: h\r\n\r\nGET /second HTTP/1.1\r\nHost: ")
        bodies.append((await client.answer())[2])
        await client.says(_ASKED)  # goes on with the header above
        return [*bodies, (await client.answer())[2]]

    assert talk(_App(), conversation) == [b"/same 1", b"/first 2", b"/second 3"]
