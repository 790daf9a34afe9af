"""The offline switch: the cache serves what it has and contacts no upstream."""

from __future__ import annotations

from datetime import timedelta

from harness.clients.containerd_pull import ACCEPT
from harness.clients.wire_network import WireNetwork
from harness.content import Image, an_artifact, an_image
from harness.http.client import Answer, RegistryClient
from harness.nodes.models.containerd.execution import run
from harness.nodes.models.containerd.planning import resolve_plan
from harness.nodes.models.containerd.pullers import Cri
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import Need, theme
from harness.targets.registry import RunningRegistry
from harness.upstream import MockUpstream
from scenarios.pulling import (
    blob_path,
    manifest_path,
    pull_blob,
    pull_image,
    pull_manifest,
)
from scenarios.steps import OBSERVED, settle

ONLY_IF_CACHED = "RFC 9111, 5.2.1.7: only-if-cached"
OUTAGES = ("d#3705", "quay#4776", "nora#409")
"""Who could not reach upstream, and waited for it."""
SWITCHED = OBSERVED | {Need.X_KEYS, Need.RESTART}

BOTH = ["mirror.example", "source.example"]
V1 = manifest_path("team/app", "v1")


def connections(upstream: MockUpstream) -> list[str]:
    """What *upstream* was asked, ``/v2/`` and tokens included."""
    return [entry.line for entry in upstream.ledger.entries]


def cached(target: TargetUnderTest, upstream: MockUpstream) -> tuple[RunningRegistry, Image]:
    """A cache that has an image, and forgot nothing of it; upstream's ledger is empty."""
    image = upstream.add("team/app", an_image(), tags=("v1", "v2"))
    signature = upstream.add("team/app", an_artifact(subject=image))
    cache = target.proxy(upstream)
    pull_image(cache, "team/app", image, "v1")
    pull_manifest(cache, "team/app", signature)
    upstream.ledger.clear()
    return cache, image


def status_and_code(answer: Answer) -> list[object]:
    return [answer.status, answer.error_code]


scenario = theme("offline", needs=SWITCHED)


@scenario(
    "serves-what-is-cached",
    "Offline, cached content is served by tag, digest and list without a connection, and tags "
    "are marked as stale",
    refs=(*OUTAGES, "RFC 7234, 5.5.3: Warning 112"),
)
def test_serves_what_is_cached(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A ship, a site behind a cut cable, a registry that is being moved: no timeout to wait for,
    and no request reaches upstream."""
    cache, image = cached(target, upstream)
    upstream.add("team/app", an_image("newer"), tags=("v1",))
    cache.restart(offline=True)

    tag = cache.get(V1, headers=ACCEPT)
    head = cache.head(V1, headers=ACCEPT)
    manifest = cache.get(manifest_path("team/app", image.digest), headers=ACCEPT)
    layer = cache.get(blob_path("team/app", image.layers[0]))
    part = cache.get(blob_path("team/app", image.layers[0]), headers={"Range": "bytes=0-9"})
    tags = cache.get("/v2/team/app/tags/list")
    referrers = cache.get(f"/v2/team/app/referrers/{image.digest}")

    answers = [tag, head, manifest, layer, part, tags, referrers]
    statuses = [answer.status for answer in answers]
    expect.client("statuses", statuses, [200, 200, 200, 200, 206, 200, 200])
    expect.client("digest of the tag", tag.digest, image.digest)
    expect.client("tags", tags.json()["tags"], ["v1"])
    mark = '112 - "Disconnected Operation"'
    marks = [answer.headers.get("Warning") for answer in (tag, head, tags, referrers)]
    expect.client("Warning where upstream would be asked", marks, [mark] * 4)
    expect.client("referrers", len(referrers.json()["manifests"]), 1)
    plain = [answer.headers.get("Warning") for answer in (manifest, layer)]
    expect.client("Warning by digest", plain, [None, None])
    settle(cache, upstream)
    expect.upstream("requests", connections(upstream), [])


@scenario(
    "missing-is-a-timeout",
    "Offline, uncached content is 504 at once, not 404, so nodes try their next mirror",
    refs=(ONLY_IF_CACHED, "d#3842", "measured on containerd 1.6.20, 1.7.24, 2.1.9"),
)
def test_missing_is_a_timeout(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """404 would tell the kubelet that the image does not exist, and a clean-up job that its tag is
    gone."""
    cache, image = cached(target, upstream)
    fresh = upstream.add("team/fresh", an_image("fresh"), tags=("v1",))
    cache.restart(offline=True)
    files = cache.disk.files()

    asks = {
        "tag": manifest_path("team/app", "v3"),
        "tag that exists": manifest_path("team/app", "v2"),
        "digest": manifest_path("team/app", fresh.digest),
        "blob": blob_path("team/app", fresh.layers[0]),
        "blob of another repository": blob_path("team/fresh", image.layers[0]),
        "tags": "/v2/team/fresh/tags/list",
        "referrers": f"/v2/team/fresh/referrers/{fresh.digest}",
    }
    for what, path in asks.items():
        expect.client(what, status_and_code(cache.get(path, headers=ACCEPT)), [504, "UNAVAILABLE"])
        if what not in {"tags", "referrers"}:
            expect.client(f"{what}, HEAD", cache.head(path, headers=ACCEPT).status, 504)
    settle(cache, upstream)
    expect.upstream("requests", connections(upstream), [])
    expect.disk("files", cache.disk.files() == files, True)


@scenario(
    "nodes-go-on",
    "A node with an offline mirror pulls what the mirror lacks from the source",
    refs=("containerd docs/hosts.md", "measured on containerd 1.6.20, 1.7.24, 2.1.9"),
    needs={Need.CONFIG, Need.X_KEYS, Need.RESTART},
)
def test_nodes_go_on(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """The switch concerns the cache only. A node that reaches the source still gets its image."""
    cache, _ = cached(target, upstream)
    upstream.add("team/fresh", an_image("fresh"), tags=("v1",))
    cache.restart(offline=True)
    upstream.ledger.clear()

    source = RegistryClient(upstream.url)
    network = WireNetwork({"mirror.example": cache.client, "source.example": source})
    hosts = 'server = "http://source.example"\n[host."http://mirror.example"]\n'
    files = {"source.example/hosts.toml": hosts}
    for name, asked in {"team/app": ["mirror.example"], "team/fresh": BOTH}.items():
        plan = resolve_plan(f"source.example/{name}:v1", files, puller=Cri())
        pull = run(plan, network)
        expect.client(f"outcome, {name}", pull.outcome, "ok")
        expect.client(f"hosts, {name}", sorted({a.host for a in pull.attempts}), asked)
    source.close()
    names = {entry.repository for entry in upstream.ledger.entries}
    expect.upstream("repositories asked of the source", names, {"team/fresh"})


@scenario(
    "nothing-expires",
    "Offline nothing expires; overdue content goes once the cache is online again",
    refs=("d#3880", "NEXUS-26642", "d#4659"),
    needs=SWITCHED | {Need.CLOCK, Need.STATE_FILE},
)
def test_nothing_expires(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A cache must not delete what it cannot fetch again."""
    cache, image = cached(target, upstream)
    layer = image.layers[0]
    digests = {image.digest, *(blob.digest for blob in image.blobs)}
    wanted = {f"team/app@{digest}" for digest in digests}
    cache.await_state(lambda state: wanted <= set(state))
    cache.restart(offline=True)

    cache.pass_time(timedelta(days=30))
    kept = not cache.eventually(lambda: not cache.disk.has_blob(layer.digest), timeout=1.5)
    expect.disk("layer, weeks after its ttl", kept, True)
    expect.client("status of the tag", cache.get(V1, headers=ACCEPT).status, 200)

    cache.restart(offline=False)
    cache.pass_time(timedelta(seconds=1))
    gone = cache.eventually(lambda: not cache.disk.has_blob(layer.digest))
    expect.disk("layer gone, online again", gone, True)


@scenario(
    "switched-by-a-file",
    "The file .pullproof/offline takes a running cache offline, and its removal back online",
    refs=OUTAGES,
)
def test_switched_by_a_file(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Restarting is a risk for the one service that still works."""
    cache, image = cached(target, upstream)
    layer = upstream.add("team/app", an_image("newer"), tags=("v9",)).layers[0]
    switch = cache.root / ".pullproof" / "offline"

    switch.parent.mkdir(exist_ok=True)
    switch.touch()
    offline = cache.get(V1, headers=ACCEPT)
    missing = cache.get(blob_path("team/app", layer))
    settle(cache, upstream)
    expect.client("offline", [offline.status, offline.digest], [200, image.digest])
    expect.client("missing", status_and_code(missing), [504, "UNAVAILABLE"])
    expect.upstream("requests while it is there", connections(upstream), [])

    switch.unlink()
    online = cache.get(V1, headers=ACCEPT)
    fetched = pull_blob(cache, "team/app", layer)
    expect.client("online", [online.status, online.headers.get("Warning")], [200, None])
    expect.client("fetched", fetched.status, 200)
    said = [words in cache.logs() for words in ("offline: ", "online again")]
    expect.client("said in the log", said, [True, True])
