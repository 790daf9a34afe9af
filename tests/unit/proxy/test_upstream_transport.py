"""The network beneath requests to upstream, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import socket
import struct
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import httpx
import pytest

from reference_registry.proxy.upstream import transport
from reference_registry.proxy.upstream.transport import NetworkTransport, _Body, web_proxy_for

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
async def network() -> AsyncIterator[NetworkTransport]:
    network = NetworkTransport()
    yield network
    await network.aclose()


class Raw:
    """A server whose answers are bytes. ``heads`` are the requests that came."""

    def __init__(self, answer: Callable[[Raw, Writer], Awaitable[None]]) -> None:
        self.heads: list[str] = []
        self.connections = 0
        self.url = ""
        self._answer = answer

    async def serve(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head.decode("latin-1"))
                await self._answer(self, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def raw(answer: Callable[[Raw, Writer], Awaitable[None]]) -> AsyncIterator[Raw]:
    double = Raw(answer)
    server = await asyncio.start_server(double.serve, "127.0.0.1", 0)
    double.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield double
    finally:
        server.close()


def always(answer: bytes) -> Callable[[Raw, Writer], Awaitable[None]]:
    async def send(double: Raw, writer: Writer) -> None:
        writer.write(answer)

    return send


async def ask(
    network: NetworkTransport, url: str, method: str = "GET", *, read: float = 5.0, **headers: str
) -> httpx.Response:
    extensions = {"timeout": {"connect": 5.0, "read": read}}
    request = httpx.Request(method, url, headers=headers, extensions=extensions)
    response = await network.handle_async_request(request)
    response.request = request
    return response


async def pieces(response: httpx.Response) -> tuple[bytes, Exception | None]:
    """What came of the body, and what ended it."""
    got = b""
    try:
        async for piece in response.aiter_raw():
            got += piece
    except httpx.HTTPError as error:
        return got, error
    finally:
        await response.aclose()
    return got, None


def _answer_of(response: httpx.Response) -> aiohttp.ClientResponse:
    assert isinstance(response.stream, _Body)
    return response.stream._answer


def reset(writer: Writer) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


# -- what is sent ----------------------------------------------------------------------------------
async def test_nothing_is_added_to_a_request(network: NetworkTransport) -> None:
    async with raw(always(OK)) as double:
        await pieces(await ask(network, f"{double.url}/a%2Fb?x=%2F+%7e", Range="bytes=1-"))
    lines = double.heads[0].strip().split("\r\n")
    assert lines[0] == "GET /a%2Fb?x=%2F+%7e HTTP/1.1"
    assert {line.partition(":")[0] for line in lines[1:]} == {"Host", "Range"}


async def test_a_user_in_a_url_is_not_sent(network: NetworkTransport) -> None:
    async with raw(always(OK)) as double:
        await pieces(await ask(network, double.url.replace("//", "//joe:s3cret@")))
    assert "authorization" not in double.heads[0].lower()


async def test_cookies_and_netrc_are_not_used(
    network: NetworkTransport,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("machine 127.0.0.1 login joe password s3cret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with raw(always(OK.replace(b"OK\r\n", b"OK\r\nSet-Cookie: a=b\r\n"))) as double:
        for _ in range(2):
            await pieces(await ask(network, double.url))
    assert double.connections == 1
    assert not any("cookie" in head or "uthorization" in head for head in double.heads)


async def test_a_header_that_cannot_be_sent(network: NetworkTransport) -> None:
    async with raw(always(OK)) as double:
        with pytest.raises(httpx.TransportError):
            await ask(network, double.url, Authorization="Bearer a\r\nX: y")
    assert not double.heads


# -- what comes ------------------------------------------------------------------------------------
async def test_redirects_are_returned_and_not_followed(network: NetworkTransport) -> None:
    location = "/x?" + "s" * 20_000
    answer = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    async with raw(always(answer)) as double:
        response = await ask(network, double.url)
        await response.aclose()
    assert (response.status_code, response.headers["location"]) == (302, location)
    assert len(double.heads) == 1


async def test_a_body_is_not_decoded(network: NetworkTransport) -> None:
    answer = OK.replace(b"OK\r\n", b"OK\r\nContent-Encoding: gzip\r\n")
    async with raw(always(answer)) as double:
        assert await pieces(await ask(network, double.url)) == (b"ok", None)


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_all_that_came_before_a_break(
    network: NetworkTransport, framing: str, how: str
) -> None:
    broken = asyncio.Event()

    async def send(double: Raw, writer: Writer) -> None:
        body = b"x" * 40 if "Length" in framing else b"64\r\n" + b"x" * 40
        writer.write(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode() + body)
        await broken.wait()
        reset(writer) if how == "reset" else writer.close()

    async with raw(send) as double:
        response = await ask(network, double.url)
        reading = response.aiter_raw()
        got = await anext(reading)
        broken.set()
        error: Exception | None = None
        try:
            async for piece in reading:
                got += piece
        except httpx.HTTPError as failed:
            error = failed
        await response.aclose()
    assert got == b"x" * 40
    if how == "reset":
        assert isinstance(error, httpx.ReadError)
        assert isinstance(error.__cause__, OSError)
    else:
        assert isinstance(error, httpx.RemoteProtocolError)
        assert "without sending complete" in str(error)


async def test_what_waited_when_the_connection_broke_is_not_lost(network: NetworkTransport) -> None:
    gone = asyncio.Event()

    async def send(double: Raw, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 40)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        gone.set()

    async with raw(send) as double:
        response = await ask(network, double.url)
        await gone.wait()
        connection = _answer_of(response).connection
        assert connection is not None
        protocol = connection.protocol
        assert protocol is not None
        async with asyncio.timeout(5):
            while protocol.connected:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)
        got, error = await pieces(response)
    assert got == b"x" * 40
    assert isinstance(error, httpx.RemoteProtocolError)


async def test_a_slow_reader_holds_the_sender_up(network: NetworkTransport) -> None:
    size, sent = 16 * 1024 * 1024, 0

    async def send(double: Raw, writer: Writer) -> None:
        nonlocal sent
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        while sent < size:
            writer.write(bytes(65536))
            await writer.drain()
            sent += 65536

    async with raw(send) as double:
        response = await ask(network, double.url)
        answer = _answer_of(response)
        assert answer.connection is not None
        transport = answer.connection.transport
        assert isinstance(transport, asyncio.Transport)
        async with asyncio.timeout(10):
            while transport.is_reading():  # noqa: ASYNC110 - no event
                await asyncio.sleep(0)
        assert answer.content.total_bytes < 2 * 1024 * 1024
        assert sent < size
        got, error = await pieces(response)
    assert (len(got), error) == (size, None)


async def test_both_ends_of_the_connection_are_noted(network: NetworkTransport) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"
    async with raw(always(answer)) as double:
        response = await ask(network, double.url)
        ours, theirs = response.request.extensions["ends"]
        assert "http://{}:{}".format(*theirs) == double.url
        assert ours[0] == "127.0.0.1"
        await response.aclose()


# -- no answer -------------------------------------------------------------------------------------
async def test_nothing_listens(network: NetworkTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(httpx.ConnectError) as failed:
        await ask(network, f"http://127.0.0.1:{port}")
    assert isinstance(failed.value.__cause__, OSError)
    assert failed.value.__cause__.errno == 111


async def test_a_name_that_is_none(network: NetworkTransport) -> None:
    with pytest.raises(httpx.ConnectError):
        await ask(network, "http://nowhere.invalid")


@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_a_new_connection_without_an_answer(network: NetworkTransport, how: str) -> None:
    async def send(double: Raw, writer: Writer) -> None:
        reset(writer) if how == "reset" else writer.close()

    async with raw(send) as double:
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await ask(network, double.url)
    assert len(double.heads) == 1


async def test_a_kept_connection_that_is_closed(network: NetworkTransport) -> None:
    """The upstream closes it when the second request arrives."""

    async def send(double: Raw, writer: Writer) -> None:
        if len(double.heads) == 2:
            writer.close()
        else:
            writer.write(OK)

    async with raw(send) as double:
        assert await pieces(await ask(network, double.url)) == (b"ok", None)
        assert await pieces(await ask(network, double.url)) == (b"ok", None)
    assert (len(double.heads), double.connections) == (3, 2)


async def test_no_answer_in_time(network: NetworkTransport) -> None:
    async with raw(always(b"")) as double:
        with pytest.raises(httpx.ReadTimeout):
            await ask(network, double.url, read=0.05)
        assert len(double.heads) == 1


async def test_a_stalled_body(network: NetworkTransport) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    async with raw(always(answer)) as double:
        got, error = await pieces(await ask(network, double.url, read=0.05))
    assert got == b"half"
    assert isinstance(error, httpx.ReadTimeout)


async def test_answers_that_are_not_http(network: NetworkTransport) -> None:
    async with raw(always(b"SSH-2.0-x\r\n\r\n")) as double:
        with pytest.raises(httpx.RemoteProtocolError):
            await ask(network, double.url)


# -- web proxies -----------------------------------------------------------------------------------
@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(transport, "_proxies", transport._proxies.__wrapped__)
    return monkeypatch


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://registry.example/v2/", "http://one.test:3128"),
        ("https://registry.example/v2/", "http://two.test"),
        ("http://inside.example/v2/", None),
        ("http://a.inside.example:5000/v2/", None),
        ("http://localhost:5000/v2/", None),
        ("http://127.0.0.1:5000/v2/", None),
        ("http://[::1]:5000/v2/", None),
    ],
)
def test_which_web_proxy(environment: pytest.MonkeyPatch, url: str, proxy: str | None) -> None:
    environment.setenv("HTTP_PROXY", "one.test:3128")
    environment.setenv("HTTPS_PROXY", "http://two.test")
    environment.setenv("NO_PROXY", "inside.example")
    assert web_proxy_for(httpx.URL(url)) == proxy


def test_no_web_proxy(environment: pytest.MonkeyPatch) -> None:
    assert web_proxy_for(httpx.URL("https://registry.example")) is None
    environment.setenv("ALL_PROXY", "http://three.test")
    assert web_proxy_for(httpx.URL("https://registry.example")) == "http://three.test"


async def test_through_a_web_proxy(
    network: NetworkTransport, environment: pytest.MonkeyPatch
) -> None:
    """Its user is for it alone, and the registry's goes on to the registry."""
    async with raw(always(OK)) as double:
        environment.setenv("HTTP_PROXY", double.url.replace("//", "//joe:s3cret@"))
        url = "http://registry.example/v2/"
        await pieces(await ask(network, url, Authorization="Bearer t"))
    lines = double.heads[0].split("\r\n")
    assert lines[0] == "GET http://registry.example/v2/ HTTP/1.1"
    login = base64.b64encode(b"joe:s3cret").decode()
    assert f"Proxy-Authorization: Basic {login}" in lines
    assert "Authorization: Bearer t" in lines


async def test_a_tunnel_through_a_web_proxy(environment: pytest.MonkeyPatch) -> None:
    network = NetworkTransport()
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    async with raw(always(answer)) as double:
        environment.setenv("HTTPS_PROXY", double.url.replace("//", "//joe:s3cret@"))
        with pytest.raises(httpx.ProxyError, match="403"):
            await ask(network, "https://registry.example/v2/", Authorization="Bearer t")
    await network.aclose()
    assert double.heads[0].startswith("CONNECT registry.example:443 HTTP/1.1\r\n")
    assert "Bearer" not in double.heads[0]
    assert "Proxy-Authorization: Basic" in double.heads[0]
