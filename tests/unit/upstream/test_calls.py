"""Paths become calls, and matches find them."""

from __future__ import annotations

import pytest

from harness.upstream import Match
from harness.upstream.calls import Kind, route

HEX = "a" * 64
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("path", "kind", "repository", "reference"),
    [
        ("/v2/", "base", None, None),
        ("/v2", "base", None, None),
        ("/v2/_catalog", "catalog", None, None),
        ("/token", "token", None, None),
        ("/v2/app/manifests/v1", "manifest", "app", "v1"),
        ("/v2/team/app/manifests/v1", "manifest", "team/app", "v1"),
        (f"/v2/team/app/manifests/{DIGEST}", "manifest", "team/app", DIGEST),
        (f"/v2/team/app/manifests/sha256%3A{HEX}", "manifest", "team/app", DIGEST),
        (f"/v2/team/app/blobs/{DIGEST}", "blob", "team/app", DIGEST),
        ("/v2/team/app/blobs/uploads/", "upload", "team/app", None),
        ("/v2/team/app/blobs/uploads/1-2", "upload", "team/app", "1-2"),
        ("/v2/team/app/tags/list", "tags", "team/app", None),
        (f"/v2/team/app/referrers/{DIGEST}", "referrers", "team/app", DIGEST),
        ("/v2/manifests/blobs/manifests/v1", "manifest", "manifests/blobs", "v1"),
        ("/v2/team/app/manifests/", "other", None, None),
        ("/v3/", "other", None, None),
        ("/", "other", None, None),
    ],
)
def test_routes(path: str, kind: Kind, repository: str | None, reference: str | None) -> None:
    call = route("GET", f"{path}?n=1")
    assert (call.kind, call.repository, call.reference) == (kind, repository, reference)
    assert (call.path, call.query, call.line) == (path, "n=1", f"GET {path}?n=1")
    assert call.digest == (DIGEST if reference == DIGEST else None)
    assert call.tag == ("v1" if reference == "v1" else None)


def test_parameters_are_decoded_and_kept_in_order() -> None:
    call = route("GET", "/token?scope=a%3Ab&scope=c&service=")
    assert call.parameters("scope") == ["a:b", "c"]
    assert call.parameter("service") == ""
    assert call.parameter("account") is None


BLOB = route("GET", f"/v2/team/app/blobs/{DIGEST}")
TAG = route("HEAD", "/v2/team/app/manifests/v1")
TAGS = route("GET", "/v2/team/app/tags/list?n=10&last=a")


@pytest.mark.parametrize(
    ("match", "matched"),
    [
        (Match.of(), [BLOB, TAG, TAGS]),
        (Match.of("*"), [BLOB, TAG, TAGS]),
        (Match.of("HEAD"), [TAG]),
        (Match.of("GET", kind="tags"), [TAGS]),
        (Match.of(repository="team/app"), [BLOB, TAG, TAGS]),
        (Match.of(repository="team"), []),
        (Match.of(what=DIGEST), [BLOB]),
        (Match.of(what="/v2/team/app/manifests/v1"), [TAG]),
        (Match.of(what="/v2/team/app/manifests/v"), []),
        (Match.of(what="/v2/*/blobs/*"), [BLOB]),
        (Match.of(what="*/v1"), [TAG]),
        (Match.of(what="manifests/v1"), [TAG]),
        (Match.of(what="anifests/v1"), []),
        (Match.of(what="/v2/team/app/tags/list"), [TAGS]),
        (Match.of(what="tags/list?n=10*"), [TAGS]),
        (Match.of(what="tags/list?n=11*"), []),
        (Match.parse("GET /v2/team/*"), [BLOB, TAGS]),
        (Match.parse("/v2/team/*"), [BLOB, TAG, TAGS]),
        (Match.parse(f"HEAD {DIGEST}"), []),
    ],
    ids=str,
)
def test_matches(match: Match, matched: list[object]) -> None:
    assert [call for call in (BLOB, TAG, TAGS) if match(call)] == matched
