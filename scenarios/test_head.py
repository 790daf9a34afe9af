"""Pulling manifests through a cache: HEAD and GET, indexes, conditional requests, and what each
costs."""

from __future__ import annotations

import json

import pytest

from harness.clients.containerd_pull import ACCEPT, containerd_pull
from harness.content import OCI_MANIFEST, Blob, Image, Manifest, an_artifact, an_image, an_index
from harness.http.client import Answer, Call
from harness.suite.expectation import Expectations, any_of, at_least, at_most
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import INFO, MUST, theme
from harness.upstream import MockUpstream
from scenarios.pulling import pull_manifest
from scenarios.steps import OBSERVED, asked, settle

PULLING = "OCI distribution-spec: Pulling manifests"
CHECKING = "OCI distribution-spec: Checking if content exists in the registry"
MIRROR = "distribution docs: Registry as a pull through cache"
CONDITIONAL = "RFC 9110, 13.1.2 If-None-Match"

REPOSITORY = "team/app"
MANIFESTS = f"/v2/{REPOSITORY}/manifests/"
V1 = MANIFESTS + "v1"
HEADERS = ("Content-Type", "Content-Length", "Docker-Content-Digest", "Etag")
scenario = theme("head", refs=(MIRROR, CHECKING, "measured on 2.8.2 to 3.1.1"))


# -- what HEAD and GET do ----------------------------------------------------------------------
@scenario(
    "tag-caches-manifest", "HEAD of a tag caches the manifest and nothing else", needs=OBSERVED
)
def test_tag_caches_manifest(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Clients resolve a tag with HEAD, and the GET by digest that follows is then a hit."""
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    answer = cache.head(V1, headers=ACCEPT)

    settle(cache, upstream)
    expect.client("status", answer.status, 200)
    expect.client("digest", answer.digest, image.digest)
    expect.client("Content-Length", answer.headers.get("Content-Length"), str(image.size))
    expect.client("body", answer.body, b"")
    expect.upstream("manifest bodies", upstream.ledger.count("GET", kind="manifest"), 1)
    expect.upstream("blob requests", asked(upstream, "blob"), [])
    expect.disk("blobs", cache.disk.blobs(), {image.digest})
    expect.disk("revisions", cache.disk.revisions(REPOSITORY), {image.digest})
    expect.disk("tags", cache.disk.tags(REPOSITORY), {"v1": image.digest})


@scenario(
    "digest-caches-manifest", "HEAD of a digest caches the manifest without a tag", needs=OBSERVED
)
def test_digest_caches_manifest(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Pods pinned to digests keep starting while upstream is down, if the digest was requested once
    through this cache."""
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    answer = cache.head(MANIFESTS + image.digest, headers=ACCEPT)

    settle(cache, upstream)
    expect.client("status", answer.status, 200)
    expect.client("digest", answer.digest, image.digest)
    expect.upstream("manifest bodies", upstream.ledger.count("GET", kind="manifest"), 1)
    expect.upstream("blob requests", asked(upstream, "blob"), [])
    expect.disk("revisions", cache.disk.revisions(REPOSITORY), {image.digest})
    expect.disk("tags", cache.disk.tags(REPOSITORY), {})


@scenario(
    "same-headers-as-get",
    "HEAD and GET of a manifest have the same headers, on a miss and on a hit",
    refs=(PULLING, CHECKING, "RFC 9110, 9.3.2 HEAD"),
)
@pytest.mark.parametrize("by", ["tag", "digest"])
def test_same_headers_as_get(
    by: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Clients decide by the HEAD what they fetch: a different length or digest ends the pull."""
    asked_first = upstream.add(REPOSITORY, an_image("one"), tags=("one",))
    fetched_first = upstream.add(REPOSITORY, an_image("two"), tags=("two",))
    cache = target.proxy(upstream)

    def path(image: Manifest, tag: str) -> str:
        return MANIFESTS + (tag if by == "tag" else image.digest)

    def headers(method: str, image: Manifest, tag: str) -> dict[str, str | None]:
        answer = cache.request(method, path(image, tag), headers=ACCEPT)
        return {name: answer.headers.get(name) for name in HEADERS}

    def right(image: Manifest) -> dict[str, str]:
        values = (image.media_type, str(image.size), image.digest, f'"{image.digest}"')
        return dict(zip(HEADERS, values, strict=True))

    head_miss = headers("HEAD", asked_first, "one")
    get_hit = headers("GET", asked_first, "one")
    get_miss = headers("GET", fetched_first, "two")
    head_hit = headers("HEAD", fetched_first, "two")

    expect.client("HEAD, a miss", head_miss, right(asked_first))
    expect.client("GET, a hit", get_hit, right(asked_first))
    expect.client("GET, a miss", get_miss, right(fetched_first))
    expect.client("HEAD, a hit", head_hit, right(fetched_first))


# -- what it costs -----------------------------------------------------------------------------
@scenario(
    "cold-tag-costs",
    "The first pull of a tag fetches one manifest body",
    refs=("d#3407", "d#4050", "Docker Hub docs: Pull usage and limits"),
)
def test_cold_tag_costs(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Docker Hub counts each GET of a manifest as a pull; HEAD is free. A client's HEAD and GET
    together should be one pull for the whole cluster."""
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    head = cache.head(V1, headers=ACCEPT)
    get = cache.get(MANIFESTS + image.digest, headers=ACCEPT)

    expect.client("statuses", [head.status, get.status], [200, 200])
    expect.client("the bytes are right", get.body == image.content, True)
    expect.upstream("manifest bodies", upstream.ledger.count("GET", kind="manifest"), 1)
    expect.upstream("HEAD requests", upstream.ledger.count("HEAD", kind="manifest"), at_most(1))


@scenario(
    "hit-by-digest-costs-nothing",
    "A cache hit by digest sends nothing upstream",
    refs=(MIRROR, "d#3705", "measured on 2.8.2 to 3.1.1"),
)
def test_hit_by_digest_costs_nothing(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Content under a digest cannot change, so there is nothing to revalidate. Pinning to digests
    makes a cluster independent of its upstream."""
    cache = target.proxy(upstream)
    cache.get(V1, headers=ACCEPT)
    upstream.ledger.clear()

    head = cache.head(MANIFESTS + image.digest, headers=ACCEPT)
    get = cache.get(MANIFESTS + image.digest, headers=ACCEPT)

    expect.client("statuses", [head.status, get.status], [200, 200])
    expect.client("the bytes are right", get.body == image.content, True)
    expect.upstream("requests", upstream.ledger.lines(), [])


@scenario(
    "hit-by-tag-asks-once",
    "A cached tag costs one upstream HEAD and no manifest body",
    refs=(MIRROR, "d#3407", "measured on 2.8.2 to 3.1.1"),
)
def test_hit_by_tag_asks_once(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A tag may have moved, so each pull revalidates it. With imagePullPolicy Always that is one
    request per started container, free only as long as it is a HEAD."""
    cache = target.proxy(upstream)
    cache.get(V1, headers=ACCEPT)
    upstream.ledger.clear()

    answer = cache.get(V1, headers=ACCEPT)

    expect.client("the bytes are right", answer.body == image.content, True)
    expect.upstream("content requests", asked(upstream), [f"HEAD {V1}"])


@scenario(
    "no-ping",
    "A pull sends upstream requests for content only",
    refs=("measured on 2.8.2 to 3.1.1", "OCI distribution-spec: Determining Support"),
)
def test_no_ping(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """A GET /v2/ before every operation doubles the latency of small pulls, and one that hangs
    blocks all others."""
    upstream.add(REPOSITORY, an_image(), tags=("v1",))
    cache = target.proxy(upstream)
    cache.get(V1, headers=ACCEPT)
    upstream.ledger.clear()

    answer = cache.get(V1, headers=ACCEPT)

    expect.client("status", answer.status, 200)
    expect.upstream("GET /v2/", upstream.ledger.count("GET", kind="base"), 0)


@scenario(
    "concurrent-first-pulls",
    "Concurrent first pulls of a tag fetch one manifest body",
    refs=("d#1334", "d#3969", "measured on 2.8.2 to 3.1.1"),
)
def test_concurrent_first_pulls(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A rollout starts the same image on all nodes at once. Where each node counts as a pull
    upstream, the rollout hits the rate limit."""
    upstream.on("GET", kind="manifest").delay(0.25)
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    answers = cache.client.parallel([Call("GET", V1, headers=ACCEPT)] * 4)

    right = [answer.body == image.content for answer in answers]
    expect.client("the bytes are right", right, [True] * 4)
    expect.upstream("manifest bodies", upstream.ledger.count("GET", kind="manifest"), 1)
    expect.disk("blobs", cache.disk.blobs(), {image.digest})


# -- indexes -----------------------------------------------------------------------------------
@scenario(
    "index-alone",
    "Pulling an index caches the index only, not the images it lists",
    level=INFO,
    refs=("OCI image-spec: Image Index", "measured on 2.8.2 to 3.1.1"),
    needs=OBSERVED,
)
@pytest.mark.parametrize("oci", [True, False], ids=["oci-index", "docker-list"])
def test_index_alone(
    oci: bool, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """What one platform pulled does not serve another: with upstream down, arm64 nodes fail on an
    image that amd64 nodes have cached."""
    index = upstream.add(REPOSITORY, an_index(oci=oci), tags=("v1",))
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    answer = cache.get(V1, headers=ACCEPT)

    settle(cache, upstream)
    expect.client("digest", answer.digest, index.digest)
    expect.client("media type", answer.headers.get("Content-Type"), index.media_type)
    expect.upstream("other content", _others(upstream, index), [])
    expect.disk("revisions", cache.disk.revisions(REPOSITORY), {index.digest})


@scenario(
    "child-by-digest",
    "An image of a cached index is fetched and cached when its digest is pulled",
    refs=("OCI image-spec: Image Index", "measured on 2.8.2 to 3.1.1"),
)
def test_child_by_digest(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The second step of every multi-platform pull; the other platforms stay upstream."""
    index = upstream.add(REPOSITORY, an_index(), tags=("v1",))
    wanted, other = index.children
    cache = target.proxy(upstream)
    cache.get(V1, headers=ACCEPT)
    upstream.ledger.clear()

    first = cache.get(MANIFESTS + wanted.digest, headers=ACCEPT)
    upstream.down()
    again = cache.get(MANIFESTS + wanted.digest, headers=ACCEPT)
    never_pulled = cache.get(MANIFESTS + other.digest, headers=ACCEPT)

    expect.client("the bytes are right", first.body == wanted.content, True)
    expect.client("with upstream down", again.body == wanted.content, True)
    expect.client("another platform's, with upstream down", never_pulled.status, at_least(500))
    expect.upstream("content requests", asked(upstream)[:1], [f"GET {MANIFESTS}{wanted.digest}"])
    expect.disk("revisions", cache.disk.revisions(REPOSITORY), {index.digest, wanted.digest})


@scenario(
    "pull-for-a-platform",
    "A pull for one platform is complete, and works again while upstream is down",
    refs=(MIRROR, "d#3705", "OCI distribution-spec: Pull"),
    needs=OBSERVED,
)
def test_pull_for_a_platform(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The full sequence as containerd sends it: resolve, index, manifest, config, layers."""
    index = upstream.add(REPOSITORY, an_index(), tags=("v1",))
    wanted = next(image for image in index.children if image.blobs)
    cache = target.proxy(upstream)

    online = containerd_pull(cache.client, REPOSITORY, "v1")
    cache.eventually(lambda: len(cache.disk.layer_links(REPOSITORY)) == len(wanted.blobs))
    upstream.down()
    offline = containerd_pull(cache.client, REPOSITORY, "v1")

    expect.client("complete with upstream up", online.complete, True)
    expect.client("complete with upstream down", offline.complete, True)
    expect.client("the same bytes", offline.contents == online.contents, True)
    expect.disk("layer links", cache.disk.layer_links(REPOSITORY), {b.digest for b in wanted.blobs})


# -- what the client accepts -------------------------------------------------------------------
@scenario(
    "accept-changes-nothing",
    "A cached tag resolves to the same manifest whatever Accept says",
    refs=(PULLING, "distribution docs: HTTP API V2, Pulling an Image Manifest", "d#3530"),
)
@pytest.mark.parametrize("kind", ["oci-image", "oci-index", "docker-image", "docker-list"])
def test_accept_changes_nothing(
    kind: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """curl and monitoring send "Accept: */*". A digest that differs from what clients pull, or a
    404 for what they can pull, misleads an investigation."""
    oci = kind.startswith("oci")
    content = an_image(oci=oci) if kind.endswith("image") else an_index(oci=oci)
    upstream.add(REPOSITORY, content, tags=("v1",))
    cache = target.proxy(upstream)

    answer = cache.get(V1, headers={"Accept": "*/*"})

    settle(cache, upstream)
    expect.client("status", answer.status, 200)
    expect.client("media type", _media_type(answer), content.media_type)
    expect.client("the bytes are right", answer.body == content.content, True)
    expect.upstream("other content", _others(upstream, content), [])


@scenario(
    "own-accept-upstream",
    "The cache sends upstream its own Accept with images and indexes, whatever the client sent",
    refs=(
        "distribution docs: HTTP API V2, Pulling an Image Manifest",
        "measured on 2.8.2 to 3.1.1",
    ),
)
def test_own_accept_upstream(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """An upstream converts a manifest for a client that accepts little. A cache that forwarded such
    a request would keep the converted manifest for every client."""
    upstream.add(REPOSITORY, an_image(oci=False), tags=("v1",))
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    cache.get(V1, headers={"Accept": "application/vnd.docker.distribution.manifest.v1+json"})

    accepted = {
        part.strip()
        for entry in upstream.ledger.select(kind="manifest")
        for name, value in entry.headers
        if name == "accept"
        for part in value.split(",")
    }
    missing = {part.strip() for part in ACCEPT["Accept"].split(",")} - {"*/*"} - accepted
    expect.upstream("types not accepted", missing, set())


# -- conditions --------------------------------------------------------------------------------
@scenario(
    "not-modified",
    "If-None-Match with the current digest is answered 304 on a hit",
    refs=(CONDITIONAL, "measured on 2.8.2 to 3.1.1"),
)
@pytest.mark.parametrize("by", ["tag", "digest"])
def test_not_modified(
    by: str, image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Tools that watch tags (Flux, Keel, Watchtower) save traffic with it."""
    path = V1 if by == "tag" else MANIFESTS + image.digest
    cache = target.proxy(upstream)
    cache.get(path, headers=ACCEPT)

    same = cache.get(path, headers={**ACCEPT, "If-None-Match": f'"{image.digest}"'})
    other = cache.get(path, headers={**ACCEPT, "If-None-Match": f'"{an_image("x").digest}"'})

    expect.client("status", same.status, 304)
    expect.client("body", same.body, b"")
    expect.client("status for another digest", other.status, 200)
    expect.upstream("manifest bodies", upstream.ledger.count("GET", kind="manifest"), 1)


@scenario(
    "not-modified-still-caches",
    "After a 304 for a tag the cache can serve that tag",
    refs=(CONDITIONAL, "measured on 2.8.2 to 3.1.1"),
    needs=OBSERVED,
)
def test_not_modified_still_caches(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A tag that points at a missing manifest is worse than no tag: it turns the 404, on which
    clients try the next mirror, into a 500."""
    cache = target.proxy(upstream)

    conditional = cache.get(V1, headers={**ACCEPT, "If-None-Match": f'"{image.digest}"'})
    dangling = set(cache.disk.tags(REPOSITORY).values()) - cache.disk.blobs()
    upstream.down()
    offline = cache.get(V1, headers=ACCEPT)

    expect.client("status", conditional.status, any_of(200, 304))
    expect.client("status with upstream down", offline.status, 200)
    expect.disk("tags without a manifest", dangling, set())


@scenario(
    "not-modified-needs-content",
    "If-None-Match with a digest that exists nowhere is not answered 304",
    level=MUST,
    refs=("RFC 9110, 13.2.1 When to Evaluate", "measured on 2.8.2 to 3.1.1"),
)
def test_not_modified_needs_content(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """304 would tell a client that holds a withdrawn image that all is well."""
    upstream.add(REPOSITORY, an_image(), tags=("v1",))
    absent = an_image("absent").digest
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    answer = cache.get(MANIFESTS + absent, headers={**ACCEPT, "If-None-Match": f'"{absent}"'})

    expect.client("status", answer.status, 404)
    expect.upstream("upstream was asked", bool(asked(upstream)), True)
    expect.disk("blobs", cache.disk.blobs(), set())


# -- upstreams that are not as they should be --------------------------------------------------
@scenario(
    "wrong-bytes",
    "A manifest that does not match its digest is neither served nor cached",
    refs=("OCI distribution-spec: Pulling manifests", "measured on 2.8.2 to 3.1.1"),
    needs=OBSERVED,
)
@pytest.mark.parametrize("by", ["tag", "digest"])
def test_wrong_bytes(
    by: str, image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Pinning to a digest relies on exactly these bytes. A broken or malicious upstream must not
    reach the cluster through the cache."""
    impostor = an_image("impostor")
    upstream.on("GET", kind="manifest").status(
        200,
        headers={"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": image.digest},
        body=impostor.content,
    )
    cache = target.proxy(upstream)

    answer = cache.get(V1 if by == "tag" else MANIFESTS + image.digest, headers=ACCEPT)
    upstream.clear_faults()
    again = cache.get(MANIFESTS + image.digest, headers=ACCEPT)

    expect.client("the wrong manifest was served", answer.body == impostor.content, False)
    expect.client("it is an error", (answer.status or 0) >= 400, True)
    expect.client("the next pull is right", again.body == image.content, True)
    expect.disk("the wrong manifest is stored", cache.disk.has_blob(impostor.digest), False)


@scenario(
    "cut-short",
    "A truncated manifest is an error and is not cached",
    refs=("RFC 9112, 8 Handling Incomplete Messages",),
    needs=OBSERVED,
)
def test_cut_short(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Half a manifest in the cache breaks the image for every client until an operator removes
    it."""
    upstream.on("GET", kind="manifest").truncate(after=100)
    cache = target.proxy(upstream)

    answer = cache.get(MANIFESTS + image.digest, headers=ACCEPT)
    upstream.clear_faults()
    again = cache.get(MANIFESTS + image.digest, headers=ACCEPT)

    expect.client("status", answer.status, at_least(500))
    expect.client("the next pull is right", again.body == image.content, True)
    expect.disk("blobs", cache.disk.blobs(), {image.digest})


@scenario(
    "no-digest-header",
    "A manifest without Docker-Content-Digest from upstream can be cached",
    refs=("OCI distribution-spec: Pulling manifests (the header is a SHOULD)", "d#3842"),
    needs=OBSERVED,
)
def test_no_digest_header(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Static file servers and some vendors' registries leave the header out; the digest follows
    from the bytes."""
    upstream.on(None, kind="manifest").headers({"Docker-Content-Digest": None, "Etag": None})
    cache = target.proxy(upstream)

    answer = cache.get(V1, headers=ACCEPT)

    expect.client("status", answer.status, 200)
    expect.client("digest", answer.digest, image.digest)
    expect.disk("tags", cache.disk.tags(REPOSITORY), {"v1": image.digest})


@scenario(
    "upstream-without-head",
    "An upstream without HEAD for manifests can be cached",
    refs=(CHECKING, "measured on 2.8.2 to 3.1.1"),
)
def test_upstream_without_head(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Some vendors' registries answered 405 to HEAD for years."""
    upstream.on("HEAD", kind="manifest").status(405)
    cache = target.proxy(upstream)

    head = cache.head(V1, headers=ACCEPT)
    get = cache.get(V1, headers=ACCEPT)

    expect.client("statuses", [head.status, get.status], [200, 200])
    expect.client("digest", head.digest, image.digest)
    expect.disk("tags", cache.disk.tags(REPOSITORY), {"v1": image.digest})


@scenario(
    "unknown-media-type",
    "A manifest of an unknown type is passed on unchanged",
    refs=(
        "OCI distribution-spec: Pulling manifests",
        "OCI image-spec: Manifest media types",
        "d#3530",
    ),
)
def test_unknown_media_type(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """New kinds of manifests appear faster than caches are updated, and clients know how to read
    them."""
    content = Manifest(
        Blob(
            json.dumps({"mediaType": "application/vnd.oci.artifact.manifest.v1+json"}).encode(),
            "application/vnd.oci.artifact.manifest.v1+json",
        )
    )
    upstream.add(REPOSITORY, content, tags=("v1",))
    cache = target.proxy(upstream)

    answer = cache.get(V1, headers={"Accept": content.media_type})

    expect.client("status", answer.status, 200)
    expect.client("media type", _media_type(answer), content.media_type)
    expect.client("the bytes are right", answer.body == content.content, True)
    expect.disk("revisions", cache.disk.revisions(REPOSITORY), {content.digest})


@scenario(
    "artifact",
    "An artifact with a subject is cached like an image",
    refs=("OCI image-spec: Guidelines for Artifact Usage", "d#3530"),
    needs=OBSERVED,
)
def test_artifact(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Signatures and SBOMs are manifests with an empty configuration; admission controllers fetch
    them through the same cache."""
    tag = image.digest.replace(":", "-") + ".sig"
    signature = upstream.add(REPOSITORY, an_artifact(subject=image), tags=(tag,))
    cache = target.proxy(upstream)

    pull = containerd_pull(cache.client, REPOSITORY, tag)

    expect.client("the pull is complete", pull.complete, True)
    expect.client("digest", pull.digest, signature.digest)
    expect.disk("tags", cache.disk.tags(REPOSITORY), {tag: signature.digest})


@scenario(
    "media-type-by-digest",
    "A manifest or index pulled by digest has its own media type",
    level=MUST,
    refs=("OCI distribution-spec: Pulling manifests, Content-Type", "measured on drayage 0.2.9"),
)
@pytest.mark.parametrize("oci", [True, False], ids=["oci", "docker"])
def test_media_type_by_digest(
    oci: bool, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """docker pulls the digest from the tag's HEAD and refuses a document of another type than its
    Content-Type: no image can be pulled then."""
    contents = {"manifest": an_image(oci=oci), "index": an_index(oci=oci)}
    cache = target.proxy(upstream)

    for what, content in contents.items():
        upstream.add(REPOSITORY, content)
        for when in ("a miss", "a hit"):
            answer = pull_manifest(cache, REPOSITORY, content)
            expect.client(f"{what}, {when}", _media_type(answer), content.media_type)


@scenario(
    "content-type-with-parameters",
    "A media type with parameters from upstream is accepted",
    level=MUST,
    refs=("RFC 9110, 8.3 Content-Type", "measured on 2.8.2 to 3.1.1"),
)
def test_content_type_with_parameters(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Web servers in front of a registry add a charset."""
    typed = {"Content-Type": f"{image.media_type}; charset=utf-8"}
    upstream.on(None, kind="manifest").headers(typed)
    cache = target.proxy(upstream)

    answer = cache.get(V1, headers=ACCEPT)

    expect.client("status", answer.status, 200)
    expect.client("media type", answer.headers.get("Content-Type"), image.media_type)
    expect.client("the bytes are right", answer.body == image.content, True)
    expect.disk("tags", cache.disk.tags(REPOSITORY), {"v1": image.digest})


# -- questions that are not as they should be --------------------------------------------------
@scenario(
    "malformed-digest",
    "A malformed digest is a client error and reveals nothing about the storage",
    refs=("OCI distribution-spec: Error Codes", "measured on 2.8.2 to 3.1.1"),
    needs=OBSERVED,
)
def test_malformed_digest(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A 5xx raises an alarm for a typo, and error texts of storage drivers show paths."""
    upstream.add(REPOSITORY, an_image(), tags=("v1",))
    cache = target.proxy(upstream)
    before = cache.disk.files()

    answer = cache.get(MANIFESTS + "sha256:abc", headers=ACCEPT)

    expect.client("status", answer.status, any_of(400, 404))
    expect.client("shows the storage layout", b"/docker/registry/v2" in answer.body, False)
    expect.disk("files", cache.disk.files() == before, True)


@scenario(
    "ns-is-not-passed-on",
    "With one upstream the ns parameter changes nothing and is not forwarded",
    level=INFO,
    refs=("containerd docs: registry mirrors, ns", "OCI distribution-spec: Registry Proxying"),
)
def test_ns_is_not_passed_on(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """containerd sends every mirror the registry it stands for. Used as an address, it would let
    clients choose where the cache connects."""
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    manifest = cache.get(f"{V1}?ns=registry.example.com", headers=ACCEPT)
    layer = cache.get(f"/v2/{REPOSITORY}/blobs/{image.layers[0].digest}?ns=registry.example.com")

    expect.client("statuses", [manifest.status, layer.status], [200, 200])
    expect.client("digest", manifest.digest, image.digest)
    expect.upstream("queries", {entry.query for entry in upstream.ledger.entries}, {""})


# -- helpers -----------------------------------------------------------------------------------
def _media_type(answer: Answer) -> str:
    return str(answer.headers.get("Content-Type", "")).partition(";")[0]


def _others(upstream: MockUpstream, content: Manifest) -> list[str]:
    """What was asked beside *content* by its tag or digest."""
    own = {f"{MANIFESTS}v1", f"{MANIFESTS}{content.digest}"}
    return [line for line in asked(upstream) if line.partition(" ")[2] not in own]
