"""OCI distribution-spec, category Content Management, and the errors of all categories."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.content import Blob, an_image
from harness.http.client import Answer
from harness.suite.expectation import Expectations, any_of
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import MUST, Need, theme
from harness.upstream import MockUpstream
from scenarios.conformance import OVER_HTTP, SPEC
from scenarios.pulling import blob_path, manifest_path
from scenarios.steps import push
from scenarios.uploading import close_upload, offer_manifest, open_upload

TAGS = f"{SPEC}: Deleting tags"
MANIFESTS = f"{SPEC}: Deleting Manifests"
BLOBS = f"{SPEC}: Deleting Blobs"
ERRORS = f"{SPEC}: Error Codes"
WARNINGS = f"{SPEC}: Warnings"

DISABLED = any_of(400, 405)
CODES = {
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DENIED",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "TOOMANYREQUESTS",
    "UNAUTHORIZED",
    "UNSUPPORTED",
}
scenario = theme("conformance", level=MUST, refs=(ERRORS,), needs=OVER_HTTP)


# -- deletion ----------------------------------------------------------------------------------
@scenario(
    "delete-tag", "DELETE of a tag is 202 and removes it, or 400 or 405 and keeps it", refs=(TAGS,)
)
def test_delete_tag(target: TargetUnderTest, expect: Expectations) -> None:
    """A registry may let manifests alone be deleted, but must not pretend."""
    registry = target.standard(delete_enabled=True)
    push(registry, "conformance/delete-tag", an_image(), "v1", "v2")

    deleted = registry.delete(manifest_path("conformance/delete-tag", "v1"))
    later = registry.get(manifest_path("conformance/delete-tag", "v1"), headers=ACCEPT)
    other = registry.get(manifest_path("conformance/delete-tag", "v2"), headers=ACCEPT)

    expect.client("status", deleted.status, any_of(202, 400, 405))
    expect.client("status of GET", later.status, 404 if deleted.status == 202 else 200)
    expect.client("status of GET by another tag", other.status, 200)


@scenario(
    "delete-manifest",
    "DELETE of a manifest is 202 and removes its digest and all its tags",
    refs=(MANIFESTS,),
)
def test_delete_manifest(target: TargetUnderTest, expect: Expectations) -> None:
    """A tag that still answers would deploy a withdrawn image."""
    registry = target.standard(delete_enabled=True)
    image = an_image()
    push(registry, "conformance/delete-manifest", image, "v1", "v2")

    deleted = registry.delete(manifest_path("conformance/delete-manifest", image.digest))

    expect.client("status", deleted.status, 202)
    for reference in (image.digest, "v1", "v2"):
        path = manifest_path("conformance/delete-manifest", reference)
        name = "digest" if reference == image.digest else reference
        expect.client(f"status of GET by {name}", registry.get(path, headers=ACCEPT).status, 404)


@scenario(
    "delete-blob", "DELETE of a blob is 202 and removes it; a second DELETE is 404", refs=(BLOBS,)
)
def test_delete_blob(target: TargetUnderTest, expect: Expectations) -> None:
    """404 tells a repeated clean-up that there is nothing to do."""
    registry = target.standard(delete_enabled=True)
    blob = Blob.of_size(300, "to be deleted")
    path = blob_path("conformance/delete-blob", blob)
    close_upload(
        registry, open_upload(registry, "conformance/delete-blob"), blob.digest, blob.content
    )

    statuses = [registry.delete(path).status, registry.get(path).status]

    expect.client("statuses of DELETE and GET", statuses, [202, 404])
    expect.client("status of a second DELETE", registry.delete(path).status, 404)


@scenario("delete-elsewhere", "DELETE in an unknown repository is 404", refs=(MANIFESTS, BLOBS))
def test_delete_elsewhere(target: TargetUnderTest, expect: Expectations) -> None:
    """Even where another repository has the content."""
    registry = target.standard(delete_enabled=True)
    image = an_image()
    push(registry, "conformance/delete-here", image, "v1")

    for name, path, good in (
        ("manifest", manifest_path("conformance/nowhere", image.digest), 404),
        ("blob", blob_path("conformance/nowhere", image.config), 404),
        ("tag", manifest_path("conformance/nowhere", "v1"), any_of(404, 400, 405)),
    ):
        expect.client(f"status for a {name}", registry.delete(path).status, good)


@scenario(
    "delete-disabled",
    "With deletion disabled DELETE is 400 or 405 and removes nothing",
    refs=(TAGS, MANIFESTS, BLOBS),
    needs={Need.CONFIG},
)
@pytest.mark.parametrize("what", ["tag", "manifest", "blob"])
def test_delete_disabled(what: str, target: TargetUnderTest, expect: Expectations) -> None:
    """A 202 without deletion is found when the disk is full; a deletion behind a setting that
    forbids it is worse."""
    registry = target.standard(delete_enabled=False)
    image = an_image()
    push(registry, "conformance/kept", image, "v1")
    path = {
        "tag": manifest_path("conformance/kept", "v1"),
        "manifest": manifest_path("conformance/kept", image.digest),
        "blob": blob_path("conformance/kept", image.config),
    }[what]

    expect.client("status", registry.delete(path).status, DISABLED)
    expect.client("status of GET", registry.get(path, headers=ACCEPT).status, 200)


# -- errors and warnings -----------------------------------------------------------------------
@scenario("errors", "JSON errors have the specified form and a specified code")
def test_errors(target: TargetUnderTest, expect: Expectations) -> None:
    """Clients and mirrors choose their next step by the code."""
    registry = target.standard()
    image = an_image("unpushed")
    here = "conformance/errors"
    push(registry, here, an_image(), "v1")
    wrong = close_upload(registry, open_upload(registry, here), image.config.digest, b"other")

    for name, answer in (
        ("an unknown tag", registry.get(manifest_path(here, "v9"))),
        ("an unknown manifest", registry.get(manifest_path(here, image.digest))),
        ("an unknown blob", registry.get(blob_path(here, image.config))),
        ("an unknown repository", registry.get("/v2/conformance/nowhere/tags/list")),
        ("a malformed digest", registry.get(f"/v2/{here}/blobs/sha256:abc")),
        ("a wrong digest", wrong),
        ("a manifest without blobs", offer_manifest(registry, here, "v2", image)),
        (
            "a broken manifest",
            offer_manifest(registry, here, "v2", Blob(b"{", image.media_type)),
        ),
        ("deletion", registry.delete(manifest_path(here, image.digest))),
    ):
        expect.client(f"form of the error for {name}", _flaws(answer), [])


@scenario(
    "errors-of-a-cache",
    "JSON errors of a cache have the specified form and codes, also when upstream refuses",
)
@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "UNAUTHORIZED"), (403, "DENIED"), (404, "NAME_UNKNOWN"), (429, "TOOMANYREQUESTS")],
    ids=["401", "403", "404", "429"],
)
def test_errors_of_a_cache(
    status: int, code: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A client cannot distinguish the errors of the two registries."""
    image = upstream.add("conformance/refused", an_image(), tags=("v1",))
    cache = target.proxy(upstream)
    error = json.dumps({"errors": [{"code": code, "message": "not now"}]})
    upstream.on().status(status, {"Content-Type": "application/json"}, error)

    for name, path in (
        ("tag", manifest_path("conformance/refused", "v1")),
        ("manifest", manifest_path("conformance/refused", image.digest)),
        ("blob", blob_path("conformance/refused", image.config)),
    ):
        expect.client(f"form of the error for a {name}", _flaws(cache.get(path)), [])


@scenario(
    "warnings",
    "Warning headers have code 299, no date, and at most 4096 bytes in all",
    refs=(WARNINGS, "RFC 7234, 5.5: Warning"),
)
def test_warnings(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """Clients show them to users. Codes 110 to 113, which RFC 7234 defines for stale responses,
    come from HTTP and not from the registry."""
    image = upstream.add("conformance/warnings", an_image(), tags=("v1",))
    cache = target.proxy(upstream)
    path = manifest_path("conformance/warnings", "v1")
    cache.get(path, headers=ACCEPT)
    cache.get(manifest_path("conformance/warnings", image.digest), headers=ACCEPT)
    upstream.down()

    answers = [cache.get(path, headers=ACCEPT), cache.head(path, headers=ACCEPT)]

    for name, answer in zip(("GET", "HEAD"), answers, strict=True):
        said = answer.headers.get_list("Warning")
        odd = [text for text in said if not re.fullmatch(r'(299|11[0-3]) - "[^"]*"', text)]
        expect.client(f"malformed warnings of {name}", odd, [])
        expect.client(f"{name} has no more than 4096 bytes", len("".join(said)) <= 4096, True)


def _flaws(answer: Answer) -> list[str]:
    """What is wrong with the body of an error; nothing where it is not in JSON, or is no 4xx."""
    if answer.status is None or not 400 <= answer.status < 500:
        return []
    try:
        document: Any = answer.json()
    except ValueError:
        return []
    errors = document.get("errors") if isinstance(document, dict) else None
    if not isinstance(errors, list) or not errors:
        return ["no list of errors"]
    codes = [entry.get("code") if isinstance(entry, dict) else None for entry in errors]
    messages = [entry.get("message", "") for entry in errors if isinstance(entry, dict)]
    return [f"code {code}" for code in codes if code not in CODES] + [
        "a message that is no text" for message in messages if not isinstance(message, str)
    ]
