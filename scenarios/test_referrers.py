"""Signatures, SBOMs and other referrers through a cache: by the referrers API of OCI 1.1 and by
its fallback tags."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.content import Artifact, Image, Manifest, an_artifact, an_image, an_index
from harness.http.client import Answer
from harness.suite.expectation import Expectations, any_of
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import MUST, Need, theme
from harness.upstream import MockUpstream
from scenarios.paging import pages
from scenarios.pulling import blob_path, manifest_path, pull_blob, pull_image, pull_manifest
from scenarios.steps import MakeUpstream, settle

LISTING = "OCI distribution-spec: Listing Referrers"
TAG_SCHEMA = "OCI distribution-spec: Referrers Tag Schema"
COSIGN = "cosign: SIGNATURE_SPEC.md, Discovery"
MEASURED = "measured on 2.8.2 to 3.1.1"
REPOSITORY = "team/app"
SIGNATURE = "application/vnd.example.signature.v1+json"


def _path(image: Manifest, artifact_type: str = "") -> str:
    query = f"?artifactType={quote(artifact_type)}" if artifact_type else ""
    return f"/v2/{REPOSITORY}/referrers/{image.digest}{query}"


def _digests(answer: Answer) -> list[str] | None:
    """The digests that are listed, sorted; None where *answer* is no list."""
    document: Any = answer.json() if answer.status == 200 else None
    listed = document.get("manifests") if isinstance(document, dict) else None
    return sorted(entry["digest"] for entry in listed) if isinstance(listed, list) else None


def _signed(upstream: MockUpstream) -> tuple[Image, Artifact, Artifact]:
    """An image with an SBOM and a signature."""
    image = upstream.add(REPOSITORY, an_image(), tags=("v1",))
    sbom = upstream.add(REPOSITORY, an_artifact("sbom", subject=image))
    signature = upstream.add(
        REPOSITORY, an_artifact("signature", artifact_type=SIGNATURE, subject=image)
    )
    return image, sbom, signature


def _schema_tag(image: Manifest) -> str:
    return image.digest.replace(":", "-")


def _cosign_tag(image: Manifest) -> str:
    return f"{_schema_tag(image)}.sig"


scenario = theme("referrers", refs=(LISTING, MEASURED), needs={Need.CONFIG, Need.REFERRERS})


@scenario(
    "of-upstream",
    "The cache lists upstream's referrers with their types, and all of them can be pulled",
    refs=(LISTING, "d#3859", "harbor#23024", MEASURED),
)
def test_of_upstream(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """An admission controller that gets 404 for signatures refuses every image, or admits every
    image."""
    image, sbom, signature = _signed(upstream)
    cache = target.proxy(upstream)

    listed = cache.get(_path(image))
    pulled = cache.get(manifest_path(REPOSITORY, signature.digest), headers=ACCEPT)

    expect.client("status", listed.status, 200)
    expect.client("digests", _digests(listed), sorted([sbom.digest, signature.digest]))
    types = [e.get("artifactType") for e in listed.json()["manifests"]] if _digests(listed) else []
    expect.client("types", sorted(types), sorted([sbom.artifact_type, SIGNATURE]))
    expect.client("the signature is right", pulled.body == signature.content, True)


@scenario(
    "of-one-type",
    "A filter by artifactType is applied and reported in OCI-Filters-Applied",
    level=MUST,
)
def test_of_one_type(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """A client that gets no OCI-Filters-Applied has to filter the list."""
    image, _, signature = _signed(upstream)
    cache = target.proxy(upstream)

    some = cache.get(_path(image, SIGNATURE))
    none = cache.get(_path(image, "application/vnd.example.nothing"))

    expect.client("digests", _digests(some), [signature.digest])
    expect.client("filters", some.headers.get("OCI-Filters-Applied"), "artifactType")
    expect.client("digests of a type that nothing has", _digests(none), [])


@scenario(
    "all-pages", "A paged list of referrers from upstream is complete for the client", level=MUST
)
def test_all_pages(
    make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A nightly scanned image has hundreds of reports; the signature may be on the last page."""
    upstream = make_upstream(page_size=2)
    image = upstream.add(REPOSITORY, an_image(), tags=("v1",))
    artifacts = [
        upstream.add(REPOSITORY, an_artifact(f"report {n}", subject=image)) for n in range(5)
    ]
    cache = target.proxy(upstream)

    listed = [_digests(page) for page in pages(cache, _path(image))]

    found = None if None in listed else sorted(digest for page in listed for digest in page or ())
    expect.client("digests", found, sorted(artifact.digest for artifact in artifacts))


@scenario(
    "upstream-without-the-api",
    "For an upstream without the referrers API the cache lists the referrers tag",
    refs=(TAG_SCHEMA, "policy-controller#1830", MEASURED),
)
def test_upstream_without_the_api(
    make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Half of all registries lack the API. A client that gets an empty list from a cache with the
    API does not look for the tag."""
    upstream = make_upstream(referrers=False)
    image = upstream.add(REPOSITORY, an_image(), tags=("v1",))
    signature = an_artifact("signature", artifact_type=SIGNATURE, subject=image)
    upstream.add(REPOSITORY, an_index(signature), tags=(_schema_tag(image),))
    cache = target.proxy(upstream)

    listed = cache.get(_path(image))
    by_tag = cache.get(manifest_path(REPOSITORY, _schema_tag(image)), headers=ACCEPT)

    expect.client("status of the API", listed.status, 200)
    expect.client("digests", _digests(listed), [signature.digest])
    expect.client("status of the tag", by_tag.status, 200)


@scenario(
    "none-is-not-kept",
    "An empty list of referrers is not cached: a later signature is found",
    refs=(LISTING, "policy-controller#1830", MEASURED),
)
@pytest.mark.parametrize("api", [True, False], ids=["api", "no-api"])
def test_none_is_not_kept(
    api: bool, make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Images are signed after they are pushed. A cache that keeps the empty list makes the new
    release fail its check on every node."""
    upstream = make_upstream(referrers=api)
    image = upstream.add(REPOSITORY, an_image(), tags=("v1",))
    signature = an_artifact("signature", artifact_type=SIGNATURE, subject=image)
    cache = target.proxy(upstream)

    before = cache.get(_path(image))
    upstream.add(REPOSITORY, an_index(signature), tags=(_schema_tag(image),))
    after = cache.get(_path(image))

    expect.client("digests before", _digests(before), [])
    expect.client("digests after", _digests(after), [signature.digest])


@scenario(
    "upstream-down",
    "While upstream is down cached referrers are listed as stale; without cached ones the answer "
    "is an error, not an empty list",
    refs=(LISTING, "RFC 9111, 5.5", MEASURED),
)
@pytest.mark.parametrize("api", [True, False], ids=["api", "no-api"])
def test_upstream_down(
    api: bool, make_upstream: MakeUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """ "No signature" is a finding that policies act on; an outage must not look like one."""
    upstream = make_upstream(referrers=api)
    image, _, signature = _signed(upstream)
    other = upstream.add(REPOSITORY, an_image("unsigned"), tags=("v2",))
    if not api:
        upstream.add(REPOSITORY, an_index(signature), tags=(_schema_tag(image),))
    cache = target.proxy(upstream)
    cache.get(_path(image))
    for manifest in (image, signature, other):
        pull_manifest(cache, REPOSITORY, manifest)
    settle(cache, upstream)
    upstream.down()

    listed = cache.get(_path(image))
    unknown = cache.get(_path(other))

    expect.client("digests", _digests(listed), [signature.digest])
    expect.client("marked", "110" in (listed.headers.get("Warning") or ""), True)
    expect.client("status where none is cached", unknown.status, any_of(502, 503, 504))


@scenario(
    "cosign-offline",
    "A cosign signature tag is cached with its layer and served while upstream is down",
    refs=(COSIGN, "d#3705", "policy-controller#1830"),
    needs={Need.CONFIG},
)
def test_cosign_offline(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Signed images have to start during an outage too."""
    signature = upstream.add(REPOSITORY, an_artifact("signature"), tags=(_cosign_tag(image),))
    cache = target.proxy(upstream)
    pull_manifest(cache, REPOSITORY, signature, _cosign_tag(image))
    for blob in signature.blobs:
        pull_blob(cache, REPOSITORY, blob)
    settle(cache, upstream)
    upstream.down()

    manifest = cache.get(manifest_path(REPOSITORY, _cosign_tag(image)), headers=ACCEPT)
    layer = cache.get(blob_path(REPOSITORY, signature.layers[0]))

    expect.client("the manifest is right", manifest.body == signature.content, True)
    expect.client("the layer is right", layer.body == signature.layers[0].content, True)


@scenario(
    "cosign-tag-comes-later",
    "A missing cosign signature is 404, and found once it is pushed",
    refs=(COSIGN, "promo-tools#1945", "d#3842"),
    needs={Need.CONFIG},
)
def test_cosign_tag_comes_later(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Signing is the last step of a release; admission controllers are often faster."""
    cache = target.proxy(upstream)
    path = manifest_path(REPOSITORY, _cosign_tag(image))

    before = cache.get(path, headers=ACCEPT)
    signature = upstream.add(REPOSITORY, an_artifact("signature"), tags=(_cosign_tag(image),))
    after = cache.get(path, headers=ACCEPT)

    expect.client("status before", before.status, 404)
    expect.client("error before", before.error_code, "MANIFEST_UNKNOWN")
    expect.client("status after", after.status, 200)
    expect.client("the bytes are right", after.body == signature.content, True)


@scenario(
    "artifact-is-whole",
    "An artifact with the empty configuration is cached byte for byte",
    level=MUST,
    refs=("OCI image-spec: Guidelines for Artifact Usage", "d#3530"),
    needs={Need.CONFIG},
)
def test_artifact_is_whole(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Half of all artifacts share a two-byte configuration, and their layers have types that no
    registry knows: Helm charts, models, WebAssembly."""
    artifact = upstream.add(REPOSITORY, an_artifact(subject=image), tags=("sbom",))
    cache = target.proxy(upstream)

    by_tag = pull_manifest(cache, REPOSITORY, artifact, "sbom")
    blobs = [pull_blob(cache, REPOSITORY, blob) for blob in artifact.blobs]
    settle(cache, upstream)
    upstream.down()
    again = cache.get(manifest_path(REPOSITORY, artifact.digest), headers=ACCEPT)
    kept = [cache.get(blob_path(REPOSITORY, blob)).body for blob in artifact.blobs]

    contents = [blob.content for blob in artifact.blobs]
    expect.client("the manifest is right", by_tag.body == artifact.content, True)
    expect.client("the blobs are right", [blob.body for blob in blobs] == contents, True)
    expect.client("the manifest is right offline", again.body == artifact.content, True)
    expect.client("the blobs are right offline", kept == contents, True)


@scenario(
    "index-offline",
    "While upstream is down an index and its pulled platform are served; another platform is "
    "5xx, not 404",
    refs=("OCI image-spec: Image Index", "harbor#20920", "harbor#21293", MEASURED),
    needs={Need.CONFIG},
)
def test_index_offline(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """404 for the other platform reads as "the image is broken", 502 as "upstream is down", which
    is true and passes."""
    index = upstream.add(REPOSITORY, an_index(), tags=("v1",))
    wanted, other = (child for child in index.children if isinstance(child, Image))
    cache = target.proxy(upstream)
    pull_manifest(cache, REPOSITORY, index, "v1")
    pull_image(cache, REPOSITORY, wanted, wanted.digest)
    settle(cache, upstream)
    upstream.down()

    by_digest = cache.get(manifest_path(REPOSITORY, index.digest), headers=ACCEPT)
    child = cache.get(manifest_path(REPOSITORY, wanted.digest), headers=ACCEPT)
    sibling = cache.get(manifest_path(REPOSITORY, other.digest), headers=ACCEPT)

    expect.client("the index is right", by_digest.body == index.content, True)
    expect.client("the image that was pulled is right", child.body == wanted.content, True)
    expect.client("status of the other image", sibling.status, any_of(502, 503, 504))
    expect.client("it is a JSON error", sibling.error_code is not None, True)
