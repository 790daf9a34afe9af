"""A registry without an upstream: rarer requests and settings, in which releases differ."""

from __future__ import annotations

import json

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.content import Blob, an_image, an_index, descriptor
from harness.suite.expectation import Expectations, any_of
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import INFO, MUST, Need, theme
from harness.targets import DidNotStart
from scenarios.paging import next_page
from scenarios.pulling import blob_path, manifest_path
from scenarios.steps import push
from scenarios.uploading import offer_manifest, open_upload, send_part

CONDITIONAL = "RFC 9110, 13.1.2 If-None-Match"
CONFIGURATION = "distribution docs: Configuring a registry"
MEASURED = "measured on 2.8.2 to 3.1.1"
REPOSITORY = "team/app"
scenario = theme("standard", refs=("OCI distribution-spec: Pulling manifests", MEASURED))


@scenario(
    "forms-of-a-condition",
    "If-None-Match accepts a list, weak entity tags and *",
    level=MUST,
    refs=(CONDITIONAL, MEASURED),
    needs=(),
)
def test_forms_of_a_condition(target: TargetUnderTest, expect: Expectations) -> None:
    """HTTP caches on the way send these forms; a 200 then costs the body they wanted to save."""
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
    "blob-is-no-manifest",
    "A blob's digest requested as a manifest is 404 MANIFEST_UNKNOWN",
    needs=(),
)
def test_blob_is_no_manifest(target: TargetUnderTest, expect: Expectations) -> None:
    """Tools with an unknown digest try both."""
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
    "empty-catalog",
    "The catalog of an empty registry is an empty list",
    refs=("distribution docs: HTTP API V2, Listing Repositories", MEASURED),
)
def test_empty_catalog(target: TargetUnderTest, expect: Expectations) -> None:
    """Scripts iterate over it on the first day too."""
    registry = target.standard()

    answer = registry.get("/v2/_catalog")

    expect.client("status", answer.status, 200)
    expect.client("document", answer.json(), {"repositories": []})


@scenario(
    "foreign-layers",
    "An image with a foreign layer is accepted without that layer",
    refs=("OCI image-spec: Descriptor, urls", "Docker docs: Image Manifest V2, foreign layers"),
    needs=(),
)
def test_foreign_layers(target: TargetUnderTest, expect: Expectations) -> None:
    """The licence of Windows base images forbids pushing them, so docker leaves them out."""
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
    "tags-limit",
    "tags.maxtags limits a page of tags, whatever n the client sends",
    refs=(f"{CONFIGURATION}, tags (3.1)", MEASURED),
)
def test_tags_limit(target: TargetUnderTest, expect: Expectations) -> None:
    """Repositories of a build server have so many tags that one answer is megabytes."""
    registry = target.standard(extra={"tags": {"maxtags": 2}})
    push(registry, REPOSITORY, an_image(), "a", "b", "c")

    page = registry.get("/v2/team/app/tags/list?n=3")

    expect.client("tags", len(page.json()["tags"]), 2)
    expect.client("there is a next page", next_page(page) is not None, True)


@scenario(
    "true-as-text",
    "storage.delete.enabled: 'true' as text enables deletion or is refused at start",
    refs=(f"{CONFIGURATION}, delete", MEASURED),
)
def test_true_as_text(target: TargetUnderTest, expect: Expectations) -> None:
    """Templates quote everything. Taken for false, it goes unnoticed until the disk is full."""
    try:
        registry = target.standard(extra={"storage": {"delete": {"enabled": "true"}}})
    except DidNotStart as refusal:
        expect.client("it names the key", "enabled" in refusal.message, True)
        return
    image = an_image()
    push(registry, REPOSITORY, image, "v1")

    deleted = registry.delete(manifest_path(REPOSITORY, image.digest))

    expect.client("status of DELETE", deleted.status, 202)


@scenario(
    "accept-changes-nothing",
    "A registry serves the manifest behind a tag whatever the client accepts",
)
@pytest.mark.parametrize("kind", ["oci-image", "oci-index", "docker-image", "docker-list"])
@pytest.mark.parametrize("accept", [None, "*/*"], ids=["none", "any"])
def test_accept_changes_nothing(
    accept: str | None, kind: str, target: TargetUnderTest, expect: Expectations
) -> None:
    """curl, monitoring and old clients send no Accept. A converted manifest has another digest
    than the one that was pushed and signed."""
    oci = kind.startswith("oci")
    content = an_image(oci=oci) if kind.endswith("image") else an_index(oci=oci)
    registry = target.standard()
    push(registry, REPOSITORY, content, "v1")

    answer = registry.get(manifest_path(REPOSITORY, "v1"), headers={"Accept": accept})

    expect.client("status", answer.status, 200)
    expect.client("the bytes are right", answer.body == content.content, True)


@scenario(
    "accept-parameters",
    "Parameters of a media type in Accept do not hide a manifest",
    level=MUST,
    refs=("RFC 9110, 12.5.1 Accept", MEASURED),
)
@pytest.mark.parametrize("parameters", ["; charset=utf-8", ";q=0.5"], ids=["charset", "quality"])
def test_accept_parameters(parameters: str, target: TargetUnderTest, expect: Expectations) -> None:
    """HTTP libraries add them."""
    image = an_image()
    registry = target.standard()
    push(registry, REPOSITORY, image, "v1")

    accept = {"Accept": image.media_type + parameters}
    answer = registry.get(manifest_path(REPOSITORY, "v1"), headers=accept)

    expect.client("status", answer.status, 200)
    expect.client("the bytes are right", answer.body == image.content, True)


@scenario(
    "longest-name",
    "A repository name of 255 characters works; a longer one is the client's error",
    refs=("OCI distribution-spec: Pulling manifests", "d#3575", MEASURED),
)
def test_longest_name(target: TargetUnderTest, expect: Expectations) -> None:
    """Names are built from branches and paths; 500 sends people to the server's log for a limit
    that they crossed themselves."""
    registry = target.standard()
    longest = "team/" + "a" * 250
    push(registry, longest, an_image(), "v1")

    fits = registry.get(manifest_path(longest, "v1"), headers=ACCEPT)
    too_long = registry.get(manifest_path("team/" + "a" * 251, "v1"), headers=ACCEPT)

    expect.client("status of 255 characters", fits.status, 200)
    expect.client("status of 256 characters", too_long.status, any_of(400, 404))


@scenario(
    "part-of-another-length",
    "A part whose length differs from its Content-Range is refused with 400 or 416",
    refs=("OCI distribution-spec: Pushing a blob in chunks", MEASURED),
)
def test_part_of_another_length(target: TargetUnderTest, expect: Expectations) -> None:
    """A proxy that cut the request short would otherwise leave a hole in the upload."""
    registry = target.standard()
    opened = open_upload(registry, REPOSITORY)

    headers = {"Content-Range": "0-11", "Content-Type": "application/octet-stream"}
    answer = registry.patch(opened.headers["Location"], content=b"hello", headers=headers)

    expect.client("status", answer.status, any_of(400, 416))


@scenario(
    "upload-over-a-restart",
    "An upload continues after a restart of the registry",
    refs=(f"{CONFIGURATION}, http, secret", MEASURED),
    needs={Need.CONFIG, Need.RESTART},
)
def test_upload_over_a_restart(target: TargetUnderTest, expect: Expectations) -> None:
    """A rollout in the middle of a push must not cost the layer. The state in the Location is
    signed with http.secret, which has to be set for that."""
    blob = Blob(b"hello world")
    registry = target.standard()
    opened = open_upload(registry, REPOSITORY)
    sent = send_part(registry, opened, blob.content[:5], start=0)
    location = sent.headers["Location"].removeprefix(registry.url)
    registry.restart()

    closed = registry.put(f"{location}&digest={blob.digest}", content=blob.content[5:])

    expect.client("status of the part", sent.status, 202)
    expect.client("status of the rest", closed.status, 201)


@scenario(
    "api-version-header",
    "Every answer below /v2/, errors included, has Docker-Distribution-Api-Version: registry/2.0",
    level=INFO,
    refs=("distribution docs: HTTP API V2, API Version Check", MEASURED),
)
def test_api_version_header(target: TargetUnderTest, expect: Expectations) -> None:
    """Old Docker clients fall back to the V1 protocol without it."""
    registry = target.standard()
    push(registry, REPOSITORY, image := an_image(), "v1")
    condition = ACCEPT | {"If-None-Match": f'"{image.digest}"'}
    guarded = target.standard(htpasswd={"ann": "sesame"})

    for name, answer in (
        ("200", registry.get("/v2/")),
        ("304", registry.get(manifest_path(REPOSITORY, "v1"), headers=condition)),
        ("404", registry.get(manifest_path(REPOSITORY, "v9"), headers=ACCEPT)),
        ("401", guarded.get("/v2/")),
    ):
        version = answer.headers.get("Docker-Distribution-Api-Version")
        expect.client(f"header on {name}", version, "registry/2.0")
