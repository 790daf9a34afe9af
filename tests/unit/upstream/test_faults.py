"""Each fault, as httpx meets it and as it is on the wire."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from harness.content import CHUNK, Blob, Image
from harness.upstream import MockUpstream
from tests.unit.upstream.raw import RawConnection, ask

TAG = "/v2/team/app/manifests/v1"


@pytest.fixture
def layer(image: Image) -> Blob:
    return image.layers[0]


@pytest.fixture
def path(layer: Blob) -> str:
    return f"/v2/team/app/blobs/{layer.digest}"


# -- another answer -----------------------------------------------------------------------------


def test_a_redirect_to_another_host_keeps_the_path(
    upstream: MockUpstream,
    make_upstream: Callable[..., MockUpstream],
    client: httpx.Client,
    image: Image,
    path: str,
) -> None:
    cdn = make_upstream()
    cdn.add("team/app", image)
    upstream.on("GET", kind="blob").redirect(cdn.url)
    answer = client.get(f"{path}?ns=x", follow_redirects=True)
    assert answer.content == image.layers[0].content
    assert cdn.ledger.lines() == [f"GET {path}?ns=x"]


def test_headers_are_replaced_added_and_dropped(
    upstream: MockUpstream, client: httpx.Client, image: Image
) -> None:
    upstream.on("GET", TAG).headers(
        {"docker-content-digest": None, "Content-Type": "text/plain", "X-Extra": "1"}
    )
    answer = client.get(TAG)
    assert answer.content == image.content
    assert "docker-content-digest" not in answer.headers
    assert answer.headers["x-extra"] == "1"
    assert answer.headers.get_list("content-type") == ["text/plain"]


def test_a_body_without_a_length_ends_with_the_connection(
    upstream: MockUpstream, layer: Blob, path: str
) -> None:
    upstream.on("GET", path).headers({"Content-Length": None})
    with RawConnection(upstream) as connection:
        connection.send("GET", path)
        answer = connection.receive_all()
    assert "Content-Length" not in answer.head
    assert "Connection: close" in answer.head
    assert (answer.body, answer.end) == (layer.content, "closed")


def test_chunked(upstream: MockUpstream, client: httpx.Client, layer: Blob, path: str) -> None:
    upstream.on("GET", path).chunked()
    answer = client.get(path)
    assert answer.content == layer.content
    assert "content-length" not in answer.headers
    raw = ask(upstream, "GET", path)
    assert raw.body == b"1000\r\n" + layer.content + b"\r\n0\r\n\r\n"
    assert {entry.sent_bytes for entry in upstream.ledger.entries} == {layer.size}
    assert client.head(path).status_code == 200


def test_wrong_bytes(upstream: MockUpstream, client: httpx.Client, layer: Blob, path: str) -> None:
    upstream.on("GET", path).corrupt()
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["docker-content-digest"] == layer.digest
    assert len(answer.content) == layer.size
    assert not any(a == b for a, b in zip(answer.content, layer.content, strict=True))
    part = client.get(path, headers={"Range": "bytes=10-19"})
    assert part.content == answer.content[10:20]


# -- another delivery ---------------------------------------------------------------------------


def test_a_hang_before_the_head_lasts_until_released(
    upstream: MockUpstream, layer: Blob, path: str
) -> None:
    fault = upstream.on("GET", path).hang()
    with RawConnection(upstream) as connection:
        connection.send("GET", path, "Connection: close")
        entry = upstream.ledger.wait_for(lambda entry: entry.fault == "hang before the head")
        assert (entry.status, entry.outcome) == (None, "pending")
        fault.release()
        assert connection.receive_all().body == layer.content
    assert ask(upstream, "GET", path).body == layer.content  # an open gate blocks no request


def test_a_hang_in_the_body(upstream: MockUpstream, layer: Blob, path: str) -> None:
    fault = upstream.on("GET", path).hang(after=1000)
    with RawConnection(upstream) as connection:
        connection.send("GET", path)
        connection.receive_head()
        assert connection.receive(1000) == layer.content[:1000]
        connection.socket.settimeout(0.02)
        with pytest.raises(TimeoutError):
            connection.socket.recv(1)
        (entry,) = upstream.ledger.entries
        assert (entry.status, entry.sent_bytes, entry.outcome) == (200, 1000, "pending")
        fault.release()
        connection.socket.settimeout(10)
        assert connection.receive(layer.size - 1000) == layer.content[1000:]


def test_clearing_the_faults_lets_go_who_hangs(upstream: MockUpstream, path: str) -> None:
    upstream.on("GET", path).hang()
    with RawConnection(upstream) as connection:
        connection.send("GET", path)
        upstream.ledger.wait_for(lambda entry: entry.path == path)
        upstream.clear_faults()
        assert connection.receive_head().startswith("HTTP/1.1 200")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_reset_before_the_head(
    upstream: MockUpstream, client: httpx.Client, path: str, method: str
) -> None:
    upstream.on(method, path).reset()
    answer = ask(upstream, method, path)
    assert (answer.data, answer.end) == (b"", "reset")
    with pytest.raises(httpx.ReadError):
        client.request(method, path)
    entry = upstream.ledger.entries[0]
    assert (entry.status, entry.outcome, entry.sent_bytes) == (None, "cut", 0)


@pytest.mark.parametrize("after", [0, 1, 1000, 4095])
def test_a_reset_after_so_many_bytes(
    upstream: MockUpstream, client: httpx.Client, layer: Blob, path: str, after: int
) -> None:
    upstream.on("GET", path).reset(after)
    answer = ask(upstream, "GET", path)
    assert "Content-Length: 4096" in answer.head
    assert (answer.body, answer.end) == (layer.content[:after], "reset")
    entry = upstream.ledger.entries[0]
    assert (entry.status, entry.outcome, entry.sent_bytes) == (200, "cut", after)
    with pytest.raises(httpx.ReadError):
        client.get(path)


def test_a_reset_comes_after_all_bytes_even_for_a_slow_reader(upstream: MockUpstream) -> None:
    """More than socket buffers hold: a reset too early would throw away what waits in them."""
    blob = upstream.add("team/app", Blob.of_size(32 * 2**20))
    cut = 30 * 2**20 + 17
    upstream.on("GET", blob).reset(after=cut)
    with RawConnection(upstream) as connection:
        connection.send("GET", f"/v2/team/app/blobs/{blob.digest}")
        connection.receive_head()
        received = connection.receive(1)
        upstream.ledger.wait_for(lambda entry: entry.sent_bytes > CHUNK)
        rest = connection.receive_all()
    assert rest.end == "reset"
    assert len(received + rest.data) == cut


@pytest.mark.parametrize("after", [0, 1, 1000, 4095])
def test_truncation(
    upstream: MockUpstream, client: httpx.Client, layer: Blob, path: str, after: int
) -> None:
    upstream.on("GET", path).truncate(after)
    answer = ask(upstream, "GET", path)
    assert "Content-Length: 4096" in answer.head
    assert (answer.body, answer.end) == (layer.content[:after], "closed")
    assert upstream.ledger.entries[0].outcome == "cut"
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(path)


# -- which requests -----------------------------------------------------------------------------
def statuses(client: httpx.Client, path: str, count: int) -> list[int | str]:
    found: list[int | str] = []
    for _ in range(count):
        try:
            found.append(client.get(path).status_code)
        except httpx.ReadError:
            found.append("reset")
    return found


def test_first_n_times_then_success(
    upstream: MockUpstream, client: httpx.Client, path: str
) -> None:
    fault = upstream.on("GET", path, times=2).status(503)
    upstream.on("GET", path).reset().times(1)
    assert statuses(client, path, 5) == [503, 503, "reset", 200, 200]
    assert fault.hits == 2


def test_states(upstream: MockUpstream, client: httpx.Client, path: str) -> None:
    """The manifest breaks the registry, which recovers when the test says so."""
    upstream.on("GET", TAG, state="start").headers({"X": "y"}).then("broken")
    upstream.on(kind="blob", state="broken").status(500)
    assert statuses(client, path, 1) == [200]
    assert client.get(TAG).headers["x"] == "y"
    assert (upstream.state, statuses(client, path, 2)) == ("broken", [500, 500])
    assert "x" not in client.get(TAG).headers
    upstream.state = "well"
    assert statuses(client, path, 1) == [200]
    upstream.clear_faults()
    assert upstream.state == "start"


def test_a_condition_that_fails_is_reported(
    upstream: MockUpstream, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.on("GET", path, where=lambda call: 1 / len(call.body) > 0).status(500)
    answer = ask(upstream, "GET", path)
    assert (answer.data, answer.end) == (b"", "closed")
    assert "the mock upstream failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert upstream.ledger.entries[0].outcome == "cut"
