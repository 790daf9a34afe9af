"""Upstream fails: what clients see, what is still served, and how the cache recovers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.clients.containerd_pull import ACCEPT, containerd_pull
from harness.content import Image, an_image, an_index
from harness.http.client import Answer
from harness.suite.expectation import Expectations, Matcher, any_of, at_least, at_most, containing
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import MUST, Need, theme
from harness.system.ports import scaled
from harness.targets import DidNotStart
from harness.upstream import MockUpstream
from scenarios.pulling import blob_path, manifest_path, pull_blob, pull_image, pull_manifest
from scenarios.steps import OBSERVED, asked

DOCS = "distribution docs: Registry as a pull through cache"
ERRORS = "OCI distribution-spec: Error Codes"
MEASURED = "measured on 2.8.2 to 3.1.1"

REFUSALS = ("401", "403", "429", "500", "503")
BREAKDOWNS = ("reset", "refused")
FAULTS = REFUSALS + BREAKDOWNS


def unavailable() -> Matcher:
    """What a gateway answers when it is not its own fault (RFC 9110, 15.6.3 to 15.6.5)."""
    return any_of(502, 503, 504)


def expected_status(fault: str) -> Matcher | int:
    """The status for clients, by what upstream does. Its 401 is about the cache's credentials, not
    about theirs."""
    match fault:
        case "401":
            return any_of(401, 403)
        case "403" | "429":
            return int(fault)
        case _:
            return unavailable()


def break_down(upstream: MockUpstream, fault: str) -> None:
    """From now on, every question about content meets *fault*."""
    match fault:
        case "refused":
            upstream.down()
        case "reset":
            upstream.on().reset()
        case status:
            for kind in ("manifest", "blob", "tags"):
                upstream.on(kind=kind).status(int(status), {"Retry-After": "7"})


scenario = theme("failure", refs=("d#3842", "d#4477", "RFC 9110, 15.6.3", MEASURED))


# -- what is cached ----------------------------------------------------------------------------
@scenario(
    "cached-tag-is-served",
    "A cached tag is served while upstream is down, marked as possibly stale",
    refs=("d#3705", "RFC 9111, 5.5 and RFC 7234, 5.5.1: Warning 110", MEASURED),
)
@pytest.mark.parametrize("fault", FAULTS)
def test_cached_tag_is_served(
    fault: str, image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """This is why caches exist: builds continue through an outage or a rate limit. The mark
    explains later why a node has yesterday's image."""
    cache = target.proxy(upstream)
    pull_image(cache, "team/app", image, "v1")
    break_down(upstream, fault)

    head = cache.head(manifest_path("team/app", "v1"), headers=ACCEPT)
    answer = cache.get(manifest_path("team/app", "v1"), headers=ACCEPT)
    pull = containerd_pull(cache.client, "team/app", "v1")

    expect.client("status of HEAD", head.status, 200)
    expect.client("status of GET", answer.status, 200)
    expect.client("bytes are right", answer.body == image.content, True)
    expect.client("whole pull", pull.complete, True)
    expect.client("Warning", answer.headers.get("Warning"), containing("110"))
    expect.disk("manifest is kept", image.digest in cache.disk.revisions("team/app"), True)


@scenario(
    "fresh-answers-are-not-marked",
    "A response that upstream confirmed is not marked as stale, also right after an outage",
    refs=("RFC 7234, 5.5.1: Warning 110",),
)
def test_fresh_answers_are_not_marked(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A warning that is always there is no warning."""
    cache = target.proxy(upstream)
    miss = pull_manifest(cache, "team/app", image, "v1")
    hit = cache.get(manifest_path("team/app", "v1"), headers=ACCEPT)
    break_down(upstream, "503")
    cache.get(manifest_path("team/app", "v1"), headers=ACCEPT)
    upstream.clear_faults()

    after = cache.get(manifest_path("team/app", "v1"), headers=ACCEPT)

    for name, answer in {"miss": miss, "hit": hit, "after the outage": after}.items():
        expect.client(f"status, {name}", answer.status, 200)
        expect.client(f"Warning, {name}", answer.headers.get("Warning"), None)
    expect.upstream("times asked about the tag", upstream.ledger.count(tag="v1"), at_least(4))


@scenario(
    "cached-digests-ask-nobody",
    "A cache hit by digest sends nothing upstream",
    refs=("d#3705", "d#3407", MEASURED),
)
def test_cached_digests_ask_nobody(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A digest never changes its meaning. Pinned deployments keep running when the source or the
    link to it is down."""
    cache = target.proxy(upstream)
    pull_image(cache, "team/app", image, "v1")
    upstream.ledger.clear()

    while_up = containerd_pull(cache.client, "team/app", image.digest)
    expect.upstream("requests while it is up", upstream.ledger.lines(), [])
    upstream.down()
    while_down = containerd_pull(cache.client, "team/app", image.digest)

    expect.client("pull while upstream is up", while_up.complete, True)
    expect.client("pull while upstream is down", while_down.complete, True)
    upstream.up()
    expect.upstream("requests in all", upstream.ledger.lines(), [])


# -- what is not cached ------------------------------------------------------------------------
@scenario(
    "uncached-tag",
    "For an uncached tag the client sees upstream's failure, not a 404",
    refs=("d#3842", "d#3856", "d#4477", "RFC 9110, 15.6.3", MEASURED),
)
@pytest.mark.parametrize("fault", FAULTS)
def test_uncached_tag(
    fault: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """On 404 people look for a typo in the image name while Docker Hub limits their rate, and
    containerd tries the next host instead of waiting."""
    upstream.add("team/app", an_image(), tags=("v1",))
    cache = target.proxy(upstream)
    break_down(upstream, fault)

    get = cache.get(manifest_path("team/app", "v1"), headers=ACCEPT)
    head = cache.head(manifest_path("team/app", "v1"), headers=ACCEPT)

    expect.client("status of GET", get.status, expected_status(fault))
    expect.client("status of HEAD", head.status, expected_status(fault))
    expect.client("challenge", get.headers.get("WWW-Authenticate"), None)
    expect.disk("stored", cache.disk.blobs(), set())


@scenario(
    "uncached-digest", "For an uncached manifest by digest the client sees upstream's failure"
)
@pytest.mark.parametrize("fault", FAULTS)
def test_uncached_digest(
    fault: str, image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A 500 sends the operator on call to the cache's own logs and disks."""
    cache = target.proxy(upstream)
    break_down(upstream, fault)

    get = cache.get(manifest_path("team/app", image.digest), headers=ACCEPT)
    head = cache.head(manifest_path("team/app", image.digest), headers=ACCEPT)

    expect.client("status of GET", get.status, expected_status(fault))
    expect.client("status of HEAD", head.status, expected_status(fault))
    expect.disk("stored", cache.disk.blobs(), set())


@scenario("uncached-blob", "For an uncached blob the client sees upstream's failure")
@pytest.mark.parametrize("fault", FAULTS)
def test_uncached_blob(
    fault: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A layer in the middle of a pull: clients retry on 429 and 503, and give up on 403."""
    layer = upstream.add("team/app", an_image(), tags=("v1",)).layers[0]
    cache = target.proxy(upstream)
    break_down(upstream, fault)

    get = cache.get(blob_path("team/app", layer))
    head = cache.head(blob_path("team/app", layer))

    expect.client("status of GET", get.status, expected_status(fault))
    expect.client("status of HEAD", head.status, expected_status(fault))
    expect.disk("stored", cache.disk.blobs(), set())


@scenario(
    "rate-limit-is-passed-on",
    "An upstream rate limit reaches the client as 429 with its Retry-After",
    refs=("harbor#19899", "d#4050", "RFC 9110, 10.2.3: Retry-After", ERRORS),
)
@pytest.mark.parametrize("asked_for", ["tag", "digest", "blob"])
def test_rate_limit_is_passed_on(
    asked_for: str,
    image: Image,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """With it clients wait as long as upstream wants; without it they retry at once, and make it
    worse for all clients behind the same address."""
    paths = {
        "tag": manifest_path("team/app", "v1"),
        "digest": manifest_path("team/app", image.digest),
        "blob": blob_path("team/app", image.layers[0]),
    }
    cache = target.proxy(upstream)
    break_down(upstream, "429")

    answer = cache.get(paths[asked_for], headers=ACCEPT)

    expect.client("status", answer.status, 429)
    expect.client("error code", answer.error_code, "TOOMANYREQUESTS")
    expect.client("Retry-After", answer.headers.get("Retry-After"), "7")


@scenario(
    "absent-is-404",
    "Content missing upstream is 404 with the right error code, for every kind of request",
    level=MUST,
    refs=(ERRORS, "d#3842", MEASURED),
)
def test_absent_is_404(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Clients with several mirrors continue with the next one on 404. On 500 containerd retries the
    same mirror, and others give up."""
    upstream.add("team/app", an_image(), tags=("v1",))
    absent = an_image("absent")
    cache = target.proxy(upstream)

    by_tag = cache.get(manifest_path("team/app", "v9"), headers=ACCEPT)
    by_digest = cache.get(manifest_path("team/app", absent.digest), headers=ACCEPT)
    blob = cache.get(blob_path("team/app", absent.config))

    expect.client("status by tag", by_tag.status, 404)
    expect.client("error code by tag", by_tag.error_code, "MANIFEST_UNKNOWN")
    expect.client("status by digest", by_digest.status, 404)
    expect.client("error code by digest", by_digest.error_code, "MANIFEST_UNKNOWN")
    expect.client("status of a blob", blob.status, 404)
    expect.client("error code of a blob", blob.error_code, "BLOB_UNKNOWN")
    expect.disk("stored", cache.disk.blobs(), set())


@scenario(
    "error-tells-no-addresses",
    "Errors for clients do not reveal upstream's address",
    refs=(MEASURED, "CWE-209"),
)
def test_error_tells_no_addresses(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Internal addresses belong in the log. Clients of a cache need not know them."""
    cache = target.proxy(upstream)
    upstream.down()

    by_digest = cache.get(manifest_path("team/app", image.digest), headers=ACCEPT)
    blob = cache.get(blob_path("team/app", image.config))

    host = upstream.address.encode()
    expect.client("a manifest's error names the upstream", host in by_digest.body, False)
    expect.client("a blob's error names the upstream", host in blob.body, False)
    expect.client("JSON error", by_digest.error_code is not None, True)


# -- while upstream is away --------------------------------------------------------------------
@scenario(
    "cache-answers-for-itself",
    "/v2/ and the catalog answer while upstream is down",
    refs=(MEASURED, "OCI distribution-spec: Determining Support"),
)
def test_cache_answers_for_itself(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Load balancers and docker start with /v2/. If it depended on upstream, an outage there would
    take the cache out of service."""
    cache = target.proxy(upstream)
    upstream.down()

    expect.client("status of /v2/", cache.get("/v2/").status, 200)
    expect.client("status of the catalog", cache.get("/v2/_catalog").status, 200)


@scenario(
    "starts-without-upstream",
    "A cache starts and serves its content while upstream is down",
    refs=("d#3705", MEASURED),
    needs={Need.CONFIG, Need.RESTART},
)
def test_starts_without_upstream(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A node reboots during an outage, and the cache that could have helped does not come back."""
    cache = target.proxy(upstream)
    pull_image(cache, "team/app", image, "v1")
    cache.stop()
    upstream.down()

    try:
        cache.start()
    except DidNotStart as failure:
        expect.client("start", f"exit code {failure.exit_code}", "started")
        return
    expect.client("start", "started", "started")
    pull = containerd_pull(cache.client, "team/app", "v1")
    expect.client("pull of what is cached", pull.complete, True)
    upstream.up()
    other = upstream.add("team/app", an_image("other"), tags=("v2",))
    pull = containerd_pull(cache.client, "team/app", "v2")
    expect.client("pull of something new, upstream being back", pull.complete, True)
    expect.upstream(
        "the new image was fetched", upstream.ledger.count(digest=other.config.digest), at_least(1)
    )


@scenario(
    "recovers-at-once",
    "The first request after an outage goes to upstream again",
    refs=(MEASURED,),
    needs=OBSERVED,
)
@pytest.mark.parametrize("fault", ["404", "503", "reset", "refused"])
def test_recovers_at_once(
    fault: str, image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A remembered failure prolongs the outage."""
    cache = target.proxy(upstream)
    break_down(upstream, fault)
    during = containerd_pull(cache.client, "team/app", "v1")
    upstream.up()
    upstream.clear_faults()

    after = containerd_pull(cache.client, "team/app", "v1")

    expect.client("pull during the outage", during.complete, False)
    expect.client("pull afterwards", after.complete, True)
    wanted = {blob.digest for blob in image.blobs}
    cache.eventually(lambda: wanted <= cache.disk.layer_links("team/app"))
    expect.disk("layers cached afterwards", cache.disk.layer_links("team/app"), wanted)


@scenario(
    "second-try-is-cached",
    "A blob whose first fetch failed is cached by the next pull",
    refs=("d#3722", "d#4046", MEASURED),
    needs=OBSERVED,
)
def test_second_try_is_cached(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """One bad moment must not leave a hole that no pull fills."""
    layer = upstream.add("team/app", an_image(layer_size=100_000), tags=("v1",)).layers[0]
    cache = target.proxy(upstream)
    upstream.on("GET", layer).reset(after=30_000)
    cache.get(blob_path("team/app", layer))
    upstream.ledger.wait_idle()
    upstream.clear_faults()

    second = pull_blob(cache, "team/app", layer)
    upstream.ledger.clear()
    third = cache.get(blob_path("team/app", layer))

    expect.client("bytes of the second try are right", second.body == layer.content, True)
    expect.client("bytes of the third try are right", third.body == layer.content, True)
    expect.upstream("requests of the third try", asked(upstream), [])
    expect.disk("bytes on disk", cache.disk.has_blob(layer.digest), True)


# -- upstream that does not answer -------------------------------------------------------------
@scenario(
    "hung-upstream-and-cached-digests",
    "Cache hits by digest are served at once while upstream hangs",
    refs=("quay#4776", "d#3705", MEASURED),
)
def test_hung_upstream_and_cached_digests(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A black hole is worse than a refusal: nothing fails, everything waits. Cache hits must not
    wait with it."""
    cache = target.proxy(upstream)
    pull_image(cache, "team/app", image, "v1")
    upstream.ledger.clear()
    hang = upstream.on(kind="manifest").hang()

    with ThreadPoolExecutor(4) as pool:
        waiting = [
            pool.submit(cache.get, manifest_path("team/app", "v1"), headers=ACCEPT)
            for _ in range(4)
        ]
        # A cache that does not revalidate a fresh tag does not wait.
        cache.eventually(
            lambda: upstream.ledger.count(tag="v1") or all(each.done() for each in waiting)
        )
        manifest = cache.get(
            manifest_path("team/app", image.digest), headers=ACCEPT, timeout=scaled(2)
        )
        blob = cache.get(blob_path("team/app", image.layers[0]), timeout=scaled(2))
        base = cache.get("/v2/", timeout=scaled(2))
        hang.release()
        answers = [each.result() for each in waiting]

    expect.client("status of the manifest by digest", manifest.status, 200)
    expect.client("status of a layer", blob.status, 200)
    expect.client("status of /v2/", base.status, 200)
    expect.client("the waiting clients", [answer.status for answer in answers], [200] * 4)


@scenario(
    "hung-request-stalls-nobody-else",
    "One hanging upstream request does not block pulls of other tags",
    refs=("quay#4776", MEASURED),
)
def test_hung_request_stalls_nobody_else(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """One lost packet, and a cache that asks upstream under one lock serves no tag to any client
    until the connection times out."""
    upstream.add("team/app", an_image("one"), tags=("v1",))
    upstream.add("team/app", an_image("two"), tags=("v2",))
    cache = target.proxy(upstream)
    upstream.ledger.clear()
    hang = upstream.on(times=1).hang()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(cache.get, manifest_path("team/app", "v1"), headers=ACCEPT)
        upstream.ledger.wait_for(lambda entry: entry.fault is not None)
        second: Answer = cache.get(
            manifest_path("team/app", "v2"), headers=ACCEPT, timeout=scaled(0.8)
        )
        hang.release()
        status = first.result().status

    expect.client("status of the other tag", second.status, 200)
    expect.client("status of the hung request, in the end", status, 200)


# -- upstream that answers nonsense ------------------------------------------------------------
@scenario(
    "captive-portal",
    "A web page in place of a manifest is neither served nor cached",
    refs=("d#3530", MEASURED),
    needs=OBSERVED,
)
@pytest.mark.parametrize("reference", ["tag", "digest"])
def test_captive_portal(
    reference: str,
    image: Image,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """A proxy on the way, or a provider's login page, answers 200 with HTML. It must not be in the
    cache when the link works again."""
    cache = target.proxy(upstream)
    portal = {"Content-Type": "text/html; charset=utf-8"}
    upstream.on(kind="manifest").status(200, portal, "<html>please log in</html>")

    path = manifest_path("team/app", "v1" if reference == "tag" else image.digest)
    during = cache.get(path, headers=ACCEPT)
    upstream.clear_faults()
    after = cache.get(path, headers=ACCEPT)

    expect.client("status", during.status, unavailable())
    expect.client("status afterwards", after.status, 200)
    expect.client("bytes afterwards are right", after.body == image.content, True)
    cache.eventually(lambda: image.digest in cache.disk.revisions("team/app"))
    expect.disk("stored", cache.disk.blobs(), {image.digest})


@scenario(
    "redirect-loop-ends",
    "A redirect loop ends and is reported as upstream's failure",
    refs=("RFC 9110, 15.4: redirection loops", MEASURED),
)
def test_redirect_loop_ends(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Otherwise one client request becomes a flood at the source."""
    layer = upstream.add("team/app", an_image(), tags=("v1",)).layers[0]
    cache = target.proxy(upstream)
    upstream.on(kind="blob").redirect(upstream.url)
    upstream.ledger.clear()

    answer = cache.get(blob_path("team/app", layer), timeout=scaled(5))

    expect.client("status", answer.status, unavailable())
    upstream.ledger.wait_idle()
    expect.upstream("requests", upstream.ledger.count(kind="blob"), at_most(10))
    expect.disk("stored", cache.disk.blobs(), set())


@scenario(
    "content-network-down",
    "Cached layers are served while the host that upstream redirects to is down",
    refs=("d#4599", MEASURED),
    needs=OBSERVED,
)
def test_content_network_down(
    upstream: MockUpstream,
    make_upstream: Callable[..., MockUpstream],
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Public registries redirect layer downloads. In half an outage manifests arrive and layers do
    not."""
    index = upstream.add("team/app", an_index(), tags=("v1",))
    cached, other = index.manifests
    network = make_upstream()
    network.add("team/app", index)
    upstream.on(kind="blob").redirect(network.url)
    cache = target.proxy(upstream)
    containerd_pull(cache.client, "team/app", "v1")
    wanted = {blob.digest for blob in cached.blobs}
    cache.eventually(lambda: wanted <= cache.disk.layer_links("team/app"))

    network.down()
    hit = containerd_pull(cache.client, "team/app", "v1")
    miss = cache.get(blob_path("team/app", other.blobs[0]))

    expect.client("pull of what is cached", hit.complete, True)
    expect.client("status of an uncached layer", miss.status, unavailable())
    expect.disk("layers", cache.disk.layer_links("team/app"), wanted)
