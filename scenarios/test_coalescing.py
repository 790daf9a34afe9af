"""Many clients want the same content before the cache has it: what it costs upstream, and how
clients affect each other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.content import Blob, Image
from harness.http.client import Call, OpenAnswer
from harness.suite.expectation import Expectations, at_least
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import theme
from harness.system.ports import scaled
from harness.upstream import Bearer, MockUpstream
from scenarios.blobs import LATE, OTHER, REPOSITORY, a_blob, bodies, cached
from scenarios.pulling import blob_path, manifest_path, pull_manifest
from scenarios.steps import settle

HERD = ("d#1334", "d#3969")
MEASURED = "measured on 2.8.2 to 3.1.1"
scenario = theme("coalescing", refs=(*HERD, MEASURED))


# -- one question for all ------------------------------------------------------------------------
@scenario("manifest-by-digest", "Concurrent first pulls of a manifest by digest fetch it once")
def test_manifest_by_digest(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Deployments pinned to a digest roll out to all nodes at once too."""
    upstream.on("GET", image).delay(LATE)
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    call = Call("GET", manifest_path(REPOSITORY, image.digest), ACCEPT)
    answers = cache.client.parallel([call] * 6)

    settle(cache, upstream)
    right = [answer.body == image.content for answer in answers]
    expect.client("the bytes are right", right, [True] * 6)
    expect.upstream("manifest bodies", upstream.ledger.count("GET", kind="manifest"), 1)
    expect.disk("it is cached", image.digest in cache.disk.revisions(REPOSITORY), True)


@scenario(
    "question-about-a-tag",
    "Concurrent pulls of a cached tag share one upstream request",
    refs=("d#3407", "zot#4393", MEASURED),
)
def test_question_about_a_tag(
    image: Image, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A cache that revalidates a tag on every pull otherwise passes the whole rollout on to
    upstream."""
    cache = target.proxy(upstream)
    pull_manifest(cache, REPOSITORY, image, "v1")
    upstream.on("HEAD", kind="manifest").delay(LATE)
    upstream.ledger.clear()

    answers = cache.client.parallel([Call("GET", manifest_path(REPOSITORY, "v1"), ACCEPT)] * 6)

    right = [answer.body == image.content for answer in answers]
    expect.client("the bytes are right", right, [True] * 6)
    expect.upstream("questions about the tag", upstream.ledger.count("HEAD", tag="v1"), 1)
    expect.upstream("manifest bodies", upstream.ledger.count("GET", kind="manifest"), 0)


@scenario(
    "question-whether-a-blob-exists",
    "Concurrent HEAD requests for a blob share one upstream request",
)
def test_question_whether_a_blob_exists(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Build farms push the same base image from all machines, and check for its layers first."""
    blob = a_blob(upstream)
    upstream.on(None, blob).delay(LATE)
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    answers = cache.client.parallel([Call("HEAD", blob_path(REPOSITORY, blob))] * 6)

    settle(cache, upstream)
    expect.client("statuses", [answer.status for answer in answers], [200] * 6)
    expect.upstream("questions", upstream.ledger.count("HEAD", kind="blob"), 1)
    expect.upstream("blob bodies", bodies(upstream), 0)


@scenario(
    "token",
    "Concurrent pulls from one repository share one token request",
    refs=("d#4050", "distribution docs: Token Authentication Specification", MEASURED),
)
def test_token(
    make_upstream: type[MockUpstream], target: TargetUnderTest, expect: Expectations
) -> None:
    """Token servers have rate limits too, and are the slowest part of most registries."""
    upstream = make_upstream(auth=Bearer("puller", "secret"))
    blobs = [upstream.add(REPOSITORY, Blob.of_size(20_000 + n)) for n in range(6)]
    upstream.on(kind="token").delay(LATE)
    cache = target.proxy(upstream, upstream_login=("puller", "secret"))
    upstream.ledger.clear()

    answers = cache.client.parallel([Call("GET", blob_path(REPOSITORY, blob)) for blob in blobs])

    for blob in blobs:
        cached(cache, blob)
    right = [answer.body == blob.content for answer, blob in zip(answers, blobs, strict=True)]
    expect.client("the bytes are right", right, [True] * 6)
    expect.upstream("tokens", upstream.ledger.count(kind="token"), 1)


# -- reading while it arrives ----------------------------------------------------------------------
@scenario(
    "first-bytes-come-at-once",
    "Clients get a blob's bytes as they arrive from upstream, late clients too",
    refs=("zot#3463", *HERD, MEASURED),
)
def test_first_bytes_come_at_once(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A cache that downloads the whole blob before it answers doubles the time of a first pull, and
    clients time out."""
    blob = a_blob(upstream, size=300_000)
    held = upstream.on("GET", blob).hang(after=200_000)
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    answers: list[OpenAnswer] = []
    early = also_late = unfinished = False
    # A cache that answers only after the whole download has not even sent the head.
    with (
        suppress(ConnectionError),
        cache.client.open(blob_path(REPOSITORY, blob), timeout=scaled(5)) as first,
    ):
        answers.append(first)
        early = len(first.read(150_000)) >= 150_000
        with cache.client.open(blob_path(REPOSITORY, blob), timeout=scaled(5)) as late:
            answers.append(late)
            also_late = len(late.read(150_000)) >= 150_000
            sent = upstream.ledger.select("GET", digest=blob.digest)
            unfinished = all(entry.outcome == "pending" for entry in sent)
            held.release()
            late.read()
        first.read()
    held.release()

    settle(cache, upstream)
    right = [bytes(answer.received) == blob.content for answer in answers]
    expect.client("the first client got its beginning while upstream was sending", early, True)
    expect.client("the late client got its beginning too", also_late, True)
    expect.client("the bytes are right", right, [True] * 2)
    expect.upstream("upstream had not finished then", unfinished, True)
    expect.upstream("blob bodies", bodies(upstream), 1)


# -- one client's bad luck -------------------------------------------------------------------------
@scenario(
    "first-client-of-a-manifest-leaves",
    "When the first client of a manifest disconnects, the others still get it",
    refs=("zot#4345", "zot#4357", MEASURED),
)
@pytest.mark.parametrize("reference", ["tag", "digest"])
def test_first_client_of_a_manifest_leaves(
    reference: str,
    image: Image,
    upstream: MockUpstream,
    target: TargetUnderTest,
    expect: Expectations,
) -> None:
    """Where clients share a request, an impatient one must not cancel it for all."""
    wanted = manifest_path(REPOSITORY, "v1" if reference == "tag" else image.digest)
    held = upstream.on("GET", kind="manifest").hang()
    cache = target.proxy(upstream)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, wanted, headers=ACCEPT, timeout=0.5)
        upstream.ledger.wait_for(lambda e: e.method == "GET" and e.kind == "manifest")
        second = pool.submit(cache.get, wanted, headers=ACCEPT, timeout=scaled(10))
        gave_up = first.result().status is None
        held.release()
        answer = second.result()

    expect.client("the first client has given up", gave_up, True)
    expect.client("status of the second", answer.status, 200)
    expect.client("its bytes are right", answer.body == image.content, True)


@scenario(
    "refusal-is-for-one-repository",
    "An upstream refusal for one repository does not reach clients of another",
    refs=("d#1899", "zot#4345", MEASURED),
)
def test_refusal_is_for_one_repository(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The same layer is pulled at the same moment through an allowed repository and a forbidden
    one."""
    blob = a_blob(upstream, REPOSITORY, OTHER)
    held = upstream.on("GET", blob, repository=OTHER).hang().status(403)
    cache = target.proxy(upstream)

    with ThreadPoolExecutor(2) as pool:
        refused = pool.submit(cache.get, blob_path(OTHER, blob))
        upstream.ledger.wait_for(lambda e: e.method == "GET" and e.repository == OTHER)
        allowed = pool.submit(cache.get, blob_path(REPOSITORY, blob))
        # A client that shares the first request causes no request to wait for.
        cache.eventually(lambda: upstream.ledger.count("GET", repository=REPOSITORY), timeout=0.5)
        held.release()
        good, bad = allowed.result(), refused.result()

    settle(cache, upstream)
    expect.client("status where upstream allows it", good.status, 200)
    expect.client("the bytes are right", good.body == blob.content, True)
    expect.client("status where upstream refuses it", bad.status, at_least(400))
    expect.disk(
        "linked where upstream allows it", blob.digest in cache.disk.layer_links(REPOSITORY), True
    )
    expect.disk(
        "linked where upstream refuses it", blob.digest in cache.disk.layer_links(OTHER), False
    )
