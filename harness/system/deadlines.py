"""Deadlines that scale with the load of the machine."""

from __future__ import annotations

import os

__all__ = ["scaled"]

_MOST = 8.0


def scaled(seconds: float) -> float:
    """*seconds* times the number of runnable processes per core, between 1 and 8: how long a wait
    may take that needs *seconds* on an idle machine."""
    try:
        running = float(os.getloadavg()[0])
    except OSError:
        return seconds
    return seconds * min(_MOST, max(1.0, running / (os.cpu_count() or 1)))
