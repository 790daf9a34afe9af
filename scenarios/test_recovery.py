"""Upstream fails for a moment, or for some requests: which clients notice, and for how long."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.clients.containerd_pull import ACCEPT, containerd_pull
from harness.content import Image, an_image
from harness.suite.expectation import Expectations, containing
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import Need, theme
from harness.system.ports import scaled
from harness.upstream import MockUpstream
from scenarios.pulling import blob_path, manifest_path, pull_image
from scenarios.steps import OBSERVED

BLIP = "Artifactory: assumed offline for 300 s after one socket error"
MEASURED = "measured on 2.8.2 to 3.1.1"

REPOSITORY = "team/app"
OTHER = "team/other"
scenario = theme("recovery", needs=OBSERVED | {Need.X_KEYS})


@scenario(
    "new-content-after-a-blip",
    "After one upstream failure the next request goes upstream and is answered",
    refs=(BLIP, "NEXUS-27623", MEASURED),
    needs={Need.CONFIG},
)
@pytest.mark.parametrize("how", ["reset", "503", "429", "403", "404"])
def test_new_content_after_a_blip(
    how: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A cache that assumes for minutes that upstream is down turns a short outage into a long one,
    and shows moved tags late."""
    image = upstream.add(REPOSITORY, an_image("one"), tags=("v1",))
    cache = target.proxy(upstream)
    pull_image(cache, REPOSITORY, image, "v1")
    fault = upstream.on(kind="manifest")
    fault.reset() if how == "reset" else fault.status(int(how), {"Retry-After": "300"})
    cache.get(manifest_path(REPOSITORY, "v1"), headers=ACCEPT)
    cache.get(manifest_path(REPOSITORY, "v2"), headers=ACCEPT)
    upstream.clear_faults()

    moved = upstream.add(REPOSITORY, an_image("two"), tags=("v1", "v2"))
    for tag in ("v1", "v2"):
        answer = cache.get(manifest_path(REPOSITORY, tag), headers=ACCEPT)
        expect.client(f"{tag} is the new one", answer.body == moved.content, True)
        expect.client(f"Warning of {tag}", answer.headers.get("Warning"), None)
    pull = containerd_pull(cache.client, REPOSITORY, "v2")
    expect.client("whole pull", pull.complete, True)


@scenario(
    "hung-blob-stalls-no-other-repository",
    "A hanging blob of one repository does not delay another repository",
    refs=("zot#4357", "quay#4776", MEASURED),
    needs={Need.CONFIG},
)
@pytest.mark.parametrize("silent", [None, 100], ids=["before-the-head", "in-the-body"])
def test_hung_blob_stalls_no_other_repository(
    silent: int | None, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """With one lock for all of upstream, one black hole in a CDN stops every deployment."""
    stuck = upstream.add(REPOSITORY, an_image("stuck"), tags=("v1",)).layers[0]
    upstream.add(OTHER, an_image("free"), tags=("v1",))
    hung = upstream.on("GET", stuck).hang(after=silent)
    cache = target.proxy(upstream)

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(cache.get, blob_path(REPOSITORY, stuck)) for _ in range(3)]
        upstream.ledger.wait_for(lambda e: e.method == "GET" and e.digest == stuck.digest)
        pull = pool.submit(containerd_pull, cache.client, OTHER, "v1").result(timeout=scaled(10))
        hung.release()
        answers = [each.result() for each in waiting]

    right = [answer.body == stuck.content for answer in answers]
    expect.client("pull from the other repository, meanwhile", pull.complete, True)
    expect.client("the waiting clients, in the end", right, [True] * 3)


# -- no answer at all ------------------------------------------------------------------------------
@scenario(
    "silence-ends",
    "An upstream that accepts a request and never answers is given up after the configured timeout",
    refs=("d#3705", "quay#4776", "zot#3574", "RFC 9110, 15.6.5 504 Gateway Timeout"),
)
@pytest.mark.parametrize("asked_for", ["tag", "digest", "blob", "tags"])
def test_silence_ends(
    asked_for: str,
    image: Image,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Without a timeout every client and connection of the cache waits, without an explanation."""
    wanted = {
        "tag": manifest_path(REPOSITORY, "v1"),
        "digest": manifest_path(REPOSITORY, image.digest),
        "blob": blob_path(REPOSITORY, image.layers[0]),
        "tags": f"/v2/{REPOSITORY}/tags/list",
    }[asked_for]
    upstream.on().hang()
    cache = target.proxy(upstream, extra={"proxy": {"x-upstream-timeout": "300ms"}})

    answer = cache.get(wanted, headers=ACCEPT, timeout=scaled(10))
    upstream.clear_faults()
    again = cache.get(wanted, headers=ACCEPT)

    expect.client("status", answer.status, 504)
    expect.client("error code", answer.error_code, "UNAVAILABLE")
    expect.client("status afterwards", again.status, 200)


@scenario(
    "silence-in-the-body",
    "A blob that stalls in the middle is requested again after the configured timeout",
    refs=("d#3705", "quay#4776", "RFC 9110, 14 Range Requests"),
)
def test_silence_in_the_body(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A connection that a firewall has dropped sends nothing more and is not closed."""
    image = upstream.add(REPOSITORY, an_image(layer_size=100_000), tags=("v1",))
    layer = image.layers[0]
    upstream.on("GET", layer, where=lambda call: call.header("range") is None).hang(after=30_000)
    cache = target.proxy(upstream, extra={"proxy": {"x-upstream-timeout": "300ms"}})

    answer = cache.get(blob_path(REPOSITORY, layer), timeout=scaled(10))

    ranges = [entry.header("range") for entry in upstream.ledger.select("GET", kind="blob")]
    expect.client("the bytes are right", answer.body == layer.content, True)
    expect.upstream("parts asked for", ranges, [None, "bytes=30000-"])


@scenario(
    "silence-and-a-cached-tag",
    "A cached tag is served, marked as stale, when upstream does not answer in time",
    refs=("d#3705", "quay#4776", "RFC 7234, 5.5.1: Warning 110"),
)
def test_silence_and_a_cached_tag(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A black hole is an outage too: cached content should arrive before clients give up."""
    cache = target.proxy(upstream, extra={"proxy": {"x-upstream-timeout": "300ms"}})
    pull_image(cache, REPOSITORY, image, "v1")
    upstream.on().hang()

    answer = cache.get(manifest_path(REPOSITORY, "v1"), headers=ACCEPT, timeout=scaled(10))
    tags = cache.get(f"/v2/{REPOSITORY}/tags/list", timeout=scaled(10))

    expect.client("status", answer.status, 200)
    expect.client("the bytes are right", answer.body == image.content, True)
    expect.client("Warning", answer.headers.get("Warning"), containing("110"))
    expect.client("Warning of the list of tags", tags.headers.get("Warning"), containing("110"))
