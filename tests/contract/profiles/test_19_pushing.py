"""Section 19, what clients write: manifests, uploads, mounts. And HTTP/2."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from harness.content import (
    OCI_MANIFEST,
    Blob,
    Manifest,
    an_artifact,
    an_image,
    an_index,
)
from harness.http.client import Answer
from harness.targets import RunningRegistry
from reference_registry.digest import digest_of
from tests.contract.profiles.bench import (
    IMAGE,
    REPOSITORY,
    Bench,
    blob_path,
    chosen,
    detail,
    failure,
    manifest_path,
    push,
    push_blob,
    put_manifest,
    tree,
)
from tests.contract.profiles.table import row

_UPLOADS = f"/v2/{REPOSITORY}/blobs/uploads/"
_HELLO = Blob(b"hello world")


# -- manifests ------------------------------------------------------------------------------------
@row(
    "19.18",
    {
        "status": 201,
        "body": b"",
        "Docker-Content-Digest": IMAGE.digest,
        "OCI-Subject": None,
        "Location": f"URL/v2/{REPOSITORY}/manifests/{IMAGE.digest}",
    },
)
@pytest.mark.parametrize("reference", ["v1", str(IMAGE.digest)], ids=["tag", "digest"])
def test_put_manifest(bench: Bench, reference: str) -> object:
    registry = bench.standard()
    for blob in IMAGE.blobs:
        push_blob(registry, blob)
    return _stored(registry, put_manifest(registry, IMAGE, reference))


@row("19.18", (201, None))
def test_put_manifest_with_a_subject(bench: Bench) -> object:
    registry = bench.standard()
    push(registry, IMAGE, "v1")
    artifact = an_artifact(subject=IMAGE)
    for blob in artifact.blobs:
        push_blob(registry, blob)
    answer = put_manifest(registry, artifact, str(artifact.digest))
    return answer.status, answer.headers.get("OCI-Subject")


def _stored(registry: RunningRegistry, answer: Answer) -> dict[str, object]:
    """The answer to a push."""
    headers = chosen(answer, "Docker-Content-Digest", "OCI-Subject", "Location")
    headers["Location"] = (headers["Location"] or "").replace(registry.url, "URL")
    return {"status": answer.status, "body": answer.body, **headers}


def _errors(answer: Answer) -> list[object]:
    """The status and all error codes."""
    return [answer.status, *(error["code"] for error in answer.json()["errors"])]


_BLOB_UNKNOWN = "MANIFEST_BLOB_UNKNOWN"


@row(
    "19.20",
    {
        "no blobs": [400, *[_BLOB_UNKNOWN] * 3],
        "no children": [400, *[_BLOB_UNKNOWN] * 2],
        "digest": [400, "DIGEST_INVALID"],
    },
)
def test_manifests_that_do_not_fit(bench: Bench) -> object:
    registry = bench.standard()
    alone = put_manifest(registry, IMAGE, "v1")
    index = put_manifest(registry, an_index(), "v1")
    push(registry, IMAGE, "v1")
    digest = put_manifest(registry, IMAGE, str(_HELLO.digest))
    return {"no blobs": _errors(alone), "no children": _errors(index), "digest": _errors(digest)}


@row("19.20", (400, "MANIFEST_INVALID", "http: request body too large"))
def test_manifest_that_is_too_large(bench: Bench) -> object:
    registry = bench.standard()
    large = an_image(annotations={"a": "x" * (4 * 1024 * 1024)})
    answer = put_manifest(registry, large, "v1")
    return *failure(answer), detail(answer)


@row("19.20", [(400, "MANIFEST_INVALID")] * 4)
def test_manifests_of_another_type(bench: Bench) -> object:
    registry = bench.standard()
    push(registry, IMAGE, "v1")
    schema1 = b'{"schemaVersion":1,"name":"a","tag":"b","fsLayers":[],"history":[]}'
    sent = (
        (None, IMAGE.content),
        ("application/json", IMAGE.content),
        ("application/vnd.docker.distribution.manifest.v2+json", IMAGE.content),
        ("application/vnd.docker.distribution.manifest.v1+json", schema1),
    )
    return [
        failure(
            registry.put(manifest_path("v2"), content=body, headers={"Content-Type": media_type})
        )
        for media_type, body in sent
    ]


@row("19.20", [500, "UNKNOWN", "UNKNOWN", _BLOB_UNKNOWN])
def test_manifest_with_a_foreign_layer(bench: Bench) -> object:
    registry = bench.standard()
    push(registry, IMAGE, "v1")
    document: dict[str, Any] = json.loads(IMAGE.content)
    foreign = {
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "digest": digest_of(b"elsewhere"),
        "size": 9,
        "urls": ["https://example.com/layer"],
    }
    document["layers"].append(foreign)
    manifest = Manifest(Blob(json.dumps(document).encode(), OCI_MANIFEST))
    return _errors(put_manifest(registry, manifest, "v2"))


# -- uploads --------------------------------------------------------------------------------------
def _opened(registry: RunningRegistry, query: str = "", content: bytes = b"") -> Answer:
    return registry.post(f"{_UPLOADS}{query}", content=content)


def _patch(
    registry: RunningRegistry, location: str, body: bytes, span: str | None = None
) -> Answer:
    headers = {"Content-Type": "application/octet-stream", "Content-Range": span}
    return registry.patch(location, content=body, headers=headers)


@row("19.21", (202, "0-0", 404))
def test_monolithic_post(bench: Bench) -> object:
    """Status and range of the answer, and whether the blob is there."""
    registry = bench.standard()
    answer = _opened(registry, f"?digest={_HELLO.digest}", _HELLO.content)
    return answer.status, answer.headers.get("Range"), registry.head(blob_path(_HELLO)).status


@row("19.22", (204, 404), (204, 204))
def test_status_of_an_upload(bench: Bench) -> object:
    """With ``_state``, and without."""
    registry = bench.standard()
    location = _opened(registry).headers["Location"]
    answers = [registry.get(url) for url in (location, location.partition("?")[0])]
    for answer in answers:
        if answer.status == 204:
            assert answer.headers["Range"] == "0-0"
            assert "_state=" in answer.headers["Location"]
    return tuple(answer.status for answer in answers)


@row("19.23", (404, "BLOB_UPLOAD_INVALID", None), (416, "RANGE_INVALID", None))
def test_stale_location(bench: Bench) -> object:
    registry = bench.standard()
    location = _opened(registry).headers["Location"]
    assert _patch(registry, location, b"hello").status == 202
    answer = _patch(registry, location, b"world")
    return *failure(answer), answer.headers.get("Range")


_TAKEN = (202, None)


@row(
    "19.24",
    {"right": _TAKEN, "gap": _TAKEN, "wrong length": _TAKEN, "other": _TAKEN},
    {
        "right": _TAKEN,
        "gap": (416, "RANGE_INVALID"),
        "wrong length": (400, "SIZE_INVALID"),
        "other": (500, "UNKNOWN"),
    },
)
def test_content_range(bench: Bench) -> object:
    registry = bench.standard()
    spans = {"right": "0-4", "gap": "5-9", "wrong length": "0-9", "other": "bytes 0-4/5"}
    return {
        name: failure(_patch(registry, _opened(registry).headers["Location"], b"hello", span))
        for name, span in spans.items()
    }


@row("19.24", (201, None))
def test_content_range_of_the_last_request(bench: Bench) -> object:
    registry = bench.standard()
    location = _opened(registry).headers["Location"]
    location = _patch(registry, location, _HELLO.content).headers["Location"]
    headers = {"Content-Range": "77-88"}
    return failure(registry.put(f"{location}&digest={_HELLO.digest}", headers=headers))


@row("19.25", ["0-0", "0-0", "0-4"])
def test_range_of_an_upload(bench: Bench) -> object:
    """Of an empty one, of one with a byte, of one with five."""
    registry = bench.standard()
    opened = _opened(registry)
    first = _patch(registry, opened.headers["Location"], b"h")
    second = _patch(registry, first.headers["Location"], b"ello")
    return [answer.headers["Range"] for answer in (opened, first, second)]


@row("19.26", {"there": (201, True), "not there": (202, False)})
def test_mount(bench: Bench) -> object:
    registry = bench.standard()
    push_blob(registry, _HELLO, "other/app")
    asked = {
        "there": f"?mount={_HELLO.digest}&from=other/app",
        "not there": f"?mount={_HELLO.digest}&from=third/app",
    }
    seen = {}
    for name, query in reversed(asked.items()):
        answer = _opened(registry, query)
        seen[name] = answer.status, registry.head(blob_path(_HELLO)).status == 200
    return seen


@row(
    "19.29",
    {
        "status": 201,
        "digest": _HELLO.digest,
        "stored": [
            "<repo>/_layers/sha256/<hello>/link",
            "<repo>/_layers/sha512/<512>/link",
            "blobs/sha256/<hello>/data",
        ],
        "by sha512": (200, _HELLO.digest),
    },
)
def test_sha512(bench: Bench) -> object:
    registry = bench.standard()
    digest = f"sha512:{hashlib.sha512(_HELLO.content).hexdigest()}"
    location = _opened(registry).headers["Location"]
    answer = registry.put(f"{location}&digest={digest}", content=_HELLO.content)
    pulled = registry.get(blob_path(digest))
    files = [path.replace(digest[7:], "<512>") for path in tree(registry, hello=_HELLO)]
    return {
        "status": answer.status,
        "digest": answer.digest,
        "stored": files,
        "by sha512": (pulled.status, pulled.digest),
    }
