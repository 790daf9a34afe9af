"""Expiry in a pull-through cache: when entries expire, the schedule that survives the process,
and what expired content leaves."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.content import Image, an_image, an_index
from harness.suite.expectation import Expectations, any_of, at_least
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import INFO, Need, theme
from harness.system.ports import scaled
from harness.targets import DidNotStart, StateEntry
from harness.upstream import MockUpstream
from scenarios.pulling import blob_path, manifest_path, pull_blob, pull_image, pull_manifest
from scenarios.scheduling import Due, all_of, hours_left, key_of, reopen_with
from scenarios.steps import OBSERVED, asked

DOCS = "distribution docs: Configuring a registry, proxy"
SCHEDULED = OBSERVED | {Need.STATE_FILE}
RESTARTED = SCHEDULED | {Need.RESTART}
TURNED = SCHEDULED | {Need.CLOCK}

MEASURED = "measured on 2.8.2 to 3.1.1"
DAY = timedelta(days=1)
scenario = theme("ttl", refs=("d#4594", MEASURED), needs=RESTARTED)


# -- the schedule ------------------------------------------------------------------------------
@scenario(
    "schedule-format",
    "scheduler-state.json has one entry per object and repository, with expiry in UTC",
    level=INFO,
    refs=(DOCS, "d#4594", MEASURED),
    needs=SCHEDULED,
)
def test_schedule_format(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The file is the only place that shows what a cache deletes and when. A reader that takes it
    for local time is hours off. Without proxy.ttl an entry lives for 168 hours."""
    layer = image.layers[0]
    upstream.add("other/app", layer)
    cache = target.proxy(upstream)

    pull_manifest(cache, "team/app", image, "v1")
    pull_blob(cache, "team/app", layer)
    pull_blob(cache, "other/app", layer)
    state = cache.await_state(lambda entries: len(entries) == 3)

    document: Mapping[str, Mapping[str, Any]] = json.loads(cache.state_path.read_text())
    kinds = {key: entry["EntryType"] for key, entry in document.items()}
    keys = {
        "manifest": key_of("team/app", image),
        "layer": key_of("team/app", layer),
        "same layer elsewhere": key_of("other/app", layer),
    }
    expect.disk(
        "EntryType by name",
        kinds,
        {keys["manifest"]: 1, keys["layer"]: 0, keys["same layer elsewhere"]: 0},
    )
    fields = {field for entry in document.values() for field in entry}
    expect.disk("fields", fields, {"Key", "ExpiryData", "EntryType"})
    expect.disk("Key by name", {k: e["Key"] for k, e in document.items()}, {k: k for k in kinds})
    expect.disk(
        "times not in RFC 3339 with Z",
        [e["ExpiryData"] for e in document.values() if not _is_utc(e["ExpiryData"])],
        [],
    )
    expect.disk("hours until expiry", set(hours_left(state).values()), {168})


@scenario(
    "configured",
    "proxy.ttl sets how long an entry lives",
    refs=(DOCS, "d#3880", "d#4352"),
    needs=SCHEDULED,
)
def test_configured(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """With 48h an operator plans a disk for two days of pulls, not a week."""
    cache = target.proxy(upstream, ttl="48h")

    pull_manifest(cache, "team/app", image, "v1")
    pull_blob(cache, "team/app", image.config)
    state = cache.await_state(lambda entries: len(entries) == 2)

    hours = hours_left(state)
    expect.disk("hours left of the manifest", hours.get(key_of("team/app", image)), 48)
    expect.disk("hours left of the blob", hours.get(key_of("team/app", image.config)), 48)


@scenario(
    "hits-do-not-extend",
    "A hit does not extend expiry",
    level=INFO,
    refs=("d#4659", "d#4872", MEASURED),
)
def test_hits_do_not_extend(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """An image pulled every minute is fetched once per ttl. That bounds the age of content, and is
    why upstream sees the hottest images again and again."""
    layer = image.layers[0]
    cache = target.proxy(upstream)
    pull_image(cache, "team/app", image, "v1")
    known = all_of("team/app", image, DAY)
    reopen_with(cache, *known)
    upstream.add("team/new", layer)

    for _ in range(3):
        cache.get(manifest_path("team/app", "v1"), headers=ACCEPT)
        cache.get(manifest_path("team/app", image.digest), headers=ACCEPT)
        cache.head(blob_path("team/app", layer))
        cache.get(blob_path("team/app", layer))
    # A new entry, so that the schedule is saved again.
    pull_blob(cache, "team/new", layer)
    hours = hours_left(cache.await_state(lambda entries: len(entries) == len(known) + 1))

    expect.disk("hours left of the manifest", hours.get(key_of("team/app", image)), 24)
    expect.disk("hours left of the layer", hours.get(key_of("team/app", layer)), 24)
    expect.disk("hours left of the new entry", hours.get(key_of("team/new", layer)), 168)


@scenario(
    "change-concerns-new-entries",
    "A changed ttl applies to new entries; old entries keep their expiry",
    level=INFO,
    refs=("d#4352", "d#3880", DOCS),
)
def test_change_concerns_new_entries(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Lowering ttl frees no disk until the old ttl is over. For space now, the cache has to be
    emptied."""
    cache = target.proxy(upstream, ttl="100h")
    pull_manifest(cache, "team/app", image, "v1")
    cache.await_state(lambda entries: len(entries) == 1)

    cache.restart(ttl="2h")
    pull_manifest(cache, "team/app", image, "v1")
    pull_blob(cache, "team/app", image.config)
    hours = hours_left(cache.await_state(lambda entries: len(entries) == 2))

    expect.disk("hours left of the old entry", hours.get(key_of("team/app", image)), 100)
    expect.disk("hours left of the new entry", hours.get(key_of("team/app", image.config)), 2)


@scenario(
    "unreadable-refused",
    "An invalid ttl is refused at start with an error that names it",
    refs=(DOCS, "Go documentation: time.ParseDuration"),
    needs={Need.CONFIG},
)
@pytest.mark.parametrize("ttl", ["1d", "two days"])
def test_unreadable_refused(
    ttl: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A ttl of "1d" looks right and is not. A cache that starts anyway keeps content for another
    time than its operator expects."""
    try:
        target.proxy(upstream, ttl=ttl)
    except DidNotStart as refusal:
        expect.client("start", "refused", "refused")
        said = any(word in refusal.message for word in ("ttl", ttl))
        expect.client("the message names the key or the value", said, True)
    else:
        expect.client("start", "started", "refused")


# -- expiry ------------------------------------------------------------------------------------
@scenario(
    "expires-in-time",
    "Content is served until its ttl is over, then removed, hit or not",
    refs=(DOCS, "d#4352", "d#4957"),
    needs=TURNED,
)
def test_expires_in_time(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A ttl promises both: a rebuild within it costs upstream nothing, and unused content does not
    fill the disk."""
    layer = image.layers[0]
    cache = target.proxy(upstream, delete_enabled=True)
    pull_image(cache, "team/app", image, "v1")

    cache.pass_time(timedelta(hours=167))
    upstream.ledger.clear()
    early = cache.get(blob_path("team/app", layer))
    expect.client("status within the ttl", early.status, 200)
    expect.upstream("requests within the ttl", asked(upstream), [])
    expect.disk("layer within the ttl", cache.disk.has_blob(layer.digest), True)

    cache.pass_time(timedelta(hours=2))
    kept = not cache.eventually(lambda: not cache.disk.has_blob(layer.digest), timeout=0.4)
    expect.disk("layer after the ttl", kept, False)
    expect.upstream("requests in all", asked(upstream), [])


@scenario(
    "zero-keeps-for-ever",
    "With ttl 0 nothing expires",
    level=INFO,
    refs=(DOCS, "d#3880", "d#4805"),
    needs=TURNED,
)
def test_zero_keeps_for_ever(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """For a cache that has to outlive its upstream: an archive, or a site without a network."""
    layer = image.layers[0]
    cache = target.proxy(upstream, ttl=0, delete_enabled=True)
    pull_image(cache, "team/app", image, "v1")
    upstream.ledger.clear()

    cache.pass_time(3650 * DAY)
    cache.eventually(
        lambda: (
            not cache.disk.layer_links("team/app")
            and not cache.disk.revisions("team/app")
            and not cache.disk.has_blob(layer.digest)
        ),
        timeout=0.4,
    )

    expect.disk("layer after ten years", cache.disk.has_blob(layer.digest), True)
    expect.disk("manifest after ten years", image.digest in cache.disk.revisions("team/app"), True)
    answer = cache.get(blob_path("team/app", layer))
    expect.client("status of the layer", answer.status, 200)
    fetched = upstream.ledger.count("GET", digest=layer.digest) > 0
    expect.upstream("layer fetched again", fetched, False)


@scenario(
    "spellings-of-zero",
    "A ttl of 0s keeps content forever, like 0; a negative ttl does the same or is refused",
    level=INFO,
    refs=(DOCS, "d#3880", MEASURED),
    needs=TURNED,
)
@pytest.mark.parametrize("ttl", ["0s", "-1h"])
def test_spellings_of_zero(
    ttl: str, image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A cache that took "-1h" for overdue would delete every layer right after fetching it."""
    layer = image.layers[0]
    try:
        cache = target.proxy(upstream, ttl=ttl, delete_enabled=True)
    except DidNotStart:
        expect.client("a start is refused for a negative ttl only", ttl, "-1h")
        return
    pull_blob(cache, "team/app", layer)

    cache.pass_time(3650 * DAY)
    cache.eventually(lambda: not cache.disk.has_blob(layer.digest), timeout=0.4)

    expect.disk("layer after ten years", cache.disk.has_blob(layer.digest), True)


@scenario(
    "bare-number",
    "A ttl without a unit, such as 3600, is refused at start",
    refs=(DOCS, "Go documentation: time.Duration", MEASURED),
    needs={Need.CONFIG},
)
def test_bare_number(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """Go reads 3600 as nanoseconds: content would expire as soon as it is stored, and the cache
    would fetch everything for every client."""
    try:
        target.proxy(upstream, ttl=3600)
    except DidNotStart as refusal:
        expect.client("start", "refused", "refused")
        expect.client("the error names the key", "ttl" in refusal.message, True)
    else:
        expect.client("start", "started", "refused")


@scenario(
    "overdue-at-start",
    "Content that expires while the cache is off is removed at start; the rest is kept",
)
def test_overdue_at_start(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A cache that restarts every night must not restart every ttl."""
    due, fresh = image.layers
    cache = target.proxy(upstream, delete_enabled=True)
    pull_image(cache, "team/app", image, "v1")
    upstream.ledger.clear()

    reopen_with(
        cache, Due("team/app", due), Due("team/app", fresh, DAY), Due("team/app", image, DAY)
    )
    cache.eventually(lambda: not cache.disk.has_blob(due.digest))

    expect.disk("overdue layer", cache.disk.has_blob(due.digest), False)
    expect.disk("fresh layer", cache.disk.has_blob(fresh.digest), True)
    expect.upstream("requests", asked(upstream), [])
    upstream.down()
    answer = cache.get(manifest_path("team/app", image.digest), headers=ACCEPT)
    expect.client("status of the manifest, upstream down", answer.status, 200)
    expect.client(
        "status of the fresh layer, upstream down",
        cache.get(blob_path("team/app", fresh)).status,
        200,
    )


@scenario(
    "blob-leaves-nothing",
    "An expired blob leaves no bytes and no link, without garbage collection",
    refs=("d#4957", "d#4249", DOCS),
)
def test_blob_leaves_nothing(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Layers are nearly all that a cache stores. If their bytes stayed until the next garbage
    collection, the ttl would save no disk."""
    layer = image.layers[0]
    cache = target.proxy(upstream, delete_enabled=True)
    pull_image(cache, "team/app", image, "v1")

    reopen_with(cache, Due("team/app", layer))
    cache.eventually(lambda: layer.digest not in cache.disk.layer_links("team/app"))
    cache.eventually(lambda: not cache.disk.has_blob(layer.digest))

    others = {blob.digest for blob in image.blobs} - {layer.digest}
    expect.disk("layer links", cache.disk.layer_links("team/app"), others)
    expect.disk("stored", cache.disk.blobs(), others | {image.digest})

    def files() -> list[str]:
        return [path for path in cache.disk.files() if layer.digest.split(":")[1] in path]

    cache.eventually(lambda: not files())
    expect.disk("files that name the layer", files(), [])


@scenario(
    "manifest-leaves-nothing",
    "An expired manifest leaves no link, no bytes and no tags",
    refs=("d#4249", MEASURED),
)
def test_manifest_leaves_nothing(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Tags without manifests pile up by the thousand behind a busy build server, and each promises
    an image that the cache no longer has."""
    cache = target.proxy(upstream, delete_enabled=True)
    pull_manifest(cache, "team/app", image, "v1")

    reopen_with(cache, Due("team/app", image))
    cache.eventually(lambda: image.digest not in cache.disk.revisions("team/app"))
    cache.eventually(lambda: not cache.disk.has_blob(image.digest), timeout=0.3)

    expect.disk("revisions", cache.disk.revisions("team/app"), set())
    expect.disk("tags", set(cache.disk.tags("team/app")), set())
    expect.disk("bytes stored", cache.disk.has_blob(image.digest), False)


@scenario(
    "without-delete-enabled",
    "Expiry frees the disk whatever storage.delete.enabled says",
    refs=("d#4249", "d#4957", DOCS),
)
def test_without_delete_enabled(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The default is false, without a warning. Where expiry then deletes nothing and drops the
    entry, enabling it later does not free the disk either."""
    layer = image.layers[0]
    cache = target.proxy(upstream, delete_enabled=False)
    pull_image(cache, "team/app", image, "v1")

    others = [due for due in all_of("team/app", image, DAY) if due.content != layer]
    reopen_with(cache, Due("team/app", layer), *others)
    state = cache.await_state(lambda entries: key_of("team/app", layer) not in entries)

    expect.disk("entries", set(state), {due.key for due in others})
    expect.disk("layer still stored", cache.disk.has_blob(layer.digest), False)
    refused = "operation unsupported" in cache.logs()
    expect.disk("the log says that deletion is unsupported", refused, False)

    cache.restart(delete_enabled=True)
    cache.eventually(lambda: not cache.disk.has_blob(layer.digest), timeout=0.2)
    expect.disk("layer stored once delete is enabled", cache.disk.has_blob(layer.digest), False)


@scenario(
    "shared-blob-survives",
    "A blob that expires in one repository stays for another",
    refs=("d#2367", "d#4191", "d#4872"),
)
def test_shared_blob_survives(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Most images of a company share base layers. If the first expiry removes the bytes for all,
    each base layer is fetched again and again."""
    layer = image.layers[0]
    upstream.add("other/app", layer)
    cache = target.proxy(upstream, delete_enabled=True)
    pull_blob(cache, "team/app", layer)
    pull_blob(cache, "other/app", layer)

    reopen_with(cache, Due("team/app", layer), Due("other/app", layer, DAY))
    cache.eventually(lambda: not cache.disk.layer_links("team/app"))
    cache.eventually(lambda: not cache.disk.has_blob(layer.digest), timeout=0.1)
    expect.disk("bytes", cache.disk.has_blob(layer.digest), True)

    upstream.ledger.clear()
    answer = cache.get(blob_path("other/app", layer))
    expect.client("status", answer.status, 200)
    expect.client("bytes are right", answer.body == layer.content, True)
    expect.upstream("blob requests", bool(upstream.ledger.count(kind="blob")), False)


@scenario(
    "shared-blob-is-never-empty",
    "After a shared blob expires in one repository, the other is not served an empty body",
    refs=("d#2367", "d#4191", "d#1356", "d#4872"),
    needs=RESTARTED | {Need.CLOCK},
)
def test_shared_blob_is_never_empty(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """With a descriptor cache, as in the widely copied configuration, a cache may remember a blob
    whose bytes are gone. Clients get "unexpected EOF" until a restart."""
    layer = an_image().layers[0]
    upstream.add("team/app", layer)
    upstream.add("other/app", layer)
    cache = target.proxy(upstream, delete_enabled=True, cache="inmemory")
    pull_blob(cache, "team/app", layer)
    pull_blob(cache, "other/app", layer)

    soon = timedelta(seconds=2)
    reopen_with(cache, Due("team/app", layer, soon), Due("other/app", layer, DAY))
    cache.get(blob_path("other/app", layer))
    cache.let_pass(soon)
    cache.eventually(
        lambda: not cache.disk.layer_links("team/app") or not cache.disk.has_blob(layer.digest)
    )
    cache.eventually(lambda: not cache.disk.has_blob(layer.digest), timeout=0.3)
    answer = cache.get(blob_path("other/app", layer))

    expect.client("status", answer.status, 200)
    expect.client("Content-Length", answer.headers.get("Content-Length"), str(layer.size))
    expect.client("bytes received", len(answer.body), layer.size)


@scenario(
    "index-and-child-expire-apart",
    "An index and its image expire separately",
    level=INFO,
    refs=(MEASURED, "d#4872"),
)
def test_index_and_child_expire_apart(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The index is pulled by tag every time, the child only by digest; they are seldom cached at
    the same moment."""
    index = upstream.add("team/app", an_index(), tags=("v1",))
    child = index.manifests[0]
    cache = target.proxy(upstream, delete_enabled=True)
    pull_manifest(cache, "team/app", index, "v1")
    pull_manifest(cache, "team/app", child)

    reopen_with(cache, Due("team/app", index), Due("team/app", child, DAY))
    cache.eventually(lambda: index.digest not in cache.disk.revisions("team/app"))
    expect.disk("revisions", cache.disk.revisions("team/app"), {child.digest})

    upstream.down()
    answer = cache.get(manifest_path("team/app", child.digest), headers=ACCEPT)
    expect.client("status of the child, upstream down", answer.status, 200)


@scenario(
    "repull-after-expiry",
    "After expiry the next pull fetches the image and schedules it again",
    refs=("d#3722", "d#4352", MEASURED),
)
def test_repull_after_expiry(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Expiry is routine; users should only notice a slower pull."""
    cache = target.proxy(upstream, delete_enabled=True)
    pull_image(cache, "team/app", image, "v1")
    entries = all_of("team/app", image)
    reopen_with(cache, *entries)
    cache.eventually(lambda: not cache.disk.revisions("team/app"))
    cache.eventually(lambda: not cache.disk.layer_links("team/app"))
    cache.eventually(lambda: not cache.disk.blobs(), timeout=0.3)
    upstream.ledger.clear()

    pull = pull_image(cache, "team/app", image, "v1")
    renewed = {entry.key for entry in entries}
    state = cache.await_state(lambda saved: set(saved) == renewed and _all_in_time(saved))

    expect.client("pull is complete", pull.complete, True)
    expect.upstream("manifest bodies", upstream.ledger.count("GET", kind="manifest"), at_least(1))
    fetched = {entry.digest for entry in upstream.ledger.select("GET", kind="blob")}
    expect.upstream("blobs fetched", fetched, {blob.digest for blob in image.blobs})
    expect.disk("entries", set(state), renewed)
    expect.disk("hours until expiry", set(hours_left(state).values()), {168})


@scenario(
    "expired-and-upstream-down",
    "An expired image is 5xx while upstream is down, and is not listed",
    refs=("d#4477", MEASURED),
)
def test_expired_and_upstream_down(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The worst moment: the copy is gone and the source is down. 502, 503 or 504 show operators
    where to look; 500 blames the cache."""
    cache = target.proxy(upstream, delete_enabled=True)
    pull_manifest(cache, "team/app", image, "v1")
    reopen_with(cache, Due("team/app", image))
    cache.eventually(lambda: image.digest not in cache.disk.revisions("team/app"))
    upstream.down()

    by_tag = cache.get(manifest_path("team/app", "v1"), headers=ACCEPT)
    by_digest = cache.get(manifest_path("team/app", image.digest), headers=ACCEPT)
    listed = cache.get("/v2/team/app/tags/list")

    expect.client("status by tag", by_tag.status, any_of(502, 503, 504))
    expect.client("status by digest", by_digest.status, any_of(502, 503, 504))
    tags = listed.json().get("tags") if listed.status == 200 else None
    expect.client("tags listed", tags, any_of(None, []))


@scenario(
    "use-puts-expiry-off",
    "With x-refresh-on-hit a hit extends expiry",
    refs=("d#4659", "d#4872", "Quay docs: proxy cache, expiry is reset at each pull"),
    needs=TURNED,
)
def test_use_puts_expiry_off(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The base image of every build is what a cache should evict last, and what it fetched first.
    With this setting the ttl is the time that content may stay unused."""
    used, unused = image.layers
    cache = target.proxy(upstream, refresh_on_hit=True, delete_enabled=True)
    pull_image(cache, "team/app", image, "v1")

    cache.pass_time(timedelta(hours=150))
    cache.get(manifest_path("team/app", image.digest), headers=ACCEPT)
    cache.get(blob_path("team/app", used))
    cache.pass_time(timedelta(hours=30))
    cache.eventually(lambda: not cache.disk.has_blob(unused.digest))
    # Used content stays; if it goes, it goes with the unused layer or right after it.
    cache.eventually(
        lambda: (
            not cache.disk.has_blob(used.digest)
            and image.digest not in cache.disk.revisions("team/app")
        ),
        timeout=1.0,
    )

    expect.disk("layer that was used", cache.disk.has_blob(used.digest), True)
    expect.disk("manifest that was used", image.digest in cache.disk.revisions("team/app"), True)
    expect.disk("layer that was not used", cache.disk.has_blob(unused.digest), False)

    cache.pass_time(timedelta(hours=150))
    cache.eventually(lambda: not cache.disk.has_blob(used.digest))
    expect.disk("layer that is not used any more", cache.disk.has_blob(used.digest), False)


# -- the schedule at start ---------------------------------------------------------------------
@scenario(
    "damaged-schedule", "A cache starts, serves and schedules with a damaged scheduler-state.json"
)
@pytest.mark.parametrize(
    "content",
    ["", '{"team/app@sha256:', "[]", "null", '{"team/app@sha256:00": {"ExpiryData": "tomorrow"}}'],
    ids=["empty", "cut-short", "array", "null", "no-date"],
)
def test_damaged_schedule(
    content: str,
    image: Image,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """A full disk or a power cut leaves an empty or truncated file. A cache that cannot start takes
    every node of the cluster with it, until an operator learns that the file may be deleted."""
    layer = image.layers[0]
    cache = target.proxy(upstream)
    pull_blob(cache, "team/app", layer)
    cache.stop()
    cache.state_path.write_text(content)
    upstream.ledger.clear()

    try:
        cache.start()
    except DidNotStart as failure:
        expect.client("start", f"exit code {failure.exit_code}", "started")
        return
    expect.client("start", "started", "started")
    hit = cache.get(blob_path("team/app", layer))
    expect.client("status of the cached layer", hit.status, 200)
    expect.upstream("requests for the cached layer", asked(upstream), [])
    miss = pull_manifest(cache, "team/app", image)
    expect.client("status of a new manifest", miss.status, 200)
    wanted = {key_of("team/app", layer), key_of("team/app", image)}
    state = cache.await_state(lambda entries: set(entries) == wanted, timeout=1.0)
    expect.disk("entries", set(state), wanted)


@scenario(
    "strange-entries",
    "Schedule entries of unknown type or missing content do not stop others from expiring",
    refs=(MEASURED, "distribution: registry/proxy/scheduler"),
)
def test_strange_entries(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The schedule outlives upgrades, downgrades and garbage collections, and mentions content that
    the running cache does not know."""
    image = upstream.add("team/app", an_image(layers=3), tags=("v1",))
    odd, due, fresh = image.layers
    elsewhere = an_image("swept").config
    cache = target.proxy(upstream, delete_enabled=True)
    pull_image(cache, "team/app", image, "v1")

    reopen_with(
        cache,
        Due("team/app", odd, kind=7),
        Due("team/app", elsewhere),
        Due("gone/app", an_image("swept")),
        Due("team/app", due),
        Due("team/app", fresh, DAY),
    )
    cache.eventually(lambda: not cache.disk.has_blob(due.digest))
    upstream.ledger.clear()
    answer = cache.get(blob_path("team/app", fresh))

    expect.disk("overdue layer", cache.disk.has_blob(due.digest), False)
    expect.disk("fresh layer", cache.disk.has_blob(fresh.digest), True)
    expect.client("status of the fresh layer", answer.status, 200)
    expect.upstream("requests", asked(upstream), [])


@scenario(
    "schedule-survives-a-stop",
    "A stop loses no schedule entry, however recent",
    refs=("d#4805", "d#4594", MEASURED),
)
@pytest.mark.parametrize("draintimeout", [None, "5s"], ids=["plain", "draining"])
def test_schedule_survives_a_stop(
    draintimeout: str | None,
    image: Image,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Otherwise content cached shortly before a deployment is never scheduled again and stays on
    the disk forever."""
    cache = target.proxy(upstream, draintimeout=draintimeout)
    pull_manifest(cache, "team/app", image, "v1")
    pull_blob(cache, "team/app", image.config)

    cache.stop()

    wanted = {key_of("team/app", image), key_of("team/app", image.config)}
    expect.disk("entries after the stop", set(cache.state() or {}), wanted)
    cache.start()
    answer = cache.get(manifest_path("team/app", image.digest), headers=ACCEPT)
    expect.client("status after the start", answer.status, 200)


@scenario(
    "schedule-survives-a-crash", "A schedule entry is saved within a second and survives a crash"
)
def test_schedule_survives_a_crash(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Nodes lose power and containers run out of memory. Content cached just before must not escape
    expiry."""
    wanted = {key_of("team/app", image), key_of("team/app", image.config)}
    begun = time.monotonic()
    cache = target.proxy(upstream)
    pull_manifest(cache, "team/app", image, "v1")
    pull_blob(cache, "team/app", image.config)
    # On a busy machine a second may last longer, but it must not reach the save after five.
    latest = min(begun + 4.0, time.monotonic() + scaled(1.0))
    cache.eventually(
        lambda: set(cache.state() or {}) == wanted or time.monotonic() > latest, timeout=4.0
    )

    cache.kill()
    cache.start()

    expect.disk("entries after the crash", set(cache.state() or {}), wanted)
    upstream.down()
    answer = cache.get(manifest_path("team/app", image.digest), headers=ACCEPT)
    expect.client("status after the crash, upstream down", answer.status, 200)


@scenario(
    "unscheduled-content-expires",
    "Cached content without a schedule entry gets an expiry at start",
    refs=("d#4249", "d#4805", MEASURED),
)
@pytest.mark.parametrize("schedule", ["lost", "partial"])
def test_unscheduled_content_expires(
    schedule: str,
    image: Image,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """A crash, a time with ttl 0 or a deleted file leave content without an entry. It would occupy
    the disk forever."""
    layer = image.layers[0]
    cache = target.proxy(upstream)
    pull_image(cache, "team/app", image, "v1")

    if schedule == "lost":
        cache.stop()
        cache.state_path.unlink(missing_ok=True)
        cache.start()
    else:
        reopen_with(cache, Due("team/app", layer, DAY))
    wanted = {due.key for due in all_of("team/app", image)}
    hours = hours_left(cache.await_state(lambda entries: set(entries) == wanted, timeout=6.0))

    expect.disk("objects without an expiry", len(wanted - set(hours)), 0)
    known = {key_of("team/app", layer): 24} if schedule == "partial" else {}
    if set(hours) == wanted:
        expect.disk("hours left", hours, dict.fromkeys(wanted, 168) | known)


def _all_in_time(state: Mapping[str, StateEntry]) -> bool:
    return all(entry.expires > datetime.now(UTC) for entry in state.values())


def _is_utc(moment: str) -> bool:
    shape = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", moment)
    return shape is not None and datetime.fromisoformat(moment).tzinfo == UTC
