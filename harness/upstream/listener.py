"""A listening socket that can go down and come up again on the same port."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial

from harness.upstream.connection import Connection

__all__ = ["Listener"]

_BACKLOG = 1024


class Listener:
    """Accepts connections and runs *serve* for each. Lives on one event loop.

    It accepts by itself: ``asyncio.Server`` loses a connection that comes while it is closed.
    """

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
        self._listening: socket.socket | None = None
        self._connections: set[Connection] = set()

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
        if self._listening is None:
            self._listening = _bound(self._host, self._port)
            self._listening.setblocking(False)
            self._listening.listen(_BACKLOG)
            asyncio.get_running_loop().add_reader(self._listening, self._accept, self._listening)

    async def down(self) -> None:
        """Refuse connections and cut the open ones. The port stays ours: a socket that is bound
        and does not listen keeps it."""
        listening, self._listening = self._listening, None
        if listening is not None:
            asyncio.get_running_loop().remove_reader(listening)
            listening.close()
            await asyncio.gather(*(connection.cut() for connection in list(self._connections)))

    async def stop(self) -> None:
        """Go down and give the port back. Harmless when not started."""
        await self.down()
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_BACKLOG):
            try:
                sock, _address = listening.accept()
            except OSError:  # nobody waits, or there are no file descriptors left for now
                return
            sock.setblocking(False)
            connection = Connection(sock, self._serve, self._ssl_context)
            self._connections.add(connection)
            connection.task.add_done_callback(partial(self._forget, connection))

    def _forget(self, connection: Connection, task: asyncio.Task[None]) -> None:
        self._connections.discard(connection)


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
