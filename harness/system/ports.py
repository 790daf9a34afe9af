"""Loopback ports for servers under test, and deadlines that scale with the load of the machine."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress

_POLL = 0.005
_MOST = 8.0


def free_port() -> int:
    """A port of 127.0.0.1 that is free at this moment."""
    holder, port = hold_port()
    holder.close()
    return port


def hold_port() -> tuple[socket.socket, int]:
    """A bound socket and its port of 127.0.0.1. Until the socket is closed, the kernel gives the
    port only to a server that asks for it and listens with SO_REUSEADDR, as Go does."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder, holder.getsockname()[1]


def opens(port: int, is_running: Callable[[], bool], timeout: float) -> bool:
    """Whether a server listens on *port* of 127.0.0.1 within *timeout* seconds; False as soon as
    *is_running* is false."""
    deadline = time.monotonic() + timeout
    while is_running() and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return True
        time.sleep(_POLL)
    return False


def scaled(seconds: float) -> float:
    """*seconds*, which suffice on an idle machine, times the number of runnable processes per core
    (1 to 8)."""
    return seconds * min(_MOST, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))
