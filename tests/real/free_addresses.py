"""Loopback addresses on which nobody listens."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable

from harness.system.real_parts import missing_part

__all__ = ["free_network"]


def free_network(ports: Iterable[int]) -> str:
    """The first three parts of loopback addresses on which *ports* are free; different ones for
    every process. Skips, or fails, where there are none."""
    wanted = tuple(ports)
    start, reason = os.getpid() % 30000, ""
    for number in range(start, start + 50):
        network = f"127.{64 + number // 250 % 120}.{1 + number % 250}"
        try:
            for port in wanted:
                socket.create_server((f"{network}.11", port)).close()
        except OSError as error:
            reason = str(error)
        else:
            return network
    return missing_part(f"no loopback address has ports {wanted} free: {reason}")
