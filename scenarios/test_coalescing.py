"""Many clients want the same thing before the cache has it: what that costs upstream, and what they
have to do with each other's luck."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.content import Blob, an_image
from harness.http.client import Call, OpenAnswer
from harness.suite.expectation import Expectations, at_least
from harness.suite.lab import TargetUnderTest
from harness.suite.scenario import SHOULD, scenario
from harness.upstream import Bearer, MockUpstream
from scenarios.blobs import LATE, OTHER, REPOSITORY, a_blob, bodies, cached, path
from scenarios.pulling import manifest_path, pull_manifest
from scenarios.steps import settle

HERD = ("d#1334", "d#3969")
MEASURED = "measured on 2.8.2 to 3.1.1"


# -- one question for all ------------------------------------------------------------------------
@scenario(
    "coalescing.manifest-by-digest",
    "Clients that pull a new manifest by its digest at the same moment cost one body together",
    level=SHOULD,
    refs=(*HERD, MEASURED),
)
def test_manifest_by_digest(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Deployments that are pinned to a digest roll out to all nodes at once, too."""
    image = upstream.add(REPOSITORY, an_image(), tags=("v1",))
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
    "coalescing.question-about-a-tag",
    "Clients that ask for a cached tag at the same moment cost one question together",
    level=SHOULD,
    refs=("d#3407", "zot#4393", MEASURED),
)
def test_question_about_a_tag(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A cache that asks upstream at each pull whether a tag has moved passes a rollout on to it,
    small as the questions are."""
    image = upstream.add(REPOSITORY, an_image(), tags=("v1",))
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
    "coalescing.question-whether-a-blob-exists",
    "Clients that ask at the same moment whether a blob exists cost one question together",
    level=SHOULD,
    refs=(*HERD, MEASURED),
)
def test_question_whether_a_blob_exists(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Build farms push the same base image from all of their machines, and ask before they do."""
    blob = a_blob(upstream)
    upstream.on(None, blob).delay(LATE)
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    answers = cache.client.parallel([Call("HEAD", path(blob))] * 6)

    settle(cache, upstream)
    expect.client("statuses", [answer.status for answer in answers], [200] * 6)
    expect.upstream("questions", upstream.ledger.count("HEAD", kind="blob"), 1)
    expect.upstream("blob bodies", bodies(upstream), 0)


@scenario(
    "coalescing.token",
    "Clients that pull from one repository at the same moment cost one token together",
    level=SHOULD,
    refs=("d#4050", "distribution docs: Token Authentication Specification", MEASURED),
)
def test_token(
    make_upstream: type[MockUpstream], target: TargetUnderTest, expect: Expectations
) -> None:
    """Token servers limit rates, too, and are the slowest part of most registries."""
    upstream = make_upstream(auth=Bearer("puller", "secret"))
    blobs = [upstream.add(REPOSITORY, Blob.of_size(20_000 + n)) for n in range(6)]
    upstream.on(kind="token").delay(LATE)
    cache = target.proxy(upstream, upstream_login=("puller", "secret"))
    upstream.ledger.clear()

    answers = cache.client.parallel([Call("GET", path(blob)) for blob in blobs])

    for blob in blobs:
        cached(cache, blob)
    right = [answer.body == blob.content for answer, blob in zip(answers, blobs, strict=True)]
    expect.client("the bytes are right", right, [True] * 6)
    expect.upstream("tokens", upstream.ledger.count(kind="token"), 1)


# -- reading while it arrives ----------------------------------------------------------------------
@scenario(
    "coalescing.first-bytes-come-at-once",
    "Clients get the bytes of a blob as they come from upstream, the late ones too",
    level=SHOULD,
    refs=("zot#3463", *HERD, MEASURED),
)
def test_first_bytes_come_at_once(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """A cache that downloads the whole before it answers doubles the time of a first pull, and lets
    clients run into their timeouts."""
    blob = a_blob(upstream, size=300_000)
    held = upstream.on("GET", blob).hang(after=200_000)
    cache = target.proxy(upstream)
    upstream.ledger.clear()

    answers: list[OpenAnswer] = []
    early = also_late = unfinished = False
    # Where nothing is told before all is there, there is not even the head of an answer.
    with suppress(ConnectionError), cache.client.open(path(blob), timeout=5) as first:
        answers.append(first)
        early = len(first.read(150_000)) >= 150_000
        with cache.client.open(path(blob), timeout=5) as late:
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
    expect.client("the first had its beginning while upstream was sending", early, True)
    expect.client("so had the one that came later", also_late, True)
    expect.client("the bytes are right", right, [True] * 2)
    expect.upstream("it had not finished then", unfinished, True)
    expect.upstream("blob bodies", bodies(upstream), 1)


# -- one client's bad luck -------------------------------------------------------------------------
@scenario(
    "coalescing.first-client-of-a-manifest-leaves",
    "When the client that asked first for a manifest gives up, the others still get it",
    level=SHOULD,
    refs=("zot#4345", "zot#4357", MEASURED),
)
@pytest.mark.parametrize("reference", ["tag", "digest"])
def test_first_client_of_a_manifest_leaves(
    reference: str, upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """Where questions are shared, an impatient client must not take the answer away from all."""
    image = upstream.add(REPOSITORY, an_image(), tags=("v1",))
    wanted = manifest_path(REPOSITORY, "v1" if reference == "tag" else image.digest)
    held = upstream.on("GET", kind="manifest").hang()
    cache = target.proxy(upstream)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, wanted, headers=ACCEPT, timeout=0.5)
        upstream.ledger.wait_for(lambda e: e.method == "GET" and e.kind == "manifest")
        second = pool.submit(cache.get, wanted, headers=ACCEPT, timeout=10)
        gave_up = first.result().status is None
        held.release()
        answer = second.result()

    expect.client("the first has given up", gave_up, True)
    expect.client("status of the second", answer.status, 200)
    expect.client("its bytes are right", answer.body == image.content, True)


@scenario(
    "coalescing.refusal-is-for-one-repository",
    "Upstream's refusal of a blob to one repository is not told to another that may have it",
    level=SHOULD,
    refs=("d#1899", "zot#4345", MEASURED),
)
def test_refusal_is_for_one_repository(
    upstream: MockUpstream, target: TargetUnderTest, expect: Expectations
) -> None:
    """The same layer, pulled at the same moment under a name that may and one that may not."""
    blob = a_blob(upstream, REPOSITORY, OTHER)
    held = upstream.on("GET", blob, repository=OTHER).hang().status(403)
    cache = target.proxy(upstream)

    with ThreadPoolExecutor(2) as pool:
        refused = pool.submit(cache.get, path(blob, OTHER))
        upstream.ledger.wait_for(lambda e: e.method == "GET" and e.repository == OTHER)
        allowed = pool.submit(cache.get, path(blob))
        # Whoever shares the first question has asked nothing that could be waited for.
        cache.eventually(lambda: upstream.ledger.count("GET", repository=REPOSITORY), timeout=0.5)
        held.release()
        good, bad = allowed.result(), refused.result()

    settle(cache, upstream)
    expect.client("status where it may", good.status, 200)
    expect.client("the bytes are right", good.body == blob.content, True)
    expect.client("status where it may not", bad.status, at_least(400))
    expect.disk(
        "it is linked where it may", blob.digest in cache.disk.layer_links(REPOSITORY), True
    )
    expect.disk("it is linked where not", blob.digest in cache.disk.layer_links(OTHER), False)
