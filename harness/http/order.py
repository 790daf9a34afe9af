"""One order for everything that is observed, whichever side saw it.

A client's request, the upstream's ledger entry and a step of the test happen in different threads;
each takes a number here when it starts, so that a failure can print them as one conversation.
"""

from __future__ import annotations

import itertools

__all__ = ["next_order"]

_numbers = itertools.count(1)


def next_order() -> int:
    """The next number of this process; safe from any thread (``next`` of a count is atomic)."""
    return next(_numbers)
