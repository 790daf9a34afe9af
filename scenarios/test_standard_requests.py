"""A registry without an upstream: rarer requests and settings, in which releases differ."""

from __future__ import annotations

import json

from harness.clients.containerd_pull import ACCEPT
from harness.content import Blob, an_image, descriptor
from harness.suite.expectation import Expectations, any_of
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import MUST, SHOULD, scenario
from harness.targets import DidNotStart
from scenarios.paging import next_page
from scenarios.pulling import blob_path, manifest_path
from scenarios.steps import push
from scenarios.uploading import offer_manifest

CONDITIONAL = "RFC 9110, 13.1.2 If-None-Match"
CONFIGURATION = "distribution docs: Configuring a registry"
MEASURED = "measured on 2.8.2 to 3.1.1"
REPOSITORY = "team/app"


@scenario(
    "standard.forms-of-a-condition",
    "If-None-Match may be a list, may be weak and may be *: each that names the manifest is 304",
    level=MUST,
    refs=(CONDITIONAL, MEASURED),
    needs=(),
)
def test_forms_of_a_condition(target: TargetUnderTest, expect: Expectations) -> None:
    """HTTP caches on the way write them so; a 200 then costs the body that they wanted to save."""
    registry = target.standard()
    image = an_image()
    push(registry, REPOSITORY, image, "v1")
    tag, other = f'"{image.digest}"', f'"{an_image("other").digest}"'

    for name, condition, status in (
        ("the entity tag", tag, 304),
        ("a weak one", f"W/{tag}", 304),
        ("a list", f"{other}, {tag}", 304),
        ("any", "*", 304),
        ("a list of others", f"{other}, W/{other}", 200),
    ):
        for by, reference in (("tag", "v1"), ("digest", image.digest)):
            answer = registry.get(
                manifest_path(REPOSITORY, reference), headers=ACCEPT | {"If-None-Match": condition}
            )
            expect.client(f"status for {name}, by {by}", answer.status, status)


@scenario(
    "standard.blob-is-no-manifest",
    "A blob's digest where a manifest is asked for is an unknown manifest: 404",
    level=SHOULD,
    refs=("OCI distribution-spec: Pulling manifests", MEASURED),
    needs=(),
)
def test_blob_is_no_manifest(target: TargetUnderTest, expect: Expectations) -> None:
    """Tools that were given any digest try the one and then the other."""
    registry = target.standard()
    image = an_image()
    push(registry, REPOSITORY, image, "v1")

    for name, blob in (("layer", image.layers[0]), ("configuration", image.config)):
        answer = registry.get(manifest_path(REPOSITORY, blob.digest), headers=ACCEPT)
        expect.client(f"status for a {name}", answer.status, 404)
        expect.client(f"error code for a {name}", answer.error_code, "MANIFEST_UNKNOWN")
    manifest = registry.get(f"/v2/{REPOSITORY}/blobs/{image.digest}")
    expect.client("status for a manifest among blobs", manifest.status, any_of(200, 404))


@scenario(
    "standard.empty-catalog",
    "The catalog of a registry that holds nothing is an empty list",
    level=SHOULD,
    refs=("distribution docs: HTTP API V2, Listing Repositories", MEASURED),
)
def test_empty_catalog(target: TargetUnderTest, expect: Expectations) -> None:
    """Scripts iterate over it on the first day, too."""
    registry = target.standard()

    answer = registry.get("/v2/_catalog")

    expect.client("status", answer.status, 200)
    expect.client("document", answer.json(), {"repositories": []})


@scenario(
    "standard.foreign-layers",
    "An image with a layer that is to be had elsewhere is taken without that layer",
    level=SHOULD,
    refs=("OCI image-spec: Descriptor, urls", "Docker docs: Image Manifest V2, foreign layers"),
    needs=(),
)
def test_foreign_layers(target: TargetUnderTest, expect: Expectations) -> None:
    """Windows base images: their licence forbids to push them, so that docker leaves them out."""
    registry = target.standard()
    image = an_image(oci=False)
    push(registry, REPOSITORY, image)
    away = Blob.of_size(500, "licensed").content
    foreign = descriptor(
        Blob(away, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    ) | {"urls": ["https://mcr.example.com/layer"]}
    document = json.loads(image.content)
    document["layers"].insert(0, foreign)
    manifest = Blob(json.dumps(document).encode(), image.media_type)

    pushed = offer_manifest(registry, REPOSITORY, "v1", manifest)
    pulled = registry.get(manifest_path(REPOSITORY, "v1"), headers=ACCEPT)

    expect.client("status of PUT", pushed.status, 201)
    expect.client("status of GET", pulled.status, 200)
    layer = registry.head(blob_path(REPOSITORY, image.layers[0]))
    expect.client("status of a layer of its own", layer.status, 200)


@scenario(
    "standard.tags-limit",
    "tags.maxtags is the most that a page of tags has, whatever the client asks for",
    level=SHOULD,
    refs=(f"{CONFIGURATION}, tags (3.1)", MEASURED),
)
def test_tags_limit(target: TargetUnderTest, expect: Expectations) -> None:
    """Repositories of a build server have so many that one answer is megabytes."""
    registry = target.standard(extra={"tags": {"maxtags": 2}})
    push(registry, REPOSITORY, an_image(), "a", "b", "c")

    page = registry.get("/v2/team/app/tags/list?n=3")

    expect.client("tags", len(page.json()["tags"]), 2)
    expect.client("there is a next page", next_page(page) is not None, True)


@scenario(
    "standard.true-as-text",
    "storage.delete.enabled: 'true', as text, enables deletion or is refused at start",
    level=SHOULD,
    refs=(f"{CONFIGURATION}, delete", MEASURED),
)
def test_true_as_text(target: TargetUnderTest, expect: Expectations) -> None:
    """Templates put quotes around everything. Taken for false, nobody notices until the disk is
    full."""
    try:
        registry = target.standard(extra={"storage": {"delete": {"enabled": "true"}}})
    except DidNotStart as refusal:
        expect.client("it names the key", "enabled" in refusal.message, True)
        return
    image = an_image()
    push(registry, REPOSITORY, image, "v1")

    deleted = registry.delete(manifest_path(REPOSITORY, image.digest))

    expect.client("status of DELETE", deleted.status, 202)
