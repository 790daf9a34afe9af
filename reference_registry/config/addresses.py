"""Addresses to listen on, as Go's ``net.Listen`` reads them: ``:5000``, ``127.0.0.1:0``."""

from __future__ import annotations

import socket
from dataclasses import dataclass

__all__ = ["ListenAddress", "parse_address", "reachable_host"]


@dataclass(frozen=True)
class ListenAddress:
    """``host`` is empty for "every interface"; ``port`` 0 for "any free one"."""

    host: str
    port: int

    def __str__(self) -> str:
        """``127.0.0.1:5000``, ``[::1]:5000``, ``[::]:5000`` for every interface."""
        host = self.host or "::"
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def parse_address(text: str) -> ListenAddress:
    """``[HOST]:PORT``; the port may be a service's name. The empty text is any port of every
    interface, as in Go. ``ValueError`` names what is wrong."""
    if not text:
        return ListenAddress("", 0)
    if "://" in text:
        raise ValueError("it is a URL, not HOST:PORT")
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError("the port is missing" if not text.isdecimal() else "the colon is missing")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address needs brackets, as in [::1]:5000")
    return ListenAddress(host, _port_number(port))


def _port_number(text: str) -> int:
    if text.isdecimal() and text.isascii() and len(text) <= 5 and int(text) <= 65535:
        return int(text)
    if text.isdecimal():
        raise ValueError(f"port {text} does not exist, the highest is 65535")
    if not text:
        return 0
    try:
        return socket.getservbyname(text, "tcp")
    except (OSError, ValueError):
        raise ValueError(f"{text!r} is not a port") from None


def reachable_host(host: str) -> str:
    """Where to connect to reach a listener on *host*, which may mean every interface."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(host, host)
