"""Clients that do not accept the stored manifest: it is hidden, converted or served anyway."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from harness.content import an_image, an_index
from reference_registry.api.manifests import (
    Treatment,
    accepted_types,
    default_platform,
    treatment,
)
from reference_registry.api.schema1 import to_schema1
from reference_registry.digest import digest_of
from reference_registry.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    parse_manifest,
)
from reference_registry.profiles import profile_named
from tests.unit.registry.conftest import MakeRegistry

_NOW = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
_SERVE, _SCHEMA1, _PICK = Treatment.SERVE, Treatment.CONVERT_TO_SCHEMA1, Treatment.PICK_PLATFORM
_NO_MANIFEST, _NO_INDEX = Treatment.HIDE_OCI_MANIFEST, Treatment.HIDE_OCI_INDEX


def test_accept_lines() -> None:
    lines = ["text/html;q=0.9, Application/JSON ; charset=x", "a/b"]
    assert accepted_types(lines) == {"text/html", "application/json", "a/b"}


@pytest.mark.parametrize(
    ("profile", "media_type", "by_tag", "by_digest"),
    [
        ("ideal", OCI_MANIFEST, _SERVE, _SERVE),
        ("ideal", OCI_INDEX, _SERVE, _SERVE),
        ("ideal", DOCKER_MANIFEST, _SERVE, _SERVE),
        ("ideal", DOCKER_LIST, _SERVE, _SERVE),
        ("2.8", OCI_MANIFEST, _NO_MANIFEST, _NO_MANIFEST),
        ("2.8", OCI_INDEX, _NO_INDEX, _NO_INDEX),
        ("2.8", DOCKER_MANIFEST, _SCHEMA1, _SERVE),
        ("2.8", DOCKER_LIST, _PICK, _SERVE),
        ("3.0.0-alpha.1", OCI_MANIFEST, _NO_MANIFEST, _NO_MANIFEST),
        ("3.0.0-alpha.1", OCI_INDEX, _SERVE, _SERVE),
        ("3.1", DOCKER_MANIFEST, _SERVE, _SERVE),
        ("3.1", DOCKER_LIST, _PICK, _SERVE),
    ],
)
def test_a_client_that_accepts_anything_else(
    profile: str, media_type: str, by_tag: Treatment, by_digest: Treatment
) -> None:
    rules, other = profile_named(profile), frozenset({"*/*", "application/json"})

    assert treatment(media_type, other, by_tag=True, profile=rules) is by_tag
    assert treatment(media_type, other, by_tag=False, profile=rules) is by_digest
    assert treatment(media_type, frozenset({media_type}), by_tag=True, profile=rules) is _SERVE


def test_default_platform() -> None:
    index = parse_manifest(an_index(platforms=("linux/arm64", "linux/amd64")).content)
    chosen = default_platform(index.children)

    assert chosen == index.children[1]
    assert default_platform(index.children[:1]) is None


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
