"""Running a cache: health, metrics, logs, stops, configuration mistakes, and storage that
another program has filled."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.clients.containerd_pull import ACCEPT, containerd_pull
from harness.content import Image, Manifest, an_image
from harness.http.client import RegistryClient
from harness.suite.expectation import Expectations, any_of, containing
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import INFO, MUST, Need, theme
from harness.system.ports import scaled
from harness.targets import DidNotStart
from harness.targets.registry import RunningRegistry
from harness.upstream import MockUpstream
from scenarios.pulling import blob_path, manifest_path, pull_blob, pull_image, pull_manifest
from scenarios.steps import OBSERVED, MakeUpstream, asked, push, settle
from scenarios.trees import write_tree

CONFIGURATION = "distribution docs: Configuring a registry"
MEASURED = "measured on 2.8.2 to 3.1.1"
OFTEN = "50ms"
"""The interval of health checks that scenarios wait for."""
scenario = theme("operations", needs={Need.CONFIG, Need.DEBUG})


# -- health ------------------------------------------------------------------------------------
@scenario(
    "health",
    "A healthy cache reports health on the debug listener only, with upstream up or down",
    refs=(f"{CONFIGURATION}, health", MEASURED),
)
def test_health(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """A restart because the source is down would throw away the cache's benefit. And debug
    information is not for every client."""
    cache = target.proxy(upstream)
    healthy = cache.health()
    upstream.down()
    alone = cache.health()

    expect.client("status", healthy.status, 200)
    expect.client("document", healthy.json(), {})
    expect.client("status with upstream down", alone.status, 200)
    for path in ("/debug/health", "/metrics", "/debug/vars"):
        expect.client(f"{path} on the API listener", cache.get(path).status, 404)


@scenario(
    "failing-check-closes-the-api",
    "While a health check fails every request is 503; afterwards the cache serves again",
    refs=(f"{CONFIGURATION}, health, file", MEASURED),
)
def test_failing_check_closes_the_api(
    image: Image,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
    tmp_path: Path,
) -> None:
    """Touching a file takes a cache out of service without stopping it: balancers and clients go
    elsewhere."""
    switch = tmp_path / "out-of-service"
    cache = target.proxy(
        upstream, extra={"health": {"file": [{"file": str(switch), "interval": OFTEN}]}}
    )
    pull_manifest(cache, "team/app", image, "v1")

    switch.touch()
    _await_health(cache, 503)
    upstream.ledger.clear()
    health, base = cache.health(), cache.get("/v2/")
    pull = cache.get(manifest_path("team/app", image.digest), headers=ACCEPT)
    switch.unlink()
    _await_health(cache, 200)
    after = cache.get(manifest_path("team/app", image.digest), headers=ACCEPT)

    expect.client("health status", health.status, 503)
    failing = [Path(name).name for name in health.json()]
    expect.client("failing checks", failing, [switch.name])
    expect.client("status of /v2/", base.status, 503)
    expect.client("error code of /v2/", base.error_code, "UNAVAILABLE")
    expect.client("status of a cached manifest", pull.status, 503)
    expect.client("status afterwards", after.status, 200)
    expect.upstream("requests", asked(upstream), [])


@scenario(
    "broken-storage-is-noticed",
    "The storage check fails while storage is unreachable and recovers with it",
    refs=(f"{CONFIGURATION}, health, storagedriver", MEASURED),
    needs=OBSERVED | {Need.DEBUG},
)
def test_broken_storage_is_noticed(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A volume disappears. Without the check the cache turns every pull into an error instead of
    leaving it to the next mirror."""
    check = {"enabled": True, "interval": OFTEN, "threshold": 1}
    cache = target.proxy(upstream, extra={"health": {"storagedriver": check}})
    pull_image(cache, "team/app", image, "v1")
    healthy = cache.health()

    with _unreachable(cache.root):
        _await_health(cache, 503)
        broken, base = cache.health(), cache.get("/v2/")
    _await_health(cache, 200)
    pull = containerd_pull(cache.client, "team/app", image.digest)

    expect.client("health before", healthy.status, 200)
    expect.client("health status while broken", broken.status, 503)
    expect.client("failing checks", list(broken.json()), ["storagedriver_filesystem"])
    expect.client("status of /v2/ while broken", base.status, 503)
    expect.client("pull afterwards", pull.complete, True)


@scenario(
    "http-and-tcp-checks",
    "HTTP and TCP health checks fail while their service is down, and name it",
    refs=(f"{CONFIGURATION}, health, http and tcp", MEASURED),
)
@pytest.mark.parametrize("kind", ["http", "tcp"])
def test_http_and_tcp_checks(
    kind: str, make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """They tie a registry to what it depends on: a token server, an object store."""
    service = make_upstream()
    service.on(None, "/alive").status(200)
    name = f"{service.url}/alive" if kind == "http" else service.address
    check = {"uri" if kind == "http" else "addr": name, "interval": OFTEN, "timeout": "5s"}
    registry = target.standard(extra={"health": {kind: [check]}})
    _await_health(registry, 200)
    healthy = registry.health()

    service.down()
    _await_health(registry, 503)
    failing = registry.health()

    expect.client("health while it is up", healthy.status, 200)
    expect.client("health while it is down", failing.status, 503)
    named = any(service.address in text for text in failing.json())
    expect.client("the failing check is named", named, True)


# -- metrics and logs --------------------------------------------------------------------------
@scenario(
    "http-metrics",
    "HTTP request counters match the requests that clients sent",
    refs=(f"{CONFIGURATION}, debug, prometheus", MEASURED),
)
def test_http_metrics(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Dashboards and alerts use these names, by handler, method and code."""
    cache = target.proxy(upstream)
    for _ in range(3):
        cache.get(manifest_path("team/app", "v1"), headers=ACCEPT)
    cache.head(manifest_path("team/app", "v1"), headers=ACCEPT)
    cache.get(blob_path("team/app", image.layers[0]))
    cache.get(blob_path("team/app", an_image("absent").layers[0]))
    cache.get("/v2/team/app/tags/list")

    def requests(**labels: str) -> float:
        return cache.metrics().total("registry_http_requests_total", **labels)

    cache.eventually(lambda: requests(handler="tags") == 1, timeout=2)
    expect.client("GET of a manifest", requests(handler="manifest", method="get"), 3)
    expect.client("HEAD of a manifest", requests(handler="manifest", method="head"), 1)
    expect.client("GET of a blob, 200", requests(handler="blob", method="get", code="200"), 1)
    expect.client("GET of a blob, 404", requests(handler="blob", method="get", code="404"), 1)
    expect.client("GET of tags", requests(handler="tags", method="get"), 1)


@scenario(
    "cache-metrics",
    "Hit and miss counters match the requests that upstream received",
    refs=("d#4045", "d#4047", f"{CONFIGURATION}, debug, prometheus", MEASURED),
    needs=OBSERVED | {Need.DEBUG},
)
def test_cache_metrics(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Hit rates justify a cache and decide the size of its disk. A wrong number is worse than
    none."""
    layer = image.layers[0]
    cache = target.proxy(upstream)
    pull_manifest(cache, "team/app", image, "v1")
    pull_blob(cache, "team/app", layer)
    for _ in range(3):
        cache.get(manifest_path("team/app", image.digest), headers=ACCEPT)
        cache.get(blob_path("team/app", layer))
    settle(cache, upstream)

    metrics = cache.metrics()

    def count(what: str, kind: str) -> float:
        return metrics.total(f"registry_proxy_{what}_total", type=kind)

    for kind in ("manifest", "blob"):
        expect.client(f"{kind} requests", count("requests", kind), 4)
        expect.client(f"{kind} hits", count("hits", kind), 3)
        expect.client(f"{kind} misses", count("misses", kind), 1)
    expect.client("bytes pulled for blobs", count("pulled_bytes", "blob"), layer.size)
    expect.client("bytes pushed of blobs", count("pushed_bytes", "blob"), 4 * layer.size)
    expect.upstream("bodies of the layer", upstream.ledger.count("GET", digest=layer.digest), 1)


@scenario(
    "access-log",
    "The access log has method, path and status of every request",
    refs=(f"{CONFIGURATION}, log, accesslog", MEASURED),
    needs={Need.CONFIG, Need.LOGS},
)
def test_access_log(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """The first place to look when a node cannot pull."""
    upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream)
    cache.get(manifest_path("team/app", "v1"), headers=ACCEPT)
    cache.get(manifest_path("team/app", "v9"), headers=ACCEPT)
    cache.post("/v2/team/app/blobs/uploads/", content=b"")

    lines = {
        "a hit": '"GET /v2/team/app/manifests/v1 HTTP/1.1" 200',
        "an absent tag": '"GET /v2/team/app/manifests/v9 HTTP/1.1" 404',
        "a push": '"POST /v2/team/app/blobs/uploads/ HTTP/1.1" 405',
    }
    cache.eventually(lambda: all(line in cache.logs() for line in lines.values()), timeout=2)

    log = cache.logs()
    expect.disk("missing", [name for name, line in lines.items() if line not in log], [])


@scenario(
    "upstream-failure-is-logged",
    "The log has the cause of an upstream failure, also when clients are served from the cache",
    refs=("d#3842", MEASURED),
    needs={Need.CONFIG, Need.LOGS, Need.STORAGE},
)
@pytest.mark.parametrize("asked_for", ["cached-tag", "uncached-tag", "uncached-digest"])
def test_upstream_failure_is_logged(
    asked_for: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """An outage that only shows as old images or as "not found" is found late."""
    image = upstream.add("team/app", an_image(), tags=("v1", "v2"))
    cache = target.proxy(upstream)
    if asked_for == "cached-tag":
        pull_manifest(cache, "team/app", image, "v1")
    upstream.down()
    before = len(cache.logs())

    reference = image.digest if asked_for == "uncached-digest" else "v1"
    answer = cache.get(manifest_path("team/app", reference), headers=ACCEPT)

    def said() -> bool:
        return "connect" in cache.logs()[before:].lower()

    expect.disk("the log names the cause", cache.eventually(said, timeout=0.3), True)
    expect.client("answered", answer.status is not None, True)


@scenario(
    "json-log",
    "With the json formatter every log line is JSON",
    level=INFO,
    refs=(f"{CONFIGURATION}, log, formatter", MEASURED),
    needs={Need.CONFIG, Need.LOGS},
)
def test_json_log(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """Log collectors drop or mangle what they cannot parse. Access lines are exempt: they keep
    Apache's format."""
    upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream, log_formatter="json")
    cache.get(manifest_path("team/app", "v1"), headers=ACCEPT)
    cache.eventually(lambda: "/v2/team/app/manifests/v1" in cache.logs(), timeout=2)
    cache.stop()

    lines = [line for line in cache.logs().splitlines() if not _is_access(line)]

    expect.disk("there are lines", len(lines) > 0, True)
    expect.disk("lines that are not JSON", [line for line in lines if not _is_object(line)], [])
    fields = {field for line in lines if _is_object(line) for field in json.loads(line)}
    expect.disk("fields", {"level", "msg", "time"} <= fields, True)


# -- serving -----------------------------------------------------------------------------------
@scenario(
    "api-root",
    "GET /v2/ identifies a registry, and GET / is 200",
    level=MUST,
    refs=("OCI distribution-spec: Determining Support", MEASURED),
    needs={Need.CONFIG},
)
def test_api_root(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """docker requests /v2/ first, and health checks of balancers and charts request either."""
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    base, root = cache.get("/v2/"), cache.get("/")
    unknown = cache.get("/v2/team/app/nothing")

    expect.client("status of /v2/", base.status, 200)
    expect.client(
        "API version", base.headers.get("Docker-Distribution-Api-Version"), "registry/2.0"
    )
    expect.client("status of /", root.status, 200)
    expect.client("body of /", root.body, b"")
    expect.client("status of an unknown path", unknown.status, 404)
    expect.upstream("requests", upstream.ledger.lines(), [])


@scenario(
    "extra-headers",
    "Headers from the configuration are on every API response, errors included",
    refs=(f"{CONFIGURATION}, http, headers",),
    needs={Need.CONFIG},
)
def test_extra_headers(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Security scanners look for them, on errors first."""
    upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream, headers={"X-Content-Type-Options": ["nosniff"]})
    answers = {
        "/v2/": cache.get("/v2/"),
        "a manifest": cache.get(manifest_path("team/app", "v1"), headers=ACCEPT),
        "an absent manifest": cache.get(manifest_path("team/app", "v9"), headers=ACCEPT),
        "a refused push": cache.post("/v2/team/app/blobs/uploads/", content=b""),
    }

    for name, answer in answers.items():
        header = answer.headers.get("X-Content-Type-Options")
        expect.client(f"header of {name}", header, containing("nosniff"))


@scenario(
    "readonly",
    "A read-only cache keeps filling itself and refuses writes by clients",
    level=INFO,
    refs=(f"{CONFIGURATION}, maintenance, readonly", MEASURED),
    needs=OBSERVED,
)
def test_readonly(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The setting concerns clients' writes. It neither stops the disk from growing nor makes
    garbage collection safe."""
    cache = target.proxy(upstream, readonly=True)

    pull = pull_image(cache, "team/app", image, "v1")
    started = cache.post("/v2/team/app/blobs/uploads/", content=b"")
    put = cache.put(
        manifest_path("team/app", "v1"),
        headers={"Content-Type": image.media_type},
        content=image.content,
    )

    expect.client("pull is complete", pull.complete, True)
    expect.client("status of POST", started.status, 405)
    expect.client("status of PUT", put.status, 405)
    expect.disk("stored", cache.disk.blobs(), {image.digest, *(b.digest for b in image.blobs)})


@scenario(
    "stop-lets-pulls-finish",
    "With http.draintimeout a stop lets running pulls finish",
    refs=(f"{CONFIGURATION}, http, draintimeout", MEASURED),
    needs=OBSERVED | {Need.RESTART},
)
def test_stop_lets_pulls_finish(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """It hides rolling updates of a cache from clients that are pulling a large layer."""
    layer = upstream.add("team/app", an_image(layer_size=200_000), tags=("v1",)).layers[0]
    cache = target.proxy(upstream, draintimeout="10s")
    hang = upstream.on("GET", layer).hang(after=100_000)

    # A client of its own, since that of the cache hangs up as soon as the stop is done.
    with (
        ThreadPoolExecutor(1) as pool,
        closing(RegistryClient(cache.url)) as node,
        node.open(blob_path("team/app", layer)) as answer,
    ):
        answer.read(1)
        stopped = pool.submit(cache.stop)
        _await_closed(cache)
        hang.release()
        answer.read()
        stopped.result(timeout=scaled(10))

    expect.client("bytes are right", bytes(answer.received) == layer.content, True)
    expect.client("error", answer.error, None)


# -- configuration -----------------------------------------------------------------------------
@scenario(
    "misspelt-remoteurl",
    "A misspelt proxy.remoteurl does not start a writable registry",
    refs=(f"{CONFIGURATION}, proxy", MEASURED),
    needs={Need.CONFIG},
)
def test_misspelt_remoteurl(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """YAML accepts "remoteURL" as an unknown key. The intended mirror is then an open, empty
    registry under the mirror's name."""
    try:
        registry = target.standard(extra={"proxy": {"remoteURL": upstream.url}})
    except DidNotStart as refusal:
        expect.client("start", "refused", any_of("refused", "started as a cache"))
        expect.client("log", refusal.message, containing("remoteURL"))
        return
    opened = registry.post("/v2/team/app/blobs/uploads/", content=b"")
    kind = "writable registry" if opened.status == 202 else "cache"
    expect.client("start", f"started as a {kind}", any_of("refused", "started as a cache"))


# -- storages ----------------------------------------------------------------------------------
@scenario(
    "registry-becomes-a-cache",
    "A registry's storage opened as a cache still serves its content, which upstream lacks",
    level=INFO,
    refs=(MEASURED, "distribution docs: Registry as a pull through cache"),
    needs=OBSERVED | {Need.RESTART},
)
def test_registry_becomes_a_cache(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A way to a cache that is warm from the first day. Such content has no expiry; see
    ``ttl.unscheduled-content-expires``."""
    own = an_image("own")
    upstream.add("team/app", an_image(), tags=("v1",))
    registry = target.standard(delete_enabled=True)
    push(registry, "team/own", own, "v1")

    registry.restart(upstream_url=upstream.url)
    by_tag = containerd_pull(registry.client, "team/own", "v1")
    by_digest = containerd_pull(registry.client, "team/own", own.digest)
    other = containerd_pull(registry.client, "team/app", "v1")
    refused = registry.post("/v2/team/own/blobs/uploads/", content=b"")

    expect.client("own image by tag", by_tag.complete, True)
    expect.client("own image by digest", by_digest.complete, True)
    expect.client("upstream's image", other.complete, True)
    expect.client("status of a push", refused.status, 405)
    expect.upstream("blobs of the own image", _fetches(upstream, own), 0)
    expect.disk("own image on disk", own.digest in registry.disk.revisions("team/own"), True)


@scenario(
    "cache-becomes-a-registry",
    "A cache's storage opened without upstream serves its content and accepts pushes",
    refs=(MEASURED,),
    needs=OBSERVED | {Need.RESTART},
)
def test_cache_becomes_a_registry(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """For an archive, or when the source shuts down."""
    cache = target.proxy(upstream)
    pull_image(cache, "team/app", image, "v1")
    upstream.ledger.clear()

    cache.restart(upstream_url=None)
    pull = containerd_pull(cache.client, "team/app", "v1")
    tags = cache.get("/v2/team/app/tags/list").json()["tags"]
    push(cache, "team/new", an_image("new"), "v1")

    expect.client("pull is complete", pull.complete, True)
    expect.client("tags", tags, ["v1"])
    expect.upstream("requests", upstream.ledger.lines(), [])
    expect.disk("repositories", cache.disk.repositories(), ["team/app", "team/new"])


@scenario(
    "hand-made-storage",
    "A storage tree in the published layout is served, whichever program wrote it",
    refs=("distribution: registry/storage/paths.go", MEASURED),
    needs=OBSERVED | {Need.RESTART},
)
def test_hand_made_storage(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Backups are restored, tools fill volumes, releases change: the layout is the interface."""
    image = an_image()
    cache = target.proxy(upstream)
    cache.stop()
    write_tree(cache.root, "team/app", image, "v1")
    cache.start()
    upstream.down()

    pull = containerd_pull(cache.client, "team/app", "v1")
    tags = cache.get("/v2/team/app/tags/list").json()
    catalog = cache.get("/v2/_catalog").json()

    expect.client("pull is complete", pull.complete, True)
    expect.client("tags", tags, {"name": "team/app", "tags": ["v1"]})
    expect.client("catalog", catalog, {"repositories": ["team/app"]})


@scenario(
    "lost-blob-heals",
    "A cached blob whose file disappears is fetched again",
    refs=("d#3722", "d#4046"),
    needs=OBSERVED,
)
def test_lost_blob_heals(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Disks lose files, and people delete the largest ones. A cache can get them back without
    clients noticing."""
    layer = image.layers[0]
    cache = target.proxy(upstream)
    pull_image(cache, "team/app", image, "v1")
    cache.disk.blob_path(layer.digest).unlink()

    answer = cache.get(blob_path("team/app", layer))
    cache.eventually(lambda: cache.disk.has_blob(layer.digest))
    again = containerd_pull(cache.client, "team/app", "v1")

    expect.client("status", answer.status, 200)
    expect.client("bytes are right", answer.body == layer.content, True)
    expect.client("pull afterwards", again.complete, True)
    expect.disk("bytes are back", cache.disk.has_blob(layer.digest), True)


# -- what is awaited and looked for ------------------------------------------------------------
def _await_health(cache: RunningRegistry, status: int) -> None:
    """Let the checks come round until the health is *status*, for two seconds at most."""
    for _ in range(40):
        if cache.health().status == status:
            return
        cache.let_pass(timedelta(milliseconds=50))


def _await_closed(cache: RunningRegistry) -> None:
    """Wait until the listener takes no new connection."""
    cache.eventually(lambda: cache.get("/v2/", headers={"Connection": "close"}).status is None)


@contextmanager
def _unreachable(root: Path) -> Iterator[None]:
    """While in the block, *root* is a link that leads to itself."""
    aside = root.with_name(f"{root.name}-aside")
    root.rename(aside)
    root.symlink_to(root.name)
    try:
        yield
    finally:
        root.unlink()
        aside.rename(root)


def _is_access(line: str) -> bool:
    """Apache's combined log format."""
    return re.match(r'\S+ - \S+ \[[^]]+\] "', line) is not None


def _is_object(line: str) -> bool:
    try:
        found: Any = json.loads(line)
    except ValueError:
        return False
    return isinstance(found, dict)


def _fetches(upstream: MockUpstream, manifest: Manifest) -> int:
    return sum(upstream.ledger.count(digest=blob.digest) for blob in manifest.blobs)
