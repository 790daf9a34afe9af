"""Prometheus metrics under distribution's names, made of :class:`Counters` when scraped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from reference_registry.counters import (
    CacheCounters,
    Counters,
    Histogram,
    ProxyCounters,
)
from reference_registry.http.hooks import Exchange
from reference_registry.http.messages import Request
from reference_registry.profiles import Profile

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["CONTENT_TYPE", "HttpMetrics", "MetricsPage"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_HANDLERS = ("base", "blob", "blob_upload", "blob_upload_chunk", "catalog", "manifest", "tags")
_TRAFFIC = {
    "requests": "The number of total incoming proxy request received",
    "hits": "The number of total proxy request hits",
    "misses": "The number of total proxy request misses",
    "pulled_bytes": "The size of total bytes pulled from the upstream",
    "pushed_bytes": "The size of total bytes pushed to the client",
}


class HttpMetrics:
    """Implements :class:`reference_registry.http.hooks.Observer`: counts what the API answers.
    Paths that no handler answers are not counted, as in distribution."""

    def __init__(self, counters: Counters) -> None:
        self._http = counters.http

    def wants(self, status: int) -> bool:
        return True

    def started(self, request: Request, handler: str | None) -> None:
        if handler is not None:
            self._http.started(handler)

    def finished(self, exchange: Exchange) -> None:
        if exchange.handler is not None:
            self._http.finished(
                exchange.handler,
                exchange.request.method,
                exchange.status,
                exchange.seconds,
                exchange.received,
                exchange.sent,
            )


class MetricsPage:
    """What is served at ``http.debug.prometheus.path``."""

    def __init__(self, counters: Counters, profile: Profile) -> None:
        # Slow to import, and of no use before somebody scrapes.
        from prometheus_client import CollectorRegistry
        from prometheus_client.registry import Collector

        class Collected(Collector):
            def collect(self) -> Iterable[Metric]:
                return _families(counters, profile)

        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(Collected())

    def render(self) -> bytes:
        """The text exposition format, :data:`CONTENT_TYPE`."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)


def _families(counters: Counters, profile: Profile) -> Iterator[Metric]:
    yield from _http_families(counters)
    yield _histogram(
        "registry_storage_action_seconds",
        "The number of seconds that the storage action takes",
        ("driver", "action"),
        counters.storage,
    )
    yield from _cache_families(counters.cache, profile)
    yield from _proxy_families(counters.proxy, profile)
    if profile.measures_upstream:
        yield from _upstream_families(counters.proxy)


def _http_families(counters: Counters) -> Iterator[Metric]:
    http = counters.http
    in_flight = dict.fromkeys(_HANDLERS, 0) | http.in_flight
    yield _gauge(
        "registry_http_in_flight_requests",
        "The in-flight HTTP requests",
        ("handler",),
        {(handler,): number for handler, number in in_flight.items()},
    )
    yield _histogram(
        "registry_http_request_duration_seconds",
        "The HTTP request latencies in seconds.",
        ("handler", "method"),
        http.durations,
    )
    yield _histogram(
        "registry_http_request_size_bytes",
        "The HTTP request sizes in bytes.",
        ("handler",),
        {(handler,): sizes for handler, sizes in http.request_sizes.items()},
    )
    yield _counter(
        "registry_http_requests",
        "Total number of HTTP requests made.",
        ("handler", "method", "code"),
        {(h, method, str(status)): n for (h, method, status), n in http.requests.items()},
    )
    yield _histogram(
        "registry_http_response_size_bytes",
        "The HTTP response sizes in bytes.",
        ("handler",),
        {(handler,): sizes for handler, sizes in http.response_sizes.items()},
    )


def _cache_families(cache: CacheCounters, profile: Profile) -> Iterator[Metric]:
    if profile.cache_metrics == "by-type":
        by_type = {"Request": cache.requests, "Hit": cache.hits, "Miss": cache.misses}
        used = {(name,): number for name, number in by_type.items() if number}
        yield _counter(
            "registry_storage_cache", "The number of cache request received", ("type",), used
        )
        return
    for name in ("requests", "hits", "errors"):
        described = f"The number of cache {name}"
        yield _counter(f"registry_storage_cache_{name}", described, (), {(): getattr(cache, name)})


def _proxy_families(proxy: ProxyCounters, profile: Profile) -> Iterator[Metric]:
    if profile.proxy_metrics == "absent":
        return
    for name, described in _TRAFFIC.items():
        values = {
            ("blob",): getattr(proxy.blob, name),
            ("manifest",): getattr(proxy.manifest, name),
        }
        if profile.proxy_metrics == "after-use":
            values = {kind: number for kind, number in values.items() if number}
            if not values:
                continue
        yield _counter(f"registry_proxy_{name}", described, ("type",), values)


def _upstream_families(proxy: ProxyCounters) -> Iterator[Metric]:
    yield _histogram(
        "registry_proxy_upstream_request_duration_seconds",
        "The seconds until upstream began to answer",
        ("method", "code"),
        proxy.upstream,
    )
    traffic = {("blob",): proxy.blob, ("manifest",): proxy.manifest}
    yield _gauge(
        "registry_proxy_hit_ratio",
        "The part of the requests that was served from the cache",
        ("type",),
        {kind: seen.hits / seen.requests for kind, seen in traffic.items() if seen.requests},
    )


# -- families -----------------------------------------------------------------------------------
Labels = tuple[str, ...]


def _gauge(name: str, described: str, labels: Labels, values: Mapping[Any, float]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, described, labels=labels)
    return _filled(family, values)


def _counter(name: str, described: str, labels: Labels, values: Mapping[Any, int]) -> Metric:
    """*name* without ``_total``."""
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name, described, labels=labels)
    return _filled(family, values)


def _filled(family: Any, values: Mapping[Any, float]) -> Metric:
    for labels, number in sorted(values.items()):
        family.add_metric(labels, number)
    return family  # type: ignore[no-any-return]


def _histogram(
    name: str, described: str, labels: Labels, histograms: Mapping[Any, Histogram]
) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(name, described, labels=labels)
    for values, histogram in sorted(histograms.items(), key=lambda item: item[0]):
        buckets: list[tuple[str, float]] = []
        below = 0
        for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
            below += count
            buckets.append((_bound(bound), below))
        family.add_metric(values, buckets, histogram.total)
    return family


def _bound(bound: float) -> str:
    """As Go writes it: ``0.005``, ``1``, ``1.048576e+06``, ``+Inf``."""
    from prometheus_client.utils import floatToGoString

    return str(floatToGoString(bound)).removesuffix(".0")  # type: ignore[no-untyped-call]
