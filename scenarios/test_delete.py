"""Deleting: a cache refuses it, a standard registry removes links and keeps the bytes."""

from __future__ import annotations

import pytest

from harness.clients.containerd_pull import ACCEPT, containerd_pull
from harness.content import Image, an_image, an_index
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import MUST, theme
from harness.targets.registry import RunningRegistry
from harness.upstream import MockUpstream
from scenarios.steps import OBSERVED, push, settle

DOCS = "distribution docs: Registry as a pull through cache"
MANIFEST = "OCI distribution-spec: Deleting Manifests"
TAG = "OCI distribution-spec: Deleting tags"
BLOB = "OCI distribution-spec: Deleting Blobs"
GC = "distribution docs: Garbage collection"

APP = "/v2/team/app"
scenario = theme("delete", refs=(MANIFEST, GC))


# -- on a proxy --------------------------------------------------------------------------------
@scenario(
    "proxy-refuses",
    "A cache deletes no manifest, tag or blob for clients, and sends nothing upstream",
    refs=(DOCS, "d#3424", "measured on 2.8.2 to 3.1.1"),
)
@pytest.mark.parametrize("delete_enabled", [True, False], ids=["delete-on", "delete-off"])
@pytest.mark.parametrize("cached", [True, False], ids=["cached", "uncached"])
@pytest.mark.parametrize("what", ["manifest", "tag", "blob"])
def test_proxy_refuses(
    what: str,
    cached: bool,
    delete_enabled: bool,
    image: Image,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """storage.delete.enabled on a cache concerns expiry only. There is no way to drop a single
    image from a cache over HTTP."""
    cache = target.proxy(upstream, delete_enabled=delete_enabled)
    if cached:
        containerd_pull(cache.client, "team/app", "v1")
        settle(cache, upstream)
    before = cache.disk.snapshot()
    upstream.ledger.clear()

    answer = cache.delete(
        {
            "manifest": f"{APP}/manifests/{image.digest}",
            "tag": f"{APP}/manifests/v1",
            "blob": f"{APP}/blobs/{image.layers[0].digest}",
        }[what]
    )

    changes = before.diff(cache.disk.snapshot())
    expect.client("status", answer.status, 405)
    expect.client("error code", answer.error_code, "UNSUPPORTED")
    expect.upstream("requests", upstream.ledger.lines(), [])
    expect.disk("files removed", changes.removed, set())
    expect.disk("files changed", changes.changed - {"scheduler-state.json"}, set())


@scenario(
    "content-survives",
    "After a refused DELETE the image is still pulled from the cache",
    refs=(DOCS, "measured on 2.8.2 to 3.1.1"),
    needs=OBSERVED,
)
def test_content_survives(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A 405 that deleted something would only show in the next outage."""
    cache = target.proxy(upstream, delete_enabled=True)
    containerd_pull(cache.client, "team/app", "v1")
    cache.eventually(lambda: len(cache.disk.layer_links("team/app")) == len(image.blobs))

    for path in (
        f"{APP}/manifests/{image.digest}",
        f"{APP}/manifests/v1",
        *(f"{APP}/blobs/{blob.digest}" for blob in image.blobs),
    ):
        cache.delete(path)
    upstream.down()
    pull = containerd_pull(cache.client, "team/app", "v1")

    expect.client("the pull is complete", pull.complete, True)
    expect.client("digest", pull.digest, image.digest)
    expect.disk("blobs", cache.disk.blobs(), {image.digest, *(b.digest for b in image.blobs)})


# -- on a standard registry --------------------------------------------------------------------
@scenario(
    "manifest",
    "DELETE of a manifest removes its tags and leaves the bytes to garbage-collect",
    level=MUST,
    needs=OBSERVED,
)
def test_manifest(target: TargetUnderTest, expect: Expectations) -> None:
    """202 means that the name is gone, not that the disk has space again."""
    registry = target.standard(delete_enabled=True)
    image, other = an_image(), an_image("other")
    push(registry, "team/app", image, "v1", "stable")
    push(registry, "team/app", other, "v2")
    bytes_before = registry.disk.blobs()

    first = registry.delete(f"{APP}/manifests/{image.digest}")
    second = registry.delete(f"{APP}/manifests/{image.digest}")

    by_digest = registry.get(f"{APP}/manifests/{image.digest}", headers=ACCEPT)
    by_tag = registry.get(f"{APP}/manifests/v1", headers=ACCEPT)
    expect.client("status", first.status, 202)
    expect.client("body", first.body, b"")
    expect.client("status of a second DELETE", second.status, 404)
    expect.client("error code of a second DELETE", second.error_code, "MANIFEST_UNKNOWN")
    expect.client("status of GET by digest", by_digest.status, 404)
    expect.client("status of GET by tag", by_tag.status, 404)
    expect.client("tags", registry.get(f"{APP}/tags/list").json()["tags"], ["v2"])
    expect.disk("tags", registry.disk.tags("team/app"), {"v2": other.digest})
    expect.disk("revisions", registry.disk.revisions("team/app"), {other.digest})
    expect.disk("bytes that went", bytes_before - registry.disk.blobs(), set())


@scenario("tag", "DELETE of a tag keeps the manifest and its other tags", refs=(TAG,))
def test_tag(target: TargetUnderTest, expect: Expectations) -> None:
    """Clean-up jobs that delete old build tags must not remove a release that is the same image."""
    registry = target.standard(delete_enabled=True)
    image = an_image()
    push(registry, "team/app", image, "build-17", "v1")

    first = registry.delete(f"{APP}/manifests/build-17")
    second = registry.delete(f"{APP}/manifests/build-17")

    by_tag = registry.get(f"{APP}/manifests/build-17", headers=ACCEPT)
    by_digest = registry.get(f"{APP}/manifests/{image.digest}", headers=ACCEPT)
    expect.client("status", first.status, 202)
    expect.client("status of a second DELETE", second.status, 404)
    expect.client("status of GET by the tag", by_tag.status, 404)
    expect.client("status of GET by digest", by_digest.status, 200)
    expect.disk("tags", registry.disk.tags("team/app"), {"v1": image.digest})
    expect.disk("revisions", registry.disk.revisions("team/app"), {image.digest})


@scenario(
    "blob",
    "DELETE of a blob unlinks it from this repository and keeps the bytes",
    level=MUST,
    refs=(BLOB, GC),
)
def test_blob(target: TargetUnderTest, expect: Expectations) -> None:
    """Repositories share layers. What one owner deletes must stay for the others."""
    registry = target.standard(delete_enabled=True)
    image = an_image()
    layer = image.layers[0]
    push(registry, "team/app", image, "v1")
    push(registry, "team/fork", image, "v1")

    first = registry.delete(f"{APP}/blobs/{layer.digest}")
    second = registry.delete(f"{APP}/blobs/{layer.digest}")

    here = registry.get(f"{APP}/blobs/{layer.digest}")
    there = registry.get(f"/v2/team/fork/blobs/{layer.digest}")
    links = registry.disk.layer_links("team/app")
    expect.client("status", first.status, 202)
    expect.client("status of a second DELETE", second.status, 404)
    expect.client("error code of a second DELETE", second.error_code, "BLOB_UNKNOWN")
    expect.client("status of GET", here.status, 404)
    expect.client("the other repository has it", there.body == layer.content, True)
    expect.disk("the link is there", layer.digest in links, False)
    expect.disk("the bytes are there", registry.disk.has_blob(layer.digest), True)


@scenario(
    "disabled",
    "Without storage.delete.enabled nothing can be deleted",
    level=MUST,
    refs=(MANIFEST, "distribution docs: Configuring a registry, delete"),
)
@pytest.mark.parametrize("what", ["manifest", "tag", "blob"])
def test_disabled(what: str, target: TargetUnderTest, expect: Expectations) -> None:
    """This is the default, and protects released images from clean-up scripts."""
    registry = target.standard(delete_enabled=False)
    image = an_image()
    push(registry, "team/app", image, "v1")
    before = registry.disk.snapshot()

    answer = registry.delete(
        {
            "manifest": f"{APP}/manifests/{image.digest}",
            "tag": f"{APP}/manifests/v1",
            "blob": f"{APP}/blobs/{image.layers[0].digest}",
        }[what]
    )

    expect.client("status", answer.status, 405)
    expect.client("error code", answer.error_code, "UNSUPPORTED")
    expect.disk("files removed", len(before.diff(registry.disk.snapshot()).removed), 0)


@scenario("unknown", "DELETE of unknown content is 404", refs=(MANIFEST, TAG, BLOB))
def test_unknown(target: TargetUnderTest, expect: Expectations) -> None:
    """A repeated clean-up job has to distinguish "already gone" from a failure."""
    registry = target.standard(delete_enabled=True)
    push(registry, "team/app", an_image(), "v1")
    absent = an_image("absent")

    for name, path in (
        ("manifest", f"{APP}/manifests/{absent.digest}"),
        ("tag", f"{APP}/manifests/v9"),
        ("blob", f"{APP}/blobs/{absent.layers[0].digest}"),
        ("manifest of an unknown repository", f"/v2/team/new/manifests/{absent.digest}"),
    ):
        expect.client(f"status for a {name}", registry.delete(path).status, 404)

    expect.disk("tags", sorted(registry.disk.tags("team/app")), ["v1"])


@scenario(
    "last-tag",
    "A repository without tags has an empty tag list, not null",
    refs=("OCI distribution-spec: Listing Tags", "measured on 2.8.2 to 3.1.1"),
)
def test_last_tag(target: TargetUnderTest, expect: Expectations) -> None:
    """Scripts iterate over the list; null breaks them on the day the last tag is deleted."""
    registry = target.standard(delete_enabled=True)
    image = an_image()
    push(registry, "team/app", image, "v1")

    registry.delete(f"{APP}/manifests/{image.digest}")

    answer = registry.get(f"{APP}/tags/list")
    expect.client("status", answer.status, 200)
    expect.client("tags", answer.json()["tags"], [])
    expect.disk("tags", registry.disk.tags("team/app"), {})


@scenario("pushed-again", "A deleted manifest can be pushed again without its layers")
def test_pushed_again(target: TargetUnderTest, expect: Expectations) -> None:
    """The way back after a mistaken deletion, until garbage-collect runs."""
    registry = target.standard(delete_enabled=True)
    image = an_image()
    push(registry, "team/app", image, "v1")
    registry.delete(f"{APP}/manifests/{image.digest}")

    answer = registry.put(
        f"{APP}/manifests/v1", content=image.content, headers={"Content-Type": image.media_type}
    )

    pull = containerd_pull(registry.client, "team/app", "v1")
    expect.client("status", answer.status, 201)
    expect.client("the pull is complete", pull.complete, True)
    expect.disk("tags", registry.disk.tags("team/app"), {"v1": image.digest})


@scenario(
    "child-of-an-index",
    "DELETE of a platform's image keeps the index and the other platforms",
    refs=(MANIFEST, "OCI image-spec: Image Index"),
)
def test_child_of_an_index(target: TargetUnderTest, expect: Expectations) -> None:
    """The index then names a missing image: clients of that platform fail, without a warning."""
    registry = target.standard(delete_enabled=True)
    index = an_index()
    gone, kept = index.children
    push(registry, "team/app", index, "v1")

    answer = registry.delete(f"{APP}/manifests/{gone.digest}")

    _expect_statuses(
        expect, registry, {"the index": "v1", "the image": gone.digest, "the other": kept.digest}
    )
    expect.client("status of DELETE", answer.status, 202)
    expect.disk("revisions", registry.disk.revisions("team/app"), {index.digest, kept.digest})


def _expect_statuses(
    expect: Expectations, registry: RunningRegistry, references: dict[str, str]
) -> None:
    expected = {"the index": 200, "the image": 404, "the other": 200}
    for name, reference in references.items():
        answer = registry.get(f"{APP}/manifests/{reference}", headers=ACCEPT)
        expect.client(f"status of {name}", answer.status, expected[name])
