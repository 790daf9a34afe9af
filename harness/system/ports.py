"""Loopback ports for servers under test, and deadlines that scale with the load of the machine."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress

__all__ = ["free_port", "hold_port", "opens", "scaled"]

_POLL = 0.005


def free_port() -> int:
    """A port of 127.0.0.1 that is free at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def hold_port() -> tuple[socket.socket, int]:
    """A bound socket and its port of 127.0.0.1. Until the socket is closed, the kernel gives the
    port to no one who asks for any port; a server that asks for this one and listens with
    SO_REUSEADDR, as Go does, gets it."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder, holder.getsockname()[1]


def opens(port: int, is_running: Callable[[], bool], timeout: float) -> bool:
    """Whether something listens on *port* of 127.0.0.1 within *timeout* seconds; False at once
    when *is_running* turns false."""
    deadline = time.monotonic() + timeout
    while is_running() and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return True
        time.sleep(_POLL)
    return False


_MOST = 8.0


def scaled(seconds: float) -> float:
    """*seconds* times the number of runnable processes per core, between 1 and 8: how long a wait
    may take that needs *seconds* on an idle machine."""
    try:
        running = float(os.getloadavg()[0])
    except OSError:
        return seconds
    return seconds * min(_MOST, max(1.0, running / (os.cpu_count() or 1)))
