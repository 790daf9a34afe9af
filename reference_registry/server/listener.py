"""A listening socket, its connections, and the ASGI application that answers their requests."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from pathlib import Path

from reference_registry.config import TlsConfig
from reference_registry.config.addresses import ListenAddress
from reference_registry.http.asgi import ASGIApp
from reference_registry.http.hooks import Panic
from reference_registry.server.http1.connection import Connection
from reference_registry.server.http1.exchange import OpenConnection, Request
from reference_registry.server.http1.kept_answers import KeptAnswers
from reference_registry.server.sockets import BACKLOG, listen_on, listen_on_path

__all__ = ["Listener"]

_log = logging.getLogger(__name__)

_TICK = 1.0
"""Seconds between checks of the connections' deadlines."""
_LAST_WORDS = 0.25
"""Seconds for a connection to close after its request was cancelled."""
_HANDSHAKE_TIMEOUT = 10.0
"""Seconds for a TLS handshake, as in Go's ``net/http`` transport."""


class Listener:
    """Serves *app* over HTTP/1.1, and over HTTP/2 if *http2*, with TLS if *tls* is given. *key* is
    the configuration key of *address*, for errors. *unix* is the path of a Unix socket to use
    instead of *address*."""

    def __init__(
        self,
        app: ASGIApp,
        address: ListenAddress,
        *,
        key: str,
        unix: Path | None = None,
        tls: TlsConfig | None = None,
        http2: bool = False,
    ) -> None:
        self.address = address
        """With the actual port, once started."""
        self._app = app
        self._key = key
        self._unix = unix
        self._tls = tls
        self._http2 = http2
        self._protocol = Connection
        self._context: ssl.SSLContext | None = None
        self._bound: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._kept = KeptAnswers()
        self._opening: set[asyncio.Task[None]] = set()
        """Accepted connections that are not in ``_connections`` yet."""
        self._connections: set[OpenConnection] = set()
        self._in_flight: set[asyncio.Task[None]] = set()

    @property
    def where(self) -> str:
        """The address for log messages."""
        return str(self._unix or self.address)

    async def start(self) -> None:
        """Accept connections.

        Raises :class:`reference_registry.config.problem.CannotStart`.
        """
        if self._tls is not None:
            from reference_registry.server.tls import ssl_context

            self._context = ssl_context(self._tls, http2=self._http2)
        if self._http2:  # slow to import
            from reference_registry.server.http2 import Negotiating

            self._protocol = Negotiating
        if self._unix is not None:
            self._bound = listen_on_path(self._unix, key=self._key)
        else:
            self._bound = listen_on(self.address, key=self._key)
            self.address = ListenAddress(*self._bound.getsockname()[:2])
        loop = asyncio.get_running_loop()
        loop.add_reader(self._bound, self._accept)
        self._timer = loop.call_later(_TICK, self._tick)

    async def stop(self, drain: float = 0.0) -> bool:
        """Stop listening, give requests in flight *drain* seconds to finish, then cut them off.
        Returns whether all of them finished in time."""
        if self._bound is None or self._timer is None:
            return True
        asyncio.get_running_loop().remove_reader(self._bound)
        self._bound.close()
        self._bound = None
        self._timer.cancel()
        if self._unix is not None:
            self._unix.unlink(missing_ok=True)
        await _finish_or_cancel(self._opening, _LAST_WORDS)
        for connection in tuple(self._connections):
            connection.retire()
        in_time = await _finish_or_cancel(self._in_flight, drain)
        self._in_flight.clear()  # a task that is cancelled before its first step never does it
        await self._wait_for_connections(_LAST_WORDS)
        for connection in self._connections:
            connection.transport.abort()
        await self._wait_for_connections()
        return in_time

    async def _wait_for_connections(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        if self._connections:
            await asyncio.wait({each.closed for each in self._connections}, timeout=timeout)

    def _accept(self) -> None:
        # Not asyncio.Server: when closed, it loses connections that it has accepted but not set up.
        loop = asyncio.get_running_loop()
        for _ in range(BACKLOG):
            if self._bound is None:
                return
            try:
                client, _address = self._bound.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # for example, no file descriptors are left
                _log.error("cannot accept connections: %s", error)
                loop.remove_reader(self._bound)
                loop.call_later(_TICK, self._accept_again)
                return
            client.setblocking(False)
            task = loop.create_task(self._open(client))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _accept_again(self) -> None:
        if self._bound is not None:
            asyncio.get_running_loop().add_reader(self._bound, self._accept)

    async def _open(self, client: socket.socket) -> None:
        timeout = _HANDSHAKE_TIMEOUT if self._context else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._protocol(self._serve, self._connections, self._kept),
                client,
                ssl=self._context,
                ssl_handshake_timeout=timeout,
            )
        except OSError as error:  # includes ssl.SSLError
            _log.debug("TLS handshake failed: %s", error)

    def _tick(self) -> None:
        now = time.monotonic()
        for connection in tuple(self._connections):
            connection.check_deadline(now)
        self._timer = asyncio.get_running_loop().call_later(_TICK, self._tick)

    def _serve(self, request: Request) -> None:
        self._in_flight.add(asyncio.get_running_loop().create_task(self._answer(request)))

    async def _answer(self, request: Request) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await self._app(request.scope, request.receive, request.send)
        except Panic:
            request.abort()
        except Exception as error:  # the client sees an incomplete response
            _log.debug("response broken off: %s", error)
        finally:
            self._in_flight.discard(task)
            request.ended()


async def _finish_or_cancel(running: set[asyncio.Task[None]], seconds: float) -> bool:
    """Give *running* tasks some *seconds*, then cancel the rest. Whether none was cancelled."""
    if running and seconds > 0:
        await asyncio.wait(set(running), timeout=seconds)
    late = set(running)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late)
    return not late
