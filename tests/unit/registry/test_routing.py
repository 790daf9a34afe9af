"""From paths to resources."""

from __future__ import annotations

import pytest

from reference_registry.api.answering import Moved, Route, Router, access_needed
from reference_registry.http.hooks import Access
from reference_registry.profiles import profile_named
from tests.support.requests import a_request

_DIGEST = f"sha256:{'0' * 64}"

_ROUTES = [
    ("/v2/", Route("base")),
    ("/v2/_catalog", Route("catalog")),
    ("/v2/a/b/tags/list", Route("tags", {"name": "a/b"})),
    ("/v2/a/manifests/v1", Route("manifest", {"name": "a", "reference": "v1"})),
    (f"/v2/a/manifests/{_DIGEST}", Route("manifest", {"name": "a", "reference": _DIGEST})),
    (f"/v2/a/blobs/{_DIGEST}", Route("blob", {"name": "a", "digest": _DIGEST})),
    ("/v2/a/blobs/uploads/", Route("blob_upload", {"name": "a"})),
    ("/v2/a/blobs/uploads/u-1", Route("blob_upload_chunk", {"name": "a", "uuid": "u-1"})),
    ("/v2/tags/list/tags/list", Route("tags", {"name": "tags/list"})),
    ("/v2/blobs/uploads/blobs/uploads/", Route("blob_upload", {"name": "blobs/uploads"})),
]


@pytest.mark.parametrize("profile", ["ideal", "2.8", "3.1"])
@pytest.mark.parametrize(("path", "route"), _ROUTES)
def test_routes(profile: str, path: str, route: Route) -> None:
    assert Router(profile_named(profile)).find(path) == route


@pytest.mark.parametrize("profile", ["ideal", "2.8"])
@pytest.mark.parametrize("path", ["/", "", "/v1/", "/v2/a", "/v2/a/tags", "/v2/a/unknown/x"])
def test_unknown(profile: str, path: str) -> None:
    assert Router(profile_named(profile)).find(path) is None


@pytest.mark.parametrize(
    ("path", "moved"),
    [
        ("/v2", Moved("/v2/", cleaned=False)),
        ("/v2/_catalog/", Moved("/v2/_catalog", cleaned=False)),
        ("/v2/a/blobs/uploads", Moved("/v2/a/blobs/uploads/", cleaned=False)),
        ("/v2//a/tags/list", Moved("/v2/a/tags/list", cleaned=True)),
        ("//v2/", Moved("/v2/", cleaned=True)),
        ("/v2/../x", Moved("/x", cleaned=True)),
        ("/v2/a/./tags/list", Moved("/v2/a/tags/list", cleaned=True)),
        ("/v2/a/..", Moved("/v2", cleaned=True)),
        ("/../..", Moved("/", cleaned=True)),
        ("/..", Moved("/", cleaned=True)),
    ],
)
@pytest.mark.parametrize("profile", ["ideal", "2.8"])
def test_moved(profile: str, path: str, moved: Moved) -> None:
    outside = not moved.path.startswith("/v2")
    expected = None if outside and profile == "ideal" else moved
    assert Router(profile_named(profile)).find(path) == expected


@pytest.mark.parametrize(
    "path", ["/v2/A/tags/list", "/v2/a/manifests/.x", "/v2/a/blobs/x", "/v2/a/blobs/uploads/a$"]
)
def test_only_ideal_routes_what_is_invalid(path: str) -> None:
    assert isinstance(Router(profile_named("ideal")).find(path), Route)
    assert Router(profile_named("2.8")).find(path) is None


def test_only_ideal_knows_referrers() -> None:
    path = f"/v2/a/referrers/{_DIGEST}"
    expected = Route("referrers", {"name": "a", "digest": _DIGEST})
    assert Router(profile_named("ideal")).find(path) == expected
    assert Router(profile_named("3.1")).find(path) is None


# -- what a request needs permission for ---------------------------------------------------------
@pytest.mark.parametrize(
    ("method", "actions"),
    [
        ("GET", ["pull"]),
        ("HEAD", ["pull"]),
        ("PUT", ["pull", "push"]),
        ("PATCH", ["pull", "push"]),
        ("POST", ["pull", "push"]),
        ("DELETE", ["delete"]),
        ("OPTIONS", []),
    ],
)
def test_access_by_method(method: str, actions: list[str]) -> None:
    route = Route("manifest", {"name": "a", "reference": "v1"})
    expected = [Access("repository", "a", action) for action in actions]
    assert access_needed(a_request(method=method), route, "a") == expected


def test_access_to_all() -> None:
    assert access_needed(a_request(), Route("base"), "") == []
    assert access_needed(a_request(), Route("catalog"), "") == [Access("registry", "catalog", "*")]


def test_access_to_what_a_repository_is_kept_as() -> None:
    """A cache of several upstreams may keep another name than the path has."""
    route = Route("tags", {"name": "a"})
    expected = [Access("repository", "other.example/a", "pull")]
    assert access_needed(a_request(), route, "other.example/a") == expected
    assert access_needed(a_request(), route, "") == []


def test_a_mount_reads_its_source() -> None:
    request = a_request(method="POST", query="mount=x&from=b/c")
    assert access_needed(request, Route("blob_upload", {"name": "a"}), "a") == [
        Access("repository", "a", "pull"),
        Access("repository", "a", "push"),
        Access("repository", "b/c", "pull"),
    ]
