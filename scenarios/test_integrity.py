"""Upstream sends wrong bytes, or the wrong number of them: nothing of that is kept, and no
client takes it for the requested content."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.content import OCI_MANIFEST, Blob, Image, an_image
from harness.http.client import Answer
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import INFO, MUST, SHOULD, theme
from harness.targets.registry import RunningRegistry
from harness.upstream import MockUpstream
from reference_registry.digest import digest_of
from scenarios.blobs import LATE, REPOSITORY, a_blob, cached, foreign, is_visible_failure
from scenarios.pulling import blob_path, manifest_path, pull_manifest
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
    again = cache.get(blob_path(REPOSITORY, blob))

    expect.client("wrong bytes are served as the blob", passes_for_the_blob(answer, blob), False)
    expect.client("the next pull is right", again.body == blob.content, True)
    expect.disk("wrong bytes on disk", kept, set())
    expect.disk("unfinished uploads", uploads, 0)
    expect.disk("the right bytes are cached", cached(cache, blob), True)


def digest_of_file(cache: RunningRegistry, digest: str) -> str:
    return digest_of(cache.disk.blob_bytes(digest))


scenario = theme(
    "integrity",
    level=MUST,
    refs=("OCI distribution-spec: Pulling manifests", VERIFICATION, *KEPT, MEASURED),
)


# -- blobs -----------------------------------------------------------------------------------------
@scenario(
    "nothing-after-a-cut-body",
    "A truncated blob ends where upstream ended it, without an error text in the body",
    refs=(INCOMPLETE, "fallback.layer-cut-short", MEASURED),
)
def test_nothing_after_a_cut_body(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Clients resume after the bytes they have. An error text among these shifts the rest and
    corrupts the layer."""
    blob = a_blob(upstream, size=300_000)
    upstream.on("GET", blob).truncate(after=100_000)
    cache = target.proxy(upstream)

    answer = cache.get(blob_path(REPOSITORY, blob))

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
    "framing-lies",
    "A blob whose length, chunks or coding are wrong is not cached, and the client sees a failure",
    refs=(FRAMING, *KEPT, MEASURED),
)
@pytest.mark.parametrize("lie", list(ANSWERS))
def test_framing_lies(
    lie: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Middleboxes truncate, recompress and miscount. Only the digest is reliable."""
    blob = a_blob(upstream)
    upstream.on("GET", blob).delay(LATE).raw(b"HTTP/1.1 200 OK\r\n" + ANSWERS[lie](blob.content))
    cache = target.proxy(upstream)

    answer = cache.get(blob_path(REPOSITORY, blob))

    look_after_a_failure(cache, upstream, blob, answer, expect)


@scenario(
    "coding-that-is-none",
    "A blob with a wrong Content-Encoding from upstream is served and cached",
    level=INFO,
    refs=("RFC 9110, 8.4 Content-Encoding", VERIFICATION),
    needs=OBSERVED,
)
def test_coding_that_is_none(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Web servers take a layer that ends in .gz for an encoding of something else. Clients would
    decompress it if they got the same header."""
    blob = a_blob(upstream)
    upstream.on(None, blob).headers({"Content-Encoding": "gzip"})
    cache = target.proxy(upstream)

    answer = cache.get(blob_path(REPOSITORY, blob))

    expect.client("status", answer.status, 200)
    expect.client("Content-Encoding", answer.headers.get("Content-Encoding"), None)
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.disk("it is cached", cached(cache, blob), True)


@scenario(
    "head-tells-another-length",
    "A blob is served whole although upstream's HEAD has another length",
    level=SHOULD,
    refs=("RFC 9110, 9.3.2 HEAD", MEASURED),
)
@pytest.mark.parametrize("reported", [100, 30_000], ids=["shorter", "longer"])
def test_head_tells_another_length(
    reported: int, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """HEAD is answered by another machine, or from a wrong table."""
    blob = a_blob(upstream)
    upstream.on("HEAD", blob).headers({"Content-Length": str(reported)})
    cache = target.proxy(upstream)

    answer = cache.get(blob_path(REPOSITORY, blob))

    expect.client("status", answer.status, 200)
    expect.client("the answer is complete", answer.error is None, True)
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.disk("it is cached", cached(cache, blob), True)


@scenario(
    "part-instead-of-the-whole",
    "A partial response to a request for the whole blob is not cached as the blob",
    refs=("RFC 9110, 15.3.7 206 Partial Content", *KEPT, MEASURED),
)
@pytest.mark.parametrize(
    "reported",
    ["bytes 0-99/20000", "bytes 0-99/100", "bytes 0-99/*", ""],
    ids=["of-the-whole", "of-itself", "of-unknown", "untold"],
)
def test_part_instead_of_the_whole(
    reported: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A web cache on the way stored the response to a range request."""
    blob = a_blob(upstream)
    headers = {"Content-Type": "application/octet-stream"} | (
        {"Content-Range": reported} if reported else {}
    )
    upstream.on("GET", blob).delay(LATE).status(206, headers, blob.content[:100])
    cache = target.proxy(upstream)

    answer = cache.get(blob_path(REPOSITORY, blob))

    look_after_a_failure(cache, upstream, blob, answer, expect)


@scenario(
    "reset-at-any-byte",
    "A connection reset at any byte leaves no truncated blob with clients or in the cache",
    refs=(INCOMPLETE, *KEPT, MEASURED),
)
@pytest.mark.parametrize("after", [0, 1, 4096, 19_999], ids=lambda after: f"after-{after}")
def test_reset_at_any_byte(
    after: int, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Off-by-one errors are at the first and the last byte."""
    blob = a_blob(upstream)
    upstream.on("GET", blob).delay(LATE).reset(after=after)
    cache = target.proxy(upstream)

    answer = cache.get(blob_path(REPOSITORY, blob))

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
    """Expect that the wrong bytes that upstream sends for *image* are neither served nor cached."""
    asked = manifest_path(REPOSITORY, "v1" if reference == "tag" else image.digest)

    answer = cache.get(asked, headers=ACCEPT)
    settle(cache, upstream)
    kept = {digest for digest in cache.disk.blobs() if digest != image.digest}
    upstream.clear_faults()
    again = cache.get(asked, headers=ACCEPT)

    taken = not is_visible_failure(answer) and answer.body != image.content
    expect.client("wrong bytes are served as the manifest", taken, False)
    expect.client("status", answer.status, 502)
    expect.client("the next pull is right", again.body == image.content, True)
    expect.disk("what is kept of it", len(kept), 0)


@scenario("other-manifest", "A manifest with another digest is an upstream error and is not cached")
@pytest.mark.parametrize("reference", ["tag", "digest"])
@pytest.mark.parametrize("how", ["another-manifest", "right-header-wrong-bytes", "longer"])
def test_other_manifest(
    how: str,
    reference: str,
    image: Image,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """One wrong manifest in a cache is wrong for a whole cluster, and looks like an attack."""
    wrong_manifest(upstream, image, how)

    look_at_a_manifest(target.proxy(upstream), upstream, reference, image, expect)


@scenario("broken-manifest", "A truncated or wrongly encoded manifest is an upstream error")
@pytest.mark.parametrize("reference", ["tag", "digest"])
@pytest.mark.parametrize("how", ["cut-short", "cut-but-complete", "coding-lie"])
def test_broken_manifest(
    how: str,
    reference: str,
    image: Image,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Manifests are small, so few expect them to break."""
    wrong_manifest(upstream, image, how)

    look_at_a_manifest(target.proxy(upstream), upstream, reference, image, expect)


@scenario(
    "digest-header-lies",
    "A wrong Docker-Content-Digest from upstream is not passed on",
    refs=("OCI distribution-spec: Pulling manifests", VERIFICATION, MEASURED),
)
def test_digest_header_lies(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Clients pin what this header says."""
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
    "names-are-kept-apart",
    "Repositories with similar names are cached separately",
    refs=("OCI distribution-spec: Pulling manifests, <name>", "measured on drayage 0.2.9"),
)
def test_names_are_kept_apart(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A cache that maps two names to one file lets a client that chooses a name choose what others
    run."""
    names = ("team/app_one", "team_app/one", "team_app_one/x", "team-app/one", "team/app/one")
    images = {name: upstream.add(name, an_image(name), tags=("v1",)) for name in names}
    cache = target.proxy(upstream)

    served = {
        name: pull_manifest(cache, name, image, "v1").digest for name, image in images.items()
    }

    mixed_up = [name for name, image in images.items() if served[name] != image.digest]
    expect.client("names that are served another's image", mixed_up, [])
