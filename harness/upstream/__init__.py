"""A mock upstream registry: real sockets, scripted faults, and a ledger of every request.

    >>> from harness.content import an_image
    >>> with MockUpstream() as upstream:
    ...     image = upstream.add("team/app", an_image(), tags=("v1",))
    ...     script = upstream.on("GET", image.layers[0]).reset(after=1000).times(1)
    ...     # point a client or a cache at upstream.url
    ...     upstream.ledger.lines()
    []

The way of a request: ``connection`` accepts and reads it, ``calls`` parses it, ``service`` decides
(``ledger``, ``auth``, ``registry``, ``faults``), ``replies`` sends the answer. ``mock`` is the
interface to all of it.
"""

from harness.upstream.auth import Anonymous, Auth, Basic, Bearer, TokenServer
from harness.upstream.calls import Match
from harness.upstream.faults import Fault
from harness.upstream.ledger import Ledger, LedgerEntry
from harness.upstream.mock import MockUpstream
from harness.upstream.service import RateLimit, RateLimiter

__all__ = [
    "Anonymous",
    "Auth",
    "Basic",
    "Bearer",
    "Fault",
    "Ledger",
    "LedgerEntry",
    "Match",
    "MockUpstream",
    "RateLimit",
    "RateLimiter",
    "TokenServer",
]
