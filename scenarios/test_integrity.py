"""Upstream sends other bytes, or another number of them, than it should: nothing of that is kept,
and no client takes it for what it asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.content import OCI_MANIFEST, Blob, Image, an_image
from harness.http.client import Answer
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import INFO, MUST, SHOULD, scenario
from harness.targets.registry import RunningRegistry
from harness.upstream import MockUpstream
from reference_registry.digest import digest_of
from scenarios.blobs import LATE, REPOSITORY, a_blob, cached, foreign, is_visible_failure, path
from scenarios.pulling import manifest_path, pull_manifest
from scenarios.steps import OBSERVED, settle

INCOMPLETE = "RFC 9112, 8 Handling Incomplete Messages"
FRAMING = "RFC 9112, 6 Message Body"
VERIFICATION = "OCI image-spec: Descriptor, Verification"
KEPT = ("harbor#23600", "wave#533", "rpardini#90")
MEASURED = "measured on 2.8.2 to 3.1.1"


def passes_for_the_blob(answer: Answer, blob: Blob) -> bool:
    """Whether a client would take wrong bytes for a complete answer."""
    return not is_visible_failure(answer) and answer.body != blob.content


def look_after_a_failure(
    cache: RunningRegistry,
    upstream: MockUpstream,
    blob: Blob,
    answer: Answer,
    expect: Expectations,
) -> None:
    """Nothing wrong passed for the blob or was kept, and the next pull is right."""
    settle(cache, upstream)
    kept = {digest for digest in cache.disk.blobs() if digest_of_file(cache, digest) != digest}
    uploads = len(cache.disk.uploads(REPOSITORY))
    upstream.clear_faults()
    again = cache.get(path(blob))

    expect.client("wrong bytes pass for the blob", passes_for_the_blob(answer, blob), False)
    expect.client("the next pull is right", again.body == blob.content, True)
    expect.disk("wrong bytes on disk", kept, set())
    expect.disk("unfinished uploads", uploads, 0)
    expect.disk("the right bytes are cached", cached(cache, blob), True)


def digest_of_file(cache: RunningRegistry, digest: str) -> str:
    return digest_of(cache.disk.blob_bytes(digest))


# -- blobs -----------------------------------------------------------------------------------------
@scenario(
    "integrity.nothing-after-a-cut-body",
    "A blob that is cut short ends where upstream ended it, without a word about the failure",
    level=MUST,
    refs=(INCOMPLETE, "fallback.layer-cut-short", MEASURED),
)
def test_nothing_after_a_cut_body(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Clients that resume ask for what comes after the bytes they have. An error text among these
    shifts the rest, and the layer is broken for good."""
    blob = a_blob(upstream, size=300_000)
    upstream.on("GET", blob).truncate(after=100_000)
    cache = target.proxy(upstream)

    answer = cache.get(path(blob))

    settle(cache, upstream)
    expect.client("the failure is visible", is_visible_failure(answer), True)
    expect.client("bytes after them", foreign(answer, blob), 0)


ANSWERS: dict[str, Callable[[bytes], bytes]] = {
    "longer-than-announced": lambda content: b"Content-Length: 5000\r\n\r\n" + content,
    "shorter-than-announced": lambda content: b"Content-Length: 20000\r\n\r\n" + content[:19_999],
    "no-length-and-half": lambda content: b"Connection: close\r\n\r\n" + content[:10_000],
    "chunked-and-half": lambda content: (
        b"Transfer-Encoding: chunked\r\n\r\n2710\r\n" + content[:10_000] + b"\r\n"
    ),
    "no-chunk": lambda content: b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n" + content,
    "other-coding": lambda content: (
        b"Content-Encoding: gzip\r\nContent-Length: 20000\r\n\r\n" + b"\0" + content[1:]
    ),
}


@scenario(
    "integrity.framing-lies",
    "A blob whose length, chunks or coding are not as announced is not cached and seen to fail",
    level=MUST,
    refs=(FRAMING, *KEPT, MEASURED),
)
@pytest.mark.parametrize("lie", list(ANSWERS))
def test_framing_lies(
    lie: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Middleboxes break off, recompress and count wrongly. Only the digest knows."""
    blob = a_blob(upstream)
    upstream.on("GET", blob).delay(LATE).raw(b"HTTP/1.1 200 OK\r\n" + ANSWERS[lie](blob.content))
    cache = target.proxy(upstream)

    answer = cache.get(path(blob))

    look_after_a_failure(cache, upstream, blob, answer, expect)


@scenario(
    "integrity.coding-that-is-none",
    "A blob that is right is served and cached, although upstream says that it is compressed",
    level=INFO,
    refs=("RFC 9110, 8.4 Content-Encoding", VERIFICATION),
    needs=OBSERVED,
)
def test_coding_that_is_none(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Web servers take a layer that ends in .gz for a coding of something else. Clients would
    unpack it if they were told the same."""
    blob = a_blob(upstream)
    upstream.on(None, blob).headers({"Content-Encoding": "gzip"})
    cache = target.proxy(upstream)

    answer = cache.get(path(blob))

    expect.client("status", answer.status, 200)
    expect.client("Content-Encoding", answer.headers.get("Content-Encoding"), None)
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.disk("it is cached", cached(cache, blob), True)


@scenario(
    "integrity.head-tells-another-length",
    "A blob is served whole although upstream's answer to HEAD told another length",
    level=SHOULD,
    refs=("RFC 9110, 9.3.2 HEAD", MEASURED),
)
@pytest.mark.parametrize("told", [100, 30_000], ids=["shorter", "longer"])
def test_head_tells_another_length(
    told: int, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """HEAD is answered by another machine, or from a table that is wrong."""
    blob = a_blob(upstream)
    upstream.on("HEAD", blob).headers({"Content-Length": str(told)})
    cache = target.proxy(upstream)

    answer = cache.get(path(blob))

    expect.client("status", answer.status, 200)
    expect.client("the answer is complete", answer.error is None, True)
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.disk("it is cached", cached(cache, blob), True)


@scenario(
    "integrity.part-instead-of-the-whole",
    "A part that upstream sends where the whole was asked for does not become the blob",
    level=MUST,
    refs=("RFC 9110, 15.3.7 206 Partial Content", *KEPT, MEASURED),
)
@pytest.mark.parametrize(
    "told",
    ["bytes 0-99/20000", "bytes 0-99/100", "bytes 0-99/*", ""],
    ids=["of-the-whole", "of-itself", "of-unknown", "untold"],
)
def test_part_instead_of_the_whole(
    told: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A web cache on the way that got somebody's range request into its memory."""
    blob = a_blob(upstream)
    headers = {"Content-Type": "application/octet-stream"} | (
        {"Content-Range": told} if told else {}
    )
    upstream.on("GET", blob).delay(LATE).status(206, headers, blob.content[:100])
    cache = target.proxy(upstream)

    answer = cache.get(path(blob))

    look_after_a_failure(cache, upstream, blob, answer, expect)


@scenario(
    "integrity.reset-at-any-byte",
    "Wherever a connection is reset, no client takes a part for the whole, and none is kept",
    level=MUST,
    refs=(INCOMPLETE, *KEPT, MEASURED),
)
@pytest.mark.parametrize("after", [0, 1, 4096, 19_999], ids=lambda after: f"after-{after}")
def test_reset_at_any_byte(
    after: int, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The first and the last byte are where code that counts is wrong."""
    blob = a_blob(upstream)
    upstream.on("GET", blob).delay(LATE).reset(after=after)
    cache = target.proxy(upstream)

    answer = cache.get(path(blob))

    look_after_a_failure(cache, upstream, blob, answer, expect)


# -- manifests -------------------------------------------------------------------------------------
def wrong_manifest(upstream: MockUpstream, image: Image, how: str) -> None:
    """From now on *upstream* lies about *image*, which has the tag v1."""
    other = an_image("other")
    get = upstream.on("GET", kind="manifest")
    match how:
        case "another-manifest":
            get.status(200, {"Content-Type": OCI_MANIFEST}, other.content)
        case "right-header-wrong-bytes":
            headers = {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": image.digest}
            get.status(200, headers, other.content)
        case "cut-short":
            get.truncate(after=len(image.content) // 2)
        case "cut-but-complete":
            headers = {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": image.digest}
            get.status(200, headers, image.content[:-1])
        case "coding-lie":
            get.headers({"Content-Encoding": "gzip"})
        case "longer":
            headers = {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": image.digest}
            get.status(200, headers, image.content + b"\n")


def look_at_a_manifest(
    cache: RunningRegistry,
    upstream: MockUpstream,
    reference: str,
    image: Image,
    expect: Expectations,
) -> None:
    """What upstream sends for *image* is wrong: nobody takes it for right, and it is not kept."""
    asked = manifest_path(REPOSITORY, "v1" if reference == "tag" else image.digest)

    answer = cache.get(asked, headers=ACCEPT)
    settle(cache, upstream)
    kept = {digest for digest in cache.disk.blobs() if digest != image.digest}
    upstream.clear_faults()
    again = cache.get(asked, headers=ACCEPT)

    taken = not is_visible_failure(answer) and answer.body != image.content
    expect.client("wrong bytes pass for the manifest", taken, False)
    expect.client("status", answer.status, 502)
    expect.client("the next pull is right", again.body == image.content, True)
    expect.disk("what is kept of it", len(kept), 0)


@scenario(
    "integrity.other-manifest",
    "A manifest that is not the one of its digest is an error of upstream, and is not cached",
    level=MUST,
    refs=("OCI distribution-spec: Pulling manifests", VERIFICATION, *KEPT, MEASURED),
)
@pytest.mark.parametrize("reference", ["tag", "digest"])
@pytest.mark.parametrize("how", ["another-manifest", "right-header-wrong-bytes", "longer"])
def test_other_manifest(
    how: str,
    reference: str,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """One wrong manifest in a cache is wrong for a whole cluster, and looks like an attack."""
    image = upstream.add(REPOSITORY, an_image(), tags=("v1",))
    wrong_manifest(upstream, image, how)

    look_at_a_manifest(target.proxy(upstream), upstream, reference, image, expect)


@scenario(
    "integrity.broken-manifest",
    "A manifest that arrives in part, or coded otherwise than said, is an error of upstream",
    level=MUST,
    refs=("OCI distribution-spec: Pulling manifests", VERIFICATION, *KEPT, MEASURED),
)
@pytest.mark.parametrize("reference", ["tag", "digest"])
@pytest.mark.parametrize("how", ["cut-short", "cut-but-complete", "coding-lie"])
def test_broken_manifest(
    how: str,
    reference: str,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Manifests are small, so nobody thinks that they break."""
    image = upstream.add(REPOSITORY, an_image(), tags=("v1",))
    wrong_manifest(upstream, image, how)

    look_at_a_manifest(target.proxy(upstream), upstream, reference, image, expect)


@scenario(
    "integrity.digest-header-lies",
    "A Docker-Content-Digest that is not the digest of the bytes is not passed on",
    level=MUST,
    refs=("OCI distribution-spec: Pulling manifests", VERIFICATION, MEASURED),
)
def test_digest_header_lies(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Clients pin what this header says. The bytes of a digest are right or wrong by themselves."""
    image = upstream.add(REPOSITORY, an_image(), tags=("v1",))
    lie = an_image("other").digest
    upstream.on("GET", kind="manifest").headers({"Docker-Content-Digest": lie})
    cache = target.proxy(upstream)

    answer = cache.get(manifest_path(REPOSITORY, image.digest), headers=ACCEPT)

    settle(cache, upstream)
    expect.client("status", answer.status, 200)
    expect.client("digest", answer.digest, image.digest)
    expect.client("the bytes are right", answer.body == image.content, True)
    expect.disk("manifests", cache.disk.revisions(REPOSITORY), {image.digest})


# -- names -----------------------------------------------------------------------------------------
@scenario(
    "integrity.names-are-kept-apart",
    "Repositories whose names look alike are cached as what they are: several",
    level=MUST,
    refs=("OCI distribution-spec: Pulling manifests, <name>", "measured on drayage 0.2.9"),
)
def test_names_are_kept_apart(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A cache that makes one file name of a repository's name must not make the same one of two:
    whoever may choose a name could then choose what others run."""
    names = ("team/app_one", "team_app/one", "team_app_one/x", "team-app/one", "team/app/one")
    images = {name: upstream.add(name, an_image(name), tags=("v1",)) for name in names}
    cache = target.proxy(upstream)

    served = {
        name: pull_manifest(cache, name, image, "v1").digest for name, image in images.items()
    }

    mixed_up = [name for name, image in images.items() if served[name] != image.digest]
    expect.client("names that are served another's image", mixed_up, [])
