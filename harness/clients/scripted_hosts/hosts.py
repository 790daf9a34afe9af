"""Several hosts on loopback, each with its own address, that serve one case after another."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress

from harness.clients.authority import Certificates
from harness.clients.scripted_hosts.connection import ActiveCase, Seen, serve
from harness.content import an_image
from harness.nodes.models.behaviours import HEALTHY, HostBehaviour
from harness.nodes.models.simulated_network import RegistryContent, SimulatedNetwork

__all__ = ["ScriptedHosts"]


class ScriptedHosts:
    """Listens on *addresses*: address and ports by logical host. Raises ``OSError`` for a port in
    use."""

    def __init__(
        self, addresses: Mapping[str, tuple[str, tuple[int, ...]]], certificates: Certificates
    ) -> None:
        self._addresses = addresses
        self._certificates = certificates
        self._listeners: dict[str, list[socket.socket]] = {}
        self._case = ActiveCase(SimulatedNetwork({}, RegistryContent(an_image())), {})
        for host in addresses:
            self._open(host)

    def use(self, network: SimulatedNetwork, behaviours: Mapping[str, HostBehaviour]) -> None:
        """Start a case: *network* answers, and *behaviours*, by logical host, say which hosts are
        down, silent, or speak only TLS. Hanging connections of the previous case are closed."""
        self._case.end()
        self._case = ActiveCase(network, behaviours)
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
                target=serve, args=(sock, host, self._case, self._certificates), daemon=True
            ).start()
