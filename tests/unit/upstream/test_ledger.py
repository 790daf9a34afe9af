"""The ledger tells the truth, at once, to any thread."""

from __future__ import annotations

import httpx
import pytest

from harness.content import Blob, Image
from harness.upstream import LedgerEntry, MockUpstream
from tests.unit.upstream.raw import RawConnection

TAG = "/v2/team/app/manifests/v1"


def test_a_client_that_has_its_answer_finds_it_in_the_ledger(
    upstream: MockUpstream, client: httpx.Client, image: Image
) -> None:
    for count in range(1, 101):
        client.get(TAG)
        entry = upstream.ledger.entries[-1]
        assert upstream.ledger.count() == count
        assert (entry.status, entry.sent_bytes, entry.outcome) == (200, image.size, "complete")


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
    seen: list[LedgerEntry] = []
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
