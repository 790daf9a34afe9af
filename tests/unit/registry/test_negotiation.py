"""Clients that do not accept the stored manifest: it is hidden, converted or served anyway."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from harness.content import an_image, an_index
from reference_registry.api.schema1 import to_schema1
from reference_registry.digest import digest_of
from reference_registry.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA1_SIGNED,
)
from tests.unit.registry.conftest import MakeRegistry

_NOW = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("profile", "oci", "index", "by_tag", "by_digest"),
    [
        ("ideal", True, False, OCI_MANIFEST, OCI_MANIFEST),
        ("ideal", False, True, DOCKER_LIST, DOCKER_LIST),
        ("2.8", True, False, 404, 404),
        ("2.8", True, True, 404, 404),
        ("2.8", False, False, SCHEMA1_SIGNED, DOCKER_MANIFEST),
        ("2.8", False, True, SCHEMA1_SIGNED, DOCKER_LIST),
        ("3.0.0-alpha.1", True, False, 404, 404),
        ("3.0.0-alpha.1", True, True, OCI_INDEX, OCI_INDEX),
        ("3.1", False, False, DOCKER_MANIFEST, DOCKER_MANIFEST),
        ("3.1", False, True, 400, DOCKER_LIST),
    ],
)
def test_a_client_that_accepts_anything_else(
    make_registry: MakeRegistry,
    profile: str,
    oci: bool,
    index: bool,
    by_tag: int | str,
    by_digest: int | str,
) -> None:
    registry = make_registry(profile)
    image = an_image("image", oci=oci)
    stored = an_index(image, oci=oci) if index else image
    registry.push("a", stored, "v1")
    own = registry.get("/v2/a/manifests/v1", accept=f"a/b;q=0.9, {stored.media_type.upper()} ; x=y")

    def got(reference: str) -> int | str:
        response = registry.get(f"/v2/a/manifests/{reference}", accept="*/*, application/json")
        return response.headers["content-type"] if response.is_success else response.status_code

    assert (got("v1"), got(stored.digest)) == (by_tag, by_digest)
    assert own.content == stored.content


def test_no_child_for_the_default_platform(make_registry: MakeRegistry) -> None:
    registry = make_registry("3.1")
    registry.push("a", an_index(platforms=("linux/arm64",), oci=False), "v1")

    assert registry.get("/v2/a/manifests/v1", accept="*/*").status_code == 404


def test_3_x_gives_no_schema_1(make_registry: MakeRegistry) -> None:
    registry = make_registry("3.0")
    child = an_image("child", oci=False)
    index = an_index(child, oci=False)
    registry.push("a", index, "v1")

    refused = registry.get("/v2/a/manifests/v1")
    picked = registry.get("/v2/a/manifests/v1", accept=DOCKER_MANIFEST)

    assert refused.status_code == 400
    assert refused.json()["errors"][0]["message"] == "Schema 2 manifest not supported by client"
    assert picked.headers["docker-content-digest"] == child.digest
    assert registry.get(f"/v2/a/manifests/{index.digest}").content == index.content


def test_2_8_converts_to_schema_1() -> None:
    """The digest is what docker-registry 2.8.2 answered for the same image and name."""
    diff_id = "sha256:" + "a" * 64
    config = (
        f'{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}'
        ',"history":[{"created_by":"x"}],"config":{}}'
    ).encode()
    manifest = to_schema1("m/x", "d2", config, [digest_of(b"layer")], _NOW)

    assert manifest.digest == (
        "sha256:4ca9e227bf7b0536ef2e231abfce8f72f68be2fbab40ef6c7cfa2920c2009fcb"
    )
    assert len(manifest.content) == 1067
