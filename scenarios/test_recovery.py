"""Upstream fails for a moment, or for some: who notices, and for how long."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.clients.containerd_pull import ACCEPT, containerd_pull
from harness.content import an_image
from harness.expectation import Expectations
from harness.lab import TargetUnderTest
from harness.scenario import SHOULD, scenario
from harness.upstream import MockUpstream
from scenarios.pulling import blob_path, manifest_path, pull_image
from scenarios.steps import OBSERVED

BLIP = "Artifactory: assumed offline for 300 s after one socket error"
MEASURED = "measured on 2.8.2 to 3.1.1"

REPOSITORY = "team/app"
OTHER = "team/other"


@scenario(
    "recovery.new-content-after-a-blip",
    "After one failure the very next request for something new goes to upstream, and is answered",
    level=SHOULD,
    refs=(BLIP, "NEXUS-27623", MEASURED),
    needs=OBSERVED,
)
@pytest.mark.parametrize("how", ["reset", "503", "429", "403", "404"])
def test_new_content_after_a_blip(
    how: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A cache that assumes for minutes that upstream is offline makes a long outage of a short
    one, and shows moved tags late."""
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
    "recovery.hung-blob-stalls-no-other-repository",
    "A blob of one repository that hangs upstream delays no other repository",
    level=SHOULD,
    refs=("zot#4357", "quay#4776", MEASURED),
    needs=OBSERVED,
)
@pytest.mark.parametrize("silent", [None, 100], ids=["before-the-head", "in-the-body"])
def test_hung_blob_stalls_no_other_repository(
    silent: int | None, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """One lock for all of upstream, and one black hole in a CDN stops every deployment."""
    stuck = upstream.add(REPOSITORY, an_image("stuck"), tags=("v1",)).layers[0]
    upstream.add(OTHER, an_image("free"), tags=("v1",))
    hung = upstream.on("GET", stuck).hang(after=silent)
    cache = target.proxy(upstream)

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(cache.get, blob_path(REPOSITORY, stuck)) for _ in range(3)]
        upstream.ledger.wait_for(lambda e: e.method == "GET" and e.digest == stuck.digest)
        pull = pool.submit(containerd_pull, cache.client, OTHER, "v1").result(timeout=10)
        hung.release()
        answers = [each.result() for each in waiting]

    right = [answer.body == stuck.content for answer in answers]
    expect.client("pull from the other repository, meanwhile", pull.complete, True)
    expect.client("those who waited, in the end", right, [True] * 3)
