"""The internet, as real clients see it in a test: host names that lead to mock upstreams.

A real client connects to ``registry-1.docker.io`` or ``source.example`` over TLS. With
``HTTPS_PROXY`` it requests a tunnel from this proxy (RFC 9110, section 9.3.6 CONNECT), which ends
at a mock upstream. Go's clients never send loopback addresses through a proxy
(https://pkg.go.dev/golang.org/x/net/http/httpproxy), so that a cache under test, which listens
there, is contacted directly.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit

from harness.clients.authority import Authority
from harness.system.loop import lab_loop

_CHUNK = 65536


class SourceNetwork:
    """A proxy on loopback without access to real hosts. Safe from any thread."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self._lock = threading.Lock()
        self._hosts: dict[str, SplitResult] = {}
        self._asked: list[str] = []
        self._server: asyncio.Server | None = None
        self._tunnels: set[asyncio.StreamWriter] = set()
        self.url = ""
        """The value of ``HTTPS_PROXY``, once started."""

    def start(self) -> None:
        """Listen on a free port."""
        lab_loop().run(self._start())

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"

    def stop(self) -> None:
        """Close all tunnels and the port."""
        lab_loop().run(self._stop())

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for tunnel in list(self._tunnels):
            tunnel.transport.abort()

    def lead(self, hosts: Mapping[str, str]) -> None:
        """From now on the names of *hosts* lead to these URLs (``http://127.0.0.1:PORT``); all
        other names fail. Clears :attr:`asked`."""
        with self._lock:
            self._hosts = {name: urlsplit(url) for name, url in hosts.items()}
            self._asked.clear()

    @property
    def asked(self) -> list[str]:
        """The host names that clients requested, each once, in order of the first request."""
        with self._lock:
            return list(dict.fromkeys(self._asked))

    def environment(self) -> dict[str, str]:
        """The environment variables that make a client use this proxy."""
        return {
            "HTTPS_PROXY": self.url,
            "HTTP_PROXY": self.url,
            "NO_PROXY": "127.0.0.1,localhost",
            "SSL_CERT_FILE": str(self.authority.certificate),
        }

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tunnels.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await self._tunnel(reader, writer)
        finally:
            self._tunnels.discard(writer)
            writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, _, rest = head.decode("latin-1").partition(" ")
        name = rest.split(" ", 1)[0].removesuffix(":443")
        with self._lock:
            self._asked.append(name)
            place = self._hosts.get(name) if method == "CONNECT" else None
        if place is None:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        there = await asyncio.open_connection(place.hostname, place.port)
        try:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await writer.drain()
            await writer.start_tls(self.authority.server_context)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(_copy(reader, there[1]))
                ways.create_task(_copy(there[0], writer))
        except* OSError:
            pass
        finally:
            there[1].close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Copy until one side closes, then close the other."""
    with suppress(OSError):
        while data := await source.read(_CHUNK):
            sink.write(data)
            await sink.drain()
    with suppress(OSError, RuntimeError):
        sink.close()
