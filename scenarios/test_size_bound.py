"""A cache with a size limit: what it evicts, what it keeps, and what clients notice. The limit
is ``proxy.x-max-size`` (docs/configuration.md), which releases of distribution ignore: they keep
everything until its ttl is over."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from harness.clients.containerd_pull import ACCEPT, containerd_pull
from harness.content import Blob, Image, a_layer, an_image, an_index
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import Need, theme
from harness.targets import RunningRegistry
from harness.upstream import MockUpstream
from scenarios.pulling import blob_path, manifest_path, pull_blob, pull_image, pull_manifest
from scenarios.scheduling import key_of
from scenarios.steps import OBSERVED

BOUNDED = OBSERVED | {Need.X_KEYS}
SIZE = 100_000
"""Bytes of a layer; what a manifest and a config take beside it is little."""
BOUND = "350kB"
IDLE = timedelta(seconds=3)
"""After this time without a request nothing counts as in use."""


def _stored(cache: RunningRegistry) -> int:
    """Bytes of all blobs and manifests. What goes while we look counts as gone."""
    size = 0
    for digest in cache.disk.blobs():
        with suppress(FileNotFoundError):
            size += cache.disk.blob_path(digest).stat().st_size
    return size


def _has(cache: RunningRegistry, blob: Blob) -> bool:
    return cache.disk.has_blob(blob.digest)


def _image(seed: str) -> Image:
    """One layer of :data:`SIZE` bytes."""
    return an_image(seed, layers=[a_layer(seed, SIZE)])


scenario = theme("size", needs=BOUNDED)


@scenario(
    "stays-below",
    "A cache with a size limit stays below it and keeps the latest pull",
    refs=("d#3539", "d#2190", "kuik#482"),
    needs=OBSERVED,
)
def test_stays_below(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """The size of a week's pulls is unknown beforehand. A full disk fails all pulls, and often
    other services on the same disk."""
    images = [upstream.add("team/app", _image(f"v{n}"), tags=(f"v{n}",)) for n in range(6)]
    cache = target.proxy(upstream, max_size=BOUND)

    for number, image in enumerate(images):
        pull_image(cache, "team/app", image, f"v{number}")
    cache.let_pass(IDLE)
    cache.eventually(lambda: _stored(cache) <= 350_000, timeout=3.0)

    expect.disk("is below the size", _stored(cache) <= 350_000, True)
    expect.disk("the last image is kept", _has(cache, images[-1].layers[0]), True)
    pull = containerd_pull(cache.client, "team/app", "v0")
    expect.client("the first can be pulled again", pull.complete, True)


@scenario(
    "least-recently-used",
    "The least recently used content is evicted first, regardless of its age",
    refs=("d#3539", "d#4659"),
)
def test_least_recently_used(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Every build uses the base image that came first; last night's build is never pulled again."""
    first, second, third, fourth = (
        upstream.add("team/app", a_layer(f"layer {n}", SIZE)) for n in range(4)
    )
    cache = target.proxy(upstream, max_size=BOUND)
    for layer in (first, second, third):
        pull_blob(cache, "team/app", layer)
        cache.let_pass(IDLE)

    cache.get(blob_path("team/app", first))
    cache.let_pass(IDLE)
    pull_blob(cache, "team/app", fourth)
    cache.eventually(lambda: not _has(cache, second))

    left = [_has(cache, layer) for layer in (first, second, third, fourth)]
    expect.disk("left", left, [True, False, True, True])


@scenario(
    "use-survives-a-restart",
    "The order of last use survives a restart",
    refs=("d#3539", "d#4594"),
    needs=BOUNDED | {Need.RESTART},
)
def test_use_survives_a_restart(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Each deployment restarts the cache. If it only knew when content arrived, it would evict the
    base images first."""
    first, second, third, fourth = (
        upstream.add("team/app", a_layer(f"layer {n}", SIZE)) for n in range(4)
    )
    cache = target.proxy(upstream, max_size=BOUND, ttl=0)
    for layer in (first, second, third):
        pull_blob(cache, "team/app", layer)
        cache.let_pass(IDLE)
    cache.get(blob_path("team/app", first))

    cache.restart()
    cache.let_pass(IDLE)
    pull_blob(cache, "team/app", fourth)
    cache.eventually(lambda: not _has(cache, second))

    left = [_has(cache, layer) for layer in (first, second, third, fourth)]
    expect.disk("left", left, [True, False, True, True])


@scenario(
    "shared-counts-once",
    "A shared layer counts once, and is evicted from all its repositories together",
    refs=("d#3539", "d#2367", "d#4191"),
)
def test_shared_counts_once(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Ten services on one base image use its space once. Counting it ten times would evict content
    that fits; freeing it under the others would serve nothing."""
    shared = a_layer("shared", SIZE)
    names = [f"team/app{n}" for n in range(6)]
    for name in names:
        upstream.add(name, shared)
    others = [upstream.add("team/other", a_layer(f"other {n}", SIZE)) for n in range(3)]
    cache = target.proxy(upstream, max_size=BOUND)

    for name in names:
        pull_blob(cache, name, shared)
    pull_blob(cache, "team/other", others[0])
    pull_blob(cache, "team/other", others[1])
    cache.let_pass(IDLE)
    went = cache.eventually(lambda: not _has(cache, shared), timeout=1.5)
    expect.disk("shared layer went while there was room", went, False)

    pull_blob(cache, "team/other", others[2])
    cache.eventually(lambda: not _has(cache, shared))
    linked = [name for name in names if shared.digest in cache.disk.layer_links(name)]
    expect.disk("shared layer is stored", _has(cache, shared), False)
    expect.disk("repositories that link it", linked, [])
    expect.disk("other layers", [_has(cache, layer) for layer in others], [True] * 3)
    again = cache.get(blob_path(names[-1], shared))
    expect.client("bytes when it is pulled again", again.body == shared.content, True)


@scenario(
    "manifest-goes-whole",
    "Evicting a manifest removes its tags and schedule entry; an index and its images are "
    "evicted separately",
    refs=("d#3539", "d#4249", "Harbor#20920"),
    needs=BOUNDED | {Need.STATE_FILE},
)
def test_manifest_goes_whole(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A tag without a manifest is listed, pulled and missing."""
    children = [an_image(f"child {p}", platform=p) for p in ("linux/amd64", "linux/arm64")]
    index = upstream.add("team/app", an_index(*children), tags=("v1",))
    child = children[0]
    layers = [upstream.add("team/app", a_layer(f"layer {n}", SIZE)) for n in range(4)]
    cache = target.proxy(upstream, max_size=BOUND)
    pull_manifest(cache, "team/app", index, "v1")
    cache.let_pass(IDLE)
    pull_manifest(cache, "team/app", child)
    for layer in layers[:3]:
        cache.let_pass(IDLE)
        pull_blob(cache, "team/app", layer)
    cache.let_pass(IDLE)
    cache.get(manifest_path("team/app", child.digest), headers=ACCEPT)
    cache.let_pass(IDLE)

    pull_blob(cache, "team/app", layers[3])
    gone = {key_of("team/app", index), key_of("team/app", layers[0])}
    state = cache.await_state(lambda entries: not gone & set(entries))

    expect.disk("tags", cache.disk.tags("team/app"), {})
    expect.disk("revisions", cache.disk.revisions("team/app"), {child.digest})
    expect.disk("manifests stored", cache.disk.has_blob(index.digest), False)
    kept = {key_of("team/app", child), *(key_of("team/app", layer) for layer in layers[1:])}
    expect.disk("entries", set(state), kept)
    again = cache.get(manifest_path("team/app", "v1"), headers=ACCEPT)
    expect.client("bytes when the tag is pulled again", again.body == index.content, True)


@scenario(
    "larger-than-the-bound",
    "A layer larger than the limit is served and not kept, and evicts nothing",
    refs=("d#3539",),
)
def test_larger_than_the_bound(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """One 200 GB model must neither fail nor empty the cache."""
    small = [upstream.add("team/app", a_layer(f"small {n}", SIZE)) for n in range(3)]
    huge = upstream.add("team/app", a_layer("huge", 10 * SIZE))
    cache = target.proxy(upstream, max_size=BOUND)
    for layer in small:
        pull_blob(cache, "team/app", layer)

    answers = [cache.get(blob_path("team/app", huge)) for _ in range(2)]
    cache.let_pass(IDLE)
    cache.eventually(lambda: not _has(cache, huge))

    expect.client("statuses", [answer.status for answer in answers], [200, 200])
    whole = [answer.body == huge.content for answer in answers]
    expect.client("bytes are right", whole, [True, True])
    expect.disk("it is kept", _has(cache, huge), False)
    expect.disk("the others are kept", [_has(cache, layer) for layer in small], [True] * 3)
    expect.disk("unfinished uploads", cache.disk.uploads("team/app"), set())
