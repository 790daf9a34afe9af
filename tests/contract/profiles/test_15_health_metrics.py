"""Section 15: health, metrics, and the debug listener."""

from __future__ import annotations

import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from harness.clients.push import put_manifest, upload_blob
from harness.http.client import Answer
from harness.targets import RunningRegistry, Settings
from harness.targets.process_registry import free_port
from tests.contract.profiles.bench import (
    ANY,
    IMAGE,
    REPOSITORY,
    Bench,
    blob_path,
    detail,
    failure,
    manifest_path,
    pull_blob,
    pull_manifest,
)
from tests.contract.profiles.processes import serving, written
from tests.contract.profiles.table import SAME, row

_LAYER = IMAGE.layers[0]


def _listening(registry: RunningRegistry) -> RunningRegistry:
    """*registry* once its debug listener answers, which may be a little later than its API."""
    assert registry.eventually(lambda: registry.health().status)
    return registry


def _debug(registry: RunningRegistry, method: str, path: str) -> tuple[int, str]:
    with httpx.Client(base_url=registry.debug_url, trust_env=False) as http:
        answer = http.request(method, path)
    return answer.status_code, answer.text


# -- health ---------------------------------------------------------------------------------------
@row(
    "15.1",
    {
        "GET": (200, "{}"),
        "HEAD": 404,
        "POST": 404,
        "API port": 404,
    },
)
def test_healthy(bench: Bench) -> object:
    registry = _listening(bench.standard())
    return {
        "GET": _debug(registry, "GET", "/debug/health"),
        "HEAD": _debug(registry, "HEAD", "/debug/health")[0],
        "POST": _debug(registry, "POST", "/debug/health")[0],
        "API port": registry.get("/debug/health").status,
    }


@row("15.2", [404, 404])
def test_switches(bench: Bench) -> object:
    registry = _listening(bench.standard())
    paths = ("/debug/health/down", "/debug/health/up")
    return [_debug(registry, "POST", path)[0] for path in paths]


def _checks(**kinds: object) -> dict[str, Any]:
    return {"extra": {"health": kinds}}


def _failing(registry: RunningRegistry) -> Answer:
    """``/debug/health`` once a check fails."""
    registry.eventually(lambda: registry.health().status == 503)
    return registry.health()


_REFUSED = (503, "UNAVAILABLE", "health check failed: please see /debug/health", None)


@row("15.1, 15.3", ((503, "file exists"), [_REFUSED] * 4))
def test_failing(bench: Bench) -> object:
    """Of the debug listener, and of the API: status, code, detail, and the version header."""
    stop = bench.workdir / "stop"
    registry = bench.standard(**_checks(file=[{"file": str(stop), "interval": "50ms"}]))
    stop.touch()
    health = _failing(registry)
    paths = ("/", "/v2/", "/nowhere", manifest_path("v1"))
    answers = [registry.get(path) for path in paths]
    version = "Docker-Distribution-Api-Version"
    seen = [(*failure(each), detail(each), each.headers.get(version)) for each in answers]
    return (health.status, health.json()[str(stop)]), seen


@row("15.4", (503, ["storagedriver_filesystem"]))
def test_storage_fails(bench: Bench) -> object:
    check = {"enabled": True, "interval": "50ms", "threshold": 1}
    registry = bench.standard(**_checks(storagedriver=check))
    registry.root.mkdir(exist_ok=True)
    registry.root.rename(registry.root.with_name("moved"))
    registry.root.symlink_to(registry.root)  # leads to itself
    health = _failing(registry)
    return health.status, list(health.json())


@row("15.4", (200, False))
def test_root_is_missing(bench: Bench) -> object:
    """The health, and whether there is a root directory."""
    check = {"enabled": True, "interval": "20ms", "threshold": 1}
    registry = bench.standard(**_checks(storagedriver=check))
    failed = registry.eventually(lambda: registry.health().status == 503, 0.2)
    return registry.health().status if not failed else 503, registry.root.exists()


@row("15.4", 200)
def test_storage_is_not_checked_unasked(bench: Bench) -> object:
    registry = bench.standard()
    registry.root.symlink_to(registry.root)
    failed = registry.eventually(lambda: registry.health().status == 503, 0.2)
    return 503 if failed else registry.health().status


_STATUS = "downstream service returned unexpected status: 500"


@row(
    "15.5",
    {"tcp": "connection to HOST failed", "http": _STATUS, "method": {"HEAD"}},
    {
        "tcp": "HOST: connection failed: ",
        "http": f"http://HOST/sick: {_STATUS}",
        "method": {"HEAD"},
    },
)
def test_other_checks(bench: Bench) -> object:
    sick = bench.upstream
    sick.on(None, "/sick").status(500)
    closed = f"127.0.0.1:{free_port()}"
    registry = bench.standard(
        **_checks(
            tcp=[{"addr": closed, "interval": "50ms", "timeout": "5s"}],
            http=[{"uri": f"{sick.url}/sick", "interval": "50ms", "timeout": "5s"}],
        )
    )
    _listening(registry)
    registry.eventually(lambda: len(registry.health().json()) == 2)
    said = registry.health().json()
    return {
        "tcp": _without_errno(said[closed].replace(closed, "HOST")),
        "http": said[f"{sick.url}/sick"].replace(sick.address, "HOST"),
        "method": {entry.method for entry in sick.ledger.entries},
    }


def _without_errno(text: str) -> str:
    """The words of a refused connection are the system's."""
    return re.sub(r"(?<=connection failed: ).*", "", text)


# -- the listener ---------------------------------------------------------------------------------
@row("15.6", {"/debug/vars": 200, "/debug/health": 200, "/metrics": 200, "/debug/nothing": 404})
def test_paths(bench: Bench) -> object:
    registry = _listening(bench.standard())
    paths = ("/debug/vars", "/debug/health", "/metrics", "/debug/nothing")
    return {path: registry.debug(path).status for path in paths}


def _open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@row("15.7", True, False)
def test_listener_while_upstream_is_asked(bench: Bench) -> object:
    hung = bench.upstream.on("GET", "/v2/").hang()
    port = free_port()
    with ThreadPoolExecutor(1) as pool:
        start = pool.submit(bench.proxy, **_http(debug={"addr": f"127.0.0.1:{port}"}))
        bench.upstream.ledger.wait_for(lambda entry: entry.kind == "base")
        # 2.8 opens it in a goroutine of its own: perhaps a moment later than the question.
        deadline = time.monotonic() + 1.0
        while not (seen := _open(port)) and time.monotonic() < deadline:
            time.sleep(0.01)
        hung.release()
        registry = start.result()
    assert registry.eventually(lambda: _open(port))
    return seen


def _http(**keys: object) -> dict[str, Any]:
    return {"extra": {"http": keys}}


@row("15.8", 1)
def test_port_in_use(bench: Bench) -> object:
    """How it ends: since 3.0.0-alpha.1 after the API has begun to listen."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        address = f"127.0.0.1:{held.getsockname()[1]}"
        config = written(bench, Settings(**_http(debug={"addr": address})))
        with serving(bench, config) as process:
            return process.wait(20.0)


@row("15.9", [(200, 404), (404, 200), (404, 404)])
def test_path_of_metrics(bench: Bench) -> object:
    """``/metrics`` and ``/numbers``: by default, at another path, and switched off."""
    seen = []
    for prometheus in ({"path": None}, {"path": "/numbers"}, {"enabled": False}):
        registry = _listening(bench.standard(**_http(debug={"prometheus": prometheus})))
        seen.append(tuple(registry.debug(path).status for path in ("/metrics", "/numbers")))
    return seen


# -- metrics --------------------------------------------------------------------------------------
_FAMILY = re.compile(r"^# TYPE (registry_\w+) ", re.MULTILINE)
_LABEL = r'{}="([^"]*)"'


def _page(registry: RunningRegistry) -> str:
    return _listening(registry).debug("/metrics").body.decode()


def _families(registry: RunningRegistry) -> set[str]:
    """The names, without ``registry_``."""
    return {name.removeprefix("registry_") for name in _FAMILY.findall(_page(registry))}


def _labels(registry: RunningRegistry, family: str, label: str) -> set[str]:
    lines = [line for line in _page(registry).splitlines() if line.startswith(family)]
    return set(re.findall(_LABEL.format(label), "\n".join(lines)))


_COMMON = {
    "http_in_flight_requests",
    "http_request_duration_seconds",
    "http_request_size_bytes",
    "http_requests_total",
    "http_response_size_bytes",
    "storage_action_seconds",
}
_CACHE = {f"storage_cache_{what}_total" for what in ("requests", "hits", "errors")}
_PROXY = {
    f"proxy_{what}_total" for what in ("requests", "hits", "misses", "pulled_bytes", "pushed_bytes")
}


def _used(bench: Bench) -> RunningRegistry:
    """A cache with a descriptor cache, with misses and hits behind it."""
    cache = bench.proxy(cache="inmemory")
    for _ in range(2):
        pull_manifest(cache, IMAGE, "v1")
        pull_blob(cache, _LAYER)
    return cache


@row("15.10", _COMMON | {"storage_cache_total"}, _COMMON | _CACHE | _PROXY)
def test_families(bench: Bench) -> object:
    return _families(_used(bench))


@row("15.10", {"Request", "Hit", "Miss"}, set())
def test_types_of_the_cache(bench: Bench) -> object:
    return _labels(_used(bench), "registry_storage_cache_total", "type")


@row("15.10", set(), {"blob", "manifest"})
def test_types_of_the_proxy(bench: Bench) -> object:
    return _labels(_used(bench), "registry_proxy_requests_total", "type")


@row("15.11", [set(), set()], SAME, [_PROXY, _PROXY])
def test_proxy_before_the_first_request(bench: Bench) -> object:
    """Of a cache, and of a standard registry."""
    registries = (bench.proxy(), bench.standard())
    return [_families(registry) & _PROXY for registry in registries]


@row(
    "15.12",
    {"base", "blob", "blob_upload", "blob_upload_chunk", "catalog", "manifest", "tags"},
)
def test_handlers(bench: Bench) -> object:
    registry = bench.standard()
    uploads = f"/v2/{REPOSITORY}/blobs/uploads/"
    registry.post(uploads)
    paths = ("/v2/", blob_path(_LAYER), f"{uploads}0", "/v2/_catalog", manifest_path("v1"))
    for path in (*paths, f"/v2/{REPOSITORY}/tags/list"):
        registry.get(path)
    return _labels(registry, "registry_http_requests_total", "handler")


def _pushed(bench: Bench) -> RunningRegistry:
    registry = bench.standard(delete_enabled=True)
    for blob in IMAGE.blobs:
        upload_blob(registry.client, REPOSITORY, blob)
    put_manifest(registry.client, REPOSITORY, "v1", IMAGE)
    registry.get(manifest_path("v1"), headers=ANY)
    registry.get(blob_path(_LAYER))
    return registry


@row("15.13", "URLFor", "RedirectURL")
def test_action_before_a_blob_is_served(bench: Bench) -> object:
    """Which of the two names there is."""
    actions = _labels(_pushed(bench), "registry_storage_action_seconds", "action")
    (found,) = actions & {"URLFor", "RedirectURL"}
    return found


@row("15.13", {"Delete", "GetContent", "Move", "PutContent", "Stat"})
def test_actions(bench: Bench) -> object:
    registry = _pushed(bench)
    registry.delete(blob_path(_LAYER))
    actions = _labels(registry, "registry_storage_action_seconds", "action")
    return actions - {"URLFor", "RedirectURL", "List", "Walk"}


# -- variables ------------------------------------------------------------------------------------
@row(
    "15.14",
    {"blobs": {"Requests": 3, "Hits": 3, "Misses": 0}, "pulled": 0},
    {"blobs": {"Requests": 2, "Hits": 1, "Misses": 1}, "pulled": _LAYER.size},
)
def test_counters_of_blobs(bench: Bench) -> object:
    cache = bench.proxy()
    for _ in range(2):
        pull_blob(cache, _LAYER)
    bench.settle(cache)
    blobs = json.loads(_listening(cache).debug("/debug/vars").body)["registry"]["proxy"]["blobs"]
    shown = {name: blobs[name] for name in ("Requests", "Hits", "Misses")}
    return {"blobs": shown, "pulled": blobs["BytesPulled"]}


@row(
    "15.14",
    {"Requests": 2, "Hits": 2, "Misses": 1, "BytesPulled": IMAGE.size},
    {"Requests": 2, "Hits": 1, "Misses": 1, "BytesPulled": IMAGE.size},
)
def test_counters_of_manifests(bench: Bench) -> object:
    cache = bench.proxy()
    for _ in range(2):
        pull_manifest(cache, IMAGE)
    found = json.loads(_listening(cache).debug("/debug/vars").body)
    manifests = found["registry"]["proxy"]["manifests"]
    return {name: manifests[name] for name in ("Requests", "Hits", "Misses", "BytesPulled")}


@row("15.15", True, SAME, False, True)
def test_variables_with_redis(bench: Bench) -> object:
    """Whether they are JSON."""
    registry = _listening(bench.standard(cache="redis", redis_addr=f"127.0.0.1:{free_port()}"))
    try:
        json.loads(registry.debug("/debug/vars").body)
    except ValueError:
        return False
    return True
