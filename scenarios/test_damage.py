"""A cache whose disk lost or changed files: what it still serves, and what it fetches again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.content import Blob, Image, an_image
from harness.http.client import Answer
from harness.suite.expectation import Expectations, any_of, at_least
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import Need, theme
from harness.targets.registry import RunningRegistry
from harness.upstream import MockUpstream
from scenarios.pulling import blob_path, manifest_path, pull_blob, pull_image
from scenarios.steps import OBSERVED, settle

VERIFY = "OCI image-spec: Descriptor, Verification"
MIRROR = "distribution docs: Registry as a pull through cache"
MEASURED = "measured on 2.8.2 to 3.1.1"
REPOSITORY = "team/app"

DESCRIPTORS = pytest.mark.parametrize("descriptors", [None, "inmemory"], ids=["no-cache", "memory"])


def _rotten(content: bytes) -> bytes:
    """One bit is another. A manifest is still one, of a layer that there is not."""
    at = content.rfind(b"sha256:") + len(b"sha256:")
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "rotten": _rotten,
}


def _cached(
    upstream: MockUpstream, target: TargetUnderTest, **settings: Any
) -> tuple[Image, RunningRegistry]:
    image = upstream.add(REPOSITORY, an_image(), tags=("v1",))
    cache = target.proxy(upstream, **settings)
    pull_image(cache, REPOSITORY, image, "v1")
    settle(cache, upstream)
    return image, cache


def _get_manifest(cache: RunningRegistry, reference: str) -> Answer:
    return cache.get(manifest_path(REPOSITORY, reference), headers=ACCEPT)


scenario = theme("damage", refs=(MIRROR, "d#4477", MEASURED), needs=OBSERVED)


@scenario(
    "rotten-blob",
    "A cached blob with a flipped bit is not served again but fetched",
    refs=(VERIFY, "d#3722", MEASURED),
    needs=OBSERVED | {Need.RESTART},
)
@pytest.mark.parametrize("when", ["running", "stopped"])
@DESCRIPTORS
def test_rotten_blob(
    when: str,
    descriptors: str | None,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Clients verify and fail, retry and get the same bytes, on every node until the entry expires.
    The log says nothing."""
    image, cache = _cached(upstream, target, cache=descriptors)
    layer = image.layers[0]
    file = cache.disk.blob_path(layer.digest)
    if when == "stopped":
        cache.stop()
    file.write_bytes(_rotten(layer.content))
    if when == "stopped":
        cache.start()

    answer = cache.get(blob_path(REPOSITORY, layer))
    settle(cache, upstream)
    again = cache.get(blob_path(REPOSITORY, layer))

    expect.client("status", answer.status, 200)
    expect.client("bytes are right", answer.body == layer.content, True)
    expect.client("bytes are right the next time", again.body == layer.content, True)
    expect.disk("stored bytes are right", file.read_bytes() == layer.content, True)


@scenario(
    "cut-blob",
    "A truncated cached blob is fetched again",
    refs=(VERIFY, "d#3722", "d#4046", MEASURED),
)
@pytest.mark.parametrize("how", ["cut", "empty"])
@DESCRIPTORS
def test_cut_blob(
    how: str,
    descriptors: str | None,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Power cuts and full disks leave these. Half a layer announced as the whole ends in
    "unexpected EOF" at the client."""
    image, cache = _cached(upstream, target, cache=descriptors)
    layer = image.layers[0]
    file = cache.disk.blob_path(layer.digest)
    file.write_bytes(DAMAGES[how](layer.content))

    answer = cache.get(blob_path(REPOSITORY, layer))
    settle(cache, upstream)

    expect.client("bytes are right", answer.body == layer.content, True)
    expect.disk("stored bytes are right", file.read_bytes() == layer.content, True)


@scenario(
    "manifest",
    "A damaged manifest is not served but fetched again",
    refs=(VERIFY, "d#4477", MEASURED),
)
@pytest.mark.parametrize("how", ["cut", "empty", "rotten"])
@pytest.mark.parametrize("reference", ["tag", "digest"])
def test_manifest(
    how: str,
    reference: str,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """A manifest names everything else. containerd refuses one that does not match its digest;
    older clients believe it."""
    image, cache = _cached(upstream, target)
    file = cache.disk.blob_path(image.digest)
    file.write_bytes(DAMAGES[how](image.content))

    answer = _get_manifest(cache, "v1" if reference == "tag" else image.digest)
    settle(cache, upstream)

    expect.client("status", answer.status, 200)
    expect.client("bytes are right", answer.body == image.content, True)
    expect.disk("stored bytes are right", file.read_bytes() == image.content, True)


@scenario(
    "nothing-to-fetch-from",
    "While upstream is down damaged content is unavailable, and no wrong bytes are served",
    refs=(VERIFY, "d#3705", MEASURED),
)
def test_nothing_to_fetch_from(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """An outage is no reason to serve wrong bytes. 502, 503 or 504 describe the problem, and a
    client falls back to another mirror."""
    image, cache = _cached(upstream, target)
    layer = image.layers[0]
    for digest, content in ((layer.digest, layer.content), (image.digest, image.content)):
        cache.disk.blob_path(digest).write_bytes(_rotten(content))
    upstream.down()

    blob = cache.get(blob_path(REPOSITORY, layer))
    by_tag = _get_manifest(cache, "v1")
    by_digest = _get_manifest(cache, image.digest)

    expect.client("status of the blob", blob.status, any_of(502, 503, 504))
    expect.client("status by tag", by_tag.status, any_of(502, 503, 504))
    expect.client("status by digest", by_digest.status, any_of(502, 503, 504))


@scenario(
    "links", "An image with missing links is pulled, without downloading bytes that are on disk"
)
@pytest.mark.parametrize("lost", ["layer", "manifest", "tag"])
def test_links(
    lost: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Links are thousands of tiny files. A restored backup or a repaired file system most likely
    misses some."""
    image, cache = _cached(upstream, target)
    link = _link(cache, lost, image)
    link.unlink()
    upstream.ledger.clear()

    manifest = _get_manifest(cache, "v1")
    layer = cache.get(blob_path(REPOSITORY, image.layers[0]))
    settle(cache, upstream)

    expect.client("the manifest is right", manifest.body == image.content, True)
    expect.client("the layer is right", layer.body == image.layers[0].content, True)
    expect.upstream("blob bodies", upstream.ledger.count("GET", kind="blob"), 0)
    expect.disk("the link is back", link.is_file(), True)


@scenario(
    "vanished-manifest", "A manifest whose file is missing below its tag and link is fetched again"
)
@pytest.mark.parametrize("reference", ["tag", "digest"])
def test_vanished_manifest(
    reference: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The tag's link alone is a promise without anything behind it."""
    image, cache = _cached(upstream, target)
    cache.disk.blob_path(image.digest).unlink()
    upstream.ledger.clear()

    answer = _get_manifest(cache, "v1" if reference == "tag" else image.digest)
    settle(cache, upstream)

    expect.client("status", answer.status, 200)
    expect.client("bytes are right", answer.body == image.content, True)
    asked = upstream.ledger.count("GET", kind="manifest")
    expect.upstream("manifests fetched", asked, at_least(1))
    expect.disk("it is cached again", cache.disk.has_blob(image.digest), True)


@scenario(
    "directory-in-the-way",
    "A directory in place of a blob's file does not stop the blob from being served",
    refs=(MEASURED,),
)
def test_directory_in_the_way(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Backup tools and container volumes create directories for missing paths."""
    image, cache = _cached(upstream, target)
    layer = image.layers[0]
    file = cache.disk.blob_path(layer.digest)
    file.unlink()
    file.mkdir()

    answer = cache.get(blob_path(REPOSITORY, layer))
    settle(cache, upstream)

    expect.client("status", answer.status, 200)
    expect.client("bytes are right", answer.body == layer.content, True)
    expect.disk("it is cached again", cache.disk.has_blob(layer.digest), True)


@scenario(
    "always-verified",
    "With x-verify: always the first pull after a start serves verified bytes, of any size",
    refs=(VERIFY,),
    needs=OBSERVED | {Need.X_KEYS, Need.RESTART},
)
def test_always_verified(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """For disks that are not trusted, at the price of reading each layer before it is sent. By
    default a large layer is verified while the first client receives it."""
    blob = upstream.add(REPOSITORY, Blob.of_size(9 * 1024 * 1024))
    cache = target.proxy(upstream, extra={"proxy": {"x-verify": "always"}})
    pull_blob(cache, REPOSITORY, blob)
    settle(cache, upstream)
    file = cache.disk.blob_path(blob.digest)
    cache.stop()
    file.write_bytes(_rotten(blob.content))
    cache.start()

    answer = cache.get(blob_path(REPOSITORY, blob))
    settle(cache, upstream)

    expect.client("bytes are right", answer.body == blob.content, True)
    expect.disk("stored bytes are right", file.read_bytes() == blob.content, True)


def _link(cache: RunningRegistry, which: str, image: Image) -> Path:
    below = cache.disk.root / "docker/registry/v2/repositories" / REPOSITORY
    links = {
        "layer": f"_layers/sha256/{image.layers[0].digest[7:]}/link",
        "manifest": f"_manifests/revisions/sha256/{image.digest[7:]}/link",
        "tag": "_manifests/tags/v1/current/link",
    }
    return below / links[which]
