"""OCI distribution-spec, category Pull: requirements for every registry and every cache."""

from __future__ import annotations

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.content import Manifest, an_artifact, an_image, an_index
from harness.suite.expectation import Expectations, any_of
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import MUST, SHOULD, theme
from harness.upstream import MockUpstream
from scenarios.conformance import OVER_HTTP, ROLES, SPEC, in_role
from scenarios.pulling import blob_path, manifest_path
from scenarios.steps import settle

PULLING = f"{SPEC}: Pulling manifests"
BLOBS = f"{SPEC}: Pulling blobs"
EXISTS = f"{SPEC}: Checking if content exists in the registry"

KINDS: dict[str, Manifest] = {
    "oci-image": an_image(),
    "docker-image": an_image(oci=False),
    "oci-index": an_index(),
    "docker-list": an_index(oci=False),
    "artifact": an_artifact(),
}
scenario = theme("conformance", level=MUST, refs=(PULLING,), needs=OVER_HTTP)


@scenario("base", "GET /v2/ is 200", refs=(f"{SPEC}: Determining Support",))
@ROLES
def test_base(
    role: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Clients use it to detect a registry."""
    registry, _ = in_role(role, target, upstream)

    expect.client("status", registry.get("/v2/").status, 200)


@scenario(
    "pull-manifest",
    "GET of a manifest by tag or digest is 200 with the exact bytes",
    refs=(PULLING, f"{SPEC}: Pushing Manifests"),
)
@pytest.mark.parametrize("kind", KINDS)
@ROLES
def test_pull_manifest(
    role: str, kind: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """With one byte more or less the digest differs and clients refuse the manifest."""
    repository = f"conformance/manifest-{kind}"
    manifest = KINDS[kind]
    registry, publish = in_role(role, target, upstream)
    publish(repository, manifest, "v1")

    for by, reference in (("tag", "v1"), ("digest", manifest.digest)):
        answer = registry.get(manifest_path(repository, reference), headers=ACCEPT)
        expect.client(f"status by {by}", answer.status, 200)
        expect.client(f"the bytes are right by {by}", answer.body == manifest.content, True)


@scenario(
    "pull-manifest-type",
    "A manifest has the media type it was pushed with, without parameters",
    level=SHOULD,
)
@pytest.mark.parametrize("kind", KINDS)
@ROLES
def test_pull_manifest_type(
    role: str, kind: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Clients choose their parser by it, and refuse a document that states another type."""
    repository = f"conformance/type-{kind}"
    manifest = KINDS[kind]
    registry, publish = in_role(role, target, upstream)
    publish(repository, manifest, "v1")

    for method in ("GET", "HEAD"):
        answer = registry.request(method, manifest_path(repository, "v1"), headers=ACCEPT)
        found = answer.headers.get("Content-Type")
        expect.client(f"Content-Type of {method}", found, manifest.media_type)


@scenario(
    "pull-blob", "GET of a blob is 200 with the exact bytes and the right digest", refs=(BLOBS,)
)
@ROLES
def test_pull_blob(
    role: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The configuration, the layers, and the two-byte empty configuration of artifacts."""
    repository = "conformance/blob"
    image, artifact = an_image(layer_size=100_000), an_artifact()
    registry, publish = in_role(role, target, upstream)
    publish(repository, image, "v1")
    publish(repository, artifact, "sbom")

    for name, blob in (
        ("configuration", image.config),
        ("layer", image.layers[0]),
        ("empty configuration", artifact.config),
    ):
        answer = registry.get(blob_path(repository, blob))
        expect.client(f"status of the {name}", answer.status, 200)
        expect.client(f"the bytes of the {name} are right", answer.body == blob.content, True)
        expect.client(f"digest of the {name}", answer.digest, any_of(None, blob.digest))


@scenario(
    "pull-head",
    "HEAD of existing content is 200 without a body",
    refs=(EXISTS, "RFC 9110, 9.3.2 HEAD"),
)
@ROLES
def test_pull_head(
    role: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """It saves clients a download, and pushes a layer."""
    repository = "conformance/head"
    image = an_image()
    registry, publish = in_role(role, target, upstream)
    publish(repository, image, "v1")

    for name, path in _places(repository, image).items():
        answer = registry.head(path, headers=ACCEPT)
        expect.client(f"status for a {name}", answer.status, 200)
        expect.client(f"body for a {name}", answer.body, b"")


@scenario(
    "pull-headers",
    "GET and HEAD have the content's digest and length",
    level=SHOULD,
    refs=(PULLING, BLOBS, EXISTS),
)
@ROLES
def test_pull_headers(
    role: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Without the digest a client that pulls by tag has to download the manifest to learn it."""
    repository = "conformance/headers"
    image = an_image()
    registry, publish = in_role(role, target, upstream)
    publish(repository, image, "v1")

    for name, path in _places(repository, image).items():
        content = image.blobs[-1] if name == "blob" else image
        for method in ("HEAD", "GET"):
            answer = registry.request(method, path, headers=ACCEPT)
            settle(registry, upstream)
            expect.client(f"digest in {method} of a {name}", answer.digest, content.digest)
            length = answer.headers.get("Content-Length")
            expect.client(f"length in {method} of a {name}", length, str(content.size))


@scenario(
    "pull-unknown",
    "GET and HEAD of unknown content are 404, in known and unknown repositories",
    refs=(PULLING, BLOBS, EXISTS, f"{SPEC}: Pushing Manifests"),
)
@ROLES
def test_pull_unknown(
    role: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Any other status looks like a failure and is retried."""
    registry, publish = in_role(role, target, upstream)
    publish("conformance/unknown", an_image(), "v1")
    absent = an_image("absent")

    for where, repository in (("", "conformance/unknown"), (" elsewhere", "conformance/nowhere")):
        for name, path in _places(repository, absent, "v9").items():
            for method in ("GET", "HEAD"):
                answer = registry.request(method, path, headers=ACCEPT)
                expect.client(f"status of {method} of a {name}{where}", answer.status, 404)


@scenario("pull-names", "Every valid repository name and tag can be pulled")
@ROLES
def test_pull_names(
    role: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Names become paths, keys and regular expressions on the way; rare ones break there."""
    image = an_image()
    registry, publish = in_role(role, target, upstream)

    for name in (
        "conformance-name",
        "conformance/0/1/2/3/4/5/6/7/8/9",
        "conformance/dotted.name/one_two/one__two/one-two/one---two",
        "conformance/tags/list",
    ):
        publish(name, image, "v1")
        answer = registry.get(manifest_path(name, "v1"), headers=ACCEPT)
        expect.client(f"status for {name}", answer.status, 200)
    for tag in ("_", "0", "V1.2-rc_3", "latest." + "x" * 121):
        publish("conformance/name-of-tag", image, tag)
        answer = registry.get(manifest_path("conformance/name-of-tag", tag), headers=ACCEPT)
        expect.client(f"status for {tag}", answer.status, 200)


@scenario("pull-malformed", "An invalid reference or repository name is a client error")
@ROLES
def test_pull_malformed(
    role: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """It is the client's mistake: 4xx, without an alarm for the operator."""
    registry, publish = in_role(role, target, upstream)
    repository = "conformance/malformed"
    publish(repository, an_image(), "v1")

    for name, path in (
        ("a tag of 129 characters", manifest_path(repository, "x" * 129)),
        ("a tag that begins with a dot", manifest_path(repository, ".v1")),
        ("a tag that begins with a dash", manifest_path(repository, "-v1")),
        ("a tag with a plus", manifest_path(repository, "v1+build")),
        ("a digest without its end", manifest_path(repository, "sha256:abc")),
        ("a digest of another alphabet", manifest_path(repository, "sha256:" + "z" * 64)),
        ("a name in upper case", manifest_path("Conformance/malformed", "v1")),
        ("a name that ends with a dash", manifest_path("conformance/malformed-", "v1")),
    ):
        answer = registry.get(path, headers=ACCEPT)
        expect.client(f"status for {name}", answer.status, any_of(400, 404))


@scenario(
    "pull-range",
    "A blob can be pulled in ranges",
    level=SHOULD,
    refs=(BLOBS, "RFC 9110, 14 Range Requests"),
)
@ROLES
def test_pull_range(
    role: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Clients resume broken downloads with ranges, and lazy pullers depend on them."""
    repository = "conformance/range"
    image = an_image(layers=1, layer_size=10_000)
    layer = image.layers[0]
    registry, publish = in_role(role, target, upstream)
    publish(repository, image, "v1")
    registry.get(blob_path(repository, layer))
    settle(registry, upstream)

    for asked, part in (
        ("bytes=0-99", layer.content[:100]),
        ("bytes=5000-", layer.content[5000:]),
        ("bytes=-100", layer.content[-100:]),
    ):
        answer = registry.get(blob_path(repository, layer), headers={"Range": asked})
        expect.client(f"status for {asked}", answer.status, 206)
        expect.client(f"the bytes are right for {asked}", answer.body == part, True)
    beyond = registry.get(
        blob_path(repository, layer), headers={"Range": f"bytes={layer.size + 1}-"}
    )
    expect.client("status beyond the end", beyond.status, 416)


def _places(repository: str, image: Manifest, tag: str = "v1") -> dict[str, str]:
    """Where each kind of thing of *image* is, by what it is called."""
    return {
        "tag": manifest_path(repository, tag),
        "manifest": manifest_path(repository, image.digest),
        "blob": blob_path(repository, image.blobs[-1]),
    }
