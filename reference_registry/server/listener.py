"""A listening socket, its TLS, its connections, and the ASGI application that answers them."""

from __future__ import annotations

import asyncio
import errno
import heapq
import logging
import resource
import socket
import ssl
import time
from collections import Counter
from functools import partial
from pathlib import Path

from reference_registry.config import TlsConfig
from reference_registry.config.problem import CannotStart
from reference_registry.config.units import ListenAddress, reachable_host
from reference_registry.http.asgi import ASGIApp
from reference_registry.http.hooks import Panic
from reference_registry.server.base import HttpConnection, HttpExchange
from reference_registry.server.http1.connection import Http1Connection, KeptAnswers

_log = logging.getLogger(__name__)

_BACKLOG = 1024
_TICK = 1.0
"""Seconds between checks of the connections' deadlines."""
_LAST_WORDS = 0.25
"""Seconds for a connection to close after its request was cancelled."""
_MAX_CONNECTIONS = 10_000
"""Connections of one listener, less where the process may open fewer descriptors. A further one
takes the place of the one that has been idle longest; if none is idle, it waits to be accepted."""
_PER_CLIENT = 2
"""One client address gets the connections of a listener divided by this."""
_DESCRIPTORS_KEPT = 64
"""Descriptors for storage, upstreams and logs. Of the others, one half is for connections and one
half for the files that they send."""
_EVICTION = 0.001
"""Seconds for a connection that was aborted to release its descriptor."""
_EVICTED = 16
"""Idle connections that are closed at once when no descriptor is left."""
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
        self._protocol = Http1Connection
        self._context: ssl.SSLContext | None = None
        self._bound: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._kept = KeptAnswers()
        self._opening: set[asyncio.Task[None]] = set()
        """Accepted connections that are not in ``_connections`` yet."""
        self._clients: Counter[str] = Counter()
        """Connections by client address; empty for those of a Unix socket."""
        self._limit = _connection_limit()
        self._paused = False
        """No connection is accepted for now."""
        self._connections: set[HttpConnection] = _Counted(self._clients)
        self._in_flight: set[asyncio.Task[None]] = set()

    @property
    def reachable(self) -> ListenAddress:
        """An address that this machine can reach."""
        return ListenAddress(reachable_host(self.address.host), self.address.port)

    @property
    def where(self) -> str:
        """The address for log messages."""
        return str(self._unix or self.address)

    async def start(self) -> None:
        """Accept connections.

        Raises :class:`reference_registry.config.problem.CannotStart`.
        """
        if self._tls is not None:
            self._context = _ssl_context(self._tls, http2=self._http2)
        if self._http2:  # slow to import
            from reference_registry.server.http2 import Negotiating

            self._protocol = Negotiating
        self._bound = self._listen()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._bound, self._accept)
        self._timer = loop.call_later(_TICK, self._tick)

    def _listen(self) -> socket.socket:
        """The listening socket, without SO_REUSEPORT, so that an address in use is an error."""
        name: str | tuple[str, int]
        if self._unix is not None:
            self._remove_stale(self._unix)
            bound, name = socket.socket(socket.AF_UNIX), str(self._unix)
        else:
            family, host = _resolved(self.address.host, self._key)
            bound, name = socket.socket(family), (host, self.address.port)
            # Bind even if connections of an earlier process are still in TIME_WAIT.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Inherited by accepted connections: send the first bytes of a stream without delay.
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if family is socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            bound.bind(name)
            bound.listen(_BACKLOG)
        except OSError as error:
            bound.close()
            raise self._refused(error) from None
        bound.setblocking(False)
        if self._unix is None:
            self.address = ListenAddress(*bound.getsockname()[:2])
        return bound

    def _remove_stale(self, path: Path) -> None:
        """Remove a socket file that a dead process left at *path*."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except FileNotFoundError:
                return
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
                return
            except OSError as error:
                raise self._refused(error) from None
        raise CannotStart(self._key, f"{path} is in use", "stop the other process")

    def _refused(self, error: OSError) -> CannotStart:
        reason = (error.strerror or str(error)).lower()
        fix = "stop the other process or choose another address"
        return CannotStart(self._key, f"cannot listen on {self.where}: {reason}", fix)

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
        for _ in range(_BACKLOG):
            if self._bound is None:
                return
            if len(self._connections) + len(self._opening) >= self._limit:
                self._pause_accepting(self._evict(1))
                return
            try:
                client, peer = self._bound.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # for example, no file descriptors are left
                _log.error("cannot accept connections: %s", error)
                full = error.errno in {errno.EMFILE, errno.ENFILE}
                self._pause_accepting(full and self._evict(_EVICTED))
                return
            address = peer[0] if isinstance(peer, tuple) else ""
            if address and self._clients[address] >= max(1, self._limit // _PER_CLIENT):
                self._evict(1, address)
                client.close()
                continue
            client.setblocking(False)
            task = loop.create_task(self._open(client))
            self._opening.add(task)
            self._clients[address] += 1
            task.add_done_callback(partial(self._opened, address))

    def _opened(self, address: str, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        _discount(self._clients, address)

    def _evict(self, count: int, address: str | None = None) -> bool:
        """Close the *count* connections (of *address*) that close soonest unless a request arrives.
        Returns whether there was one."""
        idle = [
            (each.idle_until, id(each), each)
            for each in self._connections
            if each.idle_until is not None and address in {None, each.client_address}
        ]
        for _, _, connection in heapq.nsmallest(count, idle):
            connection.transport.abort()
        return bool(idle)

    def _pause_accepting(self, evicted: bool) -> None:
        """Accept again once the connections that were *evicted* are closed, or after a tick."""
        loop = asyncio.get_running_loop()
        if self._bound is not None and not self._paused:
            self._paused = True
            loop.remove_reader(self._bound)
            loop.call_later(_EVICTION if evicted else _TICK / 4, self._accept_again)

    def _accept_again(self) -> None:
        self._paused = False
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

    def _serve(self, request: HttpExchange) -> None:
        self._in_flight.add(asyncio.get_running_loop().create_task(self._answer(request)))

    async def _answer(self, request: HttpExchange) -> None:
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


class _Counted(set[HttpConnection]):
    """Connections, counted by client address in *clients*."""

    def __init__(self, clients: Counter[str]) -> None:
        super().__init__()
        self._clients = clients

    def add(self, connection: HttpConnection, /) -> None:
        super().add(connection)
        self._clients[connection.client_address] += 1

    def discard(self, connection: object, /) -> None:
        if isinstance(connection, HttpConnection) and connection in self:
            super().discard(connection)
            _discount(self._clients, connection.client_address)


def _discount(clients: Counter[str], address: str) -> None:
    clients[address] -= 1
    if clients[address] <= 0:
        del clients[address]


def _connection_limit() -> int:
    """Connections of one listener, by the descriptors that this process may open."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return _MAX_CONNECTIONS
    return min(_MAX_CONNECTIONS, max(16, (descriptors - _DESCRIPTORS_KEPT) // 2))


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


def _resolved(host: str, key: str) -> tuple[socket.AddressFamily, str]:
    """The numeric address of *host*, IPv4 first as in Go; all IPv4 and IPv6 interfaces for ""."""
    if not host:
        both = socket.has_dualstack_ipv6()
        return (socket.AF_INET6, "::") if both else (socket.AF_INET, "0.0.0.0")
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise CannotStart(key, f"unknown host {host!r}", "write :PORT") from None
    family, _, _, _, name = min(found, key=lambda entry: entry[0] is not socket.AF_INET)
    return family, str(name[0])


def _ssl_context(tls: TlsConfig, *, http2: bool) -> ssl.SSLContext:
    """A server's context. With ``clientcas``, clients must present a certificate.

    Raises :class:`CannotStart` for missing files, files that are not certificates, and a key that
    does not belong to its certificate.
    """
    for key, path in (("certificate", tls.certificate), ("key", tls.key)):
        if not path.is_file():
            raise CannotStart(f"http.tls.{key}", f"no such file: {path}", "correct the path")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = (
        ssl.TLSVersion.TLSv1_3 if tls.minimumtls == "tls1.3" else ssl.TLSVersion.TLSv1_2
    )
    context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:  # includes ssl.SSLError
        what = f"{tls.certificate} and {tls.key} are not a certificate and its key: {error}"
        raise CannotStart("http.tls.certificate", what, "give two matching PEM files") from None
    for path in tls.clientcas:
        try:
            context.load_verify_locations(path)
        except OSError as error:
            what = f"cannot read {path}: {error}"
            raise CannotStart("http.tls.clientcas", what, "give PEM files") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context
