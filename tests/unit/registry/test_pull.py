"""Pulling: OCI distribution-spec, "Pull", and what distribution adds to answers."""

from __future__ import annotations

import pytest

from harness.content import an_image, an_index
from reference_registry.config import CacheConfig
from reference_registry.digest import Digest, digest_of
from tests.unit.registry.conftest import MakeRegistry
from tests.unit.registry.in_process import InProcess

_HELLO = digest_of(b"hello")
_ABSENT = digest_of(b"absent")


# -- manifests ---------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_manifest_headers(method: str, registry: InProcess) -> None:
    image = an_image()
    registry.push("a", image, "v1")

    for reference in ("v1", image.digest):
        answer = registry.request(method, f"/v2/a/manifests/{reference}")
        assert answer.status_code == 200
        assert answer.content == (image.content if method == "GET" else b"")
        assert dict(answer.headers) == {
            "docker-distribution-api-version": "registry/2.0",
            "content-type": image.media_type,
            "content-length": str(image.size),
            "docker-content-digest": image.digest,
            "etag": f'"{image.digest}"',
        }


@pytest.mark.parametrize(
    ("reference", "status", "code"),
    [
        ("v2", 404, "MANIFEST_UNKNOWN"),
        (_ABSENT, 404, "MANIFEST_UNKNOWN"),
        (".v2", 404, "MANIFEST_UNKNOWN"),
        ("sha256:abc", 400, "DIGEST_INVALID"),
        ("sha1:" + "0" * 40, 400, "DIGEST_INVALID"),
    ],
)
def test_no_such_manifest(reference: str, status: int, code: str, registry: InProcess) -> None:
    registry.push("a", an_image(), "v1")

    answer = registry.get(f"/v2/a/manifests/{reference}")

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)
    assert registry.head(f"/v2/a/manifests/{reference}").status_code == status


@pytest.mark.parametrize("condition", ["{}", '"{}"', 'W/"{}"', '"x", "{}"', "*"])
def test_manifest_not_modified(condition: str, registry: InProcess) -> None:
    image = an_image()
    registry.push("a", image, "v1")

    answer = registry.get("/v2/a/manifests/v1", if_none_match=condition.format(image.digest))

    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["docker-content-digest"] == image.digest
    assert "content-length" not in answer.headers


def test_condition_on_a_manifest_that_is_not_there(make_registry: MakeRegistry) -> None:
    """Releases compare before they look."""
    path = f"/v2/a/manifests/{_ABSENT}"

    assert make_registry().get(path, if_none_match=_ABSENT).status_code == 404
    assert make_registry("2.8").get(path, if_none_match=_ABSENT).status_code == 304


def test_a_blob_is_not_a_manifest(make_registry: MakeRegistry) -> None:
    for profile, status in (("ideal", 404), ("2.8", 500), ("3.1", 404)):
        registry = make_registry(profile)
        registry.push_blob("a", b"hello")
        assert registry.get(f"/v2/a/manifests/{_HELLO}").status_code == status


# -- blobs -------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("driver", ["filesystem", "inmemory"])
def test_blob_headers(method: str, driver: str, make_registry: MakeRegistry) -> None:
    registry = make_registry(driver=driver)
    registry.push_blob("a", b"hello")

    answer = registry.request(method, f"/v2/a/blobs/{_HELLO}")

    assert (answer.status_code, answer.content) == (200, b"hello" if method == "GET" else b"")
    assert dict(answer.headers) == {
        "docker-distribution-api-version": "registry/2.0",
        "accept-ranges": "bytes",
        "cache-control": "max-age=31536000",
        "content-type": "application/octet-stream",
        "content-length": "5",
        "docker-content-digest": _HELLO,
        "etag": f'"{_HELLO}"',
    }


@pytest.mark.parametrize("driver", ["filesystem", "inmemory"])
@pytest.mark.parametrize(
    ("value", "content", "span"),
    [
        ("bytes=1-2", b"el", "bytes 1-2/5"),
        ("bytes=3-", b"lo", "bytes 3-4/5"),
        ("bytes=-1", b"o", "bytes 4-4/5"),
    ],
)
def test_ranges(
    driver: str, value: str, content: bytes, span: str, make_registry: MakeRegistry
) -> None:
    registry = make_registry(driver=driver)
    registry.push_blob("a", b"hello")

    answer = registry.get(f"/v2/a/blobs/{_HELLO}", range=value)

    assert (answer.status_code, answer.content) == (206, content)
    assert answer.headers["content-range"] == span
    assert answer.headers["content-length"] == str(len(content))


@pytest.mark.parametrize("value", ["bytes=5-", "bytes=9-10", "bytes=-0", "bytes=4-1"])
def test_range_that_cannot_be(value: str, registry: InProcess) -> None:
    registry.push_blob("a", b"hello")

    answer = registry.get(f"/v2/a/blobs/{_HELLO}", range=value)

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (416, "RANGE_INVALID")
    assert answer.headers["content-range"] == "bytes */5"


@pytest.mark.parametrize("value", ["lines=1-2", "bytes=x", "bytes=0-1,3-4", "bytes=0-4,0-4"])
def test_range_that_is_ignored(value: str, registry: InProcess) -> None:
    registry.push_blob("a", b"hello")

    answer = registry.get(f"/v2/a/blobs/{_HELLO}", range=value)

    assert (answer.status_code, answer.content) == (200, b"hello")
    assert registry.head(f"/v2/a/blobs/{_HELLO}", range="bytes=0-0").status_code == 200


@pytest.mark.parametrize(("validator", "status"), [(f'"{_HELLO}"', 206), ('"x"', 200)])
def test_if_range(validator: str, status: int, registry: InProcess) -> None:
    registry.push_blob("a", b"hello")

    answer = registry.get(f"/v2/a/blobs/{_HELLO}", range="bytes=0-0", if_range=validator)

    assert answer.status_code == status


def test_blob_conditions(registry: InProcess) -> None:
    registry.push_blob("a", b"hello")
    path = f"/v2/a/blobs/{_HELLO}"

    unchanged = registry.get(path, if_none_match=f'"{_HELLO}"')
    assert (unchanged.status_code, unchanged.headers["etag"]) == (304, f'"{_HELLO}"')
    assert registry.get(path, if_match='"x"').status_code == 412


@pytest.mark.parametrize(
    ("digest", "status", "code"),
    [
        (_ABSENT, 404, "BLOB_UNKNOWN"),
        ("sha256:abc", 400, "DIGEST_INVALID"),
        ("x", 400, "DIGEST_INVALID"),
    ],
)
def test_no_such_blob(digest: str, status: int, code: str, registry: InProcess) -> None:
    answer = registry.get(f"/v2/a/blobs/{digest}")

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)


@pytest.mark.parametrize(("profile", "kept"), [("3.0.0-alpha.1", True), ("3.0", False)])
def test_416_of_releases(profile: str, kept: bool, make_registry: MakeRegistry) -> None:
    registry = make_registry(profile)
    registry.push_blob("a", b"hello")

    answer = registry.get(f"/v2/a/blobs/{_HELLO}", range="bytes=9-")

    assert (answer.status_code, answer.text) == (416, "invalid range: failed to overlap\n")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert ("etag" in answer.headers, "cache-control" in answer.headers) == (kept, kept)


def test_several_ranges_of_2_8(make_registry: MakeRegistry) -> None:
    registry = make_registry("2.8")
    registry.push_blob("a", b"hello")

    answer = registry.get(f"/v2/a/blobs/{_HELLO}", range="bytes=0-0,2-3")

    kind, _, boundary = answer.headers["content-type"].partition("; boundary=")
    head = "Content-Type: application/octet-stream\r\n\r\n"
    assert (answer.status_code, kind) == (206, "multipart/byteranges")
    assert answer.text == (
        f"--{boundary}\r\nContent-Range: bytes 0-0/5\r\n{head}h\r\n"
        f"--{boundary}\r\nContent-Range: bytes 2-3/5\r\n{head}ll\r\n--{boundary}--\r\n"
    )
    assert answer.headers["content-length"] == str(len(answer.content))


def test_bytes_lost_behind_a_descriptor_cache(make_registry: MakeRegistry) -> None:
    """#2367: releases promise the whole length and send nothing."""
    cache = CacheConfig(blobdescriptor="inmemory")
    for profile, head in (("ideal", 404), ("2.8", 200)):
        registry = make_registry(profile, cache=cache)
        registry.push_blob("a", b"hello")
        registry.local("a").delete_bytes(_HELLO)

        answer = registry.head(f"/v2/a/blobs/{_HELLO}")
        assert answer.status_code == head
        if profile == "2.8":
            assert answer.headers["content-length"] == "5"
            with pytest.raises(EOFError):
                registry.get(f"/v2/a/blobs/{_HELLO}")


def test_index_and_children(registry: InProcess) -> None:
    index = an_index(an_image("one"), an_image("two"))
    registry.push("a", index, "v1")

    assert registry.get("/v2/a/manifests/v1").content == index.content
    for child in index.children:
        assert registry.get(f"/v2/a/manifests/{child.digest}").content == child.content
    assert registry.local("a").has_manifest(Digest(index.digest))
