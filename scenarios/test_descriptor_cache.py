"""A descriptor cache in redis, which outlives the registry and does not see its disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.clients.push import upload_blob
from harness.content import Blob, an_image
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import Need, theme
from harness.system.redis_server import RedisServer
from harness.upstream import MockUpstream
from scenarios.blobs import REPOSITORY, a_blob, cached
from scenarios.pulling import blob_path
from scenarios.steps import OBSERVED, push, settle
from scenarios.uploading import open_upload

MEASURED = "measured on 2.8.2"
REDIS_DOC = "distribution docs: Configuring a registry, storage.cache, redis"


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A redis that has nothing in it."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


scenario = theme("descriptors", needs=OBSERVED | {Need.RESTART})


@scenario(
    "outlive-bytes",
    "A blob that is in redis but not on disk is fetched again, not served empty",
    refs=("d#2367", "d#2945", "d#1356", MEASURED),
)
@pytest.mark.parametrize("lost", ["the-file", "everything"])
def test_outlive_bytes(
    lost: str,
    redis_server: RedisServer,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """A cache's volume is emptied or restored from a backup, and redis is forgotten. Every node
    then gets 200 and no bytes, and a restart does not help."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream, cache="redis", redis_addr=redis_server.address)
    cache.get(blob_path(REPOSITORY, blob))
    cached(cache, blob)
    cache.get(blob_path(REPOSITORY, blob))
    expect.disk("redis knows it", bool(redis_server.client().exists(f"blobs::{blob.digest}")), True)
    cache.stop()
    wanted = "docker/**/*" if lost == "everything" else "docker/registry/v2/blobs/**/data"
    for file in sorted(cache.root.glob(wanted)):
        if file.is_file():
            file.unlink()
    cache.start()
    answer = cache.get(blob_path(REPOSITORY, blob))
    expect.client("status", answer.status, 200)
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.client("the body ends early", answer.error is not None, False)
    settle(cache, upstream)
    expect.disk("it is cached again", cache.disk.has_blob(blob.digest), True)


@scenario(
    "redis-is-away",
    "A cache whose redis is down, at start or later, still serves",
    refs=(REDIS_DOC, MEASURED),
)
@pytest.mark.parametrize("when", ["at-start", "later"])
def test_redis_is_away(
    when: str,
    redis_server: RedisServer,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """redis saves a few disk accesses, which is not worth an outage."""
    first, second = a_blob(upstream), upstream.add(REPOSITORY, Blob.of_size(3_000, "second"))
    if when == "at-start":
        redis_server.stop()
    cache = target.proxy(upstream, cache="redis", redis_addr=redis_server.address)
    cold = cache.get(blob_path(REPOSITORY, first))
    cached(cache, first)
    redis_server.stop()
    warm, new = cache.get(blob_path(REPOSITORY, first)), cache.get(blob_path(REPOSITORY, second))
    expect.client("a new blob", cold.body == first.content, True)
    expect.client("a cached blob", warm.body == first.content, True)
    expect.client("another new blob", new.body == second.content, True)
    expect.disk("it is cached", cached(cache, second), True)


@scenario(
    "deleted-means-deleted",
    "A deleted blob is 404 although redis knew it",
    refs=("d#2945", "distribution docs: Garbage collection", MEASURED),
    needs=OBSERVED,
)
def test_deleted_means_deleted(
    redis_server: RedisServer, target: TargetUnderTest, expect: Expectations
) -> None:
    """A push that believes a deleted layer exists produces an image without it."""
    image = an_image()
    layer = image.layers[0]
    registry = target.standard(delete_enabled=True, cache="redis", redis_addr=redis_server.address)
    push(registry, REPOSITORY, image, "v1")
    registry.get(blob_path(REPOSITORY, layer))
    gone = registry.delete(blob_path(REPOSITORY, layer))
    expect.client("status of the DELETE", gone.status, 202)
    expect.client("HEAD afterwards", registry.head(blob_path(REPOSITORY, layer)).status, 404)
    expect.client("GET afterwards", registry.get(blob_path(REPOSITORY, layer)).status, 404)


@scenario(
    "lost-bytes-are-not-mounted",
    "A blob that is in the descriptor cache but not on disk is not mounted",
    refs=("d#2945", MEASURED),
    needs=OBSERVED,
)
def test_lost_bytes_are_not_mounted(target: TargetUnderTest, expect: Expectations) -> None:
    """A push that trusts the mount leaves an image that cannot be pulled."""
    registry = target.standard(cache="inmemory")
    blob = Blob.of_size(500)
    upload_blob(registry.client, "team/source", blob)
    registry.get(blob_path("team/source", blob))
    for file in registry.root.glob("docker/registry/v2/blobs/**/data"):
        file.unlink()

    mounted = open_upload(registry, "team/app", f"mount={blob.digest}&from=team/source")
    asked = registry.head(blob_path("team/source", blob))

    expect.client("status of the mount", mounted.status, 202)
    expect.client("status of HEAD", asked.status, 404)
