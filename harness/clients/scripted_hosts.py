"""Registries on real sockets with scripted behaviour, to compare real clients with their models.

:class:`~harness.nodes.models.simulated_network.SimulatedNetwork` answers here as it does for the
model, so that only the client can cause a difference. A connection is plain HTTP or TLS, depending
on its first byte.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl

import h11

from harness.clients.authority import Certificates
from harness.content import an_image
from harness.nodes.models.network import (
    ClientRequest,
    ClientResponse,
    Failure,
    Trust,
)
from harness.nodes.models.registry_api import status_line
from harness.nodes.models.simulated_network import HEALTHY, HostBehaviour, SimulatedNetwork

_TLS_HANDSHAKE = b"\x16"
_STALL_TIMEOUT = 30.0
"""Seconds after which an idle connection is closed."""
_HTTP_TO_TLS = b"\x15\x03\x01\x00\x02\x02\x46"
"""A TLS alert, protocol_version (RFC 8446, section 6). Servers written in Go answer plain HTTP with
a 400 instead, which is an ordinary status."""
_TLS_TO_HTTP = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request"


@dataclass
class Seen:
    """One request, as it arrived."""

    request: ClientRequest
    status: int | None = None
    """None without an answer, or if the body was truncated."""
    client_certificate: str | None = None
    """The common name of the client certificate, if the client sent one."""


class ScriptedHosts:
    """Listens on *addresses*: address and ports by logical host. Raises ``OSError`` for a port in
    use."""

    def __init__(
        self, addresses: Mapping[str, tuple[str, tuple[int, ...]]], certificates: Certificates
    ) -> None:
        self._addresses = addresses
        self._certificates = certificates
        self._listeners: dict[str, list[socket.socket]] = {}
        self._case = _ActiveCase(SimulatedNetwork({}, an_image()), {})
        for host in addresses:
            self._open(host)

    def use(self, network: SimulatedNetwork, behaviours: Mapping[str, HostBehaviour]) -> None:
        """Start a case: *network* answers, and *behaviours*, by logical host, say which hosts are
        down, silent, or speak only TLS. Hanging connections of the previous case are closed."""
        self._case.end()
        self._case = _ActiveCase(network, behaviours)
        for host in self._addresses:
            if behaviours.get(host, HEALTHY).down:
                self._close(host)
            elif host not in self._listeners:
                self._open(host)

    def end(self) -> list[Seen]:
        """End the case; returns its requests in order of arrival. Later requests are dropped."""
        return self._case.end()

    def stop(self) -> None:
        """Close all ports."""
        self._case.end()
        for host in list(self._listeners):
            self._close(host)

    def _open(self, host: str) -> None:
        address, ports = self._addresses[host]
        self._listeners[host] = sockets = []
        for port in ports:
            listener = socket.create_server((address, port), backlog=64)
            sockets.append(listener)
            threading.Thread(
                target=self._accept, args=(listener, host), name=f"scripted {host}", daemon=True
            ).start()

    def _close(self, host: str) -> None:
        for listener in self._listeners.pop(host, ()):
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            listener.close()

    def _accept(self, listener: socket.socket, host: str) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(
                target=_serve, args=(sock, host, self._case, self._certificates), daemon=True
            ).start()


class _ActiveCase:
    """The behaviours in effect and the requests received so far. Safe from any thread."""

    def __init__(self, network: SimulatedNetwork, behaviours: Mapping[str, HostBehaviour]) -> None:
        self.over = threading.Event()
        self._network = network
        self.behaviours = behaviours
        self._lock = threading.Lock()
        self._seen: list[Seen] = []

    def receive(self, request: ClientRequest, certificate: str | None) -> Seen:
        """Record *request*."""
        seen = Seen(request, client_certificate=certificate)
        with self._lock:
            if not self.over.is_set():
                self._seen.append(seen)
        return seen

    def answer(self, request: ClientRequest, certificate: str | None) -> ClientResponse | Failure:
        """The response, or why there is none."""
        with self._lock:
            trust = Trust(verify=False, client_certificate=certificate)
            return self._network.exchange(request, trust)

    def end(self) -> list[Seen]:
        """End the case; returns its requests in order of arrival."""
        with self._lock:
            self.over.set()
            return list(self._seen)


def _serve(sock: socket.socket, host: str, case: _ActiveCase, certificates: Certificates) -> None:
    """Serve *sock* as *host* until either side closes it."""
    sock.settimeout(_STALL_TIMEOUT)
    with suppress(OSError, h11.ProtocolError):
        channel = _accepted(sock, case.behaviours.get(host, HEALTHY), case, certificates)
        if channel is not None:
            _HTTPConnection(channel, case).run()
    with suppress(OSError):
        sock.close()


def _accepted(
    sock: socket.socket, behaviour: HostBehaviour, case: _ActiveCase, certificates: Certificates
) -> socket.socket | None:
    """The socket for HTTP, after a TLS handshake if there is one; None if the connection ends."""
    if behaviour.silent:
        case.over.wait(_STALL_TIMEOUT)
        return None
    first = sock.recv(1, socket.MSG_PEEK)
    speaks_tls = first == _TLS_HANDSHAKE
    if speaks_tls and behaviour.speaks == "plain":
        _say_and_close(sock, _TLS_TO_HTTP)
        return None
    if not speaks_tls and behaviour.speaks == "tls":
        _say_and_close(sock, _HTTP_TO_TLS)
        return None
    if not first or not speaks_tls:
        return sock if first else None
    context = certificates.context(
        trusted=behaviour.authority in {None, certificates.trusted},
        asks_for_client=behaviour.wants_client_certificate,
    )
    secured = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
    try:
        secured.do_handshake()
    except ssl.SSLError:
        # Read what the client still sends, or closing would discard the alert.
        with socket.socket(fileno=secured.detach()) as bare:
            bare.settimeout(_STALL_TIMEOUT)
            _drain(bare)
        return None
    except OSError:
        secured.close()
        raise
    return secured


def _say_and_close(sock: socket.socket, words: bytes) -> None:
    """Read pending bytes first: closing with unread bytes would reset the connection."""
    sock.recv(65536)
    sock.sendall(words)
    _drain(sock)


def _drain(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass


class _HTTPConnection:
    """Requests and answers on one connection."""

    def __init__(self, channel: socket.socket, case: _ActiveCase) -> None:
        self._channel = channel
        self._case = case
        self._wire = h11.Connection(h11.SERVER)
        self._is_tls = isinstance(channel, ssl.SSLSocket)

    def run(self) -> None:
        """Serve until the client closes, or an answer ends the connection."""
        try:
            while (request := self._read()) is not None and not self._case.over.is_set():
                if not self._reply(request):
                    break
                self._wire.start_next_cycle()
        finally:
            with suppress(OSError):
                self._channel.close()

    def _read(self) -> ClientRequest | None:
        head: h11.Request | None = None
        body = b""
        while True:
            event = self._wire.next_event()
            if event is h11.NEED_DATA:
                self._wire.receive_data(self._channel.recv(65536))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return self._request(head, body)
            else:
                return None

    def _request(self, head: h11.Request, body: bytes) -> ClientRequest:
        path, _, query = head.target.decode("ascii").partition("?")
        headers: dict[str, tuple[str, ...]] = {}
        for raw, value in head.headers.raw_items():
            name = raw.decode()
            headers[name] = (*headers.get(name, ()), value.decode("latin-1"))
        request = ClientRequest(
            head.method.decode(),
            "https" if self._is_tls else "http",
            "",
            path,
            tuple(parse_qsl(query, keep_blank_values=True)),
            headers,
        )
        content_type = (request.header("Content-Type") or "").partition(";")[0]
        is_form = content_type == "application/x-www-form-urlencoded"
        form = tuple(parse_qsl(body.decode(), keep_blank_values=True)) if is_form else ()
        return replace(request, host=request.header("Host") or "", form=form)

    def _reply(self, request: ClientRequest) -> bool:
        """Answer *request*; returns whether the connection can be reused."""
        name = self._client_name()
        seen = self._case.receive(request, name)
        response = self._case.answer(request, name)
        if isinstance(response, Failure):
            if response is Failure.RESET:
                self._reset()
            else:
                self._case.over.wait(_STALL_TIMEOUT)
            return False
        if not response.cut:
            seen.status = response.status
        self._send(
            h11.Response(
                status_code=response.status,
                reason=status_line(response.status).partition(" ")[2].encode(),
                headers=_headers(response),
            )
        )
        if response.body:
            self._send(h11.Data(data=response.body))
        if response.cut:
            return False
        self._send(h11.EndOfMessage())
        return self._wire.our_state is h11.DONE and self._wire.their_state is h11.DONE

    def _client_name(self) -> str | None:
        if not isinstance(self._channel, ssl.SSLSocket):
            return None
        shown = self._channel.getpeercert() or {}
        subject: tuple[tuple[tuple[str, str], ...], ...] = shown.get("subject", ())  # type: ignore[assignment]
        return next((v for part in subject for k, v in part if k == "commonName"), None)

    def _reset(self) -> None:
        # The socket below TLS, so that no close_notify is sent.
        with socket.socket(fileno=self._channel.detach()) as bare:
            bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _send(self, event: h11.Event) -> None:
        self._channel.sendall(self._wire.send(event) or b"")


def _headers(response: ClientResponse) -> list[tuple[str, str]]:
    headers = [(name, value) for name, values in response.headers.items() for value in values]
    if response.content_length is not None:
        headers.append(("Content-Length", str(response.content_length)))
    return headers
