"""The cache is killed or stopped in the middle of its work, or half of its clients disconnect:
nothing is corrupt, lost or stuck."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Literal

import pytest

from harness.clients.containerd_pull import ACCEPT, containerd_pull
from harness.content import Blob, Image, an_image
from harness.http.client import Answer, RegistryClient
from harness.suite.expectation import Expectations, any_of, at_least, at_most
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import MUST, Need, theme
from harness.system.crashes import KillPoint
from harness.system.ports import scaled
from harness.targets import DidNotStart, RunningRegistry
from harness.upstream import MockUpstream
from reference_registry.storage import layout
from scenarios.pulling import blob_path, manifest_path, pull_blob, pull_image
from scenarios.scheduling import Due, key_of, reopen_with
from scenarios.steps import OBSERVED, push, settle
from scenarios.trees import GARBAGE, write_garbage

REPOSITORY = "team/app"
MEASURED = "measured on 2.8.2"
KILLABLE = OBSERVED | {Need.RESTART, Need.PROCESS}
DAY = timedelta(days=1)
BUFFER = 32_768
"""More than a registry keeps in memory of what it is about to write."""
PUSHING = "OCI distribution-spec: Pushing a blob in chunks"
DRAINING = "distribution docs: Configuring a registry, http, draintimeout"


@contextmanager
def pulling(cache: RunningRegistry, path: str) -> Iterator[Future[Answer]]:
    """A client that asks for *path* while the block runs, on a connection of its own."""

    def pull() -> Answer:
        with closing(RegistryClient(cache.url, exchanges=cache.exchanges)) as client:
            return client.get(path, headers=ACCEPT)

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(pull)


def unfinished(cache: RunningRegistry, repository: str = REPOSITORY) -> int:
    """How many uploads are there."""
    return len(cache.disk.uploads(repository))


def upload_bytes(cache: RunningRegistry) -> int:
    """How many bytes the uploads hold."""
    place = cache.root / layout.uploads(REPOSITORY).lstrip("/")
    return sum(path.stat().st_size for path in place.glob("*/data"))


scenario = theme("crash", needs=KILLABLE)


# -- kill -9 -------------------------------------------------------------------------------------
@scenario(
    "killed-during-a-fill",
    "A cache killed during a cache fill keeps no partial blob, and the next pull is complete",
    level=MUST,
    refs=("OCI distribution-spec: Pulling blobs", "d#4793", MEASURED),
)
@pytest.mark.parametrize("after", [1, 100_000], ids=["first-byte", "half"])
def test_killed_during_a_fill(
    after: int, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Processes run out of memory and nodes reset, most often during large layers. Half a layer
    served as the whole breaks every node until an operator empties the cache."""
    layer = upstream.add(REPOSITORY, Blob.of_size(200_000))
    cache = target.proxy(upstream)
    hang = upstream.on("GET", layer).hang(after=after)

    with pulling(cache, blob_path(REPOSITORY, layer)) as pull:
        cache.eventually(lambda: unfinished(cache) == 1 and upload_bytes(cache) >= after - BUFFER)
        expect.disk("unfinished uploads, when killed", unfinished(cache), 1)
        cache.kill()
        answer = pull.result(timeout=scaled(10))
    hang.release()
    expect.client("whole body, when killed", answer.body == layer.content, False)
    expect.disk("stored, when killed", cache.disk.blobs(), set())
    cache.start()
    cache.eventually(lambda: unfinished(cache) == 0, timeout=0.3)
    expect.disk("unfinished uploads after the start", unfinished(cache), 0)
    again = pull_blob(cache, REPOSITORY, layer)

    expect.client("status of the next pull", again.status, 200)
    expect.client("its bytes are right", again.body == layer.content, True)
    expect.disk("it is cached", cache.disk.blob_bytes(layer.digest) == layer.content, True)


@scenario(
    "killed-during-a-manifest",
    "A cache killed while fetching a manifest stores no partial manifest and no dangling tag",
    level=MUST,
    refs=("OCI distribution-spec: Pulling manifests", MEASURED),
)
@pytest.mark.parametrize("after", [None, 100], ids=["before-the-head", "in-the-body"])
def test_killed_during_a_manifest(
    after: int | None,
    image: Image,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """A tag without its manifest is an error while upstream is down, which is when the cache is
    needed."""
    cache = target.proxy(upstream)
    hang = upstream.on("GET", kind="manifest").hang(after=after)

    with pulling(cache, manifest_path(REPOSITORY, "v1")) as pull:
        cache.eventually(lambda: upstream.ledger.count("GET", kind="manifest") == 1)
        cache.kill()
        answer = pull.result(timeout=scaled(10))
    hang.release()
    tags = set(cache.disk.tags(REPOSITORY))
    stored = cache.disk.blobs() | cache.disk.revisions(REPOSITORY)
    cache.start()
    whole = pull_image(cache, REPOSITORY, image, "v1")
    upstream.down()
    offline = containerd_pull(cache.client, REPOSITORY, image.digest)

    expect.client("status, when killed", answer.status, None)
    expect.disk("stored, when killed", stored, set())
    expect.disk("tags, when killed", tags, set())
    expect.client("next pull", whole.complete, True)
    expect.client("pull with upstream gone", offline.complete, True)


@scenario(
    "killed-during-a-push",
    "A push interrupted by a crash can be resumed and ends in the right bytes",
    refs=(PUSHING, MEASURED),
)
def test_killed_during_a_push(target: TargetUnderTest, expect: Expectations) -> None:
    """Clients retry. They must not get a session that neither continues nor ends, or a blob with a
    hole."""
    blob = Blob.of_size(200_000)
    half = blob.size // 2
    registry = target.standard()
    opened = registry.post(f"/v2/{REPOSITORY}/blobs/uploads/", content=b"")
    session = opened.headers["Location"].partition("/v2/")[2]
    killed = threading.Event()

    def body() -> Iterator[bytes]:
        yield blob.content[:half]
        killed.wait(10)

    def patch() -> Answer:
        with closing(RegistryClient(registry.url)) as client:
            octets = {"Content-Type": "application/octet-stream"}
            return client.patch(f"/v2/{session}", content=body(), headers=octets)

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(patch)
        registry.eventually(lambda: upload_bytes(registry) >= half - BUFFER)
        arrived = upload_bytes(registry)
        registry.kill()
        killed.set()
        sending.result(timeout=scaled(10))
    expect.disk("bytes that were written as they came", arrived, at_least(half - BUFFER))
    expect.disk("stored, when killed", registry.disk.blobs(), set())

    registry.start()
    asked = registry.get(f"/v2/{session}")
    expect.client("status of the session", asked.status, 204)
    expect.client("where it is", asked.headers.get("Range"), f"0-{arrived - 1}")
    location, offset = f"/v2/{session}", arrived
    if asked.status == 204:
        location = asked.headers["Location"].partition("/v2/")[2]
        location, offset = f"/v2/{location}", int(asked.headers["Range"].partition("-")[2]) + 1
    rest = registry.put(f"{location}&digest={blob.digest}", content=blob.content[offset:])
    expect.client("status of the rest", rest.status, 201)
    anew = an_image("anew")
    push(registry, REPOSITORY, anew, "v1")
    expect.client("another push", containerd_pull(registry.client, REPOSITORY, "v1").complete, True)
    got = registry.get(blob_path(REPOSITORY, blob))
    expect.client("the bytes are right", got.body == blob.content, True)


@scenario(
    "killed-during-a-state-write",
    "A cache killed while writing its schedule starts again and keeps every entry",
    refs=("d#4594", MEASURED),
    needs=KILLABLE | {Need.STATE_FILE},
)
def test_killed_during_a_state_write(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The file is written most often when the cache is busiest. Half a file keeps a release from
    starting, and every node behind it from pulling, until an operator removes the file."""
    old, new = image.layers[0], image.config
    cache = target.proxy(upstream, delete_enabled=True)
    pull_blob(cache, REPOSITORY, old)
    reopen_with(cache, Due(REPOSITORY, old, DAY))
    pid = cache.pid
    assert pid is not None
    aside = cache.state_path.with_name(f"{cache.state_path.name}.part")
    fatal = KillPoint(pid, [cache.state_path, aside], ["write"])
    upstream.ledger.clear()
    pull_blob(cache, REPOSITORY, new)
    # Releases write every five seconds. What goes by another name meanwhile is killed after it.
    fatal.await_death(timeout=scaled(7))
    cache.kill()

    try:
        cache.start()
    except DidNotStart as failure:
        expect.client("start", f"exit code {failure.exit_code}", "started")
        return
    expect.client("start", "started", "started")
    wanted = {key_of(REPOSITORY, old), key_of(REPOSITORY, new)}
    state = cache.await_state(lambda entries: set(entries) == wanted, timeout=2.0)
    expect.disk("entries", set(state), wanted)
    upstream.down()
    for what, blob in (("old", old), ("new", new)):
        answer = cache.get(blob_path(REPOSITORY, blob))
        expect.client(f"the {what} blob is right", answer.body == blob.content, True)
    rest = [path for path in cache.disk.files() if ".part" in path]
    expect.disk("parts of files", rest, [])


@scenario(
    "killed-during-garbage-collection",
    "A killed garbage collection harms nothing in use, and a second run finishes",
    refs=("distribution docs: Garbage collection", MEASURED),
    needs=KILLABLE | {Need.GC},
)
@pytest.mark.parametrize("during", ["marking", "deleting"])
def test_killed_during_garbage_collection(
    during: Literal["marking", "deleting"], target: TargetUnderTest, expect: Expectations
) -> None:
    """On large storages it runs for hours, in maintenance windows that end."""
    registry = target.standard(delete_enabled=True)
    in_use = write_garbage(registry.root, REPOSITORY, during)

    registry.kill_garbage_collection(during)

    left = registry.disk.blobs()
    untouched = len(left - in_use)
    expect.disk("what is in use, when killed", in_use <= left, True)
    expect.disk(
        "garbage, when killed",
        "all" if untouched == GARBAGE else "some" if untouched else "none",
        "all" if during == "marking" else "some",
    )
    pull = containerd_pull(registry.client, REPOSITORY, "v1")
    run = registry.garbage_collect()
    again = containerd_pull(registry.client, REPOSITORY, "v1")
    expect.client("pull, when killed", pull.complete, True)
    expect.disk("exit code of the next run", run.exit_code, 0)
    expect.disk("what is left in the end", registry.disk.blobs(), in_use)
    expect.client("pull in the end", again.complete, True)


# -- SIGTERM -------------------------------------------------------------------------------------
@scenario(
    "stopped-in-the-middle",
    "A stop ends within the drain time and loses no stored content",
    refs=(DRAINING, "d#4805", MEASURED),
    needs=KILLABLE | {Need.STATE_FILE},
)
@pytest.mark.parametrize("during", ["fill", "revalidation", "manifest"])
def test_stopped_in_the_middle(
    during: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Kubernetes kills after thirty seconds. A cache that waits for a 2 GB download is killed at
    every deployment."""
    image = upstream.add(REPOSITORY, an_image(layer_size=200_000), tags=("v1",))
    old, new = image.config, image.layers[0]
    cache = target.proxy(upstream, draintimeout="300ms")
    pull_blob(cache, REPOSITORY, old)
    if during == "revalidation":
        pull_image(cache, REPOSITORY, image, "v1")
    hang = {
        "fill": lambda: upstream.on("GET", new).hang(after=100_000),
        "revalidation": lambda: upstream.on("HEAD", kind="manifest").hang(),
        "manifest": lambda: upstream.on("GET", kind="manifest").hang(after=100),
    }[during]()
    path = blob_path(REPOSITORY, new) if during == "fill" else manifest_path(REPOSITORY, "v1")

    with pulling(cache, path) as pull:
        cache.eventually(lambda: hang.hits > 0)
        if during == "fill":
            cache.eventually(lambda: unfinished(cache) == 1)
        began = time.monotonic()
        cache.stop()
        took = time.monotonic() - began
        answer = pull.result(timeout=scaled(10))
    hang.release()
    expect.disk("seconds until it ended", took, at_most(5))
    expect.disk("exit code", cache.exit_code, 0)
    whole = answer.status == 200 and answer.error is None
    expect.client("it seems to be complete", whole, False)
    expect.disk("unfinished uploads", unfinished(cache), 0)
    wanted = {key_of(REPOSITORY, old)}
    expect.disk("the entry is saved", wanted <= set(cache.state() or {}), True)
    cache.start()
    upstream.ledger.clear()
    hit = cache.get(blob_path(REPOSITORY, old))
    expect.client("what was there", hit.body == old.content, True)
    expect.upstream("requests for what was there", upstream.ledger.count(digest=old.digest), 0)
    again = pull_image(cache, REPOSITORY, image, "v1")
    expect.client("the next pull", again.complete, True)


# -- upstream goes away --------------------------------------------------------------------------
@scenario(
    "upstream-vanishes",
    "When upstream disappears during a request, clients fail fast and cached content is served",
    refs=("d#3705", "d#3842", MEASURED),
    needs=OBSERVED,
)
@pytest.mark.parametrize("during", ["fill", "revalidation", "manifest"])
def test_upstream_vanishes(
    during: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Upstream restarts, or a firewall rule changes. Clients must neither wait for what will not
    come nor take half a layer for the whole."""
    cached = upstream.add(REPOSITORY, an_image("cached"), tags=("v1",))
    image = upstream.add(REPOSITORY, an_image("new", layer_size=200_000), tags=("v2",))
    layer = image.layers[0]
    cache = target.proxy(upstream)
    pull_image(cache, REPOSITORY, cached, "v1")
    hang, path = {
        "fill": (upstream.on("GET", layer), blob_path(REPOSITORY, layer)),
        "revalidation": (upstream.on("HEAD", kind="manifest"), manifest_path(REPOSITORY, "v1")),
        "manifest": (upstream.on("GET", kind="manifest"), manifest_path(REPOSITORY, "v2")),
    }[during]
    hang.hang(after=None if during == "revalidation" else 100)

    with pulling(cache, path) as pull:
        cache.eventually(lambda: hang.hits > 0)
        began = time.monotonic()
        upstream.down()
        answer = pull.result(timeout=scaled(20))
        took = time.monotonic() - began
    offline = containerd_pull(cache.client, REPOSITORY, cached.digest)
    settle(cache, upstream)
    stored = cache.disk.blobs()
    upstream.clear_faults()
    upstream.up()
    again = pull_image(cache, REPOSITORY, image, "v2")
    fresh = cache.get(manifest_path(REPOSITORY, "v1"), headers=ACCEPT)

    expect.client("seconds until the client knew", took, at_most(10))
    if during == "revalidation":
        expect.client("status", answer.status, 200)
        expect.client("the manifest is right", answer.body == cached.content, True)
    elif during == "fill":
        expect.client("the body is cut short, visibly", answer.error is not None, True)
        expect.client("other bytes", layer.content.startswith(answer.body), True)
    else:
        expect.client("status", answer.status, any_of(502, 503, 504))
    expect.client("cached image meanwhile", offline.complete, True)
    kept = {cached.digest, *(blob.digest for blob in cached.blobs)}
    expect.disk("stored meanwhile", stored, kept)
    expect.client("pull when it is back", again.complete, True)
    expect.client("Warning when it is back", fresh.headers.get("Warning"), None)
    expect.disk("unfinished uploads in the end", unfinished(cache), 0)


# -- clients go away -----------------------------------------------------------------------------
@scenario(
    "half-of-the-clients-leave",
    "When 16 of 32 clients of a new blob disconnect, the others get it and it is downloaded once",
    refs=("d#1334", "d#3969", "d#4793", MEASURED),
    needs=OBSERVED | {Need.DEBUG},
)
def test_half_of_the_clients_leave(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A rollout is cancelled, or kubelets time out."""
    layer = upstream.add(REPOSITORY, Blob.of_size(1_500_000))
    cache = target.proxy(upstream)
    hang = upstream.on("GET", layer).hang(after=300_000)
    led, begun = threading.Event(), threading.Barrier(33)

    def pull(number: int) -> bytes | None:
        """The first one that comes will leave, like every other one."""
        if number:
            led.wait(20)
        with (
            closing(RegistryClient(cache.url)) as client,
            client.open(blob_path(REPOSITORY, layer)) as answer,
        ):
            answer.read(1)
            led.set()
            begun.wait(20)
            if number % 2 == 0:
                answer.read(max(0, number * 8_000 - len(answer.received)))
                return None
            answer.read()
            return bytes(answer.received)

    with ThreadPoolExecutor(32) as pool:
        pulls = [pool.submit(pull, number) for number in range(32)]
        begun.wait(20)
        for leaver in pulls[::2]:
            leaver.result(timeout=scaled(20))
        hang.release()
        bodies = [stayer.result(timeout=scaled(20)) for stayer in pulls[1::2]]
    cache.eventually(lambda: layer.digest in cache.disk.layer_links(REPOSITORY))
    settle(cache, upstream)
    metrics = cache.metrics()

    def count(what: str) -> float:
        return metrics.total(f"registry_proxy_{what}_total", type="blob")

    expect.client("clients with every byte", bodies.count(layer.content), 16)
    expect.upstream("bodies", upstream.ledger.count("GET", digest=layer.digest), 1)
    expect.disk("it is cached", cache.disk.has_blob(layer.digest), True)
    expect.disk("unfinished uploads", unfinished(cache), 0)
    expect.client("requests counted", count("requests"), 32)
    expect.client("misses counted", count("misses"), 1)
    expect.client("bytes pulled", count("pulled_bytes"), layer.size)
