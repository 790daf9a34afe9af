"""What a registry counts: plain numbers for ``/debug/vars``, and Prometheus metrics.

:class:`Metrics` exists only where the debug listener serves Prometheus metrics. Names, labels and
buckets are those of distribution.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reference_registry.http.hooks import ObservedExchange, Observer
from reference_registry.http.messages import Request
from reference_registry.profiles import Profile

if TYPE_CHECKING:  # slow to import, and used only where metrics are enabled
    from prometheus_client import Histogram
    from prometheus_client.core import Metric
    from prometheus_client.samples import Sample

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0)
_BYTES = tuple(float(1024 << power) for power in range(22))
_HANDLERS = ("base", "blob", "blob_upload", "blob_upload_chunk", "catalog", "manifest", "tags")
_METHODS = frozenset({"get", "put", "head", "post", "delete", "connect", "options", "notify"})
_TRAFFIC = {
    "requests": "The number of total incoming proxy request received",
    "hits": "The number of total proxy request hits",
    "misses": "The number of total proxy request misses",
    "pulled_bytes": "The size of total bytes pulled from the upstream",
    "pushed_bytes": "The size of total bytes pushed to the client",
}


@dataclass
class CacheCounters:
    """Look-ups in a cache, such as that of descriptors."""

    requests: int = 0
    hits: int = 0
    misses: int = 0
    errors: int = 0


@dataclass
class TrafficCounters(CacheCounters):
    """What a proxy served and fetched. Bytes are those of bodies."""

    pulled_bytes: int = 0
    """From upstream."""
    pushed_bytes: int = 0
    """To clients."""

    def pulled(self, size: int) -> None:
        """Count a miss: *size* bytes came from upstream."""
        self.misses += 1
        self.pulled_bytes += size

    def pushed(self, size: int, *, hit: bool) -> None:
        """A client is served *size* bytes, from the cache if *hit*."""
        self.requests += 1
        self.pushed_bytes += size
        if hit:
            self.hits += 1


@dataclass
class Counters:
    """The plain numbers of one application."""

    cache: CacheCounters = field(default_factory=CacheCounters)
    blob: TrafficCounters = field(default_factory=TrafficCounters)
    manifest: TrafficCounters = field(default_factory=TrafficCounters)
    upstream: Histogram | None = None
    """Set by :class:`Metrics`."""

    def upstream_answered(self, method: str, status: int | None, seconds: float) -> None:
        """Upstream, its token server or its CDN took *seconds* to begin an answer, or to fail."""
        if self.upstream is not None:
            code = "none" if status is None else str(status)
            self.upstream.labels(method, code).observe(seconds)


class Metrics(Observer):
    """Prometheus metrics. As in distribution, paths without a handler are not counted."""

    def __init__(self, counters: Counters, profile: Profile) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.counters = counters
        self._profile = profile
        self._registry = registry = CollectorRegistry(auto_describe=False)
        name, described = "registry_http_in_flight_requests", "The in-flight HTTP requests"
        self._in_flight = Gauge(name, described, ["handler"], registry=registry)
        for each in _HANDLERS:
            self._in_flight.labels(each)
        name, described = "registry_http_requests", "Total number of HTTP requests made."
        labels = ("handler", "method", "code")
        self._requests = Counter(name, described, labels, registry=registry)

        def histogram(name: str, described: str, *labels: str) -> Histogram:
            buckets = _BYTES if name.endswith("_bytes") else _SECONDS
            name = f"registry_{name}"
            return Histogram(name, described, labels, registry=registry, buckets=buckets)

        described = "The HTTP request latencies in seconds."
        self._durations = histogram("http_request_duration_seconds", described, "handler", "method")
        described = "The HTTP request sizes in bytes."
        self._received = histogram("http_request_size_bytes", described, "handler")
        described = "The HTTP response sizes in bytes."
        self._sent = histogram("http_response_size_bytes", described, "handler")
        described = "The number of seconds that the storage action takes"
        self.storage_actions = histogram("storage_action_seconds", described, "driver", "action")
        if profile.measures_upstream:
            name = "proxy_upstream_request_duration_seconds"
            described = "The seconds until upstream began to answer"
            counters.upstream = histogram(name, described, "method", "code")

    # -- counting requests ----------------------------------------------------------------------
    def started(self, request: Request, handler: str | None) -> None:
        if handler is not None:
            self._in_flight.labels(handler).inc()

    def finished(self, exchange: ObservedExchange) -> None:
        handler = exchange.handler
        if handler is None:
            return
        method = exchange.request.method.lower()
        method = method if method in _METHODS else "unknown"
        self._in_flight.labels(handler).dec()
        self._requests.labels(handler, method, str(exchange.status)).inc()
        self._durations.labels(handler, method).observe(exchange.seconds)
        self._received.labels(handler).observe(exchange.received)
        self._sent.labels(handler).observe(exchange.sent)

    # -- rendering ------------------------------------------------------------------------------
    def render(self) -> bytes:
        """The text exposition format, version 0.0.4."""
        from prometheus_client import generate_latest

        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """As Go's client shows them: without ``_created``, and only metrics that have values."""
        for families in (self._registry.collect(), self._cache(), self._proxy()):
            for family in families:
                samples = (s for s in family.samples if not s.name.endswith("_created"))
                family.samples = [_as_go_writes(sample) for sample in samples]
                if family.samples:
                    yield family

    def _cache(self) -> Iterator[Metric]:
        cache = self.counters.cache
        if self._profile.cache_metrics == "by-name":
            for name in ("requests", "hits", "errors"):
                described = f"The number of cache {name}"
                yield _counter(f"storage_cache_{name}", described, {"": getattr(cache, name)})
            return
        found = {"Request": cache.requests, "Hit": cache.hits, "Miss": cache.misses}
        used = {name: number for name, number in found.items() if number}
        yield _counter("storage_cache", "The number of cache request received", used)

    def _proxy(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        traffic = {"blob": self.counters.blob, "manifest": self.counters.manifest}
        always = self._profile.proxy_metrics == "always"
        for name, described in _TRAFFIC.items() if self._profile.proxy_metrics != "absent" else ():
            found = {kind: getattr(seen, name) for kind, seen in traffic.items()}
            used = {kind: number for kind, number in found.items() if number or always}
            yield _counter(f"proxy_{name}", described, used)
        if self._profile.measures_upstream:
            described = "The part of the requests that was served from the cache"
            ratio = GaugeMetricFamily("registry_proxy_hit_ratio", described, labels=["type"])
            for kind, seen in traffic.items():
                if seen.requests:
                    ratio.add_metric([kind], seen.hits / seen.requests)
            yield ratio


def _counter(name: str, described: str, values: dict[str, int]) -> Metric:
    """*values* by the label ``type``; the empty text stands for no label."""
    from prometheus_client.core import CounterMetricFamily

    labels = [] if "" in values else ["type"]
    family = CounterMetricFamily(f"registry_{name}", described, labels=labels)
    for kind, number in values.items():
        family.add_metric([kind] if kind else [], number)
    return family


def _as_go_writes(sample: Sample) -> Any:
    """*sample* with ``le="1"`` for ``le="1.0"``."""
    if "le" not in sample.labels:
        return sample
    return sample._replace(labels={**sample.labels, "le": sample.labels["le"].removesuffix(".0")})
