"""How long a cache trusts a tag, or a 404, without asking upstream. The settings are ``x-`` keys
of ``proxy`` (docs/configuration.md), which releases of distribution ignore: they revalidate
every time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from harness.clients.containerd_pull import ACCEPT, containerd_pull
from harness.content import Image, an_image
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import SHOULD, Need, scenario
from harness.upstream import MockUpstream, RateLimit
from scenarios.pulling import blob_path, manifest_path, pull_image, pull_manifest
from scenarios.steps import OBSERVED, asked

HUB = "Docker Hub docs: Pull usage and limits"
TURNED = OBSERVED | {Need.CLOCK, Need.STATE_FILE}

V1 = manifest_path("team/app", "v1")


# -- tags --------------------------------------------------------------------------------------
@scenario(
    "freshness.warm-pull-asks-nothing",
    "Within the freshness interval a cached tag is pulled without an upstream request",
    level=SHOULD,
    refs=("d#3407", "d#4050", "d#3545", HUB),
)
def test_warm_pull_asks_nothing(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A rollout pulls one tag on a thousand nodes within a minute. Each revalidation is a round
    trip across the internet, and a counted pull at some registries."""
    cache = target.proxy(upstream, tag_freshness="15m")
    pull_image(cache, "team/app", image, "v1")
    limiter = upstream.limit(RateLimit(limit=0))
    upstream.ledger.clear()

    head = cache.head(V1, headers=ACCEPT)
    pulls = [containerd_pull(cache.client, "team/app", "v1") for _ in range(3)]

    expect.client("status of HEAD", head.status, 200)
    expect.client("digest", head.headers.get("Docker-Content-Digest"), image.digest)
    expect.client("pulls are complete", [pull.complete for pull in pulls], [True] * 3)
    expect.client("Warning", head.headers.get("Warning"), None)
    expect.upstream("pulls counted", limiter.used, 0)
    expect.upstream("requests", sorted(set(asked(upstream))), [])


@scenario(
    "freshness.interval-ends",
    "After the freshness interval a moved tag is pulled in its new version",
    level=SHOULD,
    refs=("d#3407", "Harbor#18752: HEAD before each pull"),
    needs={Need.CONFIG, Need.CLOCK},
)
def test_interval_ends(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """An operator who sets 15 minutes expects a fix everywhere after a quarter of an hour."""
    cache = target.proxy(upstream, tag_freshness="15m")
    pull_image(cache, "team/app", image, "v1")
    newer = upstream.add("team/app", an_image("newer"), tags=("v1",))

    cache.pass_time(timedelta(minutes=16))
    upstream.ledger.clear()
    answer = pull_manifest(cache, "team/app", newer, "v1")
    # Some answer first, and ask then.
    cache.eventually(lambda: upstream.ledger.count("GET", kind="manifest"))

    expect.client("bytes are the new ones", answer.body == newer.content, True)
    expect.upstream("manifest bodies", upstream.ledger.count("GET", kind="manifest"), 1)
    expect.disk("tag", cache.disk.tags("team/app"), {"v1": newer.digest})


@scenario(
    "freshness.interval-holds",
    "Within the freshness interval a moved tag keeps its old version",
    level=SHOULD,
    refs=("d#3407", HUB),
    needs={Need.CONFIG, Need.X_KEYS},
)
def test_interval_holds(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The price of the interval, and its benefit while upstream is down."""
    cache = target.proxy(upstream, tag_freshness="15m")
    pull_image(cache, "team/app", image, "v1")
    upstream.add("team/app", an_image("newer"), tags=("v1",))

    moved = cache.get(V1, headers=ACCEPT)
    upstream.down()
    alone = cache.get(V1, headers=ACCEPT)

    expect.client("bytes are the old ones", moved.body == image.content, True)
    expect.client("upstream down: status", alone.status, 200)
    expect.client("upstream down: Warning", alone.headers.get("Warning"), None)


@scenario(
    "freshness.no-cache",
    "Cache-Control: no-cache revalidates a tag within its freshness interval",
    level=SHOULD,
    refs=("RFC 9111, 5.2.1.4 no-cache", "containers-roadmap#2254: a refresh cannot be forced"),
)
@pytest.mark.parametrize("directive", ["no-cache", "max-age=0"])
def test_no_cache(
    directive: str,
    image: Image,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """The way out for a deployment that cannot wait; all later clients get the new image."""
    cache = target.proxy(upstream, tag_freshness="15m")
    pull_image(cache, "team/app", image, "v1")
    newer = upstream.add("team/app", an_image("newer"), tags=("v1",))

    forced = cache.get(V1, headers={**ACCEPT, "Cache-Control": directive})
    after = cache.get(V1, headers=ACCEPT)

    expect.client("bytes are the new ones", forced.body == newer.content, True)
    expect.client("bytes are the new ones for the next client", after.body == newer.content, True)


# -- what upstream lacks -----------------------------------------------------------------------
@scenario(
    "absence.asked-once",
    "Content missing upstream is asked for once, not by every client",
    level=SHOULD,
    refs=("d#3407", "Artifactory docs: Missed retrieval cache period", "Harbor#17155"),
)
@pytest.mark.parametrize("what", ["tag", "manifest", "blob"])
def test_absence_asked_once(
    what: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Every pull of a signed image looks for signatures that most images lack, and a wrong tag in a
    deployment is retried for days. Each request counts."""
    missing = an_image("missing")
    upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream, negative_ttl="30s")
    path = {
        "tag": manifest_path("team/app", "v2"),
        "manifest": manifest_path("team/app", missing.digest),
        "blob": blob_path("team/app", missing.layers[0]),
    }[what]
    first = cache.get(path, headers=ACCEPT)
    upstream.ledger.clear()

    answers = [cache.get(path, headers=ACCEPT), cache.head(path, headers=ACCEPT)]

    expect.client("the first is served", first.status == 200, False)
    expect.client("statuses of the others", {a.status for a in answers}, {first.status})
    expect.client("code", answers[0].error_code, first.error_code)
    expect.upstream("requests for the others", len(asked(upstream)), 0)


@scenario(
    "absence.ends",
    "Content that appears upstream is found once the negative cache entry expires",
    level=SHOULD,
    refs=("NEXUS-27623: a negative result outlives its time",),
    needs=TURNED,
)
@pytest.mark.parametrize("what", ["tag", "manifest", "blob"])
def test_absence_ends(
    what: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A build pushes an image half a minute after its deployment first asked for it."""
    image = an_image()
    layer = image.layers[0]
    cache = target.proxy(upstream, negative_ttl="30s")
    path = {
        "tag": V1,
        "manifest": manifest_path("team/app", image.digest),
        "blob": blob_path("team/app", layer),
    }[what]
    before = cache.get(path, headers=ACCEPT)
    for _ in range(3):  # Asking does not prolong it.
        cache.get(path, headers=ACCEPT)
    upstream.add("team/app", image, tags=("v1",))

    cache.pass_time(timedelta(seconds=31))
    after = cache.get(path, headers=ACCEPT)

    expect.client("served before it was there", before.status == 200, False)
    expect.client("status after", after.status, 200)
    content = layer.content if what == "blob" else image.content
    expect.client("bytes are right", after.body == content, True)


@scenario(
    "absence.ends-with-news",
    "New content of a repository clears its negative cache entries",
    level=SHOULD,
    refs=("NEXUS-27623: a negative result outlives its time",),
)
def test_absence_ends_with_news(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A push brings several tags and a signature. A client that sees one should see the others."""
    cache = target.proxy(upstream, negative_ttl="1h")
    signature = manifest_path("team/app", "sha256-0.sig")
    before = [cache.get(path, headers=ACCEPT).status for path in (signature, V1)]
    signed = upstream.add("team/app", an_image("signature"), tags=("sha256-0.sig",))
    image = upstream.add("team/app", an_image(), tags=("v2",))

    pull_manifest(cache, "team/app", image, "v2")
    after = cache.get(signature, headers=ACCEPT)

    expect.client("statuses before", before, [404, 404])
    expect.client("status after", after.status, 200)
    expect.client("bytes are right", after.body == signed.content, True)


@scenario(
    "absence.refusals-are-not-remembered",
    "A temporary refusal is not cached: the next client is served",
    level=SHOULD,
    refs=("NEXUS-27623: 403 is remembered after it has been put right", "Harbor#19899"),
)
@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_refusals_are_not_remembered(
    status: int, image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Only 404 means that content is missing. A cache that remembers a rate limit or a missing
    permission keeps refusing after it is over."""
    layer = image.layers[0]
    cache = target.proxy(upstream, negative_ttl="1h")
    faults = [upstream.on(method).status(status) for method in ("HEAD", "GET")]
    paths = (V1, manifest_path("team/app", image.digest), blob_path("team/app", layer))
    refused = [cache.get(path, headers=ACCEPT).status for path in paths]
    for fault in faults:
        fault.release()
    upstream.clear_faults()

    served = [cache.get(path, headers=ACCEPT) for path in paths]

    expect.client("nothing was served while upstream refused", 200 in refused, False)
    expect.client("statuses afterwards", [answer.status for answer in served], [200] * 3)
    contents = [image.content, image.content, layer.content]
    expect.client("bytes are right", [answer.body for answer in served] == contents, True)


@scenario(
    "absence.keeps-what-is-cached",
    "Deletion of a tag or digest upstream removes nothing from the cache",
    level=SHOULD,
    refs=("NEXUS-26642: the cached copy is dropped", "Harbor#20997", "Harbor#20079"),
)
def test_absence_keeps_what_is_cached(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Upstream was cleaned up; what runs in the cluster has to be able to restart."""
    cache = target.proxy(upstream, negative_ttl="30s")
    pull_image(cache, "team/app", image, "v1")
    upstream.untag("team/app", "v1")
    upstream.remove("team/app", image.digest)
    for blob in image.blobs:
        upstream.remove("team/app", blob.digest)

    by_tag = [cache.get(V1, headers=ACCEPT).status for _ in range(3)]
    by_digest = cache.get(manifest_path("team/app", image.digest), headers=ACCEPT)
    layer = cache.get(blob_path("team/app", image.layers[0]))
    elsewhere = cache.get(blob_path("team/other", image.layers[0]))

    expect.client("statuses by tag", by_tag, [200, 200, 200])
    expect.client("status by digest", by_digest.status, 200)
    expect.client("layer is right", layer.body == image.layers[0].content, True)
    expect.client("status of the layer in a repository without it", elsewhere.status, 404)
    stored = {image.digest, *(blob.digest for blob in image.blobs)}
    expect.disk("stored", cache.disk.blobs(), stored)
    expect.disk("tags", cache.disk.tags("team/app"), {"v1": image.digest})
