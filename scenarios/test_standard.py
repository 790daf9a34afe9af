"""A registry without an upstream: pushed content comes back, and every response has the form
that clients rely on."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from harness.clients.containerd_pull import ACCEPT, containerd_pull
from harness.clients.push import docker_push, skopeo_push
from harness.content import Blob, Content, Manifest, an_artifact, an_image, an_index
from harness.http.client import Answer
from harness.suite.expectation import Expectations, any_of
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import INFO, MUST, theme
from reference_registry.digest import digest_of
from scenarios.paging import next_page
from scenarios.steps import OBSERVED, push
from scenarios.uploading import (
    close_upload,
    offer_manifest,
    open_upload,
    reported_range,
    send_part,
)

ERRORS = "OCI distribution-spec: Error Codes"
TAGS = "OCI distribution-spec: Listing Tags"
CATALOG = "distribution docs: HTTP API V2, Listing Repositories"
CHUNKS = "OCI distribution-spec: Pushing a blob in chunks"
PUT_MANIFEST = "OCI distribution-spec: Pushing Manifests"
BLOBS = "OCI distribution-spec: Pulling blobs"
MEASURED = "measured on 2.8.2 to 3.1.1"

APP = "/v2/team/app"
UPLOADS = f"{APP}/blobs/uploads/"
scenario = theme("standard", refs=(TAGS, MEASURED))


# -- round trips -------------------------------------------------------------------------------
@scenario(
    "round-trip",
    "A pushed image is pulled back byte for byte",
    level=MUST,
    refs=("OCI distribution-spec: Push", "OCI distribution-spec: Pull"),
)
@pytest.mark.parametrize(
    ("client", "oci"),
    [("docker", False), ("skopeo", True)],
    ids=["docker-schema2", "skopeo-oci"],
)
def test_round_trip(client: str, oci: bool, target: TargetUnderTest, expect: Expectations) -> None:
    """The registry before the cache is configured: if this fails, nothing else matters."""
    registry = target.standard()
    image = an_image(oci=oci)
    pushes = {"docker": docker_push, "skopeo": skopeo_push}

    pushed = pushes[client](registry.client, "team/app", "v1", image)
    pull = containerd_pull(registry.client, "team/app", "v1")

    blobs = {blob.digest for blob in image.blobs}
    expect.client("the push was refused", pushed.refused_step, None)
    expect.client("blobs uploaded", set(pushed.uploaded), blobs)
    expect.client("the pull is complete", pull.complete, True)
    expect.client("digest", pull.digest, image.digest)
    expect.disk("tags", registry.disk.tags("team/app"), {"v1": image.digest})
    expect.disk("revisions", registry.disk.revisions("team/app"), {image.digest})
    expect.disk("layer links", registry.disk.layer_links("team/app"), blobs)
    expect.disk("blobs", registry.disk.blobs(), {image.digest, *blobs})
    expect.disk("unfinished uploads", len(registry.disk.uploads("team/app")), 0)


@scenario(
    "pushed-twice",
    "A second push of the same image uploads nothing",
    level=MUST,
    refs=("OCI distribution-spec: Checking if content exists in the registry",),
)
def test_pushed_twice(target: TargetUnderTest, expect: Expectations) -> None:
    """ "Layer already exists" makes pushing a new tag of an old image cheap."""
    registry = target.standard()
    image = an_image()
    docker_push(registry.client, "team/app", "v1", image)
    before = registry.disk.blobs()

    again = docker_push(registry.client, "team/app", "v2", image)

    expect.client("blobs uploaded", again.uploaded, [])
    expect.client("the push was refused", again.refused_step, None)
    expect.disk("new blobs", registry.disk.blobs() - before, set())
    tags = {"v1": image.digest, "v2": image.digest}
    expect.disk("tags", registry.disk.tags("team/app"), tags)


@scenario(
    "layout",
    "The storage tree is distribution's, file by file",
    level=INFO,
    refs=("distribution registry/storage/paths.go", MEASURED),
    needs=OBSERVED,
)
def test_layout(target: TargetUnderTest, expect: Expectations) -> None:
    """Backup scripts, disk usage reports and moves to another release depend on it."""
    registry = target.standard()
    image = an_image(layers=1)

    push(registry, "team/app", image, "v1")

    repository = "docker/registry/v2/repositories/team/app"
    links = [
        *(f"_layers/{_slashed(blob)}/link" for blob in image.blobs),
        f"_manifests/revisions/{_slashed(image)}/link",
        "_manifests/tags/v1/current/link",
        f"_manifests/tags/v1/index/{_slashed(image)}/link",
    ]
    stored: list[Content] = [image, *image.blobs]
    data = [f"docker/registry/v2/blobs/sha256/{c.digest[7:9]}/{c.digest[7:]}/data" for c in stored]
    files = {*data, *(f"{repository}/{link}" for link in links)}
    expect.disk("files", set(registry.disk.files()), files)
    current = (registry.root / repository / "_manifests/tags/v1/current/link").read_bytes()
    expect.disk("content of a link", current, image.digest.encode())


@scenario(
    "multi-platform",
    "An index and its images are pulled back, each under its digest",
    level=MUST,
    refs=(PUT_MANIFEST, "OCI image-spec: Image Index"),
)
@pytest.mark.parametrize("oci", [True, False], ids=["oci-index", "docker-list"])
def test_multi_platform(oci: bool, target: TargetUnderTest, expect: Expectations) -> None:
    """Platform images have no tags: only the index keeps them."""
    registry = target.standard()
    index = an_index(oci=oci)

    push(registry, "team/app", index, "v1")

    for platform in ("linux/amd64", "linux/arm64"):
        pull = containerd_pull(registry.client, "team/app", "v1", platform=platform)
        expect.client(f"{platform} is complete", pull.complete, True)
    tag = registry.get(f"{APP}/manifests/v1", headers=ACCEPT)
    expect.client("media type", tag.headers.get("Content-Type"), index.media_type)
    expect.client("digest", tag.digest, index.digest)
    revisions = {index.digest, *(child.digest for child in index.children)}
    expect.disk("revisions", registry.disk.revisions("team/app"), revisions)
    expect.disk("tags", registry.disk.tags("team/app"), {"v1": index.digest})


@scenario(
    "tag-moves",
    "A push to an existing tag moves it and keeps the old image under its digest",
    level=MUST,
    refs=(PUT_MANIFEST,),
)
def test_tag_moves(target: TargetUnderTest, expect: Expectations) -> None:
    """Roll-backs to a digest rely on it, and untagged images fill the disk because of it."""
    registry = target.standard()
    old, new = an_image("old"), an_image("new")
    push(registry, "team/app", old, "latest")

    push(registry, "team/app", new, "latest")

    by_tag = registry.get(f"{APP}/manifests/latest", headers=ACCEPT)
    by_digest = registry.get(f"{APP}/manifests/{old.digest}", headers=ACCEPT)
    expect.client("digest of the tag", by_tag.digest, new.digest)
    expect.client("the old image is there", by_digest.body == old.content, True)
    expect.disk("tags", registry.disk.tags("team/app"), {"latest": new.digest})
    history = registry.disk.tag_history("team/app", "latest")
    expect.disk("history of the tag", history, {old.digest, new.digest})


# -- blob uploads ------------------------------------------------------------------------------
@scenario(
    "chunked-upload",
    "A blob can be uploaded in chunks, and the registry reports the offset",
    level=MUST,
    refs=(CHUNKS,),
)
def test_chunked_upload(target: TargetUnderTest, expect: Expectations) -> None:
    """Uploads of large layers over bad links depend on chunks."""
    registry = target.standard()
    blob = Blob.of_size(5000)
    first, second = blob.content[:2000], blob.content[2000:]

    opened = open_upload(registry, "team/app")
    one = send_part(registry, opened, first, start=0)
    status = registry.get(one.headers["Location"])
    two = send_part(registry, one, second, start=2000)
    closed = close_upload(registry, two, blob.digest)

    pulled = registry.get(f"{APP}/blobs/{blob.digest}")
    expect.client("status of POST", opened.status, 202)
    expect.client("status of PATCH", [one.status, two.status], [202, 202])
    expect.client(
        "Range after PATCH", [reported_range(one), reported_range(two)], ["0-1999", "0-4999"]
    )
    expect.client("status of GET", status.status, 204)
    expect.client("Range of GET", reported_range(status), "0-1999")
    expect.client("status of PUT", closed.status, 201)
    expect.client("digest of PUT", closed.digest, blob.digest)
    location = urlsplit(closed.headers.get("Location", "")).path
    expect.client("Location of PUT", location, f"{APP}/blobs/{blob.digest}")
    expect.client("the bytes are right", pulled.body == blob.content, True)
    expect.disk("unfinished uploads", len(registry.disk.uploads("team/app")), 0)


@scenario(
    "part-out-of-order",
    "A chunk at the wrong offset is 416, and the upload can continue",
    level=MUST,
    refs=(CHUNKS, MEASURED),
)
def test_part_out_of_order(target: TargetUnderTest, expect: Expectations) -> None:
    """After a lost response a client resends its chunk. Stored twice, the layer is broken; without
    a 416 the client does not know where to resume."""
    registry = target.standard()
    blob = Blob.of_size(5000)
    opened = open_upload(registry, "team/app")
    one = send_part(registry, opened, blob.content[:2000], start=0)

    gap = send_part(registry, one, blob.content[3000:], start=3000)
    two = send_part(registry, one, blob.content[2000:], start=2000)
    closed = close_upload(registry, two, blob.digest) if two.status == 202 else two

    expect.client("status of the part with a gap", gap.status, 416)
    expect.client("status of the right part", two.status, 202)
    expect.client("status of PUT", closed.status, 201)
    expect.disk("the blob is stored", registry.disk.has_blob(blob.digest), True)


@scenario(
    "part-sent-twice",
    "A chunk sent again to its old Location is refused, not appended",
    level=MUST,
    refs=(CHUNKS, MEASURED),
)
def test_part_sent_twice(target: TargetUnderTest, expect: Expectations) -> None:
    """A retry by a client or a proxy must not change the layer."""
    registry = target.standard()
    blob = Blob.of_size(5000)
    opened = open_upload(registry, "team/app")
    one = registry.patch(opened.headers["Location"], content=blob.content[:2000])

    again = registry.patch(opened.headers["Location"], content=blob.content[:2000])
    two = registry.patch(one.headers["Location"], content=blob.content[2000:])
    closed = close_upload(registry, two, blob.digest)

    expect.client("status of the repeated part", again.status, 416)
    expect.client("status of PUT", closed.status, 201)
    expect.disk("the blob is stored", registry.disk.has_blob(blob.digest), True)


@scenario(
    "upload-cancelled",
    "A cancelled upload is removed with its bytes",
    refs=("distribution docs: HTTP API V2, Canceling an Upload", "d#4524", ERRORS),
)
def test_upload_cancelled(target: TargetUnderTest, expect: Expectations) -> None:
    """Aborted pushes are frequent; what they leave fills the disk until the purge a week later."""
    registry = target.standard()
    opened = open_upload(registry, "team/app")
    sent = registry.patch(opened.headers["Location"], content=b"half a layer")

    cancelled = registry.delete(sent.headers["Location"])
    later = registry.get(sent.headers["Location"])

    expect.client("status of DELETE", cancelled.status, 204)
    expect.client("status afterwards", later.status, 404)
    expect.client("error code afterwards", later.error_code, "BLOB_UPLOAD_UNKNOWN")
    expect.disk("unfinished uploads", len(registry.disk.uploads("team/app")), 0)


@scenario(
    "wrong-digest",
    "A blob that does not match the announced digest is refused and not stored",
    level=MUST,
    refs=("OCI distribution-spec: POST then PUT", ERRORS),
    needs=OBSERVED,
)
def test_wrong_digest(target: TargetUnderTest, expect: Expectations) -> None:
    """A bit that flipped on the way is found here or never."""
    registry = target.standard()
    announced = Blob.of_size(5000).digest
    opened = open_upload(registry, "team/app")

    answer = close_upload(registry, opened, announced, b"something else")

    expect.client("status", answer.status, 400)
    expect.client("error code", answer.error_code, "DIGEST_INVALID")
    expect.client("it can be pulled", registry.get(f"{APP}/blobs/{announced}").status, 404)
    expect.disk("blobs", registry.disk.blobs(), set())
    expect.disk("layer links", registry.disk.layer_links("team/app"), set())


@scenario(
    "single-post",
    "A blob can be pushed with a single POST",
    refs=("OCI distribution-spec: Single POST", MEASURED),
)
def test_single_post(target: TargetUnderTest, expect: Expectations) -> None:
    """One round trip instead of three for small configurations and signatures. The specification
    allows 202 and an upload instead, but not 201 without the bytes."""
    registry = target.standard()
    blob = Blob.of_size(500)

    answer = registry.post(
        f"{UPLOADS}?digest={blob.digest}",
        content=blob.content,
        headers={"Content-Type": "application/octet-stream"},
    )

    expect.client("status", answer.status, 201)
    expect.disk("the blob is stored", registry.disk.has_blob(blob.digest), True)


@scenario(
    "mount",
    "A blob is mounted from another repository without a transfer",
    refs=("OCI distribution-spec: Mounting a blob from another repository",),
)
def test_mount(target: TargetUnderTest, expect: Expectations) -> None:
    """Promotion from a staging to a release repository takes no time. Where a mount is not possible
    the answer is an upload session, so that the client can continue."""
    registry = target.standard()
    image = an_image()
    push(registry, "team/app", image, "v1")
    digest = image.layers[0].digest
    absent = Blob.of_size(100, "absent").digest

    mounted = registry.post(
        f"/v2/team/fork/blobs/uploads/?mount={digest}&from=team/app", content=b""
    )
    not_there = registry.post(
        f"/v2/team/fork/blobs/uploads/?mount={absent}&from=team/app", content=b""
    )
    not_known = registry.post(
        f"/v2/team/fork/blobs/uploads/?mount={digest}&from=team/no", content=b""
    )

    expect.client("status", mounted.status, 201)
    location = urlsplit(mounted.headers.get("Location", "")).path
    expect.client("Location", location, f"/v2/team/fork/blobs/{digest}")
    expect.client("status for an absent blob", not_there.status, 202)
    expect.client("status for an unknown source", not_known.status, 202)
    expect.disk("layer links", registry.disk.layer_links("team/fork"), {digest})


@scenario(
    "other-repository",
    "A blob of one repository cannot be read through another",
    refs=(BLOBS, MEASURED),
)
def test_other_repository(target: TargetUnderTest, expect: Expectations) -> None:
    """Access is granted by repository, and digests are not secret."""
    registry = target.standard()
    image = an_image()
    push(registry, "team/app", image, "v1")

    blob = registry.get(f"/v2/team/fork/blobs/{image.layers[0].digest}")
    manifest = registry.get(f"/v2/team/fork/manifests/{image.digest}", headers=ACCEPT)

    expect.client("status for the blob", blob.status, 404)
    expect.client("status for the manifest", manifest.status, 404)
    expect.disk("repositories", registry.disk.repositories(), ["team/app"])


# -- manifests ---------------------------------------------------------------------------------
@scenario(
    "manifest-without-its-blobs",
    "A manifest with missing blobs is refused, and each blob is named",
    refs=(PUT_MANIFEST, ERRORS, MEASURED),
)
def test_manifest_without_its_blobs(target: TargetUnderTest, expect: Expectations) -> None:
    """Accepted, it would be an image that cannot be pulled."""
    registry = target.standard()
    image = an_image()

    answer = offer_manifest(registry, "team/app", "v1", image)

    codes = {entry["code"] for entry in answer.json()["errors"]}
    unnamed = [blob.digest for blob in image.blobs if blob.digest not in answer.body.decode()]
    expect.client("status", answer.status, 400)
    expect.client("error codes", codes, {"MANIFEST_BLOB_UNKNOWN"})
    expect.client("blobs not named", unnamed, [])
    expect.disk("files", registry.disk.files(), [])


@scenario(
    "manifest-refused",
    "An invalid manifest is refused and not stored",
    refs=(PUT_MANIFEST, ERRORS, MEASURED),
    needs=OBSERVED,
)
def test_manifest_refused(target: TargetUnderTest, expect: Expectations) -> None:
    """Otherwise the first client that pulls it finds the mistake."""
    registry = target.standard()
    image, other = an_image(), an_image("other")
    push(registry, "team/app", image, "v1")
    before = registry.disk.files()
    as_index = Manifest(Blob(image.content, an_index().media_type))
    broken = Manifest(Blob(b"{", image.media_type))

    for name, reference, manifest, code in (
        ("another digest", other.digest, image, "DIGEST_INVALID"),
        ("the type of an index", "v2", as_index, "MANIFEST_INVALID"),
        ("half a document", "v2", broken, "MANIFEST_INVALID"),
    ):
        answer = offer_manifest(registry, "team/app", reference, manifest)
        expect.client(f"status for {name}", answer.status, 400)
        expect.client(f"error code for {name}", answer.error_code, code)

    expect.disk("new files", set(registry.disk.files()) - set(before), set())


@scenario(
    "manifest-too-large",
    "A manifest of more than 4 MiB is refused",
    refs=(f"{PUT_MANIFEST} (413 for an excessive manifest)", MEASURED),
)
def test_manifest_too_large(target: TargetUnderTest, expect: Expectations) -> None:
    """Manifests are read into memory; without a limit any client that may push can exhaust it."""
    registry = target.standard()
    image = an_image()
    push(registry, "team/app", image, "v1")
    document = image.content[:-1] + b" " * (4 * 1024 * 1024) + b"}"

    answer = offer_manifest(registry, "team/app", "v2", Manifest(Blob(document, image.media_type)))

    expect.client("status", answer.status, any_of(400, 413))
    expect.disk("tags", sorted(registry.disk.tags("team/app")), ["v1"])


@scenario(
    "manifest-put-answer",
    "PUT of a manifest answers with its digest and Location",
    level=MUST,
    refs=(PUT_MANIFEST,),
)
@pytest.mark.parametrize("by", ["tag", "digest"])
def test_manifest_put_answer(by: str, target: TargetUnderTest, expect: Expectations) -> None:
    """Pipelines take the digest to deploy from here."""
    registry = target.standard()
    image = an_image()
    push(registry, "team/app", image)

    answer = offer_manifest(registry, "team/app", "v1" if by == "tag" else image.digest, image)

    location = urlsplit(answer.headers.get("Location", "")).path
    expect.client("status", answer.status, 201)
    expect.client("digest", answer.digest, image.digest)
    expect.client("Location", location, f"{APP}/manifests/{image.digest}")
    expect.client("body", answer.body, b"")
    tags = {"v1": image.digest} if by == "tag" else {}
    expect.disk("tags", registry.disk.tags("team/app"), tags)


@scenario(
    "referrers",
    "A pushed manifest with a subject is listed as its referrer",
    refs=("OCI distribution-spec: Listing Referrers", "d#3859", "d#4828", MEASURED),
)
def test_referrers(target: TargetUnderTest, expect: Expectations) -> None:
    """cosign, notation and ORAS find signatures and SBOMs this way; without it they fall back to a
    tag that every pusher overwrites."""
    registry = target.standard()
    image = an_image()
    sbom = an_artifact(subject=image)
    push(registry, "team/app", image, "v1")
    push(registry, "team/app", sbom)

    pushed = offer_manifest(registry, "team/app", sbom.digest, sbom)
    listed = registry.get(f"{APP}/referrers/{image.digest}")

    expect.client("OCI-Subject of the push", pushed.headers.get("OCI-Subject"), image.digest)
    expect.client("status", listed.status, 200)
    digests = [entry["digest"] for entry in _json(listed).get("manifests", [])]
    expect.client("digests", digests, [sbom.digest])
    expect.disk("revisions", registry.disk.revisions("team/app"), {image.digest, sbom.digest})


@scenario(
    "sha512",
    "A blob pushed under sha512 can be pulled under sha512",
    refs=("OCI image-spec: Descriptor, Registered algorithms", MEASURED),
)
def test_sha512(target: TargetUnderTest, expect: Expectations) -> None:
    """A registry that answers with another digest breaks clients that verify."""
    registry = target.standard()
    content = b"a blob"
    digest = digest_of(content, "sha512")
    opened = open_upload(registry, "team/app")

    closed = close_upload(registry, opened, digest, content)
    pulled = registry.get(f"{APP}/blobs/{digest}")

    expect.client("status of PUT", closed.status, 201)
    expect.client("digest of PUT", closed.digest, digest)
    expect.client("status of GET", pulled.status, 200)
    expect.client("digest of GET", pulled.digest, digest)
    expect.client("the bytes are right", pulled.body == content, True)


# -- headers and errors ------------------------------------------------------------------------
@scenario(
    "manifest-headers",
    "A manifest has its type, length, digest and a quoted entity tag",
    level=MUST,
    refs=("OCI distribution-spec: Pulling manifests", "RFC 9110, 8.8.3 ETag"),
)
def test_manifest_headers(target: TargetUnderTest, expect: Expectations) -> None:
    """Clients decide by these whether to pull."""
    registry = target.standard()
    image = an_image()
    push(registry, "team/app", image, "v1")

    for method in ("GET", "HEAD"):
        answer = registry.request(method, f"{APP}/manifests/v1", headers=ACCEPT)
        expect.client(f"status of {method}", answer.status, 200)
        for name, value in (
            ("Content-Type", image.media_type),
            ("Content-Length", str(image.size)),
            ("Docker-Content-Digest", image.digest),
            ("Etag", f'"{image.digest}"'),
            ("Docker-Distribution-Api-Version", "registry/2.0"),
        ):
            expect.client(f"{name} of {method}", answer.headers.get(name), value)


@scenario(
    "blob-headers",
    "A blob has headers that allow caching forever and range requests",
    refs=(BLOBS, "RFC 9110, 14.3 Accept-Ranges", "RFC 9111, 5.2.2.1 max-age"),
)
def test_blob_headers(target: TargetUnderTest, expect: Expectations) -> None:
    """Web caches in front of the registry and lazy pullers depend on these headers."""
    registry = target.standard()
    image = an_image()
    push(registry, "team/app", image, "v1")
    layer = image.layers[0]

    answer = registry.head(f"{APP}/blobs/{layer.digest}")

    for name, value in (
        ("Accept-Ranges", "bytes"),
        ("Cache-Control", "max-age=31536000"),
        ("Content-Length", str(layer.size)),
        ("Content-Type", "application/octet-stream"),
        ("Docker-Content-Digest", layer.digest),
        ("Etag", f'"{layer.digest}"'),
    ):
        expect.client(name, answer.headers.get(name), value)


@scenario(
    "base",
    "GET /v2/ answers 200 with the API version",
    level=MUST,
    refs=("OCI distribution-spec: Determining Support", MEASURED),
)
def test_base(target: TargetUnderTest, expect: Expectations) -> None:
    """Every client's first request, and every load balancer's health check."""
    registry = target.standard()

    get, head = registry.get("/v2/"), registry.head("/v2/")
    bare, root = registry.get("/v2"), registry.get("/")

    expect.client("statuses", [get.status, head.status], [200, 200])
    expect.client("body", get.body, b"{}")
    version = get.headers.get("Docker-Distribution-Api-Version")
    expect.client("API version", version, "registry/2.0")
    expect.client("status of /v2", bare.status, 301)
    expect.client("Location of /v2", urlsplit(bare.headers.get("Location", "")).path, "/v2/")
    expect.client("status of /", root.status, 200)
    expect.client("body of /", root.body, b"")


@scenario(
    "error-bodies",
    "Unknown content is 404 with the error code of its kind",
    level=MUST,
    refs=(ERRORS,),
)
def test_error_bodies(target: TargetUnderTest, expect: Expectations) -> None:
    """Clients and mirrors decide by the code whether to continue elsewhere."""
    registry = target.standard()
    push(registry, "team/app", an_image(), "v1")
    absent = Blob.of_size(100, "absent").digest

    for name, path, code in (
        ("tag", f"{APP}/manifests/v9", "MANIFEST_UNKNOWN"),
        ("manifest", f"{APP}/manifests/{absent}", "MANIFEST_UNKNOWN"),
        ("blob", f"{APP}/blobs/{absent}", "BLOB_UNKNOWN"),
        ("tag of an unknown repository", "/v2/team/no/manifests/v1", "MANIFEST_UNKNOWN"),
        ("list of tags of an unknown repository", "/v2/team/no/tags/list", "NAME_UNKNOWN"),
    ):
        answer = registry.get(path, headers=ACCEPT)
        media_type = answer.headers.get("Content-Type", "").partition(";")[0]
        found = [answer.status, answer.error_code, media_type]
        expect.client(f"unknown {name}", found, [404, code, "application/json"])


@scenario(
    "malformed-names",
    "Malformed names, tags and digests are client errors and touch no file",
    refs=(ERRORS, "OCI distribution-spec: Pulling manifests (grammar of <name>)", MEASURED),
    needs=OBSERVED,
)
def test_malformed_names(target: TargetUnderTest, expect: Expectations) -> None:
    """Names become paths. Invalid ones must not get that far, and must not raise the alarm of a
    5xx."""
    registry = target.standard()
    image = an_image()
    push(registry, "team/app", image, "v1")
    before = registry.disk.files()

    for name, path in (
        ("upper case", "/v2/Team/app/manifests/v1"),
        ("dots", "/v2/team/%2e%2e/%2e%2e/manifests/v1"),
        ("a tag that begins with a dash", f"{APP}/manifests/-v1"),
        ("a tag of 129 characters", f"{APP}/manifests/{'t' * 129}"),
        ("a digest that is too short", f"{APP}/blobs/sha256:abc"),
        ("a name of 256 characters", f"/v2/{'n' * 256}/tags/list"),
    ):
        answer = registry.get(path, headers=ACCEPT)
        expect.client(f"status for {name}", answer.status, any_of(301, 400, 404))

    expect.disk("files", registry.disk.files() == before, True)


@scenario(
    "unknown-routes",
    "Unknown paths are 404, wrong methods 405 with Allow",
    level=MUST,
    refs=("RFC 9110, 15.5.6 405 Method Not Allowed", MEASURED),
)
def test_unknown_routes(target: TargetUnderTest, expect: Expectations) -> None:
    """These come from the web server below the registry; error bodies are not JSON there."""
    registry = target.standard()
    push(registry, "team/app", an_image(), "v1")

    unknown = registry.get("/v2/team/app/no-such-thing/v1")
    elsewhere = registry.get("/v3/")
    wrong = registry.post(f"{APP}/tags/list", content=b"")

    allowed = {part.strip() for part in wrong.headers.get("Allow", "").split(",")}
    expect.client("statuses of unknown paths", [unknown.status, elsewhere.status], [404, 404])
    expect.client("status of a wrong method", wrong.status, 405)
    expect.client("GET is named", "GET" in allowed, True)


# -- lists -------------------------------------------------------------------------------------
@scenario("tags-in-pages", "Tags are paged in order, with a Link to the next page", level=MUST)
def test_tags_in_pages(target: TargetUnderTest, expect: Expectations) -> None:
    """Repositories of CI builds have tens of thousands of tags. Without pages each list transfers
    all of them."""
    registry = target.standard()
    names = ["v10", "v2", "alpha", "v1", "beta"]
    push(registry, "team/app", an_image(), *names)

    first = registry.get(f"{APP}/tags/list?n=2")
    second = registry.get(next_page(first) or f"{APP}/tags/list?n=2&last=beta")
    third = registry.get(f"{APP}/tags/list?n=2&last=v10")

    for name, page, tags in (
        ("first", first, ["alpha", "beta"]),
        ("second", second, ["v1", "v10"]),
        ("third", third, ["v2"]),
    ):
        listed = page.json()["tags"]
        # What ignores the question lists in the order of the directory, which means nothing.
        expect.client(f"{name} page", listed if len(listed) < 5 else sorted(listed), tags)
    expect.client("Link of the first", next_page(first), f"{APP}/tags/list?last=beta&n=2")
    expect.client("Link of the last", next_page(third), None)


@scenario("tags-in-order", "The list of tags is in alphabetical order", level=MUST)
def test_tags_in_order(target: TargetUnderTest, expect: Expectations) -> None:
    """Scripts that take the last entry for the newest otherwise get a random tag."""
    registry = target.standard()
    names = [f"v{number * 7 % 16:02}" for number in range(16)]
    push(registry, "team/app", an_image(), *names)

    listed = registry.get(f"{APP}/tags/list").json()["tags"]

    expect.client("all are there", set(listed) == set(names), True)
    expect.client("in order", listed == sorted(listed), True)


@scenario(
    "tags-after-a-deleted-one", "The page after a deleted tag starts with the next tag", level=MUST
)
def test_tags_after_a_deleted_one(target: TargetUnderTest, expect: Expectations) -> None:
    """Clean-up jobs delete tags while they page through the list; skipped tags stay forever."""
    registry = target.standard()
    push(registry, "team/app", an_image(), "a", "c", "d")

    listed = registry.get(f"{APP}/tags/list?n=2&last=b").json()["tags"]

    expect.client("tags", sorted(listed), ["c", "d"])


@scenario("tags-exact-page", "A page that holds exactly the last tags has no Link")
def test_tags_exact_page(target: TargetUnderTest, expect: Expectations) -> None:
    """The next page would be empty, or null, which breaks clients that expect a list."""
    registry = target.standard()
    push(registry, "team/app", an_image(), "a", "b")

    page = registry.get(f"{APP}/tags/list?n=2")
    beyond = registry.get(f"{APP}/tags/list?n=2&last=b")

    expect.client("tags", sorted(page.json()["tags"]), ["a", "b"])
    expect.client("Link", next_page(page), None)
    following = beyond.json()["tags"]
    expect.client("tags beyond the end", following and sorted(following), [])


@scenario(
    "tags-bad-number",
    "An invalid page size is refused; page size 0 is an empty list",
    refs=(TAGS, "distribution docs: HTTP API V2, Pagination", MEASURED),
)
def test_tags_bad_number(target: TargetUnderTest, expect: Expectations) -> None:
    """A script with an unset variable should get an error, not every tag."""
    registry = target.standard()
    push(registry, "team/app", an_image(), "v1")

    for wanted in ("-1", "many"):
        answer = registry.get(f"{APP}/tags/list?n={wanted}")
        found = [answer.status, answer.error_code]
        expect.client(f"n={wanted}", found, [400, "PAGINATION_NUMBER_INVALID"])
    none = registry.get(f"{APP}/tags/list?n=0")
    expect.client("n=0", [none.status, _json(none).get("tags")], [200, []])


@scenario("catalog-in-pages", "The catalog is paged in order", refs=(CATALOG, MEASURED))
def test_catalog_in_pages(target: TargetUnderTest, expect: Expectations) -> None:
    """Inventory and clean-up tools walk through it."""
    registry = target.standard()
    for name in ("team/app", "base", "team/api", "tools"):
        push(registry, name, an_image(), "v1")

    whole = registry.get("/v2/_catalog")
    first = registry.get("/v2/_catalog?n=3")
    second = registry.get(next_page(first) or "/v2/_catalog?n=3&last=team/app")

    names = ["base", "team/api", "team/app", "tools"]
    expect.client("the whole", whole.json()["repositories"], names)
    expect.client("Link of the whole", next_page(whole), None)
    expect.client("first page", first.json()["repositories"], names[:3])
    expect.client("second page", second.json()["repositories"], names[3:])
    expect.client("Link of the second", next_page(second), None)


@scenario(
    "catalog-bad-number",
    "An invalid or too large page size of the catalog is refused",
    refs=(CATALOG, "d#4844", MEASURED),
)
def test_catalog_bad_number(target: TargetUnderTest, expect: Expectations) -> None:
    """catalog.maxentries keeps one request from walking the whole storage."""
    registry = target.standard(maxentries=5)
    push(registry, "team/app", an_image(), "v1")

    for wanted in ("6", "-1", "many"):
        answer = registry.get(f"/v2/_catalog?n={wanted}")
        found = [answer.status, answer.error_code]
        expect.client(f"n={wanted}", found, [400, "PAGINATION_NUMBER_INVALID"])
    whole = registry.get("/v2/_catalog?n=5")
    expect.client("n=5", _json(whole).get("repositories"), ["team/app"])


@scenario(
    "catalog-membership",
    "A repository is in the catalog once it has a blob or a manifest",
    refs=(CATALOG, MEASURED),
)
def test_catalog_membership(target: TargetUnderTest, expect: Expectations) -> None:
    """Clean-up skips unlisted repositories."""
    registry = target.standard()
    opened = registry.post("/v2/only/blobs/uploads/", content=b"")
    content = b"a blob"
    close_upload(registry, opened, digest_of(content), content)
    push(registry, "both", an_image(), "v1")
    push(registry, "index", an_index(an_image(), platforms=()), "v1")

    listed = registry.get("/v2/_catalog").json()["repositories"]

    expect.client("repositories", listed, ["both", "index", "only"])
    expect.disk("repositories", registry.disk.repositories(), ["both", "index", "only"])


# -- where it thinks it is ---------------------------------------------------------------------
@scenario(
    "behind-https",
    "Behind a TLS proxy upload Locations start with https",
    refs=("distribution docs: Authenticate proxy with nginx", "RFC 7239", MEASURED),
)
@pytest.mark.parametrize("how", ["x-forwarded", "forwarded"])
def test_behind_https(how: str, target: TargetUnderTest, expect: Expectations) -> None:
    """With http:// in the Location docker push fails after a successful login: the most common
    question about registries behind nginx or an ingress. A registry that believes only proxies that
    it trusts is asked by one."""
    registry = target.standard(extra={"http": {"x-trusted-proxies": ["0.0.0.0/0", "::/0"]}})
    headers = {
        "x-forwarded": {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "hub.example.com"},
        "forwarded": {"Forwarded": "for=192.0.2.1;proto=https;host=hub.example.com"},
    }[how]

    answer = registry.post(UPLOADS, content=b"", headers=headers)

    expect.client("status", answer.status, 202)
    location = answer.headers.get("Location", "")
    expect.client("base of Location", _base(location), "https://hub.example.com")


@scenario(
    "http-host",
    "http.host sets the base of Location, and http.relativeurls makes it relative",
    refs=("distribution docs: Configuring a registry, http", MEASURED),
)
def test_http_host(target: TargetUnderTest, expect: Expectations) -> None:
    """The remedies where the proxy in front cannot send the right headers."""
    named = target.standard(extra={"http": {"host": "https://hub.example.com"}})
    relative = target.standard(extra={"http": {"relativeurls": True}})

    with_host = named.post(UPLOADS, content=b"").headers.get("Location", "")
    without = relative.post(UPLOADS, content=b"").headers.get("Location", "")

    expect.client("base with http.host", _base(with_host), "https://hub.example.com")
    expect.client("with relativeurls", without.startswith(UPLOADS), True)


@scenario(
    "headers-and-prefix",
    "http.headers are on every API response, and http.prefix is before every path",
    refs=("distribution docs: Configuring a registry, http", MEASURED),
)
def test_headers_and_prefix(target: TargetUnderTest, expect: Expectations) -> None:
    """For web interfaces that call the registry from a browser, and for a registry that shares a
    host name."""
    registry = target.standard(prefix="/hub/", headers={"X-Team": ["platform"]})

    base = registry.get("/hub/v2/")
    missing = registry.get("/hub/v2/team/app/manifests/v1", headers=ACCEPT)
    unprefixed = registry.get("/v2/")
    opened = registry.post("/hub/v2/team/app/blobs/uploads/", content=b"")

    expect.client("status of the base", base.status, 200)
    expect.client("header of the base", base.headers.get("X-Team"), "platform")
    expect.client("header of an error", missing.headers.get("X-Team"), "platform")
    expect.client("status without the prefix", unprefixed.status, 404)
    location = urlsplit(opened.headers.get("Location", "")).path
    uploads = "/hub/v2/team/app/blobs/uploads/"
    expect.client("Location has the prefix", location.startswith(uploads), True)


@scenario(
    "read-only",
    "A read-only registry refuses every write and serves every read",
    refs=("distribution docs: Configuring a registry, readonly", MEASURED),
    needs=OBSERVED,
)
def test_read_only(target: TargetUnderTest, expect: Expectations) -> None:
    """In this state garbage-collect may run while clients pull."""
    registry = target.standard(delete_enabled=True)
    image = an_image()
    push(registry, "team/app", image, "v1")
    registry.restart(readonly=True)
    before = registry.disk.snapshot()

    answers = {
        "POST of an upload": registry.post(UPLOADS, content=b""),
        "PUT of a manifest": offer_manifest(registry, "team/app", "v2", image),
        "DELETE of a manifest": registry.delete(f"{APP}/manifests/{image.digest}"),
        "DELETE of a blob": registry.delete(f"{APP}/blobs/{image.layers[0].digest}"),
    }

    for name, answer in answers.items():
        expect.client(f"status of {name}", answer.status, 405)
    pull = containerd_pull(registry.client, "team/app", "v1")
    expect.client("the pull is complete", pull.complete, True)
    expect.disk("changes", bool(before.diff(registry.disk.snapshot())), False)


# -- helpers -----------------------------------------------------------------------------------
def _slashed(content: Content) -> str:
    return content.digest.replace(":", "/")


def _json(answer: Answer) -> dict[str, Any]:
    """The JSON object of an answer; empty where it is something else."""
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _base(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
