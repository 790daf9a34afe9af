"""What a cache costs: requests that Docker Hub counts, and operations on its own storage."""

from __future__ import annotations

import pytest

from harness.clients.containerd_pull import ACCEPT, containerd_pull
from harness.content import an_image, an_index
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import Need, theme
from harness.targets import RunningRegistry
from harness.upstream import MockUpstream, RateLimit
from scenarios.pulling import blob_path, manifest_path, pull_image
from scenarios.steps import settle

REPOSITORY = "library/app"
HUB_LIMITS = "Docker docs: Docker Hub pull usage and limits"
MEASURED = "measured on 2.8.2"
PLATFORMS = ("linux/amd64", "linux/arm64")
scenario = theme("cost")


@scenario(
    "many-platforms",
    "The first pull of a multi-platform image costs two counted requests at Docker Hub, later "
    "pulls none",
    refs=(HUB_LIMITS, "d#3407", MEASURED),
)
def test_many_platforms(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Docker Hub counts a GET of a manifest: the index and the platform's image. HEAD is free."""
    upstream.add(REPOSITORY, an_index(platforms=PLATFORMS), tags=("v1",))
    limit = upstream.limit(RateLimit(100))
    cache = target.proxy(upstream)
    first = containerd_pull(cache.client, REPOSITORY, "v1")
    settle(cache, upstream)
    expect.client("the first pull is complete", first.complete, True)
    expect.upstream("counted for the first node", limit.used, 2)
    second = containerd_pull(cache.client, REPOSITORY, "v1")
    settle(cache, upstream)
    expect.client("the second pull is complete", second.complete, True)
    expect.upstream("counted for both nodes", limit.used, 2)
    other = containerd_pull(cache.client, REPOSITORY, "v1", platform="linux/arm64")
    settle(cache, upstream)
    expect.client("another platform's pull is complete", other.complete, True)
    expect.upstream("counted for another platform, too", limit.used, 3)


@scenario(
    "limit-used-up",
    "With Docker Hub's limit used up cached images are pulled, and others are refused with 429",
    refs=(HUB_LIMITS, "d#4050", "Harbor#19899", MEASURED),
)
def test_limit_used_up(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """HEAD stays free, so cached tags are not even stale."""
    known = upstream.add(REPOSITORY, an_image("known"), tags=("v1",))
    upstream.add(REPOSITORY, an_image("new"), tags=("v2",))
    cache = target.proxy(upstream)
    pull_image(cache, REPOSITORY, known, "v1")
    upstream.limit(RateLimit(0))
    cached = containerd_pull(cache.client, REPOSITORY, "v1")
    tag = cache.head(manifest_path(REPOSITORY, "v1"), headers=ACCEPT)
    new = cache.get(manifest_path(REPOSITORY, "v2"), headers=ACCEPT)
    expect.client("the cached image is pulled", cached.complete, True)
    expect.client("it is marked as stale", tag.headers.get("Warning"), None)
    expect.client("status of the new one", new.status, 429)
    expect.client("error code of the new one", new.error_code, "TOOMANYREQUESTS")


def storage_actions(cache: RunningRegistry) -> float:
    """How many operations the storage driver has done so far, by the cache's own metrics."""
    return cache.metrics().total("registry_storage_action_seconds_count")


def written(cache: RunningRegistry) -> dict[str, int]:
    """When each file was last written, in nanoseconds."""
    return {path: (cache.root / path).stat().st_mtime_ns for path in cache.disk.files()}


@scenario(
    "storage-of-a-hit",
    "A cache hit costs at most five storage operations and writes no file",
    refs=("d#4599", "d#4500", "Harbor#23083", MEASURED),
    needs={Need.CONFIG, Need.STORAGE, Need.DEBUG, Need.RESTART},
)
@pytest.mark.parametrize("asked_for", ["blob", "digest", "tag"])
def test_storage_of_a_hit(
    asked_for: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """On S3 each of them is a billed request with its own latency."""
    image = upstream.add(REPOSITORY, an_image(), tags=("v1",))
    cache = target.proxy(upstream)
    pull_image(cache, REPOSITORY, image, "v1")
    path = {
        "blob": blob_path(REPOSITORY, image.layers[0]),
        "digest": manifest_path(REPOSITORY, image.digest),
        "tag": manifest_path(REPOSITORY, "v1"),
    }[asked_for]
    # So that no schedule has to be written meanwhile.
    cache.restart()
    cache.get(path, headers=ACCEPT)
    settle(cache, upstream)
    operations, times = storage_actions(cache), written(cache)
    answer = cache.get(path, headers=ACCEPT)
    settle(cache, upstream)
    operations = storage_actions(cache) - operations
    changed = {name for name, time in written(cache).items() if time != times.get(name)}
    expect.client("status", answer.status, 200)
    expect.disk("operations were counted", operations > 0, True)
    expect.disk("more than five", operations > 5, False)
    expect.disk("files that were written", len(changed), 0)
