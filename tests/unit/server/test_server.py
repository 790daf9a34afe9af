"""Listening: addresses, draining, failed starts, and no leaked sockets or files."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.system.loop import LabLoop
from reference_registry.config import (
    ClientAuthConfig,
    Config,
    DebugConfig,
    HtpasswdConfig,
    HttpConfig,
    StorageConfig,
)
from reference_registry.config.problem import CannotStart
from reference_registry.config.units import ListenAddress
from reference_registry.http.asgi import ASGIApp, Receive, Scope, Send
from reference_registry.http.hooks import Panic
from reference_registry.profiles import PROFILES
from reference_registry.server.listener import Listener
from reference_registry.server.server import Server

_LOOPBACK = "127.0.0.1:0"


def _config(**http: Any) -> Config:
    settings = {"addr": _LOOPBACK, "secret": "s", **http}
    return Config(storage=StorageConfig(driver="inmemory"), http=HttpConfig(**settings))


@asynccontextmanager
async def _listening(app: ASGIApp, **settings: Any) -> AsyncIterator[Listener]:
    listener = Listener(app, ListenAddress("127.0.0.1", 0), key="http.addr", **settings)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop()


async def _hello(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


async def _asked(url: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=10, verify=False) as client:
        return await client.get(url)


def _sockets() -> set[str]:
    """The sockets that this process has open."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(str(descriptor.readlink()))
    return {target for target in found if target.startswith("socket:")}


def _files() -> list[str]:
    """The files and pipes that this process has open, with repetitions."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.append(str(descriptor.readlink()))
    return sorted(
        name for name in found if not name.startswith(("socket:", "anon_inode:", "/proc"))
    )


# -- start and stop -----------------------------------------------------------------------------
def test_twenty_servers_close_every_socket() -> None:
    """In one process, in a background thread, as the harness runs them."""
    loop = LabLoop("edge-test")
    try:
        config = _config(debug=DebugConfig(addr=_LOOPBACK, prometheus_enabled=True))

        async def make() -> Server:
            server = Server(config)
            await server.start()
            return server

        first = loop.run(make())
        loop.run(first.stop())
        before = _sockets()
        servers = [loop.run(make()) for _ in range(20)]
        urls = [url for server in servers for url in (server.url, server.debug_url) if url]
        assert len(set(urls)) == 40
        with httpx.Client(trust_env=False, timeout=10, verify=False) as client:
            for server in servers:
                assert client.get(f"{server.url}/v2/").json() == {}
                assert client.get(f"{server.debug_url}/debug/health").json() == {}
            for server in servers:
                loop.run(server.stop())
            for url in urls:
                with pytest.raises(httpx.ConnectError):
                    client.get(url)
        assert _sockets() == before
    finally:
        loop.stop()


def test_a_port_can_be_reused_immediately() -> None:
    async def run() -> None:
        first = Server(_config())
        await first.start()
        assert (await _asked(f"{first.url}/v2/")).status_code == 200
        await first.stop()
        again = Server(_config(addr=first.url.removeprefix("http://")))
        await again.start()
        assert again.url == first.url
        assert (await _asked(f"{again.url}/v2/")).status_code == 200
        await again.stop()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("addr", "url"),
    [
        ("127.0.0.1:0", "http://127.0.0.1:"),
        ("localhost:0", "http://127.0.0.1:"),
        ("[::1]:0", "http://[::1]:"),
        (":0", "http://127.0.0.1:"),
        ("0.0.0.0:0", "http://127.0.0.1:"),
    ],
)
def test_forms_of_addresses(addr: str, url: str) -> None:
    if "::1" in addr and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")

    async def run() -> None:
        server = Server(_config(addr=addr))
        await server.start()
        try:
            assert server.url.startswith(url)
            assert (await _asked(f"{server.url}/v2/")).status_code == 200
        finally:
            await server.stop()

    asyncio.run(run())


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "registry.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))  # left behind by a process that died

    async def run() -> None:
        server = Server(_config(net="unix", addr=str(path)))
        await server.start()
        try:
            transport = httpx.AsyncHTTPTransport(uds=str(path))
            async with httpx.AsyncClient(transport=transport) as client:
                assert (await client.get("http://registry/v2/")).json() == {}
            with pytest.raises(CannotStart, match=r"registry\.sock is in use"):
                await Server(_config(net="unix", addr=str(path))).start()
        finally:
            await server.stop()

    asyncio.run(run())
    assert not path.exists()


# -- failures -----------------------------------------------------------------------------------
@pytest.mark.parametrize("which", ["addr", "debug"])
def test_an_address_in_use(which: str) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        config = _config(**{which: taken if which == "addr" else DebugConfig(addr=taken)})

        async def run() -> CannotStart:
            before = _sockets()
            server = Server(config)
            with pytest.raises(CannotStart) as failure:
                await server.start()
            assert _sockets() == before
            return failure.value

        error = asyncio.run(run())
    assert error.key == ("http.addr" if which == "addr" else "http.debug.addr")
    assert error.what == f"cannot listen on {taken}: address already in use"
    assert error.released_exit_code == 1


def test_an_unknown_host() -> None:
    with pytest.raises(CannotStart, match=r"http\.addr: unknown host 'nowhere\.invalid'"):
        asyncio.run(Server(_config(addr="nowhere.invalid:0")).start())


def test_nothing_runs_after_a_failed_start(tmp_path: Path) -> None:
    htpasswd = HtpasswdConfig(realm="r", path=tmp_path / "missing")
    config = _config(debug=DebugConfig(addr=_LOOPBACK))
    config = Config(
        storage=config.storage, http=config.http, auth=ClientAuthConfig(htpasswd=htpasswd)
    )

    async def run() -> None:
        before = _sockets()
        server = Server(config)
        with pytest.raises(CannotStart, match=r"auth\.htpasswd\.path: no such file"):
            await server.start()
        assert _sockets() == before

    asyncio.run(run())


@pytest.mark.parametrize(
    ("profile", "first"), [("2.8", "debug"), ("3.1", "app"), ("ideal", "debug")]
)
def test_when_the_debug_listener_opens(
    profile: str, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    async def run() -> None:
        config = _config(debug=DebugConfig(addr=_LOOPBACK))
        server = Server(config, profile=PROFILES[profile])

        async def start_app() -> None:
            order.append("app")

        async def start_debug() -> None:
            order.append("debug")

        monkeypatch.setattr(server.app, "start", start_app)
        monkeypatch.setattr(server, "_start_debug", start_debug)
        await server.start()
        await server.stop()

    asyncio.run(run())
    assert order[0] == first


# -- draining -----------------------------------------------------------------------------------
class _Slow:
    """Answers once ``go_on`` is set."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.cancelled = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        await _hello(scope, receive, send)


def test_a_request_in_flight_is_finished() -> None:
    async def run() -> None:
        slow = _Slow()
        async with _listening(slow) as listener:
            answer = asyncio.create_task(_asked(f"http://{listener.address}/"))
            await slow.asked.wait()
            stopping = asyncio.create_task(listener.stop(drain=10))
            while True:
                try:  # no new connection is accepted meanwhile
                    _, writer = await asyncio.open_connection("127.0.0.1", listener.address.port)
                except OSError:
                    break
                writer.close()
            assert not stopping.done()
            slow.go_on.set()
            assert (await answer).text == "hello"
            await stopping
        assert not slow.cancelled

    asyncio.run(run())


def test_a_request_that_does_not_end_is_cut_off() -> None:
    async def run() -> None:
        slow = _Slow()
        async with _listening(slow) as listener:
            answer = asyncio.create_task(_asked(f"http://{listener.address}/"))
            await slow.asked.wait()
            await listener.stop(drain=0.05)
            assert (await answer).status_code == 500
        assert slow.cancelled

    asyncio.run(run())


@pytest.mark.parametrize(
    "request_", [b"GET / HTTP/1.1\r\nHo", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b""]
)
def test_slow_clients_do_not_delay_the_stop(request_: bytes) -> None:
    """Half a request, a response that is not read, a connection without a request."""

    async def run() -> float:
        asked = asyncio.Event()

        async def endless(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            asked.set()
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})

        async with _listening(endless) as listener:
            _, writer = await asyncio.open_connection("127.0.0.1", listener.address.port)
            writer.write(request_)
            await writer.drain()
            if request_.endswith(b"\r\n\r\n"):
                await asyncio.wait_for(asked.wait(), 5)
            began = time.monotonic()
            await asyncio.wait_for(listener.stop(drain=0.05), 5)
            writer.close()
        return time.monotonic() - began

    before = _sockets()
    asyncio.run(run())
    assert _sockets() <= before


def test_an_application_that_fails_cuts_the_connection() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"100")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("upstream broke off")

    async def run() -> None:
        async with _listening(broken) as listener:
            with pytest.raises(httpx.RemoteProtocolError):
                await _asked(f"http://{listener.address}/")

    asyncio.run(run())


def test_a_panic_cuts_the_connection() -> None:
    """As when a handler of distribution panics. Other connections stay open."""
    slow = _Slow()

    async def panicking(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await slow(scope, receive, send)
        else:
            raise Panic("assignment to entry in nil map")

    async def run() -> None:
        async with _listening(panicking) as listener:
            other = asyncio.create_task(_asked(f"http://{listener.address}/slow"))
            await slow.asked.wait()
            with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
                await _asked(f"http://{listener.address}/")
            slow.go_on.set()
            assert (await other).text == "hello"

    before = _files()
    asyncio.run(run())
    assert _files() == before
