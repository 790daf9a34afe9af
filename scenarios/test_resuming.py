"""Upstream drops a blob in the middle: how the download resumes, and when it cannot."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from harness.content import Blob
from harness.suite.expectation import Expectations
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import MUST, theme
from harness.targets.registry import RunningRegistry
from harness.upstream import MockUpstream
from harness.upstream.calls import RegistryCall
from scenarios.blobs import (
    LATE,
    REPOSITORY,
    a_blob,
    cached,
    foreign,
    is_visible_failure,
)
from scenarios.pulling import blob_path
from scenarios.steps import settle

RANGE = "RFC 9110, 14 Range Requests"
INCOMPLETE = "RFC 9112, 8 Handling Incomplete Messages"
MEASURED = "measured on 2.8.2 to 3.1.1"

CUT = 5000
"""Bytes of the blob after which the first body ends."""


def resumes(call: RegistryCall) -> bool:
    """Whether *call* asks for the rest of something."""
    return call.header("range") is not None


def begins(call: RegistryCall) -> bool:
    """Whether *call* asks for the whole."""
    return not resumes(call)


def ranges(upstream: MockUpstream) -> list[str]:
    """What parts of blobs *upstream* was asked for."""
    found = (entry.header("range") for entry in upstream.ledger.select("GET", kind="blob"))
    return [one for one in found if one is not None]


def pull_and_look(
    cache: RunningRegistry,
    upstream: MockUpstream,
    blob: Blob,
    expect: Expectations,
    *,
    as_sent: bool = False,
) -> None:
    """Pull *blob*, which will fail, and again when upstream behaves; expect an honest failure.
    *as_sent* where upstream's bytes are wrong, so that clients may have had some of them."""
    answer = cache.get(blob_path(REPOSITORY, blob))
    settle(cache, upstream)
    links = cache.disk.layer_links(REPOSITORY)
    uploads = len(cache.disk.uploads(REPOSITORY))
    upstream.clear_faults()
    again = cache.get(blob_path(REPOSITORY, blob))

    expect.client("the failure is visible", is_visible_failure(answer), True)
    if not as_sent:
        expect.client("bytes that are not the blob's", foreign(answer, blob), 0)
    expect.client("the next pull is right", again.body == blob.content, True)
    expect.disk("cached after the failure", len(links), 0)
    expect.disk("unfinished uploads", uploads, 0)
    expect.disk("the right bytes are cached", cached(cache, blob), True)


scenario = theme("resuming", refs=(INCOMPLETE, MEASURED))


# -- it goes on ------------------------------------------------------------------------------------
@scenario(
    "all-clients-of-one-download",
    "When upstream drops a shared download, all its clients get the rest, fetched once",
    refs=(RANGE, "d#1334", MEASURED),
)
def test_all_clients_of_one_download(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """One reset at the CDN in the middle of a rollout, and every node has to start again."""
    blob = a_blob(upstream, size=300_000)
    held = upstream.on("GET", blob, where=begins).hang(after=200_000).truncate(after=250_000)
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    with ExitStack() as stack:
        answers = [
            stack.enter_context(cache.client.open(blob_path(REPOSITORY, blob))) for _ in range(3)
        ]
        for answer in answers:
            answer.read(1000)
        held.release()
        for answer in answers:
            answer.read()

    settle(cache, upstream)
    right = [bytes(answer.received) == blob.content for answer in answers]
    expect.client("the bytes are right", right, [True] * 3)
    expect.upstream("parts asked for", ranges(upstream), ["bytes=250000-"])
    expect.disk("it is cached", blob.digest in cache.disk.layer_links(REPOSITORY), True)


@scenario(
    "range-is-ignored",
    "A download resumes even if upstream ignores Range and sends the whole blob again",
    refs=("RFC 9110, 14.2 Range: a server may ignore it", MEASURED),
)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_range_is_ignored(
    framing: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Gateways and simple registries do not support ranges. Clients must not receive bytes
    twice."""
    blob = a_blob(upstream)
    upstream.on("GET", blob, where=begins).delay(LATE).truncate(after=CUT)
    octets = {"Content-Type": "application/octet-stream"}
    whole = upstream.on("GET", blob, where=resumes).status(200, octets, blob.content)
    if framing == "chunked":
        whole.chunked()
    cache = target.proxy(upstream)

    answer = cache.get(blob_path(REPOSITORY, blob))

    settle(cache, upstream)
    expect.client("the answer is complete", answer.error is None, True)
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.disk("it is cached", blob.digest in cache.disk.layer_links(REPOSITORY), True)


@scenario(
    "other-entity-tag",
    "A download resumes whatever entity tag the rest has, and is verified by its digest",
    refs=("RFC 9110, 13.1.5 If-Range", "OCI image-spec: Descriptor, Verification", MEASURED),
)
def test_other_entity_tag(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Two machines of a CDN often send different entity tags for the same bytes."""
    blob = a_blob(upstream)
    upstream.on("GET", blob, where=begins).delay(LATE).truncate(after=CUT)
    upstream.on("GET", blob, where=resumes).headers({"ETag": '"another"'})
    cache = target.proxy(upstream)

    answer = cache.get(blob_path(REPOSITORY, blob))

    settle(cache, upstream)
    expect.client("the answer is complete", answer.error is None, True)
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.disk("it is cached", blob.digest in cache.disk.layer_links(REPOSITORY), True)


@scenario(
    "asks-the-source-again",
    "The rest of a redirected download is requested from the source, not from the old redirect",
    refs=("d#4599", "RFC 9110, 15.4.8 307 Temporary Redirect", MEASURED),
)
def test_asks_the_source_again(
    make_upstream: type[MockUpstream], target: TargetUnderTest, expect: Expectations
) -> None:
    """The address in a redirect is signed and valid for minutes; a long download outlives it."""
    source, network = make_upstream(), make_upstream()
    blob = a_blob(source)
    a_blob(network)
    source.on("GET", blob).redirect(network.url)
    network.on("GET", blob, where=begins).delay(LATE).truncate(after=CUT)
    cache = target.proxy(source)

    answer = cache.get(blob_path(REPOSITORY, blob))

    settle(cache, source)
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.upstream("parts asked for at the source", ranges(source), [f"bytes={CUT}-"])
    expect.upstream("parts asked for where it leads", ranges(network), [f"bytes={CUT}-"])


# -- it does not -----------------------------------------------------------------------------------
@scenario(
    "broken-again",
    "A download that drops twice ends early for the client, and the next one starts from zero",
    level=MUST,
)
def test_broken_again(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Retries end. The truncated blob must then not be taken for the whole."""
    blob = a_blob(upstream)
    upstream.on("GET", blob, where=begins).delay(LATE).truncate(after=CUT)
    upstream.on("GET", blob, where=resumes).reset(after=1000)
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    pull_and_look(cache, upstream, blob, expect)

    expect.upstream("it asked for the rest", f"bytes={CUT}-" in ranges(upstream), True)


WRONG_RESTS: dict[str, dict[str, Any]] = {
    "another-total": {"Content-Range": "bytes 5000-19999/20001"},
    "another-start": {"Content-Range": "bytes 4999-19998/20000"},
    "no-range": {"Content-Range": None},
    "not-a-range": {"Content-Range": "bytes 5000-19999"},
}


@scenario(
    "wrong-rest",
    "A rest that belongs to another blob ends the download visibly and is not cached",
    level=MUST,
    refs=("RFC 9110, 14.4 Content-Range", INCOMPLETE, MEASURED),
)
@pytest.mark.parametrize("rest", list(WRONG_RESTS))
def test_wrong_rest(
    rest: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A cache that joins parts has to know that they belong together."""
    blob = a_blob(upstream)
    upstream.on("GET", blob, where=begins).delay(LATE).truncate(after=CUT)
    upstream.on("GET", blob, where=resumes).headers(WRONG_RESTS[rest])
    cache = target.proxy(upstream)

    pull_and_look(cache, upstream, blob, expect)


@scenario(
    "wrong-bytes",
    "A rest with wrong bytes ends the download visibly and is not cached",
    level=MUST,
    refs=("OCI image-spec: Descriptor, Verification", INCOMPLETE, MEASURED),
)
def test_wrong_bytes(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """One of two machines of a CDN is broken."""
    blob = a_blob(upstream)
    upstream.on("GET", blob, where=begins).delay(LATE).truncate(after=CUT)
    upstream.on("GET", blob, where=resumes).corrupt()
    cache = target.proxy(upstream)

    pull_and_look(cache, upstream, blob, expect, as_sent=True)


@scenario(
    "rest-is-refused",
    "If upstream refuses the rest, the client's body ends early without an error text",
    level=MUST,
)
@pytest.mark.parametrize("status", [403, 416, 429, 503])
def test_rest_is_refused(
    status: int, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Half a layer went out with status 200; only the early end can signal the failure."""
    blob = a_blob(upstream)
    upstream.on("GET", blob, where=begins).delay(LATE).truncate(after=CUT)
    upstream.on("GET", blob, where=resumes).status(status, None, '{"errors":[]}')
    cache = target.proxy(upstream)

    pull_and_look(cache, upstream, blob, expect)
