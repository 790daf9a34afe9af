"""The disk is full or read-only: pulls continue, nothing partial is kept, and the cache
recovers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from harness.clients.containerd_pull import ACCEPT, containerd_pull
from harness.content import Blob, an_image
from harness.suite.expectation import Expectations, at_least
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import Need, theme
from harness.system.crashes import SmallDisk
from harness.targets import DidNotStart, RunningRegistry
from harness.upstream import MockUpstream
from scenarios.pulling import blob_path, manifest_path, pull_blob, pull_image
from scenarios.scheduling import key_of
from scenarios.steps import OBSERVED, push, settle

REPOSITORY = "team/app"
MEASURED = "measured on 2.8.2"
PULLING = "OCI distribution-spec: Pulling blobs"
FULL = "RFC 4918, 11.5 507 Insufficient Storage"
DAY = timedelta(days=1)


def unfinished(cache: RunningRegistry) -> int:
    """How many uploads are there."""
    return len(cache.disk.uploads(REPOSITORY))


scenario = theme("disk", refs=(PULLING, MEASURED), needs=OBSERVED)


@scenario(
    "full-during-a-fill",
    "When the disk fills up during a pull the client gets every byte, and nothing partial is kept",
)
def test_full_during_a_fill(
    small_disk: SmallDisk, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Caches fill up by design. A cache that fails then takes the cluster down although upstream is
    up."""
    layer = upstream.add(REPOSITORY, Blob.of_size(600_000))
    cached = upstream.add(REPOSITORY, an_image("cached"), tags=("v1",))
    cache = target.proxy(upstream, root=small_disk.root)
    pull_image(cache, REPOSITORY, cached, "v1")
    small_disk.fill(leave=200_000)

    answer = cache.get(blob_path(REPOSITORY, layer))
    settle(cache, upstream)
    expect.client("status", answer.status, 200)
    expect.client("the bytes are right", answer.body == layer.content, True)
    expect.disk("a part is stored", cache.disk.has_blob(layer.digest), False)
    expect.disk("it is linked", layer.digest in cache.disk.layer_links(REPOSITORY), False)
    expect.disk("unfinished uploads", unfinished(cache), 0)
    hit = containerd_pull(cache.client, REPOSITORY, cached.digest)
    expect.client("what is cached", hit.complete, True)

    small_disk.free()
    again = pull_blob(cache, REPOSITORY, layer)
    expect.client("with space again", again.body == layer.content, True)
    expect.disk("it is cached then", cache.disk.has_blob(layer.digest), True)


@scenario(
    "full-when-a-manifest-comes",
    "With a full disk cached and new manifests are still pulled",
    refs=("OCI distribution-spec: Pulling manifests", MEASURED),
)
def test_full_when_a_manifest_comes(
    small_disk: SmallDisk, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Deployments continue as if there were no cache, instead of failing because of it."""
    cached = upstream.add(REPOSITORY, an_image("cached"), tags=("v1",))
    new = upstream.add(REPOSITORY, an_image("new"), tags=("v2",))
    cache = target.proxy(upstream, root=small_disk.root)
    pull_image(cache, REPOSITORY, cached, "v1")
    small_disk.fill()

    known = cache.get(manifest_path(REPOSITORY, "v1"), headers=ACCEPT)
    fresh = cache.get(manifest_path(REPOSITORY, "v2"), headers=ACCEPT)
    by_digest = cache.get(manifest_path(REPOSITORY, new.digest), headers=ACCEPT)
    settle(cache, upstream)

    expect.client("cached tag", known.status, 200)
    expect.client("its manifest is right", known.body == cached.content, True)
    expect.client("new tag", fresh.status, 200)
    expect.client("its manifest, too", fresh.body == new.content, True)
    expect.client("new digest", by_digest.status, 200)
    expect.disk("tags", set(cache.disk.tags(REPOSITORY)), {"v1"})
    stored = cache.disk.has_blob(new.digest)
    partial = stored and cache.disk.blob_bytes(new.digest) != new.content
    expect.disk("parts of it", partial, False)
    small_disk.free()
    whole = pull_image(cache, REPOSITORY, new, "v2")
    upstream.down()
    offline = containerd_pull(cache.client, REPOSITORY, new.digest)
    expect.client("with space again", whole.complete, True)
    expect.client("from the cache", offline.complete, True)


@scenario(
    "full-when-the-schedule-is-written",
    "When the schedule does not fit on the disk the old file stays, and the new one follows later",
    refs=("d#4594", MEASURED),
    needs=OBSERVED | {Need.RESTART, Need.STATE_FILE},
)
def test_full_when_the_schedule_is_written(
    small_disk: SmallDisk, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Otherwise the entries are lost and their content never expires, on the disk that needs the
    space."""
    blobs = [Blob(f"layer {number}".encode()) for number in range(2000)]
    cache = target.proxy(upstream, root=small_disk.root)
    cache.stop()
    soon = (datetime.now(UTC) + DAY).isoformat().replace("+00:00", "Z")
    entries = {
        key: {"Key": key, "ExpiryData": soon, "EntryType": 0}
        for key in (key_of("other/app", blob) for blob in blobs)
    }
    cache.state_path.write_text(json.dumps(entries))
    cache.start()
    new = upstream.add(REPOSITORY, Blob(b"new"))
    # Enough for the blob and its link, too little for another schedule of 400 kB.
    small_disk.fill(leave=65_536)

    answer = cache.get(blob_path(REPOSITORY, new))
    wanted = key_of(REPOSITORY, new)
    # One that writes the file where it is has room for it.
    cache.eventually(
        lambda: "Error writing" in cache.logs() or wanted in cache.state_path.read_text(),
        timeout=7.0,
    )
    expect.client("the pull", answer.body == new.content, True)
    try:
        saved = len(cache.state() or {})
    except ValueError:
        saved = -1
    expect.disk("entries saved meanwhile", saved, at_least(2000))
    small_disk.free()
    state = cache.await_state(lambda found: wanted in found, timeout=6.0)
    expect.disk("the new entry, with space again", wanted in state, True)


@scenario(
    "full-during-a-push",
    "A push to a full disk is refused with a specific error, and continues when there is space",
    refs=(FULL, "OCI distribution-spec: Error Codes", MEASURED),
)
def test_full_during_a_push(
    small_disk: SmallDisk, target: TargetUnderTest, expect: Expectations
) -> None:
    """ "unknown error" sends people to look at everything but the disk."""
    blob = Blob.of_size(600_000)
    registry = target.standard(root=small_disk.root)
    opened = registry.post(f"/v2/{REPOSITORY}/blobs/uploads/", content=b"")
    small_disk.fill(leave=200_000)

    location = opened.headers["Location"].partition("/v2/")[2]
    octets = {"Content-Type": "application/octet-stream"}
    refused = registry.patch(f"/v2/{location}", content=blob.content, headers=octets)
    expect.client("status", refused.status, 507)
    expect.client("code", refused.error_code, "UNAVAILABLE")
    message = refused.json()["errors"][0]["message"]
    expect.client("it says why", "space" in message, True)
    expect.disk("stored", registry.disk.blobs(), set())

    small_disk.free()
    image = an_image()
    push(registry, REPOSITORY, image, "v1")
    pull = containerd_pull(registry.client, REPOSITORY, "v1")
    expect.client("a push with space again", pull.complete, True)


@scenario(
    "full-at-start",
    "A cache starts on a full disk, serves its content and streams the rest",
    needs=OBSERVED | {Need.RESTART},
)
def test_full_at_start(
    small_disk: SmallDisk, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A restart is the first thing operators try."""
    cached = upstream.add(REPOSITORY, an_image("cached"), tags=("v1",))
    new = upstream.add(REPOSITORY, an_image("new"), tags=("v2",))
    cache = target.proxy(upstream, root=small_disk.root)
    pull_image(cache, REPOSITORY, cached, "v1")
    cache.stop()
    small_disk.fill()

    try:
        cache.start()
    except DidNotStart as failure:
        expect.client("start", f"exit code {failure.exit_code}", "started")
        return
    expect.client("start", "started", "started")
    old = containerd_pull(cache.client, REPOSITORY, cached.digest)
    fresh = containerd_pull(cache.client, REPOSITORY, new.digest)
    expect.client("what it has", old.complete, True)
    expect.client("what it lacks", fresh.complete, True)


@scenario(
    "cannot-be-written",
    "Read-only storage is still served, and missing content is streamed from upstream",
)
def test_cannot_be_written(
    small_disk: SmallDisk, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """File systems turn read-only when their disk fails, and permissions are changed by mistake."""
    cached = upstream.add(REPOSITORY, an_image("cached"), tags=("v1",))
    new = upstream.add(REPOSITORY, an_image("new"), tags=("v2",))
    cache = target.proxy(upstream, root=small_disk.root)
    pull_image(cache, REPOSITORY, cached, "v1")
    settle(cache, upstream)
    small_disk.freeze()

    by_tag = containerd_pull(cache.client, REPOSITORY, "v1")
    by_digest = containerd_pull(cache.client, REPOSITORY, cached.digest)
    fresh = containerd_pull(cache.client, REPOSITORY, "v2")
    settle(cache, upstream)
    stored = cache.disk.blobs()
    small_disk.thaw()
    again = pull_image(cache, REPOSITORY, new, "v2")

    expect.client("cached image by tag", by_tag.complete, True)
    expect.client("cached image by digest", by_digest.complete, True)
    expect.client("new image", fresh.complete, True)
    kept = {cached.digest, *(blob.digest for blob in cached.blobs)}
    expect.disk("stored meanwhile", stored, kept)
    expect.client("when it can be written again", again.complete, True)
    expect.disk("it is cached then", new.digest in cache.disk.revisions(REPOSITORY), True)
    expect.disk("unfinished uploads", unfinished(cache), 0)
