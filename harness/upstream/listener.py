"""A listening socket that can go down and come up again on the same port."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from weakref import WeakSet

from harness.upstream.connection import Connection

__all__ = ["Listener"]


class Listener:
    """Accepts connections and runs *serve* for each. Lives on one event loop."""

    def __init__(
        self,
        serve: Callable[[Connection], Awaitable[None]],
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._serve = serve
        self._host = host
        self._port = port
        self._ssl_context = ssl_context
        self._reserved: socket.socket | None = None
        self._server: asyncio.Server | None = None
        # Weak, as one whose TLS handshake fails is never heard of again.
        self._connections: WeakSet[Connection] = WeakSet()

    @property
    def port(self) -> int:
        """The port, once started."""
        return self._port

    async def start(self) -> None:
        """Bind and listen. ``OSError`` where the address cannot be had."""
        if self._reserved is None:
            self._reserved = _bound(self._host, self._port)
            self._port = self._reserved.getsockname()[1]
        await self.up()

    async def up(self) -> None:
        """Listen; nothing happens where it already does."""
        if self._server is None:
            sock = _bound(self._host, self._port)
            try:
                self._server = await asyncio.get_running_loop().create_server(
                    self._accept, sock=sock, ssl=self._ssl_context, backlog=1024
                )
            except OSError:
                sock.close()
                raise

    async def down(self) -> None:
        """Refuse connections and cut the open ones. The port stays ours: a socket that is bound
        and does not listen keeps it."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await asyncio.gather(*(connection.cut() for connection in list(self._connections)))
            await server.wait_closed()

    async def stop(self) -> None:
        """Go down and give the port back. Harmless when not started."""
        await self.down()
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    def _accept(self) -> Connection:
        connection = Connection(self._serve)
        self._connections.add(connection)
        return connection


def _bound(host: str, port: int) -> socket.socket:
    """With SO_REUSEADDR on both, Linux lets two sockets share an address while at most one of them
    listens (socket(7)); a port that is bound is not given to anybody who asks for just any.
    asyncio switches Nagle's algorithm off only where the protocol is named."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
