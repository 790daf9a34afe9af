"""Pulling blobs through a cache: what is downloaded and kept, and what happens when a download
fails."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from harness.content import Blob, an_image
from harness.http.client import Answer, Call
from harness.suite.expectation import Expectations, at_least
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import MUST, theme
from harness.system.ports import scaled
from harness.targets.registry import RunningRegistry
from harness.upstream import Bearer, MockUpstream
from reference_registry.digest import digest_of
from scenarios.blobs import LATE, OTHER, REPOSITORY, a_blob, bodies, cached
from scenarios.pulling import blob_path
from scenarios.steps import OBSERVED, credentials, settle

PULLING = "OCI distribution-spec: Pulling blobs"
CHECKING = "OCI distribution-spec: Checking if content exists in the registry"
MIRROR = "distribution docs: Registry as a pull through cache"
RANGE = "RFC 9110, 14 Range Requests"
MEASURED = "measured on 2.8.2 to 3.1.1"
scenario = theme("blob", refs=(CHECKING, "RFC 9110, 9.3.2 HEAD", MEASURED))


# -- HEAD --------------------------------------------------------------------------------------
@scenario("head-is-not-a-download", "HEAD of a blob does not download it")
def test_head_is_not_a_download(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Pushes, scanners and dashboards ask whether a layer exists. If each HEAD downloads the layer,
    it costs the traffic of a full pull and the client waits for it."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    answer = cache.head(blob_path(REPOSITORY, blob))

    settle(cache, upstream)
    expect.client("status", answer.status, 200)
    expect.client("Content-Length", answer.headers.get("Content-Length"), str(blob.size))
    expect.client("digest", answer.digest, blob.digest)
    expect.upstream("blob bodies", bodies(upstream), 0)
    expect.disk("blobs", len(cache.disk.blobs()), 0)


@scenario(
    "head-of-a-hit",
    "HEAD of a cached blob sends nothing upstream and has the headers of GET",
    refs=(CHECKING, "RFC 9110, 9.3.2 HEAD"),
)
def test_head_of_a_hit(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Clients size their progress bars by it, and lazy loaders choose their first ranges."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)
    cache.get(blob_path(REPOSITORY, blob))
    settle(cache, upstream)
    upstream.ledger.clear()

    head, get = cache.head(blob_path(REPOSITORY, blob)), cache.get(blob_path(REPOSITORY, blob))

    for name in ("Content-Length", "Content-Type", "Docker-Content-Digest", "Etag"):
        expect.client(
            f"{name} of HEAD is that of GET", head.headers.get(name), get.headers.get(name)
        )
    expect.client("body", head.body, b"")
    expect.upstream("requests", upstream.ledger.lines(), [])


@scenario(
    "upstream-without-head",
    "A blob of an upstream without HEAD, or without a length in HEAD, can still be looked up",
)
@pytest.mark.parametrize("how", ["refused", "no-length"])
def test_upstream_without_head(
    how: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Gateways and simple registries behave so. The cache must still share such a blob between
    repositories, and HEAD must not become a download."""
    blob = a_blob(upstream, REPOSITORY, OTHER, size=8_000_000)
    fault = upstream.on("HEAD", kind="blob")
    fault.status(405) if how == "refused" else fault.headers({"Content-Length": None})
    cache = target.proxy(upstream)

    head = cache.head(blob_path(REPOSITORY, blob))
    settle(cache, upstream)
    sent = sum(entry.sent_bytes for entry in upstream.ledger.select(kind="blob"))
    get = cache.get(blob_path(REPOSITORY, blob))
    settle(cache, upstream)
    other = cache.get(blob_path(OTHER, blob))

    reported = head.headers.get("Content-Length")
    expect.client("status of HEAD", head.status, 200)
    expect.client("Content-Length is right", reported == str(blob.size), True)
    expect.client("the bytes are right", digest_of(get.body) == blob.digest, True)
    expect.client("in the other repository", digest_of(other.body) == blob.digest, True)
    expect.upstream("bytes sent for HEAD", sent < 1000, True)


# -- GET ---------------------------------------------------------------------------------------
@scenario(
    "cold-get-costs-one-body",
    "The first GET of a blob downloads it once and caches it",
    refs=("d#3569", MIRROR, MEASURED),
    needs=OBSERVED,
)
def test_cold_get_costs_one_body(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Downloading every layer twice doubles the egress bill and the time of the first pull on a
    slow link."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    answer = cache.get(blob_path(REPOSITORY, blob))

    stored = cached(cache, blob)
    settle(cache, upstream)
    expect.client("status", answer.status, 200)
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.upstream("blob bodies", bodies(upstream), 1)
    expect.disk("it is cached", stored, True)
    expect.disk("unfinished uploads", len(cache.disk.uploads(REPOSITORY)), 0)


@scenario(
    "hit-costs-nothing",
    "A cache hit on a blob sends nothing upstream, and works while upstream is down",
    refs=(MIRROR, "d#3705", MEASURED),
)
def test_hit_costs_nothing(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The point of the cache: layers are nearly all of the bytes."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)
    cache.get(blob_path(REPOSITORY, blob))
    settle(cache, upstream)
    upstream.ledger.clear()

    online = cache.get(blob_path(REPOSITORY, blob))
    lines = upstream.ledger.lines()
    upstream.down()
    offline = cache.get(blob_path(REPOSITORY, blob))

    expect.client("the bytes are right", online.body == blob.content, True)
    expect.client("with upstream gone", offline.body == blob.content, True)
    expect.upstream("requests", lines, [])


@scenario(
    "miss-has-the-headers-of-a-hit",
    "A cache miss on a blob has the same headers as a hit",
    refs=(PULLING, "RFC 9110, 8.8.3 ETag", MEASURED),
)
def test_miss_has_the_headers_of_a_hit(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Without a length clients show no progress and cannot detect a truncated body. An unquoted
    entity tag is invalid."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)

    miss = cache.get(blob_path(REPOSITORY, blob))
    cached(cache, blob)
    hit = cache.get(blob_path(REPOSITORY, blob))

    expected = {
        "Content-Length": str(blob.size),
        "Content-Type": "application/octet-stream",
        "Docker-Content-Digest": blob.digest,
        "Etag": f'"{blob.digest}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "max-age=31536000",
    }
    for name, value in expected.items():
        expect.client(f"{name} on a miss", miss.headers.get(name), value)
        expect.client(f"{name} on a hit", hit.headers.get(name), value)


@scenario("empty", "An empty blob is cached like any other", refs=(PULLING,))
def test_empty(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """Artifacts contain them. A cache that takes zero bytes for a failure fetches them on every
    pull."""
    blob = upstream.add(REPOSITORY, Blob(b""))
    cache = target.proxy(upstream)

    first = cache.get(blob_path(REPOSITORY, blob))
    stored = cached(cache, blob)
    upstream.down()
    second = cache.get(blob_path(REPOSITORY, blob))

    expect.client("statuses", [first.status, second.status], [200, 200])
    expect.client("bodies", [first.body, second.body], [b"", b""])
    expect.client("length on a hit", second.headers.get("Content-Length"), "0")
    expect.disk("it is cached", stored, True)


@scenario(
    "bytes-as-they-are",
    "The cache asks upstream for blobs without content coding",
    refs=("RFC 9110, 12.5.3 Accept-Encoding", MEASURED),
)
def test_bytes_as_they_are(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Layers are compressed already. A CDN that accepts an offer of gzip sends no length, serves no
    ranges, and makes the cache decompress what it stores."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    answer = cache.get(blob_path(REPOSITORY, blob))

    offered = {
        entry.header("accept-encoding") or "identity"
        for entry in upstream.ledger.select("GET", kind="blob")
    }
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.upstream("codings offered", offered, {"identity"})


# -- parts and conditions ----------------------------------------------------------------------
@scenario(
    "range-of-a-hit",
    "A range of a cached blob is answered 206 with exactly that part",
    refs=(RANGE, PULLING, "d#4667"),
)
@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [("0-99", 0, 100), ("19000-", 19_000, 20_000), ("-50", 19_950, 20_000), ("9-9", 9, 10)],
    ids=["closed", "open", "suffix", "one-byte"],
)
def test_range_of_a_hit(
    wanted: str,
    start: int,
    stop: int,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """docker and containerd resume broken downloads with ranges. Lazy pullers (stargz, nydus, SOCI)
    start containers with them."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)
    cache.get(blob_path(REPOSITORY, blob))
    settle(cache, upstream)
    upstream.ledger.clear()

    answer = cache.get(blob_path(REPOSITORY, blob), headers={"Range": f"bytes={wanted}"})

    expect.client("status", answer.status, 206)
    expect.client(
        "Content-Range", answer.headers.get("Content-Range"), f"bytes {start}-{stop - 1}/20000"
    )
    expect.client("the bytes are right", answer.body == blob.content[start:stop], True)
    expect.upstream("requests", upstream.ledger.lines(), [])


@scenario(
    "range-outside",
    "A range beyond the end of a cached blob is answered 416, with a complete response",
    refs=("RFC 9110, 15.5.17 416 Range Not Satisfiable",),
)
def test_range_outside(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A client that already has the whole blob and resumes anyway sends this."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)
    cache.get(blob_path(REPOSITORY, blob))
    cached(cache, blob)

    answer = cache.get(blob_path(REPOSITORY, blob), headers={"Range": "bytes=20000-"})

    expect.client("status", answer.status, 416)
    expect.client("Content-Range", answer.headers.get("Content-Range"), "bytes */20000")
    expect.client("the body is complete", answer.error is None, True)


@scenario(
    "range-of-a-miss",
    "A range of an uncached blob is answered 206, and the cache stays correct",
    refs=("d#4667", RANGE, MEASURED),
    needs=OBSERVED,
)
def test_range_of_a_miss(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Lazy pullers ask for the last kilobytes of a layer first. If they get the whole layer, they
    are slower than a plain pull; if the part is stored as the whole, every client breaks."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)

    part = cache.get(blob_path(REPOSITORY, blob), headers={"Range": "bytes=100-199"})
    whole = cache.get(blob_path(REPOSITORY, blob))

    expect.client("status", part.status, 206)
    expect.client("length of the part", len(part.body), 100)
    expect.client("the part is right", part.body == blob.content[100:200], True)
    expect.client("the whole is right afterwards", whole.body == blob.content, True)
    expect.disk("the whole is cached", cached(cache, blob), True)
    expect.disk("the stored bytes are right", _stored(cache, blob) == blob.content, True)


@scenario(
    "not-modified",
    "If-None-Match with a blob's own digest is answered 304 without a body",
    refs=("RFC 9110, 13.1.2 If-None-Match", MEASURED),
)
@pytest.mark.parametrize("hit", [True, False], ids=["hit", "miss"])
def test_not_modified(
    hit: bool, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A web cache in front of the registry revalidates this way; sending the layer again defeats
    it."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)
    if hit:
        cache.get(blob_path(REPOSITORY, blob))
        cached(cache, blob)

    answer = cache.get(blob_path(REPOSITORY, blob), headers={"If-None-Match": f'"{blob.digest}"'})

    expect.client("status", answer.status, 304)
    expect.client("bytes sent", len(answer.body), 0)


# -- many clients ------------------------------------------------------------------------------
@scenario(
    "concurrent-first-pulls",
    "Concurrent first pulls of a blob download it once",
    refs=("d#1334", "d#3969", "d#3569", MEASURED),
)
def test_concurrent_first_pulls(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Otherwise a rollout to a hundred nodes downloads a new layer a hundred times."""
    blob = a_blob(upstream)
    upstream.on("GET", blob).delay(LATE)
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    answers = cache.client.parallel([Call("GET", blob_path(REPOSITORY, blob))] * 6)

    stored = cached(cache, blob)
    settle(cache, upstream)
    right = [answer.body == blob.content for answer in answers]
    expect.client("the bytes are right", right, [True] * 6)
    expect.upstream("blob bodies", bodies(upstream), 1)
    expect.disk("it is cached", stored, True)
    expect.disk("unfinished uploads", len(cache.disk.uploads(REPOSITORY)), 0)


@scenario(
    "second-repository",
    "A blob cached for another repository is not downloaded again",
    refs=("OCI distribution-spec: Mounting a blob from another repository", MEASURED),
)
def test_second_repository(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Most images share their base layers, and the bytes are on disk already."""
    blob = a_blob(upstream, REPOSITORY, OTHER)
    cache = target.proxy(upstream)
    cache.get(blob_path(REPOSITORY, blob))
    cached(cache, blob)
    upstream.ledger.clear()

    answer = cache.get(blob_path(OTHER, blob))

    stored = cached(cache, blob, OTHER)
    settle(cache, upstream)
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.upstream("blob bodies", bodies(upstream), 0)
    expect.disk("it is linked", stored, True)


@scenario(
    "other-repository-asks",
    "A cached blob is not served to a repository that does not have it upstream",
    refs=("d#1899", MIRROR, MEASURED),
)
def test_other_repository_asks(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Otherwise a client that knows a digest reads a private repository's layers through the name
    of a public one."""
    blob = a_blob(upstream, REPOSITORY)
    cache = target.proxy(upstream)
    cache.get(blob_path(REPOSITORY, blob))
    cached(cache, blob)

    get, head = cache.get(blob_path(OTHER, blob)), cache.head(blob_path(OTHER, blob))

    expect.client("statuses", [get.status, head.status], [404, 404])
    expect.client("error code", get.error_code, "BLOB_UNKNOWN")
    expect.disk("it is linked there", blob.digest in cache.disk.layer_links(OTHER), False)


@scenario(
    "two-repositories-at-once",
    "Concurrent pulls of a new blob through two repositories cache it for both",
    refs=(MEASURED, "d#3569"),
    needs=OBSERVED,
)
def test_two_repositories_at_once(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Otherwise the second one's next pull goes to upstream again, or fails while it is down."""
    blob = a_blob(upstream, REPOSITORY, OTHER, size=300_000)
    held = upstream.on("GET", blob).hang(after=200_000)
    cache = target.proxy(upstream)

    with (
        cache.client.open(blob_path(REPOSITORY, blob)) as first,
        cache.client.open(blob_path(OTHER, blob)) as second,
    ):
        for answer in (first, second):
            answer.read(1000)
        held.release()
        for answer in (first, second):
            answer.read()

    settle(cache, upstream)
    right = [bytes(answer.received) == blob.content for answer in (first, second)]
    expect.client("the bytes are right", right, [True] * 2)
    expect.disk("linked in the first", blob.digest in cache.disk.layer_links(REPOSITORY), True)
    expect.disk("linked in the second", blob.digest in cache.disk.layer_links(OTHER), True)


@scenario(
    "client-leaves",
    "A client that disconnects during a cache fill neither stops the fill nor leaves files behind",
    refs=("d#4793", "d#4046", MEASURED),
    needs=OBSERVED,
)
def test_client_leaves(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Kubelets give up and retry. If each retry starts the download from zero, a large image never
    arrives."""
    # Large enough not to end before the cache notices that the client left.
    blob = a_blob(upstream, size=8_000_000)
    held = upstream.on("GET", blob).hang(after=200_000)
    cache = target.proxy(upstream)

    with cache.client.open(blob_path(REPOSITORY, blob)) as answer:
        answer.read(1000)
    held.release()

    settle(cache, upstream)
    complete = blob.digest in cache.disk.layer_links(REPOSITORY)
    uploads = len(cache.disk.uploads(REPOSITORY))
    again = cache.get(blob_path(REPOSITORY, blob))
    expect.client("the next pull is right", again.body == blob.content, True)
    expect.disk("it was cached", complete, True)
    expect.disk("unfinished uploads", uploads, 0)


@scenario(
    "leaver-among-many",
    "When the first of several clients disconnects, the others still get the blob",
    refs=("d#4793", "d#1334", MEASURED),
)
def test_leaver_among_many(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Where clients share a download, it must not depend on the client that started it."""
    blob = a_blob(upstream, size=8_000_000)
    held = upstream.on("GET", blob).hang(after=200_000)
    cache = target.proxy(upstream)

    with ExitStack() as others:
        with cache.client.open(blob_path(REPOSITORY, blob)) as first:
            first.read(1000)
            answers = [
                others.enter_context(cache.client.open(blob_path(REPOSITORY, blob)))
                for _ in range(2)
            ]
            for answer in answers:
                answer.read(1000)
        held.release()
        for answer in answers:
            answer.read()

    settle(cache, upstream)
    right = [digest_of(bytes(answer.received)) == blob.digest for answer in answers]
    expect.client("the bytes are right", right, [True] * 2)
    expect.disk("it is cached", blob.digest in cache.disk.layer_links(REPOSITORY), True)


@scenario(
    "slow-client", "A slow client does not delay other clients", refs=("d#1334", "d#3969", MEASURED)
)
def test_slow_client(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """One node on a slow link, or a suspended one, must not set the pace of a rollout."""
    blob = a_blob(upstream, size=12_000_000)
    cache = target.proxy(upstream)

    with cache.client.open(blob_path(REPOSITORY, blob)) as slow:
        slow.read(1)
        fast = cache.get(blob_path(REPOSITORY, blob), timeout=scaled(10))
        slow.read()

    expect.client("the fast one's bytes are right", digest_of(fast.body) == blob.digest, True)
    expect.client("the slow one's are right", digest_of(bytes(slow.received)) == blob.digest, True)
    expect.disk("it is cached", cached(cache, blob), True)


@scenario(
    "hanging-upstream",
    "A hanging download delays no other download and no cache hit",
    refs=("d#3705", MEASURED),
)
def test_hanging_upstream(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A stuck connection to a CDN is routine. A cache that stops for it causes an outage."""
    image = upstream.add(REPOSITORY, an_image(layers=3))
    stuck, there, fresh = image.layers
    held = upstream.on("GET", stuck).hang(after=100)
    cache = target.proxy(upstream)
    cache.get(blob_path(REPOSITORY, there))
    cached(cache, there)
    waiting = threading.Thread(target=lambda: cache.get(blob_path(REPOSITORY, stuck)))
    waiting.start()
    upstream.ledger.wait_for(lambda e: e.method == "GET" and e.digest == stuck.digest)

    hit = cache.get(blob_path(REPOSITORY, there), timeout=scaled(5))
    miss = cache.get(blob_path(REPOSITORY, fresh), timeout=scaled(5))
    held.release()
    waiting.join()

    expect.client("a cached blob", hit.body == there.content, True)
    expect.client("another new blob", miss.body == fresh.content, True)


# -- downloads that go wrong -------------------------------------------------------------------
@scenario(
    "cut-short",
    "A blob that upstream truncates is truncated for the client too, and is not cached",
    level=MUST,
    refs=("RFC 9112, 8 Handling Incomplete Messages", MEASURED),
    needs=OBSERVED,
)
@pytest.mark.parametrize("how", ["closed", "reset"])
def test_cut_short(
    how: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A client has to see that the body is incomplete, so that it retries. Error text inside the
    layer, or half a layer that looks whole, ends in "unexpected EOF" or worse."""
    blob = a_blob(upstream)
    fault = upstream.on("GET", blob).delay(LATE)
    fault.truncate(after=5000) if how == "closed" else fault.reset(after=5000)
    cache = target.proxy(upstream)

    answer = cache.get(blob_path(REPOSITORY, blob))
    settle(cache, upstream)
    after_failure = cache.disk.layer_links(REPOSITORY)
    uploads = len(cache.disk.uploads(REPOSITORY))
    upstream.clear_faults()
    again = cache.get(blob_path(REPOSITORY, blob))

    visible = answer.error is not None or (answer.status or 0) >= 500
    foreign = not blob.content.startswith(answer.body) and answer.status == 200
    expect.client("the failure is visible", visible, True)
    expect.client("other bytes in the body", foreign, False)
    expect.client("the next pull is right", again.body == blob.content, True)
    expect.disk("cached after the failure", len(after_failure), 0)
    expect.disk("unfinished uploads", uploads, 0)


@scenario(
    "wrong-bytes",
    "A blob that does not match its digest is not cached, and the client sees a failure",
    refs=("OCI image-spec: Descriptor, Verification", MEASURED),
    needs=OBSERVED,
)
def test_wrong_bytes(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """Clients verify too, but only after the download, and then they blame the cache. The next
    client must not get the same wrong bytes."""
    blob = a_blob(upstream)
    upstream.on("GET", blob).delay(LATE).corrupt()
    cache = target.proxy(upstream)

    answer = cache.get(blob_path(REPOSITORY, blob))
    settle(cache, upstream)
    after_failure = cache.disk.layer_links(REPOSITORY)
    uploads = len(cache.disk.uploads(REPOSITORY))
    upstream.clear_faults()
    again = cache.get(blob_path(REPOSITORY, blob))

    visible = answer.error is not None or (answer.status or 0) >= 500
    expect.client("the failure is visible", visible, True)
    expect.client("the next pull is right", again.body == blob.content, True)
    expect.disk("cached after the failure", len(after_failure), 0)
    expect.disk("unfinished uploads", uploads, 0)
    expect.disk("the right bytes are cached", cached(cache, blob), True)
    expect.disk("the stored bytes are right", _stored(cache, blob) == blob.content, True)


@scenario(
    "resumed",
    "A download that upstream drops once is resumed where it stopped",
    refs=(RANGE, MEASURED),
)
def test_resumed(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """CDNs drop long downloads all the time. Without a resume every client has to start again,
    although upstream offers ranges."""
    blob = a_blob(upstream)
    broken = upstream.on("GET", blob, where=lambda call: call.header("range") is None)
    broken.delay(LATE).truncate(after=5000)
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    answer = cache.get(blob_path(REPOSITORY, blob))

    settle(cache, upstream)
    resumed = {entry.header("range") for entry in upstream.ledger.select("GET", kind="blob")}
    expect.client("the answer is complete", answer.error is None, True)
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.upstream("ranges asked for", resumed - {None}, {"bytes=5000-"})
    expect.disk("it is cached", blob.digest in cache.disk.layer_links(REPOSITORY), True)


@scenario(
    "get-fails-after-head",
    "If upstream answers HEAD of a blob but fails its GET, the client gets a clean error",
    refs=("d#3842", "d#4477", MEASURED),
)
def test_get_fails_after_head(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """An error that announces the layer's length makes the client wait for bytes that never come,
    which looks like a network fault."""
    blob = a_blob(upstream)
    upstream.on("GET", blob).status(503)
    cache = target.proxy(upstream)

    answer = cache.get(blob_path(REPOSITORY, blob))
    settle(cache, upstream)

    expect.client("status", answer.status, at_least(500))
    expect.client("the error is complete", answer.error is None, True)
    expect.client("it has an error code", answer.error_code is not None, True)
    expect.disk("blobs", cache.disk.blobs(), set())
    expect.disk("unfinished uploads", len(cache.disk.uploads(REPOSITORY)), 0)


@scenario(
    "no-length",
    "A blob without Content-Length from upstream can be cached",
    refs=("RFC 9110, 8.6 Content-Length", MEASURED),
    needs=OBSERVED,
)
def test_no_length(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """Gateways that send chunked responses do this. The digest is enough to verify the blob."""
    blob = a_blob(upstream)
    upstream.on("HEAD", blob).headers({"Content-Length": None})
    upstream.on("GET", blob).chunked()
    cache = target.proxy(upstream)

    answer = cache.get(blob_path(REPOSITORY, blob))

    expect.client("status", answer.status, 200)
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.disk("blobs", len(_eventually_blobs(cache, answer)), 1)


@scenario(
    "redirect",
    "The cache follows a redirect for a blob without sending credentials along",
    refs=("RFC 9110, 15.4 Redirection", MEASURED),
    needs=OBSERVED,
)
def test_redirect(
    make_upstream: type[MockUpstream], target: TargetUnderTest, expect: Expectations
) -> None:
    """Docker Hub, ECR, Quay and GCR all redirect layer downloads to a CDN. A token that follows
    ends up with a third party."""
    source = make_upstream(auth=Bearer("puller", "secret"))
    cdn = make_upstream()
    blob = source.add(REPOSITORY, Blob.of_size(20_000))
    cdn.add(REPOSITORY, blob)
    source.on("GET", blob).redirect(cdn.url + blob_path(REPOSITORY, blob))
    cache = target.proxy(source, upstream_login=("puller", "secret"))

    answer = cache.get(blob_path(REPOSITORY, blob))

    stored = cached(cache, blob)
    expect.client("status", answer.status, 200)
    expect.client("Location", answer.headers.get("Location"), None)
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.upstream("credentials at the CDN", credentials(cdn), {"none"})
    expect.disk("it is cached", stored, True)


@scenario(
    "vanished-bytes",
    "A cached blob whose file is missing is fetched again",
    refs=("d#3722", "d#4046", "d#2367", MEASURED),
    needs=OBSERVED,
)
@pytest.mark.parametrize("descriptors", [None, "inmemory"], ids=["no-cache", "inmemory"])
def test_vanished_bytes(
    descriptors: str | None, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A restored backup, a careless rm or the expiry of another repository's copy removes bytes
    below a link. With the descriptor cache of the stock configuration clients then get 200 and no
    bytes."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream, cache=descriptors)
    cache.get(blob_path(REPOSITORY, blob))
    settle(cache, upstream)
    cache.get(blob_path(REPOSITORY, blob))
    cache.disk.blob_path(blob.digest).unlink()

    answer = cache.get(blob_path(REPOSITORY, blob))

    settle(cache, upstream)
    expect.client("status", answer.status, 200)
    expect.client("the body is complete", answer.error is None, True)
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.disk("it is cached again", cache.disk.has_blob(blob.digest), True)


@scenario(
    "neutral-media-type",
    "A blob is served as application/octet-stream, whatever type upstream sends",
    refs=(PULLING, MEASURED),
)
def test_neutral_media_type(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A browser that is sent to the cache's address would render a layer of type text/html and run
    its scripts."""
    blob = a_blob(upstream)
    upstream.on(None, blob).headers({"Content-Type": "text/html"})
    cache = target.proxy(upstream)

    miss = cache.get(blob_path(REPOSITORY, blob))
    cached(cache, blob)
    hit = cache.get(blob_path(REPOSITORY, blob))

    expect.client("type on a miss", miss.headers.get("Content-Type"), "application/octet-stream")
    expect.client("type on a hit", hit.headers.get("Content-Type"), "application/octet-stream")


# -- helpers -----------------------------------------------------------------------------------
def _stored(cache: RunningRegistry, blob: Blob) -> bytes:
    return cache.disk.blob_bytes(blob.digest) if cache.disk.has_blob(blob.digest) else b""


def _eventually_blobs(cache: RunningRegistry, answer: Answer) -> set[str]:
    if answer.status == 200:
        cache.eventually(cache.disk.blobs)
    return cache.disk.blobs()
