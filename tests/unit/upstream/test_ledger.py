"""The ledger tells the truth, at once, to any thread."""

from __future__ import annotations

import threading

import httpx
import pytest

from harness.content import Blob, Image
from harness.upstream import Entry, MockUpstream
from tests.unit.upstream.raw import RawConnection

TAG = "/v2/team/app/manifests/v1"


def test_entries_say_what_was_asked_and_answered(
    upstream: MockUpstream, client: httpx.Client, image: Image
) -> None:
    client.head(TAG)
    client.get(f"{TAG}?ns=docker.io", headers={"Accept": "a/b", "X-Twice": "1"})
    client.get(f"/v2/team/app/blobs/{image.config.digest}", headers={"Range": "bytes=0-9"})
    client.get("/v2/team/app/tags/list?n=1")
    client.get("/nowhere")
    head, manifest, blob, tags, other = upstream.ledger.entries
    assert (head.method, head.kind, head.tag, head.digest) == ("HEAD", "manifest", "v1", None)
    assert (head.status, head.sent_bytes, head.outcome) == (200, 0, "complete")
    assert (manifest.path, manifest.query) == (TAG, "ns=docker.io")
    assert (manifest.repository, manifest.sent_bytes) == ("team/app", image.size)
    assert (manifest.header("accept"), manifest.header("x-twice")) == ("a/b", "1")
    assert manifest.header("x-none") is None
    assert (blob.kind, blob.digest, blob.tag) == ("blob", image.config.digest, None)
    assert (blob.status, blob.sent_bytes) == (206, 10)
    assert (tags.kind, other.kind, other.repository) == ("tags", "other", None)
    assert {entry.credential for entry in upstream.ledger.entries} == {"none"}
    assert upstream.ledger.lines() == [
        f"HEAD {TAG}",
        f"GET {TAG}?ns=docker.io",
        f"GET /v2/team/app/blobs/{image.config.digest}",
        "GET /v2/team/app/tags/list?n=1",
        "GET /nowhere",
    ]


def test_a_client_that_has_its_answer_finds_it_in_the_ledger(
    upstream: MockUpstream, client: httpx.Client, image: Image
) -> None:
    for count in range(1, 101):
        client.get(TAG)
        entry = upstream.ledger.entries[-1]
        assert upstream.ledger.count() == count
        assert (entry.status, entry.sent_bytes, entry.outcome) == (200, image.size, "complete")


def test_waiting_for_requests_of_another_thread(
    upstream: MockUpstream, client: httpx.Client, image: Image
) -> None:
    def pull() -> None:
        for _ in range(3):
            client.get(TAG)

    thread = threading.Thread(target=pull)
    thread.start()
    third = upstream.ledger.wait_for(lambda entry: entry.outcome == "complete", count=3)
    thread.join()
    assert third == upstream.ledger.entries[2]


def test_a_client_that_leaves_in_the_middle(upstream: MockUpstream) -> None:
    blob = upstream.add("team/app", Blob.of_size(64 * 2**20))
    with RawConnection(upstream) as connection:
        connection.send("GET", f"/v2/team/app/blobs/{blob.digest}")
        connection.receive_head()
        connection.receive(1000)
    upstream.ledger.wait_idle()
    (entry,) = upstream.ledger.entries
    assert (entry.status, entry.outcome) == (200, "client left")
    assert 1000 <= entry.sent_bytes < blob.size


def test_watchers_see_each_request_when_its_answer_has_ended(
    upstream: MockUpstream, client: httpx.Client, image: Image
) -> None:
    seen: list[Entry] = []
    upstream.ledger.watch(seen.append)
    client.get(TAG)
    client.head(TAG)
    assert seen == list(upstream.ledger.entries)


def test_what_is_cleared_while_it_is_answered_stays_away(
    upstream: MockUpstream, image: Image
) -> None:
    fault = upstream.on("GET", TAG).hang()
    with RawConnection(upstream) as connection:
        connection.send("GET", TAG)
        upstream.ledger.wait_for(lambda entry: entry.path == TAG)
        upstream.ledger.clear()
        upstream.ledger.wait_idle()
        fault.release()
        assert connection.receive_head().startswith("HTTP/1.1 200")
    assert upstream.ledger.entries == ()


def test_one_line_asserts_what_was_asked(
    upstream: MockUpstream, client: httpx.Client, image: Image
) -> None:
    ledger = upstream.ledger
    assert ledger.assert_asked(times=0) == []
    client.head(TAG)
    client.get(TAG)
    client.get(f"{TAG}?ns=docker.io")
    (head,) = ledger.assert_asked("HEAD", "manifests/v1", times=1)
    assert head.status == 200
    assert len(ledger.assert_asked("GET", TAG)) == 2
    ledger.assert_asked("GET", f"{TAG}?ns=*", times=1)
    ledger.assert_asked("GET", image.layers[0], times=0)
    ledger.assert_asked(kind="manifest", repository="team/app", times=3)
    with pytest.raises(AssertionError) as caught:
        ledger.assert_asked("GET", TAG, times=1)
    assert str(caught.value).splitlines() == [
        f"asked twice, not once: GET {TAG}",
        "all requests:",
        f"  HEAD {TAG} -> 200, 0 bytes",
        f"  GET {TAG} -> 200, {image.size} bytes",
        f"  GET {TAG}?ns=docker.io -> 200, {image.size} bytes",
    ]
    with pytest.raises(
        AssertionError, match=r"never asked: GET /v2/team/app/manifests/v2\nnearest"
    ):
        ledger.assert_asked("GET", "/v2/team/app/manifests/v2")
    with pytest.raises(AssertionError, match=r"asked 3 times, not never: \* manifest"):
        ledger.assert_asked(kind="manifest", times=0)
