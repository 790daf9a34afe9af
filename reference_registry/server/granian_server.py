"""Serving TLS and HTTP/2, by Granian, whose threads do what Python's own cannot."""

from __future__ import annotations

import asyncio
import atexit
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.net import SocketHolder  # type: ignore[attr-defined]
from granian.server.embed import Server as EmbeddedServer

from reference_registry.config import TlsConfig
from reference_registry.config.addresses import reachable_host
from reference_registry.http.hooks import Panic
from reference_registry.server.asgi import ASGIApp, Receive, Scope, Send
from reference_registry.server.sockets import BACKLOG

__all__ = ["GranianServer"]

# Granian configures the logging module as a whole unless told to change levels only.
_NO_LOGGING = {"incremental": True, "handlers": {}, "formatters": {}, "loggers": {}}
_INTERNET = frozenset({socket.AF_INET, socket.AF_INET6})
_LAST_WORDS = 0.25  # seconds for a connection to end once its request was cancelled
_THREADS_END = 0.5  # seconds


class GranianServer:
    """Serves *app* with TLS or HTTP/2."""

    def __init__(self, app: ASGIApp, tls: TlsConfig | None, *, http2: bool) -> None:
        self._app = app
        self._tls = tls
        self._http2 = http2
        self._in_flight: set[asyncio.Task[Any]] = set()
        self._name: Any = None
        self._granian: _Granian | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self, bound: socket.socket) -> None:
        """Returns once connections to *bound* are accepted.

        Raises :class:`reference_registry.config.problem.CannotStart`.
        """
        self._name = bound.getsockname()
        with ExitStack() as until_up:
            arguments = {}
            if self._tls is not None:
                from reference_registry.server.tls import granian_tls

                arguments = granian_tls(self._tls, until_up)
            _outlive_granian()
            self._granian = _Granian(
                bound,
                self._run,
                interface=Interfaces.ASGINL,
                http=HTTPModes.auto if self._http2 else HTTPModes.http1,
                websockets=False,
                backlog=BACKLOG,
                log_enabled=False,
                log_dictconfig=_NO_LOGGING,
                **arguments,
            )
            self._serving = asyncio.create_task(self._granian.serve())
            await self._accepting()

    async def stop(self, drain: float) -> bool:
        """Stop listening, let requests in flight end for *drain* seconds, then cut them off.
        Whether all of them had ended by then."""
        if self._serving is None or self._granian is None:
            return True
        serving = self._serving
        self._granian.stop()  # type: ignore[no-untyped-call]
        # Without anything in flight Granian still needs a moment to say so.
        await asyncio.wait({serving}, timeout=max(drain, 0.02))
        in_time = serving.done()
        if not in_time:
            for task in tuple(self._in_flight):
                task.cancel()
            await asyncio.wait({serving}, timeout=_LAST_WORDS)
        if not serving.done():
            self._cut_connections()
        await serving
        return in_time

    async def ended(self) -> None:
        """Returns when it has stopped, by itself or otherwise."""
        if self._serving is not None:
            await asyncio.wait({self._serving})

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, as Granian calls it: one task for each request."""
        task = asyncio.current_task()
        assert task is not None
        self._in_flight.add(task)
        try:
            await self._app(scope, receive, send)
        except Panic:
            if scope["client"] is not None:
                host, port = scope["client"]
                self._cut_connections((host, int(port)))
            raise
        finally:
            self._in_flight.discard(task)

    async def _accepting(self) -> None:
        if isinstance(self._name, str):
            _, writer = await asyncio.open_unix_connection(self._name)
        else:
            host = reachable_host(self._name[0])
            _, writer = await asyncio.open_connection(host, self._name[1])
        writer.close()
        assert self._serving is not None
        if self._serving.done():
            self._serving.result()
            raise RuntimeError("the server ended as it began")

    def _cut_connections(self, client: tuple[str, int] | None = None) -> None:
        """Shut down the connection of *client*, or all that clients keep open with half a request,
        or by not reading their answer: Granian would wait for them."""
        for held in _own_sockets():
            with closing(held), suppress(OSError):
                if self._is_ours(held) and client in {None, held.getpeername()[:2]}:
                    held.shutdown(socket.SHUT_RDWR)

    def _is_ours(self, held: socket.socket) -> bool:
        name = held.getsockname()
        if isinstance(self._name, str):
            return bool(name == self._name)
        return held.family in _INTERNET and name[1] == self._name[1]


class _Granian(EmbeddedServer):
    """Serves on a socket that is listening already. Granian's own would share its port with
    whoever else asks for it (``SO_REUSEPORT``)."""

    def __init__(self, bound: socket.socket, app: ASGIApp, **settings: Any) -> None:
        super().__init__(app, **settings)
        self._bound = bound

    def _init_shared_socket(self) -> None:
        unix = self._bound.family is socket.AF_UNIX
        # Granian closes it in the end.
        holder: Any = SocketHolder
        self._shd: Any = holder(self._bound.detach(), unix, BACKLOG)


def _own_sockets() -> Iterator[socket.socket]:
    """Duplicates of all sockets that this process holds."""
    for descriptor in Path("/dev/fd").iterdir():
        with suppress(OSError):
            duplicate = os.dup(int(descriptor.name))
            try:
                held = socket.socket(fileno=duplicate)
            except OSError:  # It is a file, a pipe, ...
                os.close(duplicate)
            else:
                yield held


@cache
def _outlive_granian() -> None:
    """Granian's threads live on for a blink after its end, and an interpreter that exits within it
    crashes: wait for them at exit."""
    atexit.register(_await_end_of_other_threads, _foreign_threads())


def _await_end_of_other_threads(expected: set[int]) -> None:
    deadline = time.monotonic() + _THREADS_END
    while _foreign_threads() - expected and time.monotonic() < deadline:
        time.sleep(0.001)


def _foreign_threads() -> set[int]:
    """Threads of this process that Python has not started; none where the system cannot tell."""
    try:
        threads = {int(thread.name) for thread in Path("/proc/self/task").iterdir()}
    except OSError:
        return set()
    return threads - {thread.native_id for thread in threading.enumerate()}
