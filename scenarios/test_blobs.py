"""Pulling blobs through a cache: what is downloaded, what is kept, and what becomes of a download
that goes wrong."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from harness.content import Blob, an_image
from harness.http.client import Answer, Call
from harness.suite.expectation import Expectations, at_least
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import MUST, SHOULD, scenario
from harness.targets.registry import RunningRegistry
from harness.upstream import Bearer, MockUpstream
from reference_registry.digest import digest_of
from scenarios.blobs import LATE, OTHER, REPOSITORY, a_blob, bodies, cached, path
from scenarios.steps import OBSERVED, credentials, settle

PULLING = "OCI distribution-spec: Pulling blobs"
CHECKING = "OCI distribution-spec: Checking if content exists in the registry"
MIRROR = "distribution docs: Registry as a pull through cache"
RANGE = "RFC 9110, 14 Range Requests"
MEASURED = "measured on 2.8.2 to 3.1.1"


# -- HEAD --------------------------------------------------------------------------------------
@scenario(
    "blob.head-is-not-a-download",
    "HEAD of a blob does not download it",
    level=SHOULD,
    refs=(CHECKING, "RFC 9110, 9.3.2 HEAD", MEASURED),
)
def test_head_is_not_a_download(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Pushes, scanners and dashboards ask whether a layer exists. If each question downloads it,
    they cost the traffic of a full pull and make the client wait for it."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    answer = cache.head(path(blob))

    settle(cache, upstream)
    expect.client("status", answer.status, 200)
    expect.client("Content-Length", answer.headers.get("Content-Length"), str(blob.size))
    expect.client("digest", answer.digest, blob.digest)
    expect.upstream("blob bodies", bodies(upstream), 0)
    expect.disk("blobs", len(cache.disk.blobs()), 0)


@scenario(
    "blob.head-of-a-hit",
    "HEAD of a cached blob costs nothing upstream and has the headers of GET",
    level=SHOULD,
    refs=(CHECKING, "RFC 9110, 9.3.2 HEAD"),
)
def test_head_of_a_hit(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Clients size their progress bars and lazy loaders their first ranges by it."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)
    cache.get(path(blob))
    settle(cache, upstream)
    upstream.ledger.clear()

    head, get = cache.head(path(blob)), cache.get(path(blob))

    for name in ("Content-Length", "Content-Type", "Docker-Content-Digest", "Etag"):
        expect.client(
            f"{name} of HEAD is that of GET", head.headers.get(name), get.headers.get(name)
        )
    expect.client("body", head.body, b"")
    expect.upstream("requests", upstream.ledger.lines(), [])


@scenario(
    "blob.upstream-without-head",
    "An upstream that has no HEAD for blobs, or tells no length there, is asked in another way",
    level=SHOULD,
    refs=(CHECKING, "RFC 9110, 9.3.2 HEAD", MEASURED),
)
@pytest.mark.parametrize("how", ["refused", "no-length"])
def test_upstream_without_head(
    how: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Gateways and simple registries. A blob of theirs that one repository has must be had by
    another, too, and HEAD must not become a download for it."""
    blob = a_blob(upstream, REPOSITORY, OTHER, size=8_000_000)
    fault = upstream.on("HEAD", kind="blob")
    fault.status(405) if how == "refused" else fault.headers({"Content-Length": None})
    cache = target.proxy(upstream)

    head = cache.head(path(blob))
    settle(cache, upstream)
    sent = sum(entry.sent_bytes for entry in upstream.ledger.select(kind="blob"))
    get = cache.get(path(blob))
    settle(cache, upstream)
    other = cache.get(path(blob, OTHER))

    told = head.headers.get("Content-Length")
    expect.client("status of HEAD", head.status, 200)
    expect.client("it tells the length", told == str(blob.size), True)
    expect.client("the bytes are right", digest_of(get.body) == blob.digest, True)
    expect.client("in the other repository", digest_of(other.body) == blob.digest, True)
    expect.upstream("bytes sent for HEAD", sent < 1000, True)


# -- GET ---------------------------------------------------------------------------------------
@scenario(
    "blob.cold-get-costs-one-body",
    "The first GET of a blob costs one body upstream, and caches it",
    level=SHOULD,
    refs=("d#3569", MIRROR, MEASURED),
    needs=OBSERVED,
)
def test_cold_get_costs_one_body(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Downloading every layer twice doubles the bill for egress and the time of the first pull on a
    thin line."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    answer = cache.get(path(blob))

    stored = cached(cache, blob)
    settle(cache, upstream)
    expect.client("status", answer.status, 200)
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.upstream("blob bodies", bodies(upstream), 1)
    expect.disk("it is cached", stored, True)
    expect.disk("unfinished uploads", len(cache.disk.uploads(REPOSITORY)), 0)


@scenario(
    "blob.hit-costs-nothing",
    "A cached blob is served without a word to upstream, also with upstream gone",
    level=SHOULD,
    refs=(MIRROR, "d#3705", MEASURED),
)
def test_hit_costs_nothing(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The point of the cache: layers are nearly all of the bytes."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)
    cache.get(path(blob))
    settle(cache, upstream)
    upstream.ledger.clear()

    online = cache.get(path(blob))
    lines = upstream.ledger.lines()
    upstream.down()
    offline = cache.get(path(blob))

    expect.client("the bytes are right", online.body == blob.content, True)
    expect.client("with upstream gone", offline.body == blob.content, True)
    expect.upstream("requests", lines, [])


@scenario(
    "blob.miss-has-the-headers-of-a-hit",
    "The first pull of a blob is answered with the same headers as later ones",
    level=SHOULD,
    refs=(PULLING, "RFC 9110, 8.8.3 ETag", MEASURED),
)
def test_miss_has_the_headers_of_a_hit(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Without a length clients show no progress and cannot tell a whole body from half of one; an
    unquoted entity tag is no entity tag."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)

    miss = cache.get(path(blob))
    cached(cache, blob)
    hit = cache.get(path(blob))

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


@scenario(
    "blob.empty",
    "A blob without any bytes is cached like any other",
    level=SHOULD,
    refs=(PULLING,),
)
def test_empty(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """Artifacts have them; a cache that takes "no bytes" for "failed" would fetch it for ever."""
    blob = upstream.add(REPOSITORY, Blob(b""))
    cache = target.proxy(upstream)

    first = cache.get(path(blob))
    stored = cached(cache, blob)
    upstream.down()
    second = cache.get(path(blob))

    expect.client("statuses", [first.status, second.status], [200, 200])
    expect.client("bodies", [first.body, second.body], [b"", b""])
    expect.client("length on a hit", second.headers.get("Content-Length"), "0")
    expect.disk("it is cached", stored, True)


@scenario(
    "blob.bytes-as-they-are",
    "Upstream is asked for blobs as they are, without a content coding",
    level=SHOULD,
    refs=("RFC 9110, 12.5.3 Accept-Encoding", MEASURED),
)
def test_bytes_as_they_are(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Layers are compressed already. A CDN that takes up the offer of gzip sends no length, serves
    no ranges, and makes the cache unpack what it then stores."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    answer = cache.get(path(blob))

    offered = {
        entry.header("accept-encoding") or "identity"
        for entry in upstream.ledger.select("GET", kind="blob")
    }
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.upstream("codings offered", offered, {"identity"})


# -- parts and conditions ----------------------------------------------------------------------
@scenario(
    "blob.range-of-a-hit",
    "A range of a cached blob is 206 with exactly that part",
    level=SHOULD,
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
    """docker and containerd resume broken downloads with it, lazy pullers (stargz, nydus, SOCI)
    start containers with it."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)
    cache.get(path(blob))
    settle(cache, upstream)
    upstream.ledger.clear()

    answer = cache.get(path(blob), headers={"Range": f"bytes={wanted}"})

    expect.client("status", answer.status, 206)
    expect.client(
        "Content-Range", answer.headers.get("Content-Range"), f"bytes {start}-{stop - 1}/20000"
    )
    expect.client("the bytes are right", answer.body == blob.content[start:stop], True)
    expect.upstream("requests", upstream.ledger.lines(), [])


@scenario(
    "blob.range-outside",
    "A range beyond the end of a cached blob is 416, as a complete answer",
    level=SHOULD,
    refs=("RFC 9110, 15.5.17 416 Range Not Satisfiable",),
)
def test_range_outside(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """What a client asks that has the whole blob already and resumes all the same."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)
    cache.get(path(blob))
    cached(cache, blob)

    answer = cache.get(path(blob), headers={"Range": "bytes=20000-"})

    expect.client("status", answer.status, 416)
    expect.client("Content-Range", answer.headers.get("Content-Range"), "bytes */20000")
    expect.client("the body is complete", answer.error is None, True)


@scenario(
    "blob.range-of-a-miss",
    "A range of a blob that is not cached is 206, and the cache stays right",
    level=SHOULD,
    refs=("d#4667", RANGE, MEASURED),
    needs=OBSERVED,
)
def test_range_of_a_miss(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Lazy pullers ask for the last kilobytes of a layer first. Given the whole layer instead, they
    are slower than a plain pull; and a part that was stored as the whole would break everybody."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)

    part = cache.get(path(blob), headers={"Range": "bytes=100-199"})
    whole = cache.get(path(blob))

    expect.client("status", part.status, 206)
    expect.client("length of the part", len(part.body), 100)
    expect.client("the part is right", part.body == blob.content[100:200], True)
    expect.client("the whole is right afterwards", whole.body == blob.content, True)
    expect.disk("the whole is cached", cached(cache, blob), True)
    expect.disk("the stored bytes are right", _stored(cache, blob) == blob.content, True)


@scenario(
    "blob.not-modified",
    "If-None-Match of a blob's own digest is 304 without a body",
    level=SHOULD,
    refs=("RFC 9110, 13.1.2 If-None-Match", MEASURED),
)
@pytest.mark.parametrize("hit", [True, False], ids=["hit", "miss"])
def test_not_modified(
    hit: bool, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A web cache before the registry revalidates with it; sending the layer again defeats it."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream)
    if hit:
        cache.get(path(blob))
        cached(cache, blob)

    answer = cache.get(path(blob), headers={"If-None-Match": f'"{blob.digest}"'})

    expect.client("status", answer.status, 304)
    expect.client("bytes sent", len(answer.body), 0)


# -- many clients ------------------------------------------------------------------------------
@scenario(
    "blob.concurrent-first-pulls",
    "Clients that pull a new blob at the same moment cost one body together",
    level=SHOULD,
    refs=("d#1334", "d#3969", "d#3569", MEASURED),
)
def test_concurrent_first_pulls(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A rollout to a hundred nodes downloads a new layer a hundred times otherwise."""
    blob = a_blob(upstream)
    upstream.on("GET", blob).delay(LATE)
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    answers = cache.client.parallel([Call("GET", path(blob))] * 6)

    stored = cached(cache, blob)
    settle(cache, upstream)
    right = [answer.body == blob.content for answer in answers]
    expect.client("the bytes are right", right, [True] * 6)
    expect.upstream("blob bodies", bodies(upstream), 1)
    expect.disk("it is cached", stored, True)
    expect.disk("unfinished uploads", len(cache.disk.uploads(REPOSITORY)), 0)


@scenario(
    "blob.second-repository",
    "A blob that another repository has cached costs no second body",
    level=SHOULD,
    refs=("OCI distribution-spec: Mounting a blob from another repository", MEASURED),
)
def test_second_repository(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Most images share their base layers; the bytes are on disk already."""
    blob = a_blob(upstream, REPOSITORY, OTHER)
    cache = target.proxy(upstream)
    cache.get(path(blob))
    cached(cache, blob)
    upstream.ledger.clear()

    answer = cache.get(path(blob, OTHER))

    stored = cached(cache, blob, OTHER)
    settle(cache, upstream)
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.upstream("blob bodies", bodies(upstream), 0)
    expect.disk("it is linked", stored, True)


@scenario(
    "blob.other-repository-asks",
    "A cached blob is not served to a repository that does not have it upstream",
    level=SHOULD,
    refs=("d#1899", MIRROR, MEASURED),
)
def test_other_repository_asks(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Whoever knows a digest could otherwise read a private repository's layers through a public
    one's name."""
    blob = a_blob(upstream, REPOSITORY)
    cache = target.proxy(upstream)
    cache.get(path(blob))
    cached(cache, blob)

    get, head = cache.get(path(blob, OTHER)), cache.head(path(blob, OTHER))

    expect.client("statuses", [get.status, head.status], [404, 404])
    expect.client("error code", get.error_code, "BLOB_UNKNOWN")
    expect.disk("it is linked there", blob.digest in cache.disk.layer_links(OTHER), False)


@scenario(
    "blob.two-repositories-at-once",
    "Two repositories that pull the same new blob at once both have it cached",
    level=SHOULD,
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

    with cache.client.open(path(blob)) as first, cache.client.open(path(blob, OTHER)) as second:
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
    "blob.client-leaves",
    "A client that leaves during the first pull neither ends the fill nor leaves files behind",
    level=SHOULD,
    refs=("d#4793", "d#4046", MEASURED),
    needs=OBSERVED,
)
def test_client_leaves(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Impatient kubelets give up and come back; if each time the download starts from nothing, a
    large image never arrives."""
    # Large enough not to end before the cache has noticed that nobody reads it.
    blob = a_blob(upstream, size=8_000_000)
    held = upstream.on("GET", blob).hang(after=200_000)
    cache = target.proxy(upstream)

    with cache.client.open(path(blob)) as answer:
        answer.read(1000)
    held.release()

    settle(cache, upstream)
    complete = blob.digest in cache.disk.layer_links(REPOSITORY)
    uploads = len(cache.disk.uploads(REPOSITORY))
    again = cache.get(path(blob))
    expect.client("the next pull is right", again.body == blob.content, True)
    expect.disk("it was cached", complete, True)
    expect.disk("unfinished uploads", uploads, 0)


@scenario(
    "blob.leaver-among-many",
    "When the first of several clients leaves, the others still get the blob",
    level=SHOULD,
    refs=("d#4793", "d#1334", MEASURED),
)
def test_leaver_among_many(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Where downloads are shared, the one who began it must not be the one whom all depend on."""
    blob = a_blob(upstream, size=8_000_000)
    held = upstream.on("GET", blob).hang(after=200_000)
    cache = target.proxy(upstream)

    with ExitStack() as others:
        with cache.client.open(path(blob)) as first:
            first.read(1000)
            answers = [others.enter_context(cache.client.open(path(blob))) for _ in range(2)]
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
    "blob.slow-client",
    "A client that reads slowly holds up nobody else",
    level=SHOULD,
    refs=("d#1334", "d#3969", MEASURED),
)
def test_slow_client(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """One node on a thin line, or one that has been suspended, must not set the pace for a
    rollout."""
    blob = a_blob(upstream, size=12_000_000)
    cache = target.proxy(upstream)

    with cache.client.open(path(blob)) as slow:
        slow.read(1)
        fast = cache.get(path(blob), timeout=10)
        slow.read()

    expect.client("the fast one's bytes are right", digest_of(fast.body) == blob.digest, True)
    expect.client("the slow one's are right", digest_of(bytes(slow.received)) == blob.digest, True)
    expect.disk("it is cached", cached(cache, blob), True)


@scenario(
    "blob.hanging-upstream",
    "A download that hangs holds up no other one, and nothing that is cached",
    level=SHOULD,
    refs=("d#3705", MEASURED),
)
def test_hanging_upstream(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """One stuck connection to a CDN is ordinary; a cache that stops for it is an outage."""
    image = upstream.add(REPOSITORY, an_image(layers=3))
    stuck, there, fresh = image.layers
    held = upstream.on("GET", stuck).hang(after=100)
    cache = target.proxy(upstream)
    cache.get(path(there))
    cached(cache, there)
    waiting = threading.Thread(target=lambda: cache.get(path(stuck)))
    waiting.start()
    upstream.ledger.wait_for(lambda e: e.method == "GET" and e.digest == stuck.digest)

    hit = cache.get(path(there), timeout=5)
    miss = cache.get(path(fresh), timeout=5)
    held.release()
    waiting.join()

    expect.client("a cached blob", hit.body == there.content, True)
    expect.client("another new blob", miss.body == fresh.content, True)


# -- downloads that go wrong -------------------------------------------------------------------
@scenario(
    "blob.cut-short",
    "A blob that upstream cuts short is cut short for the client, too, and is not cached",
    level=MUST,
    refs=("RFC 9112, 8 Handling Incomplete Messages", MEASURED),
    needs=OBSERVED,
)
@pytest.mark.parametrize("how", ["closed", "reset"])
def test_cut_short(
    how: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A client must see that the body is incomplete; then it tries again. Error text inside of the
    layer, or half a layer that looks whole, ends in "unexpected EOF" or worse."""
    blob = a_blob(upstream)
    fault = upstream.on("GET", blob).delay(LATE)
    fault.truncate(after=5000) if how == "closed" else fault.reset(after=5000)
    cache = target.proxy(upstream)

    answer = cache.get(path(blob))
    settle(cache, upstream)
    after_failure = cache.disk.layer_links(REPOSITORY)
    uploads = len(cache.disk.uploads(REPOSITORY))
    upstream.clear_faults()
    again = cache.get(path(blob))

    visible = answer.error is not None or (answer.status or 0) >= 500
    foreign = not blob.content.startswith(answer.body) and answer.status == 200
    expect.client("the failure is visible", visible, True)
    expect.client("other bytes in the body", foreign, False)
    expect.client("the next pull is right", again.body == blob.content, True)
    expect.disk("cached after the failure", len(after_failure), 0)
    expect.disk("unfinished uploads", uploads, 0)


@scenario(
    "blob.wrong-bytes",
    "A blob whose bytes do not match its digest is not cached, and the client sees a failure",
    level=SHOULD,
    refs=("OCI image-spec: Descriptor, Verification", MEASURED),
    needs=OBSERVED,
)
def test_wrong_bytes(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """Clients verify, too, but only after the download, and then blame the cache. What matters is
    that the next client does not get the same wrong bytes."""
    blob = a_blob(upstream)
    upstream.on("GET", blob).delay(LATE).corrupt()
    cache = target.proxy(upstream)

    answer = cache.get(path(blob))
    settle(cache, upstream)
    after_failure = cache.disk.layer_links(REPOSITORY)
    uploads = len(cache.disk.uploads(REPOSITORY))
    upstream.clear_faults()
    again = cache.get(path(blob))

    visible = answer.error is not None or (answer.status or 0) >= 500
    expect.client("the failure is visible", visible, True)
    expect.client("the next pull is right", again.body == blob.content, True)
    expect.disk("cached after the failure", len(after_failure), 0)
    expect.disk("unfinished uploads", uploads, 0)
    expect.disk("the right bytes are cached", cached(cache, blob), True)
    expect.disk("the stored bytes are right", _stored(cache, blob) == blob.content, True)


@scenario(
    "blob.resumed",
    "A download that upstream breaks off once is resumed where it ended",
    level=SHOULD,
    refs=(RANGE, MEASURED),
)
def test_resumed(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """CDNs break off long downloads all the time. Every client behind the cache would have to begin
    again, although upstream offers to go on."""
    blob = a_blob(upstream)
    broken = upstream.on("GET", blob, where=lambda call: call.header("range") is None)
    broken.delay(LATE).truncate(after=5000)
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    answer = cache.get(path(blob))

    settle(cache, upstream)
    resumed = {entry.header("range") for entry in upstream.ledger.select("GET", kind="blob")}
    expect.client("the answer is complete", answer.error is None, True)
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.upstream("ranges asked for", resumed - {None}, {"bytes=5000-"})
    expect.disk("it is cached", blob.digest in cache.disk.layer_links(REPOSITORY), True)


@scenario(
    "blob.get-fails-after-head",
    "An upstream that knows the blob but fails to send it gives a clean error",
    level=SHOULD,
    refs=("d#3842", "d#4477", MEASURED),
)
def test_get_fails_after_head(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """An error that announces the layer's length makes the client wait for bytes that never come,
    and reads as a network fault."""
    blob = a_blob(upstream)
    upstream.on("GET", blob).status(503)
    cache = target.proxy(upstream)

    answer = cache.get(path(blob))
    settle(cache, upstream)

    expect.client("status", answer.status, at_least(500))
    expect.client("the error is complete", answer.error is None, True)
    expect.client("it has an error code", answer.error_code is not None, True)
    expect.disk("blobs", cache.disk.blobs(), set())
    expect.disk("unfinished uploads", len(cache.disk.uploads(REPOSITORY)), 0)


@scenario(
    "blob.no-length",
    "An upstream that does not tell a blob's length can be cached",
    level=SHOULD,
    refs=("RFC 9110, 8.6 Content-Length", MEASURED),
    needs=OBSERVED,
)
def test_no_length(upstream: MockUpstream, target: TargetUnderTest, expect: Expectations) -> None:
    """Gateways that send chunked answers do this; the digest is all that is needed to verify."""
    blob = a_blob(upstream)
    upstream.on("HEAD", blob).headers({"Content-Length": None})
    upstream.on("GET", blob).chunked()
    cache = target.proxy(upstream)

    answer = cache.get(path(blob))

    expect.client("status", answer.status, 200)
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.disk("blobs", len(_eventually_blobs(cache, answer)), 1)


@scenario(
    "blob.redirect",
    "An upstream may send the cache elsewhere for a blob, and no credential goes along",
    level=SHOULD,
    refs=("RFC 9110, 15.4 Redirection", MEASURED),
    needs=OBSERVED,
)
def test_redirect(
    make_upstream: type[MockUpstream], target: TargetUnderTest, expect: Expectations
) -> None:
    """Docker Hub, ECR, Quay and GCR all serve layers from a CDN by redirect. A token that follows
    is in the hands of a third party."""
    source = make_upstream(auth=Bearer("puller", "secret"))
    cdn = make_upstream()
    blob = source.add(REPOSITORY, Blob.of_size(20_000))
    cdn.add(REPOSITORY, blob)
    source.on("GET", blob).redirect(cdn.url + path(blob))
    cache = target.proxy(source, upstream_login=("puller", "secret"))

    answer = cache.get(path(blob))

    stored = cached(cache, blob)
    expect.client("status", answer.status, 200)
    expect.client("Location", answer.headers.get("Location"), None)
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.upstream("credentials at the CDN", credentials(cdn), {"none"})
    expect.disk("it is cached", stored, True)


@scenario(
    "blob.vanished-bytes",
    "A cached blob whose file has vanished is fetched again",
    level=SHOULD,
    refs=("d#3722", "d#4046", "d#2367", MEASURED),
    needs=OBSERVED,
)
@pytest.mark.parametrize("descriptors", [None, "inmemory"], ids=["no-cache", "inmemory"])
def test_vanished_bytes(
    descriptors: str | None, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A restored backup, a careless rm or the expiry of another repository's copy takes bytes away
    under a link. With the descriptor cache of the stock configuration clients then get 200 and
    nothing."""
    blob = a_blob(upstream)
    cache = target.proxy(upstream, cache=descriptors)
    cache.get(path(blob))
    settle(cache, upstream)
    cache.get(path(blob))
    cache.disk.blob_path(blob.digest).unlink()

    answer = cache.get(path(blob))

    settle(cache, upstream)
    expect.client("status", answer.status, 200)
    expect.client("the body is complete", answer.error is None, True)
    expect.client("the bytes are right", answer.body == blob.content, True)
    expect.disk("it is cached again", cache.disk.has_blob(blob.digest), True)


@scenario(
    "blob.neutral-media-type",
    "A blob's type is octet-stream, whatever upstream called it",
    level=SHOULD,
    refs=(PULLING, MEASURED),
)
def test_neutral_media_type(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A layer that is called text/html is shown, and its scripts run, by a browser that somebody
    sends to the cache's address."""
    blob = a_blob(upstream)
    upstream.on(None, blob).headers({"Content-Type": "text/html"})
    cache = target.proxy(upstream)

    miss = cache.get(path(blob))
    cached(cache, blob)
    hit = cache.get(path(blob))

    expect.client("type on a miss", miss.headers.get("Content-Type"), "application/octet-stream")
    expect.client("type on a hit", hit.headers.get("Content-Type"), "application/octet-stream")


# -- helpers -----------------------------------------------------------------------------------
def _stored(cache: RunningRegistry, blob: Blob) -> bytes:
    return cache.disk.blob_bytes(blob.digest) if cache.disk.has_blob(blob.digest) else b""


def _eventually_blobs(cache: RunningRegistry, answer: Answer) -> set[str]:
    if answer.status == 200:
        cache.eventually(cache.disk.blobs)
    return cache.disk.blobs()
