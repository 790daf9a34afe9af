"""Several hosts on loopback, each with an address of its own, that play one case after another."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from harness.clients.scripted_hosts.certificates import Certificates
from harness.clients.scripted_hosts.connection import serve
from harness.clients.scripted_hosts.record import Seen
from harness.content import an_image
from harness.nodes.models.behaviours import HEALTHY, HostBehaviour
from harness.nodes.models.network import Request, Response, Trust
from harness.nodes.models.simulated_network import RegistryContent, SimulatedNetwork

__all__ = ["Place", "ScriptedHosts"]


@dataclass(frozen=True)
class Place:
    """Where a logical host listens."""

    address: str
    ports: tuple[int, ...]


class _Stage:
    """One case. Safe from any thread."""

    def __init__(self, network: SimulatedNetwork, behaviours: Mapping[str, HostBehaviour]) -> None:
        self.over = threading.Event()
        self._network = network
        self._behaviours = behaviours
        self._lock = threading.Lock()
        self._seen: list[Seen] = []

    def behaviour(self, host: str) -> HostBehaviour:
        return self._behaviours.get(host, HEALTHY)

    def receive(self, request: Request, certificate: str | None) -> Seen:
        seen = Seen(request, None, certificate)
        with self._lock:
            if not self.over.is_set():
                self._seen.append(seen)
        return seen

    def answer(self, request: Request, trust: Trust) -> Response:
        with self._lock:
            return self._network.exchange(request, trust)

    def end(self) -> list[Seen]:
        with self._lock:
            self.over.set()
            return list(self._seen)


class ScriptedHosts:
    """Listens at *places*, by logical host. ``OSError`` where an address is taken."""

    def __init__(self, places: Mapping[str, Place], certificates: Certificates) -> None:
        self._places = places
        self._certificates = certificates
        self._listeners: dict[str, list[socket.socket]] = {}
        self._stage = _Stage(SimulatedNetwork({}, RegistryContent(an_image())), {})
        for host in places:
            self._open(host)

    def play(self, network: SimulatedNetwork, behaviours: Mapping[str, HostBehaviour]) -> None:
        """From now on *network* answers; *behaviours*, by logical host, say who is down, silent, or
        speaks only TLS. Whoever hangs of the last case is let go."""
        self._stage.end()
        self._stage = _Stage(network, behaviours)
        for host in self._places:
            if behaviours.get(host, HEALTHY).down:
                self._close(host)
            elif host not in self._listeners:
                self._open(host)

    def end(self) -> list[Seen]:
        """Every request of this case, in the order of arrival; later ones belong to none."""
        return self._stage.end()

    def stop(self) -> None:
        """Listen no more."""
        self._stage.end()
        for host in list(self._listeners):
            self._close(host)

    def _open(self, host: str) -> None:
        place = self._places[host]
        self._listeners[host] = sockets = []
        for port in place.ports:
            listener = socket.create_server((place.address, port), backlog=64)
            sockets.append(listener)
            threading.Thread(
                target=self._accept, args=(listener, host), name=f"played {host}", daemon=True
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
                target=serve, args=(sock, host, self._stage, self._certificates), daemon=True
            ).start()
