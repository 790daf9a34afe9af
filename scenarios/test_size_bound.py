"""A cache that keeps to a size: what goes, what stays, and what pulls notice of it.

The bound is ``proxy.x-max-size`` (docs/configuration.md), which releases of distribution skip: they
keep everything until its ttl is over.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from harness.clients.containerd_pull import ACCEPT, containerd_pull
from harness.content import Blob, Image, a_layer, an_image, an_index
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import SHOULD, Need, scenario
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


@scenario(
    "size.stays-below",
    "A cache that is given a size stays below it, and what was pulled last is kept",
    level=SHOULD,
    refs=("d#3539", "d#2190", "kuik#482"),
    needs=OBSERVED,
)
def test_stays_below(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """Nobody knows beforehand how much a week of pulls is. A full disk fails all pulls, and often
    takes others that share the disk along."""
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
    "size.least-recently-used",
    "What has not been used for longest goes first, whenever it came",
    level=SHOULD,
    refs=("d#3539", "d#4659"),
    needs=BOUNDED,
)
def test_least_recently_used(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The base image came first and is used by everything; the build of last night will never be
    asked for again."""
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
    "size.use-survives-a-restart",
    "What was used last is known after a restart",
    level=SHOULD,
    refs=("d#3539", "d#4594"),
    needs=BOUNDED | {Need.RESTART},
)
def test_use_survives_a_restart(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A cache is restarted with each deployment. If it then knew no more than when something came,
    the base images would be the first to go."""
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
    "size.shared-counts-once",
    "A layer that several repositories have counts once, and goes from all of them at once",
    level=SHOULD,
    refs=("d#3539", "d#2367", "d#4191"),
    needs=BOUNDED,
)
def test_shared_counts_once(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Ten services on one base image take its room once. A cache that counted ten times would throw
    away what there is room for; one that freed it under the others would serve nothing."""
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
    "size.manifest-goes-whole",
    "When a manifest goes, its tags and its entry in the schedule go too; an index and the images "
    "in it go one by one",
    level=SHOULD,
    refs=("d#3539", "d#4249", "Harbor#20920"),
    needs=BOUNDED | {Need.STATE_FILE},
)
def test_manifest_goes_whole(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A tag that leads nowhere is listed, and pulled, and missing."""
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
    "size.larger-than-the-bound",
    "A layer that is larger than the whole cache is served and not kept, and drives nothing out",
    level=SHOULD,
    refs=("d#3539",),
    needs=BOUNDED,
)
def test_larger_than_the_bound(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """One model of 200 GB must neither fail nor empty the cache."""
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
