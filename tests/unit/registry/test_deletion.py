"""Deleting: OCI distribution-spec, "Content Management"."""

from __future__ import annotations

import pytest

from harness.content import an_image
from reference_registry.digest import Digest, digest_of
from tests.unit.registry.conftest import MakeRegistry
from tests.unit.registry.in_process import InProcess

_IMAGE = an_image()
_LAYER = Digest(_IMAGE.layers[0].digest)


def test_manifest(registry: InProcess) -> None:
    registry.push("a", _IMAGE, "v1", "v2")
    registry.push("a", an_image("other"), "v3")

    answer = registry.delete(f"/v2/a/manifests/{_IMAGE.digest}")

    assert (answer.status_code, answer.content) == (202, b"")
    assert registry.get(f"/v2/a/manifests/{_IMAGE.digest}").status_code == 404
    assert registry.get("/v2/a/tags/list").json()["tags"] == ["v3"]
    # The bytes are garbage collection's.
    assert registry.local("a").has_blob(_LAYER)
    again = registry.delete(f"/v2/a/manifests/{_IMAGE.digest}")
    assert (again.status_code, again.json()["errors"][0]["code"]) == (404, "MANIFEST_UNKNOWN")


def test_tag(registry: InProcess) -> None:
    registry.push("a", _IMAGE, "v1", "v2")

    assert registry.delete("/v2/a/manifests/v1").status_code == 202
    assert registry.get("/v2/a/tags/list").json()["tags"] == ["v2"]
    assert registry.get(f"/v2/a/manifests/{_IMAGE.digest}").status_code == 200
    assert registry.delete("/v2/a/manifests/v1").status_code == 404


def test_blob(registry: InProcess) -> None:
    registry.push_blob("a", b"hello")
    registry.push_blob("b", b"hello")
    path = f"/v2/a/blobs/{digest_of(b'hello')}"

    assert registry.delete(path).status_code == 202
    assert registry.head(path).status_code == 404
    assert registry.head(path.replace("/a/", "/b/")).status_code == 200
    assert registry.delete(path).status_code == 404


@pytest.mark.parametrize("profile", ["ideal", "2.8", "3.1"])
def test_disabled(profile: str, make_registry: MakeRegistry) -> None:
    registry = make_registry(profile)
    registry.push("a", _IMAGE, "v1")
    before = registry.files()
    absent = digest_of(b"absent")

    for path in (
        f"/v2/a/manifests/{_IMAGE.digest}",
        f"/v2/a/manifests/{absent}",
        "/v2/a/manifests/v1",
        f"/v2/a/blobs/{_LAYER}",
        f"/v2/a/blobs/{absent}",
    ):
        answer = registry.delete(path)
        assert answer.status_code == 405
        assert answer.json() == {
            "errors": [{"code": "UNSUPPORTED", "message": "The operation is unsupported."}]
        }
    assert registry.files() == before


@pytest.mark.parametrize("profile", ["3.0.0-alpha.1", "3.0"])
def test_tags_of_3_0_go_even_where_disabled(profile: str, make_registry: MakeRegistry) -> None:
    registry = make_registry(profile)
    registry.push("a", _IMAGE, "v1")

    assert registry.delete("/v2/a/manifests/v1").status_code == 202
    assert registry.delete("/v2/a/manifests/v1").status_code == 404
    assert registry.get("/v2/a/tags/list").json()["tags"] == []


@pytest.mark.parametrize(("profile", "tags"), [("2.8", None), ("3.0", []), ("3.1", None)])
def test_list_when_all_tags_are_gone(
    profile: str, tags: list[str] | None, make_registry: MakeRegistry
) -> None:
    registry = make_registry(profile, delete_enabled=True)
    registry.push("a", _IMAGE, "v1")
    registry.delete(f"/v2/a/manifests/{_IMAGE.digest}")

    assert registry.get("/v2/a/tags/list").json()["tags"] == tags
