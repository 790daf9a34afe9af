"""Names of one test among those of others: out and back again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.http.namespace import Namespace

NAMES = Namespace("pullproof-1-2")
IN_A_PROJECT = Namespace("pullproof-1-2", place="hub")


@pytest.mark.parametrize(
    ("path", "wire"),
    [
        ("/v2/team/app/manifests/v1", "/v2/pullproof-1-2/team/app/manifests/v1"),
        ("/v2/team/app/tags/list?n=2", "/v2/pullproof-1-2/team/app/tags/list?n=2"),
        (
            "/v2/new/app/blobs/uploads/?mount=sha256:ab&from=team/app",
            "/v2/pullproof-1-2/new/app/blobs/uploads/?mount=sha256:ab&from=pullproof-1-2%2Fteam/app",
        ),
        ("/v2/pullproof-1-2/team/app/tags/list", "/v2/pullproof-1-2/team/app/tags/list"),
        ("/v2/-odd/manifests/v1", "/v2/pullproof-1-2/-odd/manifests/v1"),
        ("/v2/", "/v2/"),
        ("/v2/?x=1", "/v2/?x=1"),
        ("/v2/_catalog?n=3", "/v2/_catalog?n=3"),
        ("/metrics", "/metrics"),
    ],
)
def test_paths_on_the_wire(path: str, wire: str) -> None:
    assert NAMES.outward(path) == wire


def test_paths_of_other_users() -> None:
    assert NAMES.behind("/v2/pullproof-1-21/team/app/tags/list") is None
    assert NAMES.behind("/v2/team/app/tags/list") is None


@given(st.text("abc/?=_.-:", max_size=20))
def test_back_is_the_reverse_of_out(rest: str) -> None:
    for names in (NAMES, IN_A_PROJECT):
        path = f"/v2/{rest}"
        assert names.inward(names.outward(path)).replace("%2F", "/") == path.replace("%2F", "/")
