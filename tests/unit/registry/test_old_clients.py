"""Clients that do not accept what is stored: hidden, converted, or served all the same."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from harness.content import an_image, an_index
from reference_registry.api.negotiation import (
    Treatment,
    accepted_types,
    default_platform,
    treatment,
)
from reference_registry.api.schema1 import (
    EMPTY_LAYER_DIGEST,
    ConversionError,
    to_schema1,
)
from reference_registry.api.schema1_signature import SigningKey
from reference_registry.digest import digest_of
from reference_registry.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA1_SIGNED,
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


def test_empty_layers_of_a_converted_image_can_be_pulled(make_registry: MakeRegistry) -> None:
    registry = make_registry("2.8")
    config = _config([{"created_by": "a"}, {"empty_layer": True}], 1)
    registry.push_blob("a", config)
    registry.push_blob("a", b"layer")
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": {"mediaType": "x", "size": len(config), "digest": digest_of(config)},
            "layers": [{"mediaType": "x", "size": 5, "digest": digest_of(b"layer")}],
        }
    ).encode()
    registry.put("/v2/a/manifests/v1", manifest, content_type=DOCKER_MANIFEST)

    answer = registry.get("/v2/a/manifests/v1")

    assert answer.headers["content-type"] == SCHEMA1_SIGNED
    assert [layer["blobSum"] for layer in answer.json()["fsLayers"]] == [
        EMPTY_LAYER_DIGEST,
        digest_of(b"layer"),
    ]
    assert registry.head(f"/v2/a/blobs/{EMPTY_LAYER_DIGEST}").status_code == 200


def _config(history: list[dict[str, object]], layers: int) -> bytes:
    diff_ids = [digest_of(bytes([n])) for n in range(layers)]
    return json.dumps(
        {
            "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": history,
        }
    ).encode()


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (b"{", "image configuration"),
        (b"[]", "image configuration"),
        (b"{}", "empty history"),
        (_config([{}], 2), "must match"),
        (_config([{}, {}], 1), "too many non-empty layers"),
    ],
)
def test_what_cannot_be_converted(config: bytes, reason: str) -> None:
    with pytest.raises(ConversionError, match=reason):
        to_schema1("a", "v1", config, [digest_of(b"layer")], SigningKey(7), _NOW)


def test_the_digest_is_that_of_the_payload() -> None:
    """As docker-registry 2.8.2 answered for the same image under the same name."""
    config = (
        b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:'
        + b"a" * 64
        + b'"]},"history":[{"created_by":"x"}],"config":{}}'
    )
    manifest, _ = to_schema1("m/x", "d2", config, [digest_of(b"layer")], SigningKey(7), _NOW)

    assert manifest.digest == (
        "sha256:4ca9e227bf7b0536ef2e231abfce8f72f68be2fbab40ef6c7cfa2920c2009fcb"
    )
    assert len(manifest.content) == 1067


def test_the_signature_covers_the_payload() -> None:
    config = _config([{"created_by": "<a> & b"}], 1)
    key = SigningKey(12345)
    manifest, _ = to_schema1("a", "v1", config, [digest_of(b"layer")], key, _NOW)

    (signature,) = json.loads(manifest.content)["signatures"]
    protected = json.loads(_unpadded(signature["protected"]))
    payload = manifest.content[: protected["formatLength"]] + _unpadded(protected["formatTail"])

    assert digest_of(payload) == manifest.digest
    assert protected["time"] == "2024-01-02T03:04:05Z"
    signed = f"{signature['protected']}.{_base64(payload)}".encode()
    assert _verifies(signature["header"]["jwk"], signed, _unpadded(signature["signature"]))
    assert not _verifies(
        signature["header"]["jwk"], signed + b"x", _unpadded(signature["signature"])
    )


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _verifies(jwk: dict[str, str], message: bytes, signature: bytes) -> bool:
    """FIPS 186-4, 6.4.2, with the module's arithmetic on points."""
    import hashlib

    from reference_registry.api.schema1_signature import _G, _N, _add, _multiply

    public = tuple(int.from_bytes(_unpadded(jwk[axis]), "big") for axis in "xy")
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    w = pow(s, -1, _N)
    point = _add(_multiply(digest * w % _N, _G), _multiply(r * w % _N, (public[0], public[1])))
    return point is not None and point[0] % _N == r


def test_a_known_point_of_the_curve() -> None:
    """NIST's test vector for 2 times the generator of P-256."""
    key = SigningKey(2)
    assert key.x.hex() == "7cf27b188d034f7e8a52380304b51ac3c08969e277f21b35a60b48fc47669978"
    assert key.y.hex() == "07775510db8ed040293d9ac69f7430dbba7dade63ce982299e04b79d227873d1"
    assert len(key.jwk()["kid"].split(":")) == 12
