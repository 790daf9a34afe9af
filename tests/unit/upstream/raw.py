"""HTTP over a bare socket: what came, byte for byte, and how the connection ended."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from harness.upstream import MockUpstream


@dataclass(frozen=True)
class RawAnswer:
    """``end`` says how the socket ended after the last byte."""

    data: bytes
    end: Literal["closed", "reset"]

    @property
    def head(self) -> str:
        """Status line and headers."""
        return self.data.partition(b"\r\n\r\n")[0].decode()

    @property
    def body(self) -> bytes:
        """All that follows the empty line, chunk sizes included."""
        return self.data.partition(b"\r\n\r\n")[2]


class RawConnection:
    """One TCP connection to an upstream; no call waits longer than ten seconds."""

    def __init__(self, upstream: MockUpstream) -> None:
        host, _, port = upstream.address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, method: str, path: str, *headers: str) -> None:
        """One request without a body."""
        lines = [f"{method} {path} HTTP/1.1", "Host: upstream", *headers, "", ""]
        self.socket.sendall("\r\n".join(lines).encode())

    def receive(self, size: int) -> bytes:
        """Exactly *size* bytes, or fewer where the connection ends before."""
        data = b""
        while len(data) < size and (piece := self.socket.recv(size - len(data))):
            data += piece
        return data

    def receive_head(self) -> str:
        """Up to and with the empty line, and not a byte more."""
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            data += self.socket.recv(1)
        return data.decode()

    def receive_all(self) -> RawAnswer:
        """Everything until the other side ends the connection."""
        data = bytearray()
        while True:
            try:
                piece = self.socket.recv(65536)
            except ConnectionResetError:
                return RawAnswer(bytes(data), "reset")
            if not piece:
                return RawAnswer(bytes(data), "closed")
            data += piece


def ask(upstream: MockUpstream, method: str, path: str, *headers: str) -> RawAnswer:
    """One request on a connection of its own, which is to be closed after the answer."""
    with RawConnection(upstream) as connection:
        connection.send(method, path, "Connection: close", *headers)
        return connection.receive_all()
