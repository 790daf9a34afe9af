"""A cache whose disk lost or changed something: what it still serves, and what it fetches again."""

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
from harness.suite.scenario import SHOULD, Need, scenario
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


@scenario(
    "damage.rotten-blob",
    "A cached blob with a wrong bit in it is not served again, but fetched anew",
    level=SHOULD,
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
    """Clients verify, and their pull fails. They try again and get the same bytes, on every node,
    until the entry expires; nothing in the cache's log says why."""
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
    "damage.cut-blob",
    "A cached blob of which the disk has only a part is fetched again",
    level=SHOULD,
    refs=(VERIFY, "d#3722", "d#4046", MEASURED),
    needs=OBSERVED,
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
    """What a power cut or a full disk leaves. An answer that says that half a layer is all of it
    ends in "unexpected EOF" at the client."""
    image, cache = _cached(upstream, target, cache=descriptors)
    layer = image.layers[0]
    file = cache.disk.blob_path(layer.digest)
    file.write_bytes(DAMAGES[how](layer.content))

    answer = cache.get(blob_path(REPOSITORY, layer))
    settle(cache, upstream)

    expect.client("bytes are right", answer.body == layer.content, True)
    expect.disk("stored bytes are right", file.read_bytes() == layer.content, True)


@scenario(
    "damage.manifest",
    "A damaged manifest is never served: it is fetched again",
    level=SHOULD,
    refs=(VERIFY, "d#4477", MEASURED),
    needs=OBSERVED,
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
    """A manifest names everything else. One that is not what its digest says is refused by
    containerd and believed by older clients."""
    image, cache = _cached(upstream, target)
    file = cache.disk.blob_path(image.digest)
    file.write_bytes(DAMAGES[how](image.content))

    answer = _get_manifest(cache, "v1" if reference == "tag" else image.digest)
    settle(cache, upstream)

    expect.client("status", answer.status, 200)
    expect.client("bytes are right", answer.body == image.content, True)
    expect.disk("stored bytes are right", file.read_bytes() == image.content, True)


@scenario(
    "damage.nothing-to-fetch-from",
    "While upstream is down, what is damaged is unavailable, and nothing wrong is served",
    level=SHOULD,
    refs=(VERIFY, "d#3705", MEASURED),
    needs=OBSERVED,
)
def test_nothing_to_fetch_from(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """An outage is no reason to hand out wrong bytes: 502, 503 or 504 say what is the matter, and
    a client falls back to another mirror."""
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
    "damage.links",
    "Where a link was lost, the image still comes, and bytes that are there are not fetched again",
    level=SHOULD,
    refs=(MIRROR, "d#4477", MEASURED),
    needs=OBSERVED,
)
@pytest.mark.parametrize("lost", ["layer", "manifest", "tag"])
def test_links(
    lost: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Thousands of tiny files are what a restored backup, a copied tree or a checked disk most
    likely lacks some of."""
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
    "damage.vanished-manifest",
    "A manifest whose bytes vanished under its tag and its link is fetched again",
    level=SHOULD,
    refs=(MIRROR, "d#4477", MEASURED),
    needs=OBSERVED,
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
    "damage.directory-in-the-way",
    "A directory that lies where a blob's file should be does not keep the blob from being served",
    level=SHOULD,
    refs=(MEASURED,),
    needs=OBSERVED,
)
def test_directory_in_the_way(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Backup tools and container volumes make directories for paths that they do not find."""
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
    "damage.always-verified",
    "With x-verify: always, the first pull after a start is of verified bytes, however large",
    level=SHOULD,
    refs=(VERIFY,),
    needs=OBSERVED | {Need.X_KEYS, Need.RESTART},
)
def test_always_verified(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """For disks that are not trusted, at the price of reading each layer before it is sent. By
    default a large one is verified while its first client has it already."""
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
