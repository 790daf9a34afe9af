"""A rate limit as Docker Hub has it: some requests count, others are free and tell the state.

Docker's documentation, "Docker Hub pull usage and limits": the headers ``ratelimit-limit`` and
``ratelimit-remaining`` carry the number and the window in seconds; HEAD of a manifest is free.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from harness.upstream.calls import Call
from harness.upstream.replies import Reply, error_reply
from reference_registry.clock import Clock

__all__ = ["RateLimit", "RateLimiter"]

_MESSAGE = "You have reached your pull rate limit."


@dataclass(frozen=True)
class RateLimit:
    """At most ``limit`` requests that count in one ``window``; 429 beyond."""

    limit: int
    counts: str = "GET manifest"
    """The method and the kind that count. Other methods of that kind are free, and get the headers
    too."""
    window: timedelta = timedelta(hours=6)
    retry_after: int | None = None
    """Seconds to name in ``Retry-After`` of a 429; Docker Hub names none."""


class RateLimiter:
    """A :class:`RateLimit` and how much of it is used. Safe from any thread."""

    def __init__(self, rule: RateLimit, clock: Clock) -> None:
        self.rule = rule
        self._method, self._kind = rule.counts.split()
        self._clock = clock
        self._lock = threading.Lock()
        self._used = 0
        self._since: datetime | None = None

    @property
    def used(self) -> int:
        """How many requests counted in this window."""
        with self._lock:
            return self._used

    @property
    def remaining(self) -> int:
        """How many more will be answered in this window."""
        return max(0, self.rule.limit - self.used)

    def apply(self, call: Call, reply: Reply) -> Reply:
        """What becomes of *reply*: counted, told the state of things, or refused."""
        if call.kind != self._kind:
            return reply
        refused = call.method == self._method and not self._count()
        window = f"w={int(self.rule.window.total_seconds())}"
        state: dict[str, str | None] = {
            "RateLimit-Limit": f"{self.rule.limit};{window}",
            "RateLimit-Remaining": f"{self.remaining};{window}",
        }
        if not refused:
            return reply.with_headers(state)
        if self.rule.retry_after is not None:
            state["Retry-After"] = str(self.rule.retry_after)
        return error_reply(429, "TOOMANYREQUESTS", _MESSAGE).with_headers(state)

    def _count(self) -> bool:
        """Take one request off what is left; False where nothing is."""
        with self._lock:
            now = self._clock.now()
            if self._since is None or now >= self._since + self.rule.window:
                self._since, self._used = now, 0
            if self._used >= self.rule.limit:
                return False
            self._used += 1
            return True
