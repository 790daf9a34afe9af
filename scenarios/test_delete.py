"""Deleting: a cache refuses it, a standard registry removes links and keeps the bytes."""

from __future__ import annotations

import pytest

from harness.clients.containerd_pull import ACCEPT, containerd_pull
from harness.content import an_image, an_index
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import MUST, SHOULD, scenario
from harness.targets.registry import RunningRegistry
from harness.upstream import MockUpstream
from scenarios.steps import OBSERVED, push, settle

DOCS = "distribution docs: Registry as a pull through cache"
MANIFEST = "OCI distribution-spec: Deleting Manifests"
TAG = "OCI distribution-spec: Deleting tags"
BLOB = "OCI distribution-spec: Deleting Blobs"
GC = "distribution docs: Garbage collection"

APP = "/v2/team/app"


# -- on a proxy --------------------------------------------------------------------------------
@scenario(
    "delete.proxy-refuses",
    "A proxy deletes no manifest, no tag and no blob, and does not ask its upstream to",
    level=SHOULD,
    refs=(DOCS, "d#3424", "measured on 2.8.2 to 3.1.1"),
)
@pytest.mark.parametrize("delete_enabled", [True, False], ids=["delete-on", "delete-off"])
@pytest.mark.parametrize("cached", [True, False], ids=["cached", "uncached"])
@pytest.mark.parametrize("what", ["manifest", "tag", "blob"])
def test_proxy_refuses(
    what: str,
    cached: bool,
    delete_enabled: bool,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """storage.delete.enabled on a cache is about expiry only: it does not let clients delete, and
    there is no way to drop a single image from a cache over HTTP."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
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
    "delete.content-survives",
    "After refused deletions the image is still pulled in full, with upstream gone",
    level=SHOULD,
    refs=(DOCS, "measured on 2.8.2 to 3.1.1"),
    needs=OBSERVED,
)
def test_content_survives(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A 405 that deleted something all the same would show only in the next outage."""
    image = upstream.add("team/app", an_image(), tags=("v1",))
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
    "delete.manifest",
    "Deleting a manifest takes its tags along and leaves the bytes to garbage-collect",
    level=MUST,
    refs=(MANIFEST, GC),
    needs=OBSERVED,
)
def test_manifest(target: TargetUnderTest, expect: Expectations) -> None:
    """202 means that the name is gone, not that the disk has room again."""
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


@scenario(
    "delete.tag",
    "Deleting a tag leaves the manifest and its other tags",
    level=SHOULD,
    refs=(TAG,),
)
def test_tag(target: TargetUnderTest, expect: Expectations) -> None:
    """Clean-up jobs that delete tags of old builds must not take away the release that happens to
    be the same image."""
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
    "delete.blob",
    "Deleting a blob removes it from this repository only and leaves the bytes",
    level=MUST,
    refs=(BLOB, GC),
)
def test_blob(target: TargetUnderTest, expect: Expectations) -> None:
    """Repositories share layers: what one owner deletes must stay for the others."""
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
    "delete.disabled",
    "Without storage.delete.enabled a registry deletes nothing",
    level=MUST,
    refs=(MANIFEST, "distribution docs: Configuring a registry, delete"),
)
@pytest.mark.parametrize("what", ["manifest", "tag", "blob"])
def test_disabled(what: str, target: TargetUnderTest, expect: Expectations) -> None:
    """It is the default, and what protects released images from a clean-up script."""
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


@scenario(
    "delete.unknown",
    "Deleting what is not there is 404",
    level=SHOULD,
    refs=(MANIFEST, TAG, BLOB),
)
def test_unknown(target: TargetUnderTest, expect: Expectations) -> None:
    """A clean-up job that runs twice must be able to tell "already gone" from a failure."""
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
    "delete.last-tag",
    "A repository without tags has an empty list of tags, not null",
    level=SHOULD,
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


@scenario(
    "delete.pushed-again",
    "A deleted manifest can be pushed again, without its layers",
    level=SHOULD,
    refs=(MANIFEST, GC),
)
def test_pushed_again(target: TargetUnderTest, expect: Expectations) -> None:
    """The way back after a mistaken deletion, open until garbage-collect runs."""
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
    "delete.child-of-an-index",
    "Deleting a platform's image leaves the index and the other platforms",
    level=SHOULD,
    refs=(MANIFEST, "OCI image-spec: Image Index"),
)
def test_child_of_an_index(target: TargetUnderTest, expect: Expectations) -> None:
    """The index then names an image that is gone: clients of that platform fail, which nothing
    warns of."""
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
