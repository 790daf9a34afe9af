"""Accepting connections, answering their requests, and ending all that in good order."""

from __future__ import annotations

import asyncio
import logging
import socket
import time

from reference_registry.http.hooks import Panic
from reference_registry.server.asgi import ASGIApp
from reference_registry.server.http1.connection import Connection
from reference_registry.server.http1.exchange import Exchange
from reference_registry.server.http1.repeats import Repeats
from reference_registry.server.sockets import BACKLOG

__all__ = ["Http1Server"]

_log = logging.getLogger(__name__)

_TICK = 1.0
"""Seconds between two looks for clients that have let their time pass."""
_LAST_WORDS = 0.25
"""Seconds for a connection to end once its request was cancelled."""


class Http1Server:
    """Serves *app* over plain HTTP/1.1."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._connections: set[Connection] = set()
        self._repeats = Repeats()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._bound: socket.socket | None = None
        self._welcomed: set[asyncio.Task[object]] = set()
        """Connections that are accepted and not yet among the others."""
        self._timer: asyncio.TimerHandle | None = None
        self._stopped: asyncio.Event | None = None

    async def start(self, bound: socket.socket) -> None:
        """Accept connections to *bound*, of which the caller has no further use."""
        loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._bound = bound.dup()
        self._bound.setblocking(False)
        loop.add_reader(self._bound, self._accept)
        self._timer = loop.call_later(_TICK, self._tick)

    async def stop(self, drain: float) -> bool:
        """Stop listening, let requests in flight end for *drain* seconds, then cut them off.
        Whether all of them had ended by then."""
        if self._bound is None or self._stopped is None or self._timer is None:
            return True
        asyncio.get_running_loop().remove_reader(self._bound)
        self._bound.close()
        self._bound = None
        self._timer.cancel()
        if self._welcomed:
            await asyncio.wait(set(self._welcomed))
        for connection in tuple(self._connections):
            connection.retire()
        if self._in_flight and drain > 0:
            await asyncio.wait(set(self._in_flight), timeout=drain)
        cut_off = set(self._in_flight)
        for task in cut_off:
            task.cancel()
        if cut_off:
            await asyncio.wait(cut_off)
        self._in_flight.clear()  # one that had not even begun is cancelled without a word
        await self._wait_for_connections(_LAST_WORDS)
        for connection in self._connections:
            connection.transport.abort()
        await self._wait_for_connections()
        self._stopped.set()
        return not cut_off

    async def ended(self) -> None:
        """Returns when it has stopped."""
        if self._stopped is not None:
            await self._stopped.wait()

    async def _wait_for_connections(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        if self._connections:
            await asyncio.wait({each.closed for each in self._connections}, timeout=timeout)

    def _accept(self) -> None:
        # asyncio's own server forgets whoever it has just accepted when it is closed.
        loop = asyncio.get_running_loop()
        for _ in range(BACKLOG):
            if self._bound is None:
                return
            try:
                client, _address = self._bound.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # There are no descriptors left, for one.
                _log.error("no connection can be accepted: %s", error)
                loop.remove_reader(self._bound)
                loop.call_later(_TICK, self._accept_again)
                return
            client.setblocking(False)
            welcome = loop.connect_accepted_socket(self._connected, client)
            task: asyncio.Task[object] = loop.create_task(welcome)
            self._welcomed.add(task)
            task.add_done_callback(self._welcomed.discard)

    def _accept_again(self) -> None:
        if self._bound is not None:
            asyncio.get_running_loop().add_reader(self._bound, self._accept)

    def _connected(self) -> Connection:
        return Connection(self._serve, self._connections, self._repeats)

    def _tick(self) -> None:
        now = time.monotonic()
        for connection in tuple(self._connections):
            connection.tick(now)
        self._timer = asyncio.get_running_loop().call_later(_TICK, self._tick)

    def _serve(self, exchange: Exchange) -> None:
        self._in_flight.add(asyncio.get_running_loop().create_task(self._answer(exchange)))

    async def _answer(self, exchange: Exchange) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await self._app(exchange.scope, exchange.receive, exchange.send)
        except Panic:
            exchange.abort()
        except Exception as error:  # The client sees it, in that its answer breaks off.
            _log.debug("an answer broke off: %s", error)
        finally:
            self._in_flight.discard(task)
            exchange.ended()
