"""One address that is listened on, and the ASGI application behind it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Protocol

from reference_registry.config import TlsConfig
from reference_registry.config.addresses import ListenAddress
from reference_registry.server.asgi import ASGIApp
from reference_registry.server.http1.server import Http1Server
from reference_registry.server.sockets import listen_on, listen_on_path

__all__ = ["Listener"]


class _Server(Protocol):
    """What accepts connections and speaks the protocol."""

    async def start(self, bound: socket.socket) -> None: ...

    async def stop(self, drain: float) -> bool: ...

    async def ended(self) -> None: ...


class Listener:
    """*key* is the configuration key of the address, for errors. *unix* is a socket's path, which
    takes the place of *address*."""

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
        self._app = app
        self._key = key
        self._unix = unix
        self._tls = tls
        self._http2 = http2
        self._server: _Server | None = None

    @property
    def where(self) -> str:
        """The address as logged."""
        return str(self._unix or self.address)

    async def start(self) -> None:
        """Returns once connections are accepted.

        Raises :class:`reference_registry.config.problem.CannotStart`.
        """
        with self._bind() as bound:
            self._server = server = self._chosen()
            await server.start(bound)

    def _chosen(self) -> _Server:
        if self._tls is None and not self._http2:
            return Http1Server(self._app)
        # Takes a while to import, and most registries have no use for it.
        from reference_registry.server.granian_server import GranianServer

        return GranianServer(self._app, self._tls, http2=self._http2)

    async def stop(self, drain: float = 0.0) -> bool:
        """Stop listening, let requests in flight end for *drain* seconds, then cut them off.
        Whether all of them had ended by then."""
        server, self._server = self._server, None
        if server is None:
            return True
        in_time = await server.stop(drain)
        if self._unix is not None:
            self._unix.unlink(missing_ok=True)
        return in_time

    async def ended(self) -> None:
        """Returns when the listener has stopped, by itself or otherwise."""
        if self._server is not None:
            await self._server.ended()

    def _bind(self) -> socket.socket:
        if self._unix is not None:
            return listen_on_path(self._unix, key=self._key)
        bound = listen_on(self.address, key=self._key)
        host, port = bound.getsockname()[:2]
        self.address = ListenAddress(host, port)
        return bound
