"""Metrics under distribution's names, and the debug application that serves them."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reference_registry.app import create_app
from reference_registry.config import (
    Config,
    DebugConfig,
    HealthConfig,
    HttpConfig,
    PeriodicCheck,
    ProxyConfig,
    RedisConfig,
    StorageConfig,
)
from reference_registry.counters import CacheCounters, Counters, Metrics
from reference_registry.digest import digest_of
from reference_registry.http.hooks import ObservedExchange
from reference_registry.http.messages import Request, no_chunks
from reference_registry.observability.debug import DebugApplication, variables
from reference_registry.profiles import PROFILES
from reference_registry.registry import StandardRegistry
from reference_registry.repository import Descriptor
from reference_registry.storage.descriptor_cache import DescriptorCache, MemoryDescriptorCache
from reference_registry.storage.driver import PathNotFound, StorageDriver
from reference_registry.storage.filesystem import FilesystemDriver
from reference_registry.storage.layout import BLOBS
from reference_registry.storage.store import CountedCache, TimedDriver


def _metrics(profile: str = "ideal") -> Metrics:
    counters = Counters()
    metrics = Metrics(counters, PROFILES[profile])
    for method, status, seconds in (("GET", 200, 0.001), ("GET", 404, 0.3), ("FOO", 405, 99)):
        request = Request(method, "/v2/a/manifests/b", "", {}, "http", no_chunks())
        metrics.started(request, "manifest")
        now = datetime.now(UTC)
        exchange = ObservedExchange(
            request, "manifest", status, 2000, 10, now, seconds, complete=True
        )
        metrics.finished(exchange)
    metrics.started(request, "blob")
    metrics.storage_actions.labels("filesystem", "GetContent").observe(0.01)
    counters.cache.requests, counters.cache.hits, counters.cache.misses = 3, 2, 1
    counters.blob.requests = 2
    counters.blob.pulled_bytes = 77
    return metrics


def _samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_http_families() -> None:
    found = _samples(_metrics("ideal"))

    def value(name: str, **labels: str) -> float:
        return found[f"registry_http_{name}", tuple(sorted(labels.items()))]

    assert value("requests_total", handler="manifest", method="get", code="200") == 1
    assert value("requests_total", handler="manifest", method="get", code="404") == 1
    assert value("requests_total", handler="manifest", method="unknown", code="405") == 1
    assert value("in_flight_requests", handler="blob") == 1
    assert value("in_flight_requests", handler="manifest") == 0
    assert value("in_flight_requests", handler="base") == 0
    buckets = {"0.005": 1, "0.25": 1, "0.5": 2, "60": 2, "+Inf": 2}
    for bound, count in buckets.items():
        labels = {"handler": "manifest", "method": "get", "le": bound}
        assert value("request_duration_seconds_bucket", **labels) == count
    assert value("request_duration_seconds_count", handler="manifest", method="get") == 2
    assert value("request_duration_seconds_sum", handler="manifest", method="get") == 0.301
    assert value("response_size_bytes_bucket", handler="manifest", le="1024") == 0
    assert value("response_size_bytes_bucket", handler="manifest", le="2048") == 3
    assert value("response_size_bytes_bucket", handler="manifest", le="1.048576e+06") == 3
    assert value("request_size_bytes_sum", handler="manifest") == 30


@pytest.mark.parametrize(
    ("profile", "cache", "proxy"),
    [
        ("2.8", {"registry_storage_cache_total"}, set()),
        ("3.0.0-alpha.1", None, {"requests", "pulled_bytes"}),
        ("3.0", None, {"requests", "hits", "misses", "pulled_bytes", "pushed_bytes"}),
        ("ideal", None, {"requests", "hits", "misses", "pulled_bytes", "pushed_bytes"}),
    ],
)
def test_families_by_profile(profile: str, cache: set[str] | None, proxy: set[str]) -> None:
    names = {name for name, _ in _samples(_metrics(profile))}
    by_name = {f"registry_storage_cache_{kind}_total" for kind in ("requests", "hits", "errors")}
    assert {name for name in names if "_cache_" in name} == (cache or by_name)
    expected = {f"registry_proxy_{kind}_total" for kind in proxy}
    if profile == "ideal":
        # Without samples, a histogram and a gauge of labelled values show nothing but their names.
        expected |= {name for name in names if name.startswith("registry_proxy_hit_ratio")}
    assert {name for name in names if "_proxy_" in name} == expected


def test_the_cache_of_2_8_by_type() -> None:
    found = _samples(_metrics("2.8"))
    for kind, number in (("Request", 3), ("Hit", 2), ("Miss", 1)):
        assert found["registry_storage_cache_total", (("type", kind),)] == number


@pytest.mark.parametrize(("profile", "families"), [("3.0.0-alpha.1", 0), ("3.1", 10)])
def test_proxy_metrics_before_the_first_request(profile: str, families: int) -> None:
    names = [
        name for name, _ in _samples(Metrics(Counters(), PROFILES[profile])) if "_proxy_" in name
    ]
    assert len(names) == families


def test_ideal_measures_upstream_and_the_hit_ratio() -> None:
    counters = Counters()
    metrics = Metrics(counters, PROFILES["ideal"])
    counters.upstream_answered("GET", 200, 0.02)
    counters.upstream_answered("GET", None, 10.0)
    for hit in (True, True, True, False):
        counters.blob.pushed(1, hit=hit)
    found = _samples(metrics)
    name = "registry_proxy_upstream_request_duration_seconds_count"
    assert found[name, (("code", "200"), ("method", "GET"))] == 1
    assert found[name, (("code", "none"), ("method", "GET"))] == 1
    assert found["registry_proxy_hit_ratio", (("type", "blob"),)] == 0.75
    assert not any("upstream" in each for each, _ in _samples(_metrics("3.1")))


def test_two_registries_count_apart() -> None:
    busy, idle = _samples(_metrics()), _samples(Metrics(Counters(), PROFILES["ideal"]))
    key = ("registry_proxy_requests_total", (("type", "blob"),))
    assert (busy[key], idle[key]) == (2, 0)


# -- storage ------------------------------------------------------------------------------------
def test_storage_actions_have_the_names_of_distribution_s_drivers(tmp_path: Path) -> None:
    metrics = Metrics(Counters(), PROFILES["ideal"])
    timed = TimedDriver(FilesystemDriver(tmp_path), metrics, serving="RedirectURL")
    driver = cast("StorageDriver", timed)
    driver.write("/a/b", b"content")
    assert (driver.read("/a/b"), driver.size("/a/b")) == (b"content", 7)
    assert (driver.is_file("/a/b"), driver.exists("/c")) == (True, False)
    assert (driver.names("/a"), driver.children("/a")) == (["b"], ["/a/b"])
    with driver.open_append("/a/b") as file:
        file.write(b"!")
    with driver.open_read("/a/b", 7) as file:
        assert file.read() == b"!"
    driver.move("/a/b", "/a/c")
    assert driver.local_path("/a/c") == tmp_path / "a/c"  # which is no blob's
    assert driver.local_path(f"{BLOBS}/c") == tmp_path / f"{BLOBS}/c".lstrip("/")
    driver.delete("/a")
    with pytest.raises(PathNotFound):
        driver.read("/a/b")
    counted = {
        dict(labels)["action"]: value
        for (name, labels), value in _samples(metrics).items()
        if name == "registry_storage_action_seconds_count" and ("driver", "filesystem") in labels
    }
    assert counted == {
        "PutContent": 1,
        "GetContent": 2,
        "Stat": 3,
        "List": 2,
        "RedirectURL": 1,
        "Move": 1,
        "Delete": 1,
    }


def test_hits_of_the_descriptor_cache() -> None:
    counters = CacheCounters()
    cache = cast("DescriptorCache", CountedCache(MemoryDescriptorCache(), counters))
    digest = digest_of(b"x")
    assert cache.find("a", digest) is None
    cache.remember("a", digest, Descriptor(digest, 1, "text/plain"))
    assert cache.find("a", digest) is not None
    cache.forget("a", digest)
    assert cache.find("a", digest) is None
    assert counters == CacheCounters(requests=3, hits=1, misses=2)


@pytest.mark.parametrize("enabled", [True, False])
def test_storage_is_timed_only_for_those_who_look(enabled: bool, tmp_path: Path) -> None:
    config = Config(
        storage=StorageConfig(rootdirectory=tmp_path),
        http=HttpConfig(debug=DebugConfig(addr=":0", prometheus_enabled=enabled)),
    )
    registry = create_app(config).registry
    assert isinstance(registry, StandardRegistry)
    assert isinstance(registry.storage.driver, TimedDriver) == enabled


# -- the debug application ----------------------------------------------------------------------
class _Gate:
    def __init__(self, failing: dict[str, str]) -> None:
        self._failing = failing

    def failing(self) -> dict[str, str]:
        return self._failing


def _answer(
    path: str,
    *,
    method: str = "GET",
    profile: str = "ideal",
    failing: dict[str, str] | None = None,
    config: Config | None = None,
) -> tuple[int, dict[str, str], bytes]:
    debug = DebugConfig(addr=":0", prometheus_enabled=True, prometheus_path="/numbers")
    metrics = _metrics(profile)
    app = DebugApplication(
        config or Config(http=HttpConfig(debug=debug)),
        profile=PROFILES[profile],
        health=_Gate(failing or {}),
        counters=metrics.counters,
        metrics=metrics if config is None else None,
    )
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app({"type": "http", "method": method, "path": path}, AsyncMock(), send))
    start, body = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], headers, body["body"]


def test_metrics_at_the_configured_path() -> None:
    status, headers, body = _answer("/numbers")
    assert status == 200
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"\nregistry_http_requests_total{" in body
    assert _answer("/metrics")[0] == 404


def test_no_metrics_unless_enabled() -> None:
    config = Config(http=HttpConfig(debug=DebugConfig(addr=":0")))
    assert _answer("/metrics", config=config)[0] == 404


@pytest.mark.parametrize("path", ["/", "/v2/", "/debug/", "/debug/health/down", "/debug/health/up"])
def test_other_paths(path: str) -> None:
    status, headers, body = _answer(path)
    assert (status, body) == (404, b"404 page not found\n")
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"


def test_head_has_no_body() -> None:
    status, headers, body = _answer("/debug/vars", method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 2


def test_health_is_json_with_errors_by_name() -> None:
    status, headers, body = _answer("/debug/health", failing={"a": 'b "c"'}, profile="2.8")
    assert status == 503
    assert body == b'{"a":"b \\"c\\""}'
    assert headers["content-type"] == "application/json; charset=utf-8"


_CONFIG = Config(
    http=HttpConfig(secret="hunter1hunter1"),
    proxy=ProxyConfig(
        remoteurl="https://u:hunter2hunter2@h", username="u", password="hunter3hunter3"
    ),
    redis=RedisConfig(addr="h:1", password="hunter4hunter4", dialtimeout=timedelta(seconds=1)),
    health=HealthConfig(
        checks=(
            PeriodicCheck(
                kind="http", target="http://h", headers={"Authorization": ("Basic hunter5",)}
            ),
        )
    ),
)


def test_variables_show_the_configuration_without_its_secrets() -> None:
    status, _, body = _answer("/debug/vars", config=_CONFIG)
    assert status == 200
    assert b"hunter" not in body
    shown = json.loads(body)["registry"]["redis"]["Config"]
    assert shown["redis"] == {
        "addr": "h:1",
        "username": None,
        "password": "[redacted]",
        "db": 0,
        "tls": None,
        "dialtimeout": "1s",
        "readtimeout": None,
        "pool_maxactive": None,
    }


def test_variables_of_3_0_are_not_json_with_redis() -> None:
    body = _answer("/debug/vars", config=_CONFIG, profile="3.0")[2]
    assert b'"redis": }' in body
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    assert json.loads(_answer("/debug/vars", profile="3.0")[2])


@pytest.mark.parametrize(
    ("profile", "expected"),
    [("2.8", (2, 2, 0, 0)), ("3.1", (2, 0, 0, 77)), ("ideal", (2, 0, 0, 77))],
)
def test_blob_counters_of_2_8_are_wrong(profile: str, expected: tuple[int, ...]) -> None:
    blobs = variables(Config(), _metrics(profile).counters, PROFILES[profile])["registry"]["proxy"][
        "blobs"
    ]
    assert tuple(blobs[key] for key in ("Requests", "Hits", "Misses", "BytesPulled")) == expected
