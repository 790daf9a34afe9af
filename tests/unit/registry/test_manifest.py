"""Reading manifests: kinds, references, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.content import Manifest, an_artifact, an_image, an_index
from reference_registry.digest import digest_of
from reference_registry.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_ARTIFACT,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA1,
    SCHEMA1_SIGNED,
    ManifestInvalid,
    media_type_of,
    parse_manifest,
    referrer_descriptor,
)

_DIGEST = digest_of(b"x")
_DESCRIPTOR = {"mediaType": "text/plain", "digest": _DIGEST, "size": 1}


def _json(**document: Any) -> bytes:
    return json.dumps({k: v for k, v in document.items() if v is not ...}).encode()


def _image(**changes: Any) -> bytes:
    return _json(**{"schemaVersion": 2, "config": _DESCRIPTOR, "layers": [], **changes})


@pytest.mark.parametrize(
    ("manifest", "media_type"),
    [
        (an_image(), OCI_MANIFEST),
        (an_image(oci=False), DOCKER_MANIFEST),
        (an_index(an_image()), OCI_INDEX),
        (an_index(an_image(oci=False), oci=False), DOCKER_LIST),
        (an_artifact(), OCI_MANIFEST),
    ],
)
def test_references_are_found(manifest: Manifest, media_type: str) -> None:
    parsed = parse_manifest(manifest.content, media_type)

    assert parsed.media_type == media_type == media_type_of(manifest.content)
    assert [blob.digest for blob in parsed.blobs] == [blob.digest for blob in manifest.blobs]
    assert [blob.size for blob in parsed.blobs] == [blob.size for blob in manifest.blobs]
    assert [child.digest for child in parsed.children] == [c.digest for c in manifest.children]


def test_platforms_of_children() -> None:
    parsed = parse_manifest(an_index(an_image(platform="linux/arm64")).content)

    assert parsed.children[0].platform == {"os": "linux", "architecture": "arm64"}


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (_image(), OCI_MANIFEST),
        (_json(schemaVersion=2, manifests=[]), OCI_INDEX),
        (_json(schemaVersion=1, fsLayers=[]), SCHEMA1),
        (_json(schemaVersion=1, fsLayers=[], signatures=[{}]), SCHEMA1_SIGNED),
        (_image(mediaType="application/vnd.unheard.of"), "application/vnd.unheard.of"),
        (b"{}", OCI_MANIFEST),
        (b"[]", "application/octet-stream"),
        (b"\xff\x00", "application/octet-stream"),
        (b"", "application/octet-stream"),
        (b"[" * 100_000, "application/octet-stream"),
    ],
)
def test_type_by_content(content: bytes, media_type: str) -> None:
    assert media_type_of(content) == media_type


@pytest.mark.parametrize(
    ("content", "media_type", "reason"),
    [
        (b"{", None, "not JSON"),
        (b"[" * 100_000, None, "not JSON"),
        (b"[]", None, "not a JSON object"),
        (_image(), "application/json", "unknown manifest media type"),
        (_image(mediaType="x/y"), None, "unknown manifest media type"),
        (_image(mediaType=5), None, "mediaType is not a string"),
        (_image(mediaType=OCI_INDEX), OCI_MANIFEST, "mediaType should be"),
        (_image(), OCI_INDEX, "mediaType should be"),
        (_image(), DOCKER_MANIFEST, "mediaType should be"),
        (_image(schemaVersion=3), OCI_MANIFEST, "schemaVersion is 3"),
        (_image(manifests=[]), None, "both an index"),
        (_image(manifests=[], mediaType=OCI_MANIFEST), None, "found an index"),
        (_image(config=...), OCI_MANIFEST, "config is missing"),
        (_image(config="x"), OCI_MANIFEST, "config is not a descriptor"),
        (_image(config={"size": 1}), OCI_MANIFEST, "config has no digest"),
        (_image(config={**_DESCRIPTOR, "digest": "md5:00"}), OCI_MANIFEST, "config has no digest"),
        (_image(config={**_DESCRIPTOR, "size": -1}), OCI_MANIFEST, "config has the size -1"),
        (_image(config={**_DESCRIPTOR, "size": True}), OCI_MANIFEST, "config has the size True"),
        (_image(config={**_DESCRIPTOR, "size": "1"}), OCI_MANIFEST, "config has the size '1'"),
        (_image(layers={}), OCI_MANIFEST, "layers is not a list"),
        (_image(layers=[_DESCRIPTOR, 5]), OCI_MANIFEST, r"layers\[1\] is not a descriptor"),
        (_image(layers=[{**_DESCRIPTOR, "urls": [1]}]), OCI_MANIFEST, r"urls of layers\[0\]"),
        (_image(subject=[]), OCI_MANIFEST, "subject is not a descriptor"),
        (_image(artifactType=1), OCI_MANIFEST, "artifactType is not a string"),
        (_image(annotations=[]), OCI_MANIFEST, "annotations is not a map"),
        (_image(annotations={"a": 1}), OCI_MANIFEST, "annotations is not a map"),
        (_image(annotations={"a": "\ud800"}), OCI_MANIFEST, "surrogate"),
        (_image(artifactType="\udc00\ud800"), OCI_MANIFEST, "surrogate"),
        (b'{"a":"\xed\xa0\x80"}', None, "not UTF-8"),
        (_image().decode().encode("utf-16"), OCI_MANIFEST, "not UTF-8"),
        (
            _image(config={**_DESCRIPTOR, "size": 1 << 63}),
            OCI_MANIFEST,
            "the size 9223372036854775",
        ),
        (_image(config={**_DESCRIPTOR, "size": [[]]}), OCI_MANIFEST, "the size a list"),
        (_image(schemaVersion={"a": []}), OCI_MANIFEST, "schemaVersion is a dict and not 2"),
        (b'{"schemaVersion":' + b"9" * 5000 + b"}", None, "not JSON"),
        (_json(schemaVersion=2, manifests=5), None, "manifests is not a list"),
        (_json(schemaVersion=1, fsLayers={}), None, "fsLayers is not a list"),
        (_json(schemaVersion=1, fsLayers=[{}]), None, "without a digest"),
        (_json(schemaVersion=1, fsLayers=[5]), None, "without a digest"),
    ],
)
def test_refused(content: bytes, media_type: str | None, reason: str) -> None:
    with pytest.raises(ManifestInvalid, match=reason):
        parse_manifest(content, media_type)


def test_characters_beyond_the_basic_plane_are_pairs() -> None:
    parsed = parse_manifest(_image(annotations={"a": "\U0001f600"}))
    assert parsed.annotations == {"a": "\U0001f600"}


def test_schema_1_names_each_layer_once() -> None:
    other = digest_of(b"y")
    layers = [{"blobSum": digest} for digest in (_DIGEST, other, _DIGEST)]

    parsed = parse_manifest(_json(schemaVersion=1, fsLayers=layers))

    assert [layer.digest for layer in parsed.layers] == [_DIGEST, other]


def test_old_artifact_manifests() -> None:
    content = _json(mediaType=OCI_ARTIFACT, artifactType="a/b", blobs=[_DESCRIPTOR])

    parsed = parse_manifest(content)

    assert [blob.digest for blob in parsed.blobs] == [_DIGEST]
    assert parsed.config is None


def test_layers_may_be_null() -> None:
    assert parse_manifest(_image(layers=None)).layers == ()


# -- referrers: OCI distribution-spec, "Listing Referrers" ---------------------------------------
def test_artifact_type_falls_back_to_the_config() -> None:
    subject = an_image()
    artifact = an_artifact(artifact_type="x/sbom", subject=subject, annotations={"k": "v"})
    signature = an_image("signature", subject=subject)
    index = an_index(an_image(), subject=subject)

    entries = [
        referrer_descriptor(parse_manifest(m.content), digest_of(m.content), m.size)
        for m in (artifact, signature, index)
    ]

    assert entries[0] == {
        "mediaType": OCI_MANIFEST,
        "digest": artifact.digest,
        "size": artifact.size,
        "artifactType": "x/sbom",
        "annotations": {"k": "v"},
    }
    assert entries[1]["artifactType"] == "application/vnd.oci.image.config.v1+json"
    assert "annotations" not in entries[1]
    assert "artifactType" not in entries[2]
    assert parse_manifest(index.content).subject == subject.digest


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["schemaVersion", "mediaType", "config", "layers", "manifests", "subject", "digest"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(_JSON)
def test_any_document_is_read_or_refused(document: Any) -> None:
    content = json.dumps(document).encode()
    try:
        parsed = parse_manifest(content)
    except ManifestInvalid:
        return
    assert parsed.media_type == media_type_of(content)
