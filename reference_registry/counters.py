"""What a registry counts, as plain numbers.

Counting happens on every request, rendering only when somebody scrapes: these are attributes and
dictionaries to add to, and :mod:`reference_registry.observability.metrics` makes Prometheus text of
them. Requests are counted on the event loop's thread, storage actions on any.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from threading import Lock

__all__ = [
    "DURATION_BOUNDS",
    "SIZE_BOUNDS",
    "CacheCounters",
    "Counters",
    "Histogram",
    "HttpCounters",
    "ProxyCounters",
    "TrafficCounters",
]

# The buckets of distribution's metrics, seconds and bytes.
DURATION_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0)
SIZE_BOUNDS = tuple(float(1024 << power) for power in range(22))

_METHODS = frozenset({"get", "put", "head", "post", "delete", "connect", "options", "notify"})


class Histogram:
    """Observations by bucket. ``counts[i]`` are those up to ``bounds[i]`` and above the bound
    before it; the last are those above all bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class HttpCounters:
    """``registry_http_*``, by the handler that answered (``base``, ``manifest``, ``blob``...)."""

    def __init__(self) -> None:
        self.in_flight: dict[str, int] = {}
        self.requests: dict[tuple[str, str, int], int] = {}
        """By handler, method in lower case, and status."""
        self.durations: dict[tuple[str, str], Histogram] = {}
        self.request_sizes: dict[str, Histogram] = {}
        self.response_sizes: dict[str, Histogram] = {}

    def started(self, handler: str) -> None:
        self.in_flight[handler] = self.in_flight.get(handler, 0) + 1

    def finished(
        self, handler: str, method: str, status: int, seconds: float, received: int, sent: int
    ) -> None:
        """*received* and *sent* are bytes of bodies."""
        self.in_flight[handler] -= 1
        method = method.lower()
        if method not in _METHODS:
            method = "unknown"
        key = (handler, method, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        try:
            duration = self.durations[handler, method]
            request_size = self.request_sizes[handler]
            response_size = self.response_sizes[handler]
        except KeyError:
            duration = self.durations.setdefault((handler, method), Histogram(DURATION_BOUNDS))
            request_size = self.request_sizes.setdefault(handler, Histogram(SIZE_BOUNDS))
            response_size = self.response_sizes.setdefault(handler, Histogram(SIZE_BOUNDS))
        duration.observe(seconds)
        request_size.observe(received)
        response_size.observe(sent)


@dataclass
class CacheCounters:
    """Look-ups in the descriptor cache."""

    requests: int = 0
    hits: int = 0
    misses: int = 0
    errors: int = 0


@dataclass
class TrafficCounters:
    """What a proxy served and fetched. Bytes are those of bodies."""

    requests: int = 0
    hits: int = 0
    misses: int = 0
    pulled_bytes: int = 0
    """From upstream."""
    pushed_bytes: int = 0
    """To clients."""

    def pulled(self, size: int) -> None:
        """*size* bytes came from upstream, because something was asked for that was missing."""
        self.misses += 1
        self.pulled_bytes += size

    def pushed(self, size: int, *, hit: bool) -> None:
        """A client is served *size* bytes, from the cache if *hit*."""
        self.requests += 1
        self.pushed_bytes += size
        if hit:
            self.hits += 1


@dataclass
class ProxyCounters:
    """What a proxy does for its clients, and what it asks of its upstream."""

    blob: TrafficCounters = field(default_factory=TrafficCounters)
    manifest: TrafficCounters = field(default_factory=TrafficCounters)
    upstream: dict[tuple[str, str], Histogram] = field(default_factory=dict)
    """Seconds until upstream's answer begins, by method and status; ``none`` for no answer."""

    def upstream_answered(self, method: str, status: int | None, seconds: float) -> None:
        """Upstream, its token server or its CDN took *seconds* to begin an answer, or to fail."""
        key = (method, "none" if status is None else str(status))
        self.upstream.setdefault(key, Histogram(DURATION_BOUNDS)).observe(seconds)


@dataclass
class Counters:
    """All of one application."""

    http: HttpCounters = field(default_factory=HttpCounters)
    storage: dict[tuple[str, str], Histogram] = field(default_factory=dict)
    """Seconds of storage actions, by driver and action (``GetContent``, ``Stat``...)."""
    cache: CacheCounters = field(default_factory=CacheCounters)
    proxy: ProxyCounters = field(default_factory=ProxyCounters)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def storage_action(self, driver: str, action: str, seconds: float) -> None:
        with self._lock:
            histogram = self.storage.get((driver, action))
            if histogram is None:
                histogram = self.storage[driver, action] = Histogram(DURATION_BOUNDS)
            histogram.observe(seconds)
