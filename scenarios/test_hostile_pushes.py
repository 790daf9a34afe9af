"""Hostile pushes: manifests that are odd or large, and URLs of uploads that are forged."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.content import Image, a_layer, an_image
from harness.http.client import Answer
from harness.suite.expectation import Expectations, any_of
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import MUST, Need, theme
from harness.targets.registry import RunningRegistry
from reference_registry.digest import digest_of
from scenarios.pulling import manifest_path
from scenarios.steps import push
from scenarios.uploading import close_upload, open_upload, send_part

REPOSITORY = "team/app"
MEASURED = "measured on 2.8.2 to 3.1.1"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
scenario = theme("security", refs=(MEASURED,), needs={Need.CONFIG})


def _referring(image: Image, **changes: Any) -> dict[str, Any]:
    """A manifest with *image* as its subject, and *changes*."""
    config = {"mediaType": "text/x", "digest": image.config.digest, "size": image.config.size}
    subject = {"mediaType": MANIFEST, "digest": image.digest, "size": len(image.content)}
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": [],
        "subject": subject,
        **changes,
    }


_NUMBER, _DEEP = '"NUMBER"', '"DEEP"'
"""Places in the JSON text for what ``json.dumps`` does not write."""

ODD: dict[str, dict[str, Any]] = {
    "half-a-character": {"annotations": {"a": "\ud800"}, "artifactType": "x/\udc00"},
    "half-a-character-in-a-key": {"annotations": {"\udfff": "a"}},
    "annotations-of-3-MB": {"annotations": {str(n): "x" * 1000 for n in range(3000)}},
    "annotations-of-numbers": {"annotations": {"a": 5}},
    "annotations-as-a-list": {"annotations": ["a"]},
    "artifact-type-as-a-number": {"artifactType": 5},
    "artifact-type-of-1-MB": {"artifactType": "x/" + "y" * (1 << 20)},
    "subject-as-text": {"subject": "text"},
    "subject-as-a-list": {"subject": [{}]},
    "subject-with-a-bad-digest": {"subject": {"mediaType": MANIFEST, "digest": "x", "size": 1}},
    "nested-deeply": {"annotations": {"a": "DEEP"}},
    "nested-deeply-elsewhere": {"x": "DEEP"},
    "number-of-5000-digits": {"x": "NUMBER"},
    "size-of-5000-digits": {"layers": [{"digest": "", "mediaType": "x/y", "size": "NUMBER"}]},
    "version-of-5000-digits": {"schemaVersion": "NUMBER"},
}


@scenario(
    "odd-manifest",
    "A manifest with odd JSON breaks no list: referrers, tags and manifests are answered",
    level=MUST,
    refs=("OCI distribution-spec: Listing Referrers", "RFC 8259, 8.2", "CWE-20", MEASURED),
)
@pytest.mark.parametrize("odd", list(ODD))
def test_odd_manifest(odd: str, target: TargetUnderTest, expect: Expectations) -> None:
    """One push by one tenant must not hide the signatures of an image from all others."""
    registry = target.standard()
    image = an_image()
    push(registry, REPOSITORY, image, "v1")
    changes = ODD[odd]
    if "layers" in changes:
        changes = {"layers": [{**changes["layers"][0], "digest": image.layers[0].digest}]}
    text = json.dumps(_referring(image, **changes))
    content = text.replace(_NUMBER, "9" * 5000).replace(_DEEP, "[" * 5000 + "]" * 5000).encode()

    pushed = _put(registry, digest_of(content), content, MANIFEST)
    referrers = registry.get(f"/v2/{REPOSITORY}/referrers/{image.digest}")
    stored = registry.get(manifest_path(REPOSITORY, digest_of(content)), headers=ACCEPT)
    tags = registry.get(f"/v2/{REPOSITORY}/tags/list")

    expect.client("the push is answered", pushed.status, any_of(201, 400, 413))
    expect.client("status of the referrers", referrers.status, any_of(200, 404))
    if referrers.status == 200:
        referrers.json()
    was_stored = pushed.status == 201
    expect.client("it is there if it was taken", (stored.status == 200) == was_stored, True)
    expect.client("the bytes are right", not was_stored or stored.body == content, True)
    expect.client("status of the tags", tags.status, 200)


@scenario(
    "index-with-many-children",
    "An index with 20,000 children is answered with less than was sent, and the next request too",
    refs=("CWE-400", "CWE-405: Asymmetric Resource Consumption", MEASURED),
)
@pytest.mark.parametrize("children", ["different", "repeated"])
def test_index_with_many_children(
    children: str, target: TargetUnderTest, expect: Expectations
) -> None:
    """An answer that is larger than the request that caused it makes the registry an amplifier."""
    registry = target.standard()
    push(registry, REPOSITORY, an_image(), "v1")
    entries = [
        {
            "mediaType": MANIFEST,
            "digest": f"sha256:{n % (20_000 if children == 'different' else 1):064x}",
            "size": 1,
        }
        for n in range(20_000)
    ]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    content = json.dumps(index).encode()

    pushed = _put(registry, "many", content, INDEX)
    tags = registry.get(f"/v2/{REPOSITORY}/tags/list")

    expect.client("the push is answered", pushed.status, any_of(201, 400, 413))
    expect.client("the answer is smaller than the index", len(pushed.body) < len(content), True)
    expect.client("status of the tags", tags.status, 200)


@scenario(
    "forged-upload-state",
    "The URL of an upload opens no other upload, and no upload of another repository",
    level=MUST,
    refs=("OCI distribution-spec: Pushing blobs", "CWE-345", "CWE-639", MEASURED),
)
@pytest.mark.parametrize(
    "forged", ["other-upload", "other-repository", "changed", "unsigned", "offset-of-before"]
)
def test_forged_upload_state(forged: str, target: TargetUnderTest, expect: Expectations) -> None:
    """The signed ``_state`` says which upload of which repository the URL is for, and how far it
    is. A tenant who can use it elsewhere writes into the upload of another."""
    registry = target.standard()
    blob = a_layer("of the victim")
    started = open_upload(registry, REPOSITORY)
    half = send_part(registry, started, blob.content[:5], start=0)
    path, _, state = half.headers["Location"].partition("?")
    other = open_upload(registry, "thief/app" if forged == "other-repository" else REPOSITORY)
    wrong = {
        "changed": f"_state={state.removeprefix('_state=')[::-1]}",
        "unsigned": f"_state={_unsigned(path)}",
        "offset-of-before": started.headers["Location"].partition("?")[2],
    }.get(forged, other.headers["Location"].partition("?")[2])
    if forged == "other-repository":
        path = path.replace(f"/{REPOSITORY}/", "/thief/app/")
        wrong = state

    written = registry.patch(
        f"{path}?{wrong}",
        content=b"of the thief",
        headers={"Content-Type": "application/octet-stream"},
    )
    closed = close_upload(registry, half, blob.digest, blob.content[5:])
    read = registry.get(f"/v2/{REPOSITORY}/blobs/{blob.digest}")

    expect.client("status of the forged write", written.status, any_of(400, 404, 416))
    expect.client("status of the right end", closed.status, 201)
    expect.client("the blob is right", read.body == blob.content, True)


def _put(registry: RunningRegistry, reference: str, content: bytes, media_type: str) -> Answer:
    path = manifest_path(REPOSITORY, reference)
    return registry.put(path, content=content, headers={"Content-Type": media_type})


def _unsigned(path: str) -> str:
    """A token for the upload at *path* with a signature of zeros."""
    fields = {"Name": REPOSITORY, "UUID": path.rpartition("/")[2], "Offset": 5}
    return base64.urlsafe_b64encode(bytes(32) + json.dumps(fields).encode()).decode()
