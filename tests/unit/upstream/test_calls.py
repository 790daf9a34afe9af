"""Paths become calls, and matches find them."""

from __future__ import annotations

import pytest

from harness.upstream import Match
from harness.upstream.calls import route

HEX = "a" * 64
DIGEST = f"sha256:{HEX}"


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
