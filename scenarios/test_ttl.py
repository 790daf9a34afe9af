"""When a pull-through cache forgets: the expiry of each entry, the schedule that outlives the
process, and what is left of the content afterwards."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.content import an_image, an_index
from harness.suite.expectation import Expectations, any_of, at_least
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import INFO, SHOULD, Need, scenario
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
_SAVED_BY_NOW = 6.0
"""Seconds in which every registry has saved a schedule that it has."""


# -- the schedule ------------------------------------------------------------------------------
@scenario(
    "ttl.schedule-format",
    "The schedule has one entry for each object of each repository, with its expiry in UTC",
    level=INFO,
    refs=(DOCS, "d#4594", "measured on 2.8.2 to 3.1.1"),
    needs=SCHEDULED,
)
def test_schedule_format(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """scheduler-state.json is the only place that tells what a cache will forget, and when. Whoever
    reads it in local time is hours off. Without proxy.ttl, an entry lives for 168 hours."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
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
        "moments not in RFC 3339 with Z",
        [e["ExpiryData"] for e in document.values() if not _is_utc(e["ExpiryData"])],
        [],
    )
    expect.disk("hours until expiry", set(hours_left(state).values()), {168})


@scenario(
    "ttl.configured",
    "proxy.ttl decides how long an entry lives",
    level=SHOULD,
    refs=(DOCS, "d#3880", "d#4352"),
    needs=SCHEDULED,
)
def test_configured(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """Whoever sets 48h counts on a disk that holds two days of pulls, not a week of them."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream, ttl="48h")

    pull_manifest(cache, "team/app", image, "v1")
    pull_blob(cache, "team/app", image.config)
    state = cache.await_state(lambda entries: len(entries) == 2)

    hours = hours_left(state)
    expect.disk("hours left of the manifest", hours.get(key_of("team/app", image)), 48)
    expect.disk("hours left of the blob", hours.get(key_of("team/app", image.config)), 48)


@scenario(
    "ttl.hits-do-not-extend",
    "A hit does not put an entry's expiry off",
    level=INFO,
    refs=("d#4659", "d#4872", "measured on 2.8.2 to 3.1.1"),
    needs=RESTARTED,
)
def test_hits_do_not_extend(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """An image that is pulled every minute is fetched anew once per ttl. That bounds how old
    content can be, and it is why upstream sees the hottest images again and again."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
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
    "ttl.change-concerns-new-entries",
    "A changed ttl holds for what is cached from then on; older entries keep their expiry",
    level=INFO,
    refs=("d#4352", "d#3880", DOCS),
    needs=RESTARTED,
)
def test_change_concerns_new_entries(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Lowering ttl frees no disk for as long as the old ttl lasts; whoever needs the room now has
    to empty the cache."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
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
    "ttl.unreadable-refused",
    "A ttl that is no duration is refused at start, in words that lead to it",
    level=SHOULD,
    refs=(DOCS, "Go documentation: time.ParseDuration"),
)
@pytest.mark.parametrize("ttl", ["1d", "two days"])
def test_unreadable_refused(
    ttl: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A ttl of "1d" looks right and is not. A cache that starts all the same keeps content for some
    other time than its operator believes."""
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
    "ttl.expires-in-time",
    "Content is kept until its ttl is over and gone soon after, hits or not",
    level=SHOULD,
    refs=(DOCS, "d#4352", "d#4957"),
    needs=TURNED,
)
def test_expires_in_time(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The promise of a ttl in both directions: a rebuild within it costs upstream nothing, and what
    nobody renews does not fill the disk for ever."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
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
    "ttl.zero-keeps-for-ever",
    "With ttl 0 nothing expires",
    level=INFO,
    refs=(DOCS, "d#3880", "d#4805"),
    needs=TURNED,
)
def test_zero_keeps_for_ever(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The switch for a cache that has to outlive its upstream: an archive, or a site without a
    network."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
    layer = image.layers[0]
    cache = target.proxy(upstream, ttl=0, delete_enabled=True)
    pull_image(cache, "team/app", image, "v1")
    upstream.ledger.clear()

    cache.pass_time(3650 * DAY)
    cache.eventually(
        lambda: not cache.disk.layer_links("team/app") and not cache.disk.revisions("team/app"),
        timeout=0.4,
    )

    expect.disk("layer after ten years", cache.disk.has_blob(layer.digest), True)
    expect.disk("manifest after ten years", image.digest in cache.disk.revisions("team/app"), True)
    answer = cache.get(blob_path("team/app", layer))
    expect.client("status of the layer", answer.status, 200)
    fetched = upstream.ledger.count("GET", digest=layer.digest) > 0
    expect.upstream("layer fetched again", fetched, False)


@scenario(
    "ttl.spellings-of-zero",
    "A ttl of 0s keeps content forever, like 0; a negative ttl does the same or is refused",
    level=INFO,
    refs=(DOCS, "d#3880", MEASURED),
    needs=TURNED,
)
@pytest.mark.parametrize("ttl", ["0s", "-1h"])
def test_spellings_of_zero(
    ttl: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A cache that took "-1h" for overdue would delete every layer right after fetching it."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
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
    "ttl.bare-number",
    "A ttl without a unit, such as 3600, is refused at start",
    level=SHOULD,
    refs=(DOCS, "Go documentation: time.Duration", MEASURED),
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
    "ttl.overdue-at-start",
    "What came due while the cache was off is forgotten when it starts; the rest is kept",
    level=SHOULD,
    refs=("d#4594", "measured on 2.8.2 to 3.1.1"),
    needs=RESTARTED,
)
def test_overdue_at_start(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A cache that is restarted every night must not begin its week anew each time."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
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
    "ttl.blob-leaves-nothing",
    "An expired blob is gone from the disk, bytes and link, without garbage collection",
    level=SHOULD,
    refs=("d#4957", "d#4249", DOCS),
    needs=RESTARTED,
)
def test_blob_leaves_nothing(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Layers are nearly all that a cache stores. If their bytes stayed until somebody stops the
    cache and collects garbage, the ttl would save no disk."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
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
    "ttl.manifest-leaves-nothing",
    "An expired manifest is gone from the disk: link, bytes, and the tags that point at it",
    level=SHOULD,
    refs=("d#4249", "measured on 2.8.2 to 3.1.1"),
    needs=RESTARTED,
)
def test_manifest_leaves_nothing(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Tags that outlive their manifest pile up by the thousand behind a busy build server, and each
    of them promises an image that the cache no longer has."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream, delete_enabled=True)
    pull_manifest(cache, "team/app", image, "v1")

    reopen_with(cache, Due("team/app", image))
    cache.eventually(lambda: image.digest not in cache.disk.revisions("team/app"))
    cache.eventually(lambda: not cache.disk.has_blob(image.digest), timeout=0.3)

    expect.disk("revisions", cache.disk.revisions("team/app"), set())
    expect.disk("tags", set(cache.disk.tags("team/app")), set())
    expect.disk("bytes stored", cache.disk.has_blob(image.digest), False)


@scenario(
    "ttl.without-delete-enabled",
    "Expiry frees the disk of a cache whatever storage.delete.enabled says, and forgets no entry "
    "whose content it keeps",
    level=SHOULD,
    refs=("d#4249", "d#4957", DOCS),
    needs=RESTARTED,
)
def test_without_delete_enabled(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The default is false, and nothing warns. Where expiry then deletes nothing and drops the
    entry all the same, switching it on later does not bring the disk back either."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
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
    "ttl.shared-blob-survives",
    "A blob that expires in one repository stays for another one that has cached it",
    level=SHOULD,
    refs=("d#2367", "d#4191", "d#4872"),
    needs=RESTARTED,
)
def test_shared_blob_survives(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Base layers are shared by most images of a company. If the first expiry takes the bytes from
    all of them, each base layer is fetched again and again."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
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
    "ttl.shared-blob-is-never-empty",
    "After a shared blob expired in one repository, the other one is not served an empty body",
    level=SHOULD,
    refs=("d#2367", "d#4191", "d#1356", "d#4872"),
    needs=RESTARTED | {Need.CLOCK},
)
def test_shared_blob_is_never_empty(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """With a descriptor cache - the configuration that everybody copies - a cache may remember a
    blob whose bytes are gone. Clients then read "unexpected EOF" until an operator restarts it."""
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
    answer = cache.get(blob_path("other/app", layer))

    expect.client("status", answer.status, 200)
    expect.client("Content-Length", answer.headers.get("Content-Length"), str(layer.size))
    expect.client("bytes received", len(answer.body), layer.size)


@scenario(
    "ttl.index-and-child-expire-apart",
    "An index and the image in it have an expiry each",
    level=INFO,
    refs=("measured on 2.8.2 to 3.1.1", "d#4872"),
    needs=RESTARTED,
)
def test_index_and_child_expire_apart(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The index is asked for by tag at every pull, the child only by digest; the two are seldom
    cached at the same moment and do not leave together."""
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
    "ttl.repull-after-expiry",
    "After expiry the next pull fetches the image again, under a new entry",
    level=SHOULD,
    refs=("d#3722", "d#4352", "measured on 2.8.2 to 3.1.1"),
    needs=RESTARTED,
)
def test_repull_after_expiry(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Expiry is routine; users must not notice more than a slower pull."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream, delete_enabled=True)
    pull_image(cache, "team/app", image, "v1")
    entries = all_of("team/app", image)
    reopen_with(cache, *entries)
    cache.eventually(lambda: not cache.disk.revisions("team/app"))
    cache.eventually(lambda: not cache.disk.layer_links("team/app"))
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
    "ttl.expired-and-upstream-down",
    "An expired image is reported as unavailable while upstream is down, and is not listed",
    level=SHOULD,
    refs=("d#4477", "measured on 2.8.2 to 3.1.1"),
    needs=RESTARTED,
)
def test_expired_and_upstream_down(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The worst moment: the copy is gone and the source is away. 502, 503 or 504 tell whoever is on
    call where to look; 500 says that the cache is broken."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
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
    "ttl.use-puts-expiry-off",
    "Where the cache is told to, use puts expiry off: what is pulled all the time stays",
    level=SHOULD,
    refs=("d#4659", "d#4872", "Quay docs: proxy cache, expiry is reset at each pull"),
    needs=TURNED,
)
def test_use_puts_expiry_off(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The base image of every build is the last thing that a cache should throw away, and the first
    that it fetched. With x-refresh-on-hit (docs/configuration.md) a ttl says how long something may
    lie unused."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
    used, unused = image.layers
    cache = target.proxy(upstream, refresh_on_hit=True, delete_enabled=True)
    pull_image(cache, "team/app", image, "v1")

    cache.pass_time(timedelta(hours=150))
    cache.get(manifest_path("team/app", image.digest), headers=ACCEPT)
    cache.get(blob_path("team/app", used))
    cache.pass_time(timedelta(hours=30))
    cache.eventually(lambda: not cache.disk.has_blob(unused.digest))
    # Nobody announces that what was used stays; what goes, goes with the other, or right after it.
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
    "ttl.damaged-schedule",
    "A damaged scheduler-state.json keeps nobody from starting, serving and scheduling",
    level=SHOULD,
    refs=("d#4594", "measured on 2.8.2 to 3.1.1"),
    needs=RESTARTED,
)
@pytest.mark.parametrize(
    "content",
    ["", '{"team/app@sha256:', "[]", "null", '{"team/app@sha256:00": {"ExpiryData": "tomorrow"}}'],
    ids=["empty", "cut-short", "array", "null", "no-date"],
)
def test_damaged_schedule(
    content: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A full disk or a power cut leaves an empty or cut-off file. A cache that then cannot start
    takes every node of the cluster with it, until somebody finds out that the file may be
    deleted."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
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
    "ttl.strange-entries",
    "Entries of an unknown type, or of content that is not there, do not keep others from expiring",
    level=SHOULD,
    refs=("measured on 2.8.2 to 3.1.1", "distribution: registry/proxy/scheduler"),
    needs=RESTARTED,
)
def test_strange_entries(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The schedule outlives upgrades, downgrades and garbage collections; it will speak of things
    that the running cache does not know."""
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
    "ttl.schedule-survives-a-stop",
    "A stop loses no entry, however recent",
    level=SHOULD,
    refs=("d#4805", "d#4594", "measured on 2.8.2 to 3.1.1"),
    needs=RESTARTED,
)
@pytest.mark.parametrize("draintimeout", [None, "5s"], ids=["plain", "draining"])
def test_schedule_survives_a_stop(
    draintimeout: str | None, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """What was cached shortly before a deployment is otherwise never scheduled again: it stays on
    the disk for ever."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
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
    "ttl.schedule-survives-a-crash",
    "An entry is saved within a second, so that a killed cache still knows what to forget",
    level=SHOULD,
    refs=("d#4594", "measured on 2.8.2 to 3.1.1"),
    needs=RESTARTED,
)
def test_schedule_survives_a_crash(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Nodes lose power and containers run out of memory. What was cached just before must not
    become content that no expiry will ever reach."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
    wanted = {key_of("team/app", image), key_of("team/app", image.config)}
    cache = target.proxy(upstream)
    pull_manifest(cache, "team/app", image, "v1")
    pull_blob(cache, "team/app", image.config)
    cache.eventually(lambda: set(cache.state() or {}) == wanted, timeout=1.0)

    cache.kill()
    cache.start()

    expect.disk("entries after the crash", set(cache.state() or {}), wanted)
    upstream.down()
    answer = cache.get(manifest_path("team/app", image.digest), headers=ACCEPT)
    expect.client("status after the crash, upstream down", answer.status, 200)


@scenario(
    "ttl.unscheduled-content-expires",
    "What is cached but in no schedule is given an expiry when the cache starts",
    level=SHOULD,
    refs=("d#4249", "d#4805", "measured on 2.8.2 to 3.1.1"),
    needs=RESTARTED,
)
@pytest.mark.parametrize("schedule", ["lost", "partial"])
def test_unscheduled_content_expires(
    schedule: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A crash, a time with ttl 0 or a file that somebody deleted leave content that no schedule
    speaks of. Nobody will ever look for it, and the disk is that much smaller."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
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
    hours = hours_left(
        cache.await_state(lambda entries: set(entries) == wanted, timeout=_SAVED_BY_NOW)
    )

    expect.disk("objects without an expiry", len(wanted - set(hours)), 0)
    known = {key_of("team/app", layer): 24} if schedule == "partial" else {}
    if set(hours) == wanted:
        expect.disk("hours left", hours, dict.fromkeys(wanted, 168) | known)


def _all_in_time(state: Mapping[str, StateEntry]) -> bool:
    return all(entry.expires > datetime.now(UTC) for entry in state.values())


def _is_utc(moment: str) -> bool:
    shape = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", moment)
    return shape is not None and datetime.fromisoformat(moment).tzinfo == UTC
