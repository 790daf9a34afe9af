"""OCI distribution-spec, category Push: blobs in one request and in chunks, and manifests."""

from __future__ import annotations

import json

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.clients.push import upload_blob
from harness.content import Blob, Manifest, an_artifact, an_image, an_index
from harness.http.client import Answer
from harness.suite.expectation import Expectations, any_of, matching
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import MUST, SHOULD, theme
from harness.targets.registry import RunningRegistry
from scenarios.conformance import OVER_HTTP, SPEC
from scenarios.pulling import blob_path, manifest_path
from scenarios.steps import push
from scenarios.uploading import close_upload, offer_manifest, open_upload, reported_range, send_part

SESSION = f"{SPEC}: POST then PUT"
CHUNKS = f"{SPEC}: Pushing a blob in chunks"
MOUNT = f"{SPEC}: Mounting a blob from another repository"
MANIFESTS = f"{SPEC}: Pushing Manifests"
SUBJECT = f"{SPEC}: Pushing Manifests with Subject"

UUID = r".*[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}.*"
scenario = theme("conformance", level=MUST, refs=(MANIFESTS,), needs=OVER_HTTP)


# -- blobs in one piece ------------------------------------------------------------------------
@scenario(
    "push-session", "POST opens an upload: 202 and a Location with a unique UUID", refs=(SESSION,)
)
def test_push_session(target: TargetUnderTest, expect: Expectations) -> None:
    """Two uploads with one Location would overwrite each other."""
    registry = target.standard()

    first = open_upload(registry, "conformance/session")
    second = open_upload(registry, "conformance/session")

    expect.client("statuses", [first.status, second.status], [202, 202])
    expect.client("the Location has a UUID", _fits(UUID, first.headers.get("Location")), True)
    own = first.headers.get("Location") != second.headers.get("Location")
    expect.client("each has its own", own, True)


@scenario(
    "push-blob",
    "POST and PUT of a whole blob is 201 with a Location to pull it from",
    refs=(SESSION,),
)
@pytest.mark.parametrize("size", [0, 2, 300_000])
def test_push_blob(size: int, target: TargetUnderTest, expect: Expectations) -> None:
    """Helm, ORAS and most libraries upload this way."""
    registry = target.standard()
    blob = Blob.of_size(size, "monolith")

    opened = open_upload(registry, "conformance/blob")
    closed = close_upload(registry, opened, blob.digest, blob.content)

    expect.client("status", closed.status, 201)
    _expect_pullable(expect, registry, closed, blob.content)


@scenario(
    "push-single-post",
    "A single POST stores the blob, 201, or opens an upload, 202",
    refs=(f"{SPEC}: Single POST",),
)
def test_push_single_post(target: TargetUnderTest, expect: Expectations) -> None:
    """201 for a blob that is not stored makes a push look complete when it is not."""
    registry = target.standard()
    blob = Blob.of_size(500, "single")

    answer = registry.post(
        f"/v2/conformance/single/blobs/uploads/?digest={blob.digest}",
        content=blob.content,
        headers={"Content-Type": "application/octet-stream"},
    )
    expect.client("status", answer.status, any_of(201, 202))
    if answer.status == 202:
        answer = close_upload(registry, answer, blob.digest, blob.content)

    expect.client("status in the end", answer.status, 201)
    _expect_pullable(expect, registry, answer, blob.content)


@scenario(
    "push-wrong-digest",
    "Bytes that do not match their digest are refused with 400 and not stored",
    refs=(f"{SPEC}: Endpoints, end-6", f"{SPEC}: Error Codes"),
)
def test_push_wrong_digest(target: TargetUnderTest, expect: Expectations) -> None:
    """Also where the digest is invalid or missing."""
    registry = target.standard()
    blob = Blob.of_size(1000, "never pushed")
    path = blob_path("conformance/wrong", blob)

    opened = open_upload(registry, "conformance/wrong")
    wrong = close_upload(registry, opened, blob.digest, b"other bytes")
    expect.client("status for a wrong digest", wrong.status, 400)
    expect.client("status of GET", registry.get(path).status, 404)
    for name, query in (("no digest", ""), ("what is no digest", "digest=sha256:12")):
        location = open_upload(registry, "conformance/wrong").headers["Location"]
        separator = "&" if "?" in location else "?"
        answer = registry.put(f"{location}{separator}{query}", content=blob.content)
        expect.client(f"status for {name}", answer.status, 400)


@scenario(
    "push-at-once",
    "Concurrent uploads of the same blob both succeed",
    level=SHOULD,
    refs=(f"{SPEC}: Layer Upload De-duplication",),
)
def test_push_at_once(target: TargetUnderTest, expect: Expectations) -> None:
    """Parallel builds share their base layers and finish at the same moment."""
    registry = target.standard()
    blob = Blob.of_size(20_000, "twins")
    halves = blob.content[:10_000], blob.content[10_000:]

    opened = [open_upload(registry, "conformance/twins") for _ in range(2)]
    sent = [send_part(registry, upload, halves[0], start=0) for upload in opened]
    closed = [close_upload(registry, upload, blob.digest, halves[1]) for upload in sent]

    expect.client("statuses", [answer.status for answer in closed], [201, 201])
    _expect_pullable(expect, registry, closed[1], blob.content)


# -- blobs in parts ----------------------------------------------------------------------------
@scenario(
    "push-chunks", "Each chunk is 202 with its Range, and the closing PUT is 201", refs=(CHUNKS,)
)
@pytest.mark.parametrize("last", ["patch", "put"])
def test_push_chunks(last: str, target: TargetUnderTest, expect: Expectations) -> None:
    """The last chunk may come with PATCH or with the PUT that closes the upload."""
    registry = target.standard()
    blob = Blob.of_size(5000, f"parts, {last} last")
    first, second, rest = blob.content[:2000], blob.content[2000:4000], blob.content[4000:]

    answer = open_upload(registry, "conformance/parts")
    parts = [(0, first), (2000, second), *([(4000, rest)] if last == "patch" else [])]
    for number, (start, content) in enumerate(parts, 1):
        answer = send_part(registry, answer, content, start=start)
        expect.client(f"status of part {number}", answer.status, 202)
        reported = f"0-{start + len(content) - 1}"
        expect.client(f"Range after part {number}", reported_range(answer), reported)
        there = answer.headers.get("Location") is not None
        expect.client(f"Location after part {number}", there, True)
    closed = close_upload(registry, answer, blob.digest, b"" if last == "patch" else rest)

    expect.client("status of the end", closed.status, 201)
    _expect_pullable(expect, registry, closed, blob.content)


@scenario(
    "push-chunk-out-of-order",
    "A chunk out of order is 416, and the upload continues",
    refs=(CHUNKS,),
)
@pytest.mark.parametrize("where", ["at-the-beginning", "after-a-gap", "again"])
def test_push_chunk_out_of_order(where: str, target: TargetUnderTest, expect: Expectations) -> None:
    """416 tells a client to ask for the upload's offset; any other status ends the upload."""
    registry = target.standard()
    blob = Blob.of_size(5000, f"out of order, {where}")
    stored, start = {"at-the-beginning": (0, 10), "after-a-gap": (2000, 3000), "again": (2000, 0)}[
        where
    ]

    answer = open_upload(registry, "conformance/order")
    if stored:
        answer = send_part(registry, answer, blob.content[:stored], start=0)
    refused = send_part(registry, answer, blob.content[start : start + 1000], start=start)

    if expect.client("status", refused.status, 416):
        reported = registry.get(answer.headers["Location"])
        closed = close_upload(registry, reported, blob.digest, blob.content[stored:])
        expect.client("status of the end", closed.status, 201)


@scenario(
    "push-session-status", "GET of an upload is 204 with its offset and Location", refs=(CHUNKS,)
)
def test_push_session_status(target: TargetUnderTest, expect: Expectations) -> None:
    """Clients on a bad link use it to continue."""
    registry = target.standard()
    blob = Blob.of_size(3000, "resumed")

    opened = open_upload(registry, "conformance/status")
    sent = send_part(registry, opened, blob.content[:2000], start=0)
    status = registry.get(sent.headers["Location"])
    closed = close_upload(registry, status, blob.digest, blob.content[2000:])

    expect.client("status", status.status, 204)
    expect.client("Range", reported_range(status), "0-1999")
    expect.client("status of the end", closed.status, 201)
    _expect_pullable(expect, registry, closed, blob.content)


@scenario(
    "push-session-unknown",
    "An unknown upload is 404",
    level=SHOULD,
    refs=(f"{SPEC}: Endpoints, end-5, end-6 and end-13",),
)
def test_push_session_unknown(target: TargetUnderTest, expect: Expectations) -> None:
    """It tells a client to start again."""
    registry = target.standard()
    place = "/v2/conformance/lost/blobs/uploads/0190163d-8694-439b-aea5-966c26f8ad91"

    for method, query in (("GET", ""), ("PATCH", ""), ("PUT", f"?digest={Blob(b'x').digest}")):
        content = None if method == "GET" else b"x"
        answer = registry.request(method, place + query, content=content)
        expect.client(f"status of {method}", answer.status, 404)


# -- blobs from elsewhere ----------------------------------------------------------------------
@scenario(
    "push-mount", "A mount from another repository is 201, or opens an upload, 202", refs=(MOUNT,)
)
def test_push_mount(target: TargetUnderTest, expect: Expectations) -> None:
    """Either is a push that goes on."""
    registry = target.standard()
    blob = Blob.of_size(700, "mounted")
    upload_blob(registry.client, "conformance/mount-source", blob)

    answer = open_upload(
        registry, "conformance/mount", f"mount={blob.digest}&from=conformance/mount-source"
    )
    expect.client("status", answer.status, any_of(201, 202))
    if answer.status == 202:
        answer = close_upload(registry, answer, blob.digest, blob.content)

    expect.client("status in the end", answer.status, 201)
    _expect_pullable(expect, registry, answer, blob.content)


@scenario(
    "push-mount-impossible",
    "A mount that is not possible opens an upload: 202",
    level=SHOULD,
    refs=(MOUNT,),
)
def test_push_mount_impossible(target: TargetUnderTest, expect: Expectations) -> None:
    """Clients try a mount first and continue with what they get."""
    registry = target.standard()
    blob = Blob.of_size(700, "not to be mounted")

    answer = open_upload(
        registry, "conformance/mount", f"mount={blob.digest}&from=conformance/nowhere"
    )
    closed = close_upload(registry, answer, blob.digest, blob.content)

    expect.client("status", answer.status, 202)
    expect.client("status in the end", closed.status, 201)


# -- manifests ---------------------------------------------------------------------------------
@scenario("push-manifest", "PUT of a manifest is 201 with its Location and the client's digest")
@pytest.mark.parametrize("by", ["tag", "digest"])
def test_push_manifest(by: str, target: TargetUnderTest, expect: Expectations) -> None:
    """The digest names the image from here on."""
    registry = target.standard()

    for name, manifest in (("an image", an_image()), ("an index", an_index())):
        repository = f"conformance/pushed-{name[3:]}-by-{by}"
        push(registry, repository, manifest)
        reference = "v1" if by == "tag" else manifest.digest
        answer = offer_manifest(registry, repository, reference, manifest)
        expect.client(f"status for {name}", answer.status, 201)
        expect.client(f"digest for {name}", answer.digest, any_of(None, manifest.digest))
        pulled = registry.get(answer.headers.get("Location", "/"), headers=ACCEPT)
        right = pulled.body == manifest.content
        expect.client(f"its Location leads to {name}", right, True)


@scenario("push-manifest-bytes", "A manifest is stored byte for byte, whatever its formatting")
def test_push_manifest_bytes(target: TargetUnderTest, expect: Expectations) -> None:
    """A registry that stores what it parsed, rather than what it received, changes digests."""
    registry = target.standard()
    image = an_image(annotations={"org.example.note": "naïve \u2028 <&>"})
    push(registry, "conformance/bytes", image, "v1")
    document = json.loads(image.content)

    for name, content in (
        ("indented", json.dumps(document, indent=3).encode()),
        ("in another order", json.dumps(dict(reversed(document.items()))).encode()),
        ("with an end of line", image.content + b"\n"),
        ("in UTF-8", json.dumps(document, ensure_ascii=False).encode()),
        ("with more fields", json.dumps(document | {"org.example": [1, {}]}).encode()),
    ):
        written = Blob(content, image.media_type)
        pushed = offer_manifest(registry, "conformance/bytes", "v2", written)
        answer = registry.get(manifest_path("conformance/bytes", "v2"), headers=ACCEPT)
        expect.client(f"status {name}", pushed.status, 201)
        expect.client(f"the bytes are right {name}", answer.body == content, True)


@scenario(
    "push-manifest-parameters",
    "Parameters of a pushed manifest's Content-Type are ignored",
    level=SHOULD,
)
def test_push_manifest_parameters(target: TargetUnderTest, expect: Expectations) -> None:
    """HTTP libraries add a charset."""
    registry = target.standard()
    image = an_image()
    push(registry, "conformance/parameters", image)

    pushed = registry.put(
        manifest_path("conformance/parameters", "v1"),
        content=image.content,
        headers={"Content-Type": f"{image.media_type}; charset=utf-8"},
    )
    pulled = registry.get(manifest_path("conformance/parameters", "v1"), headers=ACCEPT)

    expect.client("status", pushed.status, 201)
    expect.client("Content-Type of GET", pulled.headers.get("Content-Type"), image.media_type)


@scenario(
    "push-manifest-of-nothing",
    "An index without manifests can be pushed",
    refs=(MANIFESTS, "OCI image-spec: Image Index"),
)
def test_push_manifest_of_nothing(target: TargetUnderTest, expect: Expectations) -> None:
    """Clients write one when they delete the last entry of a list of referrers."""
    registry = target.standard()
    written = json.loads(an_index().content) | {"manifests": []}
    index = Blob(json.dumps(written).encode(), an_index().media_type)

    pushed = offer_manifest(registry, "conformance/nothing", "v1", index)

    expect.client("status", pushed.status, 201)
    pulled = registry.get(manifest_path("conformance/nothing", "v1"), headers=ACCEPT)
    expect.client("the bytes are right", pulled.body == index.content, True)


@scenario(
    "push-manifest-without-blobs",
    "A manifest with missing blobs is accepted, or refused with MANIFEST_BLOB_UNKNOWN",
    refs=(f"{SPEC}: Push", f"{SPEC}: Error Codes"),
)
@pytest.mark.parametrize("kind", ["image", "index"])
def test_push_manifest_without_blobs(
    kind: str, target: TargetUnderTest, expect: Expectations
) -> None:
    """The code tells a client to push the blobs rather than to fix its manifest."""
    registry = target.standard()
    manifest = an_image("unpushed") if kind == "image" else an_index(seed="unpushed")

    answer = offer_manifest(registry, f"conformance/without-{kind}", "v1", manifest)

    if answer.status == 201:
        expect.client("status", answer.status, 201)
    else:
        expect.client("status", answer.status, any_of(400, 404))
        expect.client("error code", answer.error_code, "MANIFEST_BLOB_UNKNOWN")


@scenario(
    "push-large-manifest",
    "A manifest of 4 MB is accepted; a manifest that is too large is 413",
    level=SHOULD,
)
def test_push_large_manifest(target: TargetUnderTest, expect: Expectations) -> None:
    """Indexes of many builds and artifacts with long annotations grow that large."""
    registry = target.standard()
    image = an_image()
    push(registry, "conformance/large", image)

    large = offer_manifest(registry, "conformance/large", "v1", _padded(image, 4_000_000))
    too_large = offer_manifest(registry, "conformance/large", "v2", _padded(image, 5_000_000))

    expect.client("status of 4 MB", large.status, 201)
    expect.client("status of 5 MB", too_large.status, any_of(201, 413))


@scenario(
    "push-subject-first", "A manifest can be pushed before its subject", refs=(f"{SPEC}: Push",)
)
@pytest.mark.parametrize("kind", ["image", "index"])
def test_push_subject_first(kind: str, target: TargetUnderTest, expect: Expectations) -> None:
    """Tools copy an image and its signatures in any order."""
    registry = target.standard()
    absent = an_image("comes later")
    referrer: Manifest = (
        an_artifact(subject=absent) if kind == "image" else an_index(subject=absent)
    )
    repository = f"conformance/subject-of-{kind}"
    for child in referrer.children:
        push(registry, repository, child)
    for blob in referrer.blobs:
        upload_blob(registry.client, repository, blob)

    answer = offer_manifest(registry, repository, referrer.digest, referrer)

    expect.client("status", answer.status, 201)


@scenario(
    "push-subject-is-told",
    "A registry with the referrers API answers OCI-Subject to a manifest with a subject",
    refs=(SUBJECT,),
)
def test_push_subject_is_told(target: TargetUnderTest, expect: Expectations) -> None:
    """A client that gets no OCI-Subject maintains the referrers tag."""
    registry = target.standard()
    image = an_image()
    artifact = an_artifact(subject=image)
    push(registry, "conformance/subject", image, "v1")
    push(registry, "conformance/subject", artifact)

    pushed = offer_manifest(registry, "conformance/subject", artifact.digest, artifact)
    listed = registry.get(f"/v2/conformance/subject/referrers/{image.digest}")

    reported = image.digest if listed.status == 200 else None
    expect.client("OCI-Subject", pushed.headers.get("OCI-Subject"), reported)


def _expect_pullable(
    expect: Expectations, registry: RunningRegistry, stored: Answer, content: bytes
) -> None:
    """The Location of the answer *stored* leads to *content*."""
    pulled = registry.get(stored.headers.get("Location", "/"))
    expect.client("its Location leads to the blob", pulled.body == content, True)


def _fits(pattern: str, text: str | None) -> bool:
    return matching(pattern).accepts(text)


def _padded(manifest: Manifest, size: int) -> Blob:
    """*manifest* with blanks before its last brace, *size* bytes in all."""
    blanks = b" " * (size - manifest.size)
    return Blob(manifest.content[:-1] + blanks + b"}", manifest.media_type)
