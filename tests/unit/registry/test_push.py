"""Pushing blobs and manifests: OCI distribution-spec, "Push"."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.content import an_artifact, an_image, an_index
from reference_registry.digest import digest_of
from reference_registry.manifest import OCI_INDEX, OCI_MANIFEST
from tests.unit.registry.conftest import MakeRegistry
from tests.unit.registry.in_process import InProcess

_HELLO = digest_of(b"hello")
_HELLO_512 = digest_of(b"hello", "sha512")
_ABSENT = digest_of(b"absent")


def _codes(answer: Any) -> tuple[int, list[str]]:
    return answer.status_code, [entry["code"] for entry in answer.json()["errors"]]


# -- upload sessions ---------------------------------------------------------------------------
def test_post_then_put(registry: InProcess) -> None:
    started = registry.post("/v2/team/app/blobs/uploads/")
    assert started.status_code == 202
    assert started.headers["range"] == "0-0"
    assert started.headers["docker-upload-uuid"] in started.headers["location"]

    finished = registry.put(f"{started.headers['location']}&digest={_HELLO}", b"hello")

    assert finished.status_code == 201
    assert finished.headers["docker-content-digest"] == _HELLO
    assert finished.headers["location"] == f"http://registry.test/v2/team/app/blobs/{_HELLO}"
    assert registry.get(finished.headers["location"]).content == b"hello"


def test_chunks(registry: InProcess) -> None:
    location = registry.start_upload("a")
    for chunk, span, stored in ((b"hel", "0-2", "0-2"), (b"lo", "3-4", "0-4")):
        answer = registry.patch(location, chunk, content_range=span)
        assert (answer.status_code, answer.headers["range"]) == (202, stored)
        location = answer.headers["location"]

    assert registry.put(f"{location}&digest={_HELLO}").status_code == 201
    assert registry.get(f"/v2/a/blobs/{_HELLO}").content == b"hello"


def test_last_chunk_with_the_put(registry: InProcess) -> None:
    location = registry.patch(registry.start_upload("a"), b"hel").headers["location"]

    answer = registry.put(f"{location}&digest={_HELLO}", b"lo", content_range="3-4")

    assert answer.status_code == 201


@pytest.mark.parametrize("span", ["3-7", "1-5", "5-0", "bytes", "", "-5"])
def test_out_of_order_chunk(span: str, registry: InProcess) -> None:
    location = registry.start_upload("a")

    refused = registry.patch(location, b"hello", content_range=span)

    assert _codes(refused) == (416, ["RANGE_INVALID"])
    # The refusal tells where to go on, and nothing was stored.
    assert refused.headers["range"] == "0-0"
    retried = registry.patch(refused.headers["location"], b"hello", content_range="0-4")
    assert retried.status_code == 202


def test_out_of_order_last_chunk(registry: InProcess) -> None:
    location = registry.start_upload("a")

    refused = registry.put(f"{location}&digest={_HELLO}", b"hello", content_range="5-9")

    assert _codes(refused) == (416, ["RANGE_INVALID"])


def test_chunk_shorter_than_it_says(registry: InProcess) -> None:
    refused = registry.patch(registry.start_upload("a"), b"hello", content_range="0-9")

    assert _codes(refused) == (400, ["SIZE_INVALID"])


def test_chunk_sent_again_to_the_old_url(registry: InProcess) -> None:
    location = registry.start_upload("a")
    registry.patch(location, b"hello")

    assert _codes(registry.patch(location, b"hello")) == (416, ["RANGE_INVALID"])
    # What a client that has lost count asks.
    status = registry.get(location)
    assert (status.status_code, status.headers["range"]) == (204, "0-4")
    assert registry.put(f"{status.headers['location']}&digest={_HELLO}").status_code == 201


def test_url_without_a_token(registry: InProcess) -> None:
    """``ideal`` does not insist on what distribution adds to the URL."""
    bare = registry.start_upload("a").partition("?")[0]

    assert registry.patch(bare, b"hel").status_code == 202
    assert registry.patch(bare, b"lo", content_range="0-1").status_code == 416
    assert registry.put(f"{bare}?digest={_HELLO}", b"lo", content_range="3-4").status_code == 201


def test_status_and_cancel(registry: InProcess) -> None:
    location = registry.start_upload("a")
    assert registry.head(location).status_code == 204
    registry.patch(location, b"hello")

    cancelled = registry.delete(location)

    assert cancelled.status_code == 204
    assert registry.files() == []
    assert _codes(registry.get(location)) == (404, ["BLOB_UPLOAD_UNKNOWN"])
    assert _codes(registry.delete(location)) == (404, ["BLOB_UPLOAD_UNKNOWN"])
    assert _codes(registry.patch(location, b"x")) == (404, ["BLOB_UPLOAD_UNKNOWN"])


@pytest.mark.parametrize("uuid", ["unknown", "..", ".", "a%2f..", "%2e%2e"])
def test_unknown_uploads(uuid: str, registry: InProcess) -> None:
    registry.start_upload("a")

    answer = registry.get(f"http://registry.test/v2/a/blobs/uploads/{uuid}")

    assert answer.status_code in {301, 404}
    assert len(registry.files()) == 2


def test_an_upload_belongs_to_its_repository(registry: InProcess) -> None:
    location = registry.start_upload("a").replace("/v2/a/", "/v2/b/")

    assert _codes(registry.get(location)) == (404, ["BLOB_UPLOAD_UNKNOWN"])


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("", "digest missing"),
        ("&digest=", "digest missing"),
        ("&digest=x", "digest parsing failed"),
    ],
)
def test_put_without_a_digest(query: str, detail: str, registry: InProcess) -> None:
    refused = registry.put(f"{registry.start_upload('a')}{query}", b"hello")

    assert _codes(refused) == (400, ["DIGEST_INVALID"])
    assert refused.json()["errors"][0]["detail"] == detail


def test_wrong_digest_leaves_nothing(registry: InProcess) -> None:
    refused = registry.put(f"{registry.start_upload('a')}&digest={_ABSENT}", b"hello")

    assert _codes(refused) == (400, ["DIGEST_INVALID"])
    assert registry.files() == []


def test_wrong_digest_leaves_the_upload_in_releases(make_registry: MakeRegistry) -> None:
    registry = make_registry("3.1")
    location = registry.patch(registry.start_upload("a"), b"hello").headers["location"]

    assert registry.put(f"{location}&digest={_ABSENT}").status_code == 400
    assert registry.put(f"{location}&digest={_HELLO}").status_code == 201


# -- one request -------------------------------------------------------------------------------
def test_monolithic_post(registry: InProcess) -> None:
    answer = registry.post(f"/v2/a/blobs/uploads/?digest={_HELLO}", b"hello")

    assert answer.status_code == 201
    assert answer.headers["docker-content-digest"] == _HELLO
    assert registry.files() == [
        f"blobs/sha256/2c/{_HELLO.removeprefix('sha256:')}/data",
        f"repositories/a/_layers/sha256/{_HELLO.removeprefix('sha256:')}/link",
    ]


@pytest.mark.parametrize("digest", [_ABSENT, "sha256:abc", "", "md5:00"])
def test_monolithic_post_with_a_wrong_digest(digest: str, registry: InProcess) -> None:
    refused = registry.post(f"/v2/a/blobs/uploads/?digest={digest}", b"hello")

    assert _codes(refused) == (400, ["DIGEST_INVALID"])
    assert registry.files() == []


def test_sha512(registry: InProcess) -> None:
    location = registry.start_upload("a")

    answer = registry.put(f"{location}&digest={_HELLO_512}", b"hello")

    assert answer.headers["docker-content-digest"] == _HELLO_512
    assert registry.get(f"/v2/a/blobs/{_HELLO_512}").headers["etag"] == f'"{_HELLO_512}"'
    assert registry.get(f"/v2/a/blobs/{_HELLO}").status_code == 404


# -- mounts ------------------------------------------------------------------------------------
@pytest.mark.parametrize("source", ["&from=a", ""])
def test_mount(source: str, registry: InProcess) -> None:
    registry.push_blob("a", b"hello")

    mounted = registry.post(f"/v2/b/blobs/uploads/?mount={_HELLO}{source}")

    assert mounted.status_code == 201
    assert mounted.headers["location"].endswith(f"/v2/b/blobs/{_HELLO}")
    assert registry.get(f"/v2/b/blobs/{_HELLO}").content == b"hello"


@pytest.mark.parametrize(
    "query",
    [
        f"mount={_HELLO}&from=nowhere",
        f"mount={_HELLO}&from=../a",
        f"mount={_ABSENT}&from=a",
        f"mount={_ABSENT}",
        "mount=x&from=a",
    ],
)
def test_mount_that_cannot_be_is_an_upload(query: str, registry: InProcess) -> None:
    registry.push_blob("a", b"hello")

    answer = registry.post(f"/v2/b/blobs/uploads/?{query}")

    assert answer.status_code == 202
    assert not registry.local("b").has_blob(_HELLO)


# -- manifests ---------------------------------------------------------------------------------
def test_by_tag_and_by_digest(registry: InProcess) -> None:
    image = an_image()
    registry.push("a", image)

    answer = registry.put("/v2/a/manifests/v1", image.content, content_type=OCI_MANIFEST)

    assert answer.status_code == 201
    assert answer.headers["docker-content-digest"] == image.digest
    assert answer.headers["location"] == f"http://registry.test/v2/a/manifests/{image.digest}"
    assert "oci-subject" not in answer.headers
    assert registry.get("/v2/a/manifests/v1").content == image.content


def test_by_sha512(registry: InProcess) -> None:
    image = an_image()
    registry.push("a", image)
    digest = digest_of(image.content, "sha512")

    answer = registry.put(f"/v2/a/manifests/{digest}", image.content, content_type=OCI_MANIFEST)

    assert answer.headers["docker-content-digest"] == digest
    assert registry.get(f"/v2/a/manifests/{digest}").headers["docker-content-digest"] == digest


def test_tags_by_query(registry: InProcess) -> None:
    image = an_image()
    registry.push("a", image)
    path = f"/v2/a/manifests/{image.digest}"

    answer = registry.put(f"{path}?tag=1&tag=1.2&tag=1", image.content, content_type=OCI_MANIFEST)

    assert answer.headers["oci-tag"] == "1, 1.2"
    assert registry.get("/v2/a/tags/list").json()["tags"] == ["1", "1.2"]
    refused = registry.put(f"{path}?tag=ok&tag=.no", image.content, content_type=OCI_MANIFEST)
    assert _codes(refused) == (400, ["TAG_INVALID"])
    many = "&".join(f"tag={n}" for n in range(101))
    assert registry.put(f"{path}?{many}", image.content).status_code == 414
    assert registry.get("/v2/a/tags/list").json()["tags"] == ["1", "1.2"]


def test_the_subject_is_acknowledged(registry: InProcess) -> None:
    subject = an_image()
    artifact = an_artifact(subject=subject)  # the subject itself is not pushed
    for blob in artifact.blobs:
        registry.push_blob("a", blob.content)

    answer = registry.put(
        f"/v2/a/manifests/{artifact.digest}", artifact.content, content_type=OCI_MANIFEST
    )

    assert (answer.status_code, answer.headers["oci-subject"]) == (201, subject.digest)


def test_content_type_may_be_left_out(registry: InProcess) -> None:
    image = an_image()
    registry.push("a", image)

    assert registry.put("/v2/a/manifests/v1", image.content).status_code == 201


@pytest.mark.parametrize(
    ("reference", "content", "media_type", "error"),
    [
        ("v1", b"{", OCI_MANIFEST, (400, ["MANIFEST_INVALID"])),
        ("v1", b"", OCI_MANIFEST, (400, ["MANIFEST_INVALID"])),
        ("v1", an_image().content, OCI_INDEX, (400, ["MANIFEST_INVALID"])),
        ("v1", an_image().content, "text/plain", (400, ["MANIFEST_INVALID"])),
        (_ABSENT, an_image().content, OCI_MANIFEST, (400, ["DIGEST_INVALID"])),
        ("sha256:abc", an_image().content, OCI_MANIFEST, (400, ["DIGEST_INVALID"])),
        (".v1", an_image().content, OCI_MANIFEST, (400, ["TAG_INVALID"])),
        ("t" * 129, an_image().content, OCI_MANIFEST, (400, ["TAG_INVALID"])),
        ("v1", b" " * (4 << 20) + b"{}", OCI_MANIFEST, (413, ["MANIFEST_INVALID"])),
    ],
)
def test_refused_manifests(
    reference: str,
    content: bytes,
    media_type: str,
    error: tuple[int, list[str]],
    registry: InProcess,
) -> None:
    registry.push("a", an_image())
    before = registry.files()

    refused = registry.put(f"/v2/a/manifests/{reference}", content, content_type=media_type)

    assert _codes(refused) == error
    assert registry.files() == before


def test_four_mebibytes_are_taken(registry: InProcess) -> None:
    document = json.loads(an_image().content)
    registry.push("a", an_image())
    document["annotations"] = {"padding": "x" * (4 << 20)}
    surplus = len(json.dumps(document)) - (4 << 20)
    document["annotations"]["padding"] = "x" * ((4 << 20) - surplus)
    content = json.dumps(document).encode()
    assert len(content) == 4 << 20

    assert registry.put("/v2/a/manifests/v1", content).status_code == 201


def test_missing_blobs(registry: InProcess, make_registry: MakeRegistry) -> None:
    image = an_image()

    refused = registry.put("/v2/a/manifests/v1", image.content, content_type=OCI_MANIFEST)

    assert refused.status_code == 400
    assert [entry["detail"] for entry in refused.json()["errors"]] == [
        blob.digest for blob in image.blobs
    ]


@pytest.mark.parametrize(("profile", "status"), [("ideal", 201), ("2.8", 400), ("3.1", 400)])
def test_sparse_content(profile: str, status: int, make_registry: MakeRegistry) -> None:
    """Layers and children that are not here: taken by ``ideal`` only."""
    registry = make_registry(profile)
    image = an_image()
    registry.push_blob("a", image.config.content)
    index = an_index(image)

    for manifest in (image, index):
        answer = registry.put(
            f"/v2/a/manifests/{manifest.digest}",
            manifest.content,
            content_type=manifest.media_type,
        )
        assert answer.status_code == status


# -- releases ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("span", "error"),
    [
        ("3-7", (416, ["RANGE_INVALID"])),
        ("0-9", (400, ["SIZE_INVALID"])),
        ("0", (500, ["UNKNOWN"])),
        ("bytes */5", (500, ["UNKNOWN"])),
    ],
)
def test_3_x_checks_content_range(
    span: str, error: tuple[int, list[str]], make_registry: MakeRegistry
) -> None:
    registry = make_registry("3.0")
    location = registry.start_upload("a")

    assert _codes(registry.patch(location, b"hello", content_range=span)) == error


@pytest.mark.parametrize("profile", ["3.0.0-alpha.1", "3.0", "3.1"])
def test_3_x_and_the_token(profile: str, make_registry: MakeRegistry) -> None:
    registry = make_registry(profile)
    location = registry.start_upload("a")
    bare = location.partition("?")[0]

    assert registry.get(bare).status_code == 204
    for method in ("PATCH", "PUT", "DELETE"):
        refused = registry.request(method, bare)
        assert _codes(refused) == (404, ["BLOB_UPLOAD_INVALID"])
        assert refused.json()["errors"][0]["detail"] == "invalid secret"
    registry.patch(location, b"x")
    assert _codes(registry.patch(location, b"x")) == (416, ["RANGE_INVALID"])


def test_3_1_orders_its_uploads(make_registry: MakeRegistry) -> None:
    registry = make_registry("3.1")
    uuid = registry.post("/v2/a/blobs/uploads/").headers["docker-upload-uuid"]

    assert uuid[14] == "7"


def test_a_token_signed_elsewhere(make_registry: MakeRegistry) -> None:
    ours, other = make_registry("2.8"), make_registry("2.8", secret="other")
    location = ours.start_upload("a")

    assert _codes(other.patch(location, b"x")) == (404, ["BLOB_UPLOAD_INVALID"])
    assert ours.patch(location, b"x").status_code == 202
