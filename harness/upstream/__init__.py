"""A mock upstream registry: real sockets, scripted faults, and a ledger of every request."""

from harness.upstream.auth import Anonymous, Auth, Basic, Bearer
from harness.upstream.faults import Fault
from harness.upstream.ledger import Entry, Ledger
from harness.upstream.limits import RateLimit, RateLimiter
from harness.upstream.matching import Match
from harness.upstream.mock import MockUpstream
from harness.upstream.tokens import TokenServer

__all__ = [
    "Anonymous",
    "Auth",
    "Basic",
    "Bearer",
    "Entry",
    "Fault",
    "Ledger",
    "Match",
    "MockUpstream",
    "RateLimit",
    "RateLimiter",
    "TokenServer",
]
