"""Ranges of uncached blobs: what lazy pullers (stargz, nydus, SOCI) and resuming clients request
first."""

from __future__ import annotations

import pytest

from harness.suite.expectation import Expectations, at_least
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import theme
from harness.system.ports import scaled
from harness.upstream import MockUpstream
from reference_registry.digest import digest_of
from scenarios.blobs import REPOSITORY, a_blob, bodies, cached
from scenarios.pulling import blob_path, pull_blob
from scenarios.steps import OBSERVED, settle

RANGE = "RFC 9110, 14 Range Requests"
LAZY = ("d#4667", "harbor#23875", "spegel#548")
MEASURED = "measured on 2.8.2 to 3.1.1"
scenario = theme(
    "range", refs=("RFC 9110, 14.2 Range", "RFC 9110, 14.6 Media Type multipart/byteranges")
)


@scenario(
    "of-a-miss",
    "Every form of range of an uncached blob is answered 206 with that part",
    refs=(RANGE, *LAZY, MEASURED),
)
@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [("0-99", 0, 100), ("19000-", 19_000, 20_000), ("-50", 19_950, 20_000), ("9-99999", 9, 20_000)],
    ids=["closed", "open", "suffix", "beyond-the-end"],
)
def test_of_a_miss(
    wanted: str,
    start: int,
    stop: int,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """The first pull should be answered like the second, and a stored part must never be served as
    the whole."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)

    part = cache.get(blob_path(REPOSITORY, blob), headers={"Range": f"bytes={wanted}"})
    stored = cached(cache, blob)
    whole = cache.get(blob_path(REPOSITORY, blob))

    content_range = part.headers.get("Content-Range")
    expect.client("status", part.status, 206)
    expect.client("Content-Range", content_range, f"bytes {start}-{stop - 1}/20000")
    expect.client("the part is right", part.body == blob.content[start:stop], True)
    expect.client("the whole is right afterwards", whole.body == blob.content, True)
    expect.disk("the whole is cached", stored, True)


@scenario(
    "outside-of-a-miss",
    "A range beyond the end of an uncached blob is answered 416, with a complete response",
    refs=("RFC 9110, 15.5.17 416 Range Not Satisfiable", MEASURED),
)
def test_outside_of_a_miss(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A client that has the whole blob and asks for more must not receive it again."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)

    answer = cache.get(blob_path(REPOSITORY, blob), headers={"Range": "bytes=20000-"})
    settle(cache, upstream)
    whole = cache.get(blob_path(REPOSITORY, blob))

    expect.client("status", answer.status, 416)
    expect.client("Content-Range", answer.headers.get("Content-Range"), "bytes */20000")
    expect.client("the body is complete", answer.error is None, True)
    expect.client("the whole is right afterwards", whole.body == blob.content, True)


@scenario(
    "several-of-a-miss",
    "Several ranges of an uncached blob are answered with those parts or the whole blob",
)
def test_several_of_a_miss(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Both are correct and lazy pullers handle both. A single part, or parts without a boundary,
    would be misread."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)

    answer = cache.get(blob_path(REPOSITORY, blob), headers={"Range": "bytes=0-99,10000-10099"})
    settle(cache, upstream)
    whole = cache.get(blob_path(REPOSITORY, blob))

    parts = (b"bytes 0-99/20000", blob.content[:100], b"bytes 10000-10099/20000")
    as_parts = answer.status == 206 and all(part in answer.body for part in parts)
    as_whole = answer.status == 200 and answer.body == blob.content
    expect.client("the answer is one of the two", as_parts or as_whole, True)
    expect.client("the whole is right afterwards", whole.body == blob.content, True)


@scenario(
    "several-of-a-hit",
    "Several ranges of a cached blob are answered with those parts or the whole blob",
)
def test_several_of_a_hit(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Lazy pullers handle both forms, and read anything else as wrong bytes."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)
    pull_blob(cache, REPOSITORY, blob)

    answer = cache.get(blob_path(REPOSITORY, blob), headers={"Range": "bytes=0-99,10000-10099"})

    parts = (b"bytes 0-99/20000", blob.content[:100], b"bytes 10000-10099/20000")
    as_parts = answer.status == 206 and all(part in answer.body for part in parts)
    as_whole = answer.status == 200 and answer.body == blob.content
    expect.client("the answer is one of the two", as_parts or as_whole, True)


@scenario(
    "is-completed",
    "After a range request the cache fetches the rest of the blob in the background",
    refs=(*LAZY, "landscape: zot, Harbor, rpardini#157", MEASURED),
)
def test_is_completed(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The next lazy puller asks for other parts, which should be cached."""
    # Large enough not to end before the cache notices that the client left.
    blob = a_blob(upstream, size=8_000_000)
    held = upstream.on("GET", blob).hang(after=100_000)
    cache = target.proxy(upstream)

    with cache.client.open(blob_path(REPOSITORY, blob), headers={"Range": "bytes=0-99"}) as answer:
        answer.read(100)
        status = answer.status
    held.release()
    settle(cache, upstream)
    upstream.down()
    whole = cache.get(blob_path(REPOSITORY, blob))

    expect.client("status of the part", status, 206)
    expect.client("the whole, with upstream gone", digest_of(whole.body) == blob.digest, True)


@scenario(
    "does-not-wait-for-what-lies-before",
    "A range near the end of a large blob does not wait for the bytes before it",
    refs=(*LAZY, "nora#654", MEASURED),
)
def test_does_not_wait_for_what_lies_before(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A lazy layer's table of contents is its last part. Behind gigabytes, the container starts
    later than with a plain pull."""
    blob = a_blob(upstream, size=300_000)
    held = upstream.on("GET", blob, where=lambda call: call.header("range") is None)
    held.hang(after=100_000)
    cache = target.proxy(upstream)

    early = cache.get(
        blob_path(REPOSITORY, blob), headers={"Range": "bytes=-100"}, timeout=scaled(2)
    )
    held.release()

    settle(cache, upstream)
    expect.client("status", early.status, 206)
    expect.client("the part, while the rest hangs", early.body == blob.content[-100:], True)
    expect.upstream("blob bodies", bodies(upstream), at_least(1))
    expect.client(
        "the whole is right", cache.get(blob_path(REPOSITORY, blob)).body == blob.content, True
    )


@scenario(
    "wrong-part-is-not-kept",
    "Wrong bytes from upstream for a range do not enter the cache",
    refs=("OCI image-spec: Descriptor, Verification", *LAZY, MEASURED),
    needs=OBSERVED,
)
def test_wrong_part_is_not_kept(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A part of a layer cannot be verified, so it must not become part of the stored blob."""
    blob = a_blob(upstream)
    upstream.on("GET", blob, where=lambda call: call.header("range") is not None).corrupt()
    cache = target.proxy(upstream)

    cache.get(blob_path(REPOSITORY, blob), headers={"Range": "bytes=15000-15099"})
    stored = cached(cache, blob)
    whole = cache.get(blob_path(REPOSITORY, blob))

    expect.client("the whole is right afterwards", whole.body == blob.content, True)
    expect.disk("the whole is cached", stored, True)
