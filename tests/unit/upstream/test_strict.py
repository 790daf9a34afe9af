"""Unexpected requests, and the expectation that was nearest."""

from __future__ import annotations

import httpx
import pytest

from harness.content import Image
from harness.upstream import Match, MockUpstream
from tests.unit.upstream.raw import RawConnection

TAG = "/v2/team/app/manifests/v1"


@pytest.mark.usefixtures("image")
def test_what_can_be_answered_is_expected(upstream: MockUpstream, client: httpx.Client) -> None:
    for path in ("/v2/", TAG, "/v2/team/app/tags/list"):
        client.get(path)
    upstream.on("GET", "/v2/team/app/manifests/gone").status(404)
    client.get("/v2/team/app/manifests/gone")
    upstream.assert_no_unexpected()
    client.get("/v2/team/app/manifests/v2")
    (entry,) = upstream.unexpected
    assert entry.line == "GET /v2/team/app/manifests/v2"
    with pytest.raises(AssertionError) as caught:
        upstream.assert_no_unexpected()
    assert str(caught.value).splitlines() == [
        f"the upstream {upstream.url} got unexpected requests:",
        "unexpected: GET /v2/team/app/manifests/v2",
        f"  nearest is 'GET {TAG}': '1' instead of '2'",
    ]
    upstream.ledger.clear()
    upstream.assert_no_unexpected()


def test_only_what_was_announced_is_expected(
    upstream: MockUpstream, client: httpx.Client, image: Image
) -> None:
    upstream.strict([f"HEAD {TAG}", image.config.digest, Match.of("GET", kind="base")])
    client.head(TAG)
    client.get("/v2/")
    assert client.get(f"/v2/team/app/blobs/{image.config.digest}").status_code == 200
    upstream.assert_no_unexpected()
    assert client.get(TAG).status_code == 200
    with pytest.raises(AssertionError, match="'HEAD /v2/team/app/manifests/v1': 'HEAD"):
        upstream.assert_no_unexpected()


def test_nothing_is_expected(upstream: MockUpstream, client: httpx.Client) -> None:
    upstream.strict([])
    client.get("/v2/")
    with pytest.raises(AssertionError, match="nothing is expected"):
        upstream.assert_no_unexpected()
    upstream.strict()
    upstream.ledger.clear()
    client.get("/v2/")
    upstream.assert_no_unexpected()


def test_what_is_not_http_is_unexpected_and_answered_400(upstream: MockUpstream) -> None:
    with RawConnection(upstream) as connection:
        connection.socket.sendall(b"EHLO upstream\r\n\r\n")
        answer = connection.receive_all()
    assert answer.head.startswith("HTTP/1.1 400 ")
    (entry,) = upstream.unexpected
    assert (entry.method, entry.status) == ("?", 400)


def test_a_strict_upstream_complains_at_the_end_of_its_block(http: httpx.Client) -> None:
    def ask_for_nothing(*, strictly: bool) -> None:
        with MockUpstream() as upstream:
            if strictly:
                upstream.strict()
            http.get(f"{upstream.url}/nowhere")

    with pytest.raises(AssertionError, match="unexpected: GET /nowhere"):
        ask_for_nothing(strictly=True)
    ask_for_nothing(strictly=False)


def test_an_error_in_the_block_is_not_hidden(http: httpx.Client) -> None:
    def fail() -> None:
        with MockUpstream() as upstream:
            upstream.strict()
            http.get(f"{upstream.url}/nowhere")
            raise LookupError("the test's own error")

    with pytest.raises(LookupError):
        fail()


def test_what_was_scripted_or_announced_for_nothing(
    upstream: MockUpstream, client: httpx.Client, image: Image
) -> None:
    upstream.strict(["GET /v2/", f"HEAD {TAG}"])
    upstream.on("GET", image.layers[0]).reset(after=1000).times(1)
    upstream.on("GET", "/v2/").delay(0)
    assert client.get("/v2/").status_code == 200
    with pytest.raises(AssertionError) as caught:
        upstream.assert_all_called()
    assert str(caught.value).splitlines() == [
        f"the upstream {upstream.url} did not get:",
        f"never asked: GET {image.layers[0].digest} (reset after 1000 bytes)",
        f"never asked: HEAD {TAG}",
        "all requests:",
        "  GET /v2/ -> 200, 2 bytes [fault: delay 0 s]",
    ]
    client.head(TAG)
    with pytest.raises(httpx.TransportError):
        client.get(f"/v2/team/app/blobs/{image.layers[0].digest}")
    upstream.assert_all_called()
