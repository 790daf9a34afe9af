"""Start, stop, down and up; connections; TLS; what is left behind."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from harness.content import Blob, Image, an_image
from harness.system.loop import LabLoop
from harness.system.real_parts import real_part
from harness.upstream import Bearer, MockUpstream
from tests.unit.upstream.raw import RawConnection, ask

TAG = "/v2/team/app/manifests/v1"


@pytest.fixture
def loop() -> Iterator[LabLoop]:
    """A loop of the test's own, without other tasks."""
    loop = LabLoop("lifecycle")
    yield loop
    loop.stop()


async def other_tasks() -> int:
    await asyncio.sleep(0)
    return len(asyncio.all_tasks()) - 1


def test_nothing_is_left_after_a_stop(loop: LabLoop) -> None:
    upstream = MockUpstream(loop=loop)
    upstream.start()
    upstream.add("team/app", an_image(), tags=("v1",))
    large = upstream.add("team/app", Blob.of_size(2**25))
    upstream.on("HEAD", TAG).hang()
    with (
        RawConnection(upstream) as idle,
        RawConnection(upstream) as half,
        RawConnection(upstream) as hanging,
        RawConnection(upstream) as busy,
    ):
        idle.send("GET", "/v2/")
        idle.receive_head()
        half.socket.sendall(b"GET /v2/ HT")
        hanging.send("HEAD", TAG)
        busy.send("GET", f"/v2/team/app/blobs/{large.digest}")
        busy.receive_head()
        upstream.ledger.wait_for(lambda entry: entry.method == "HEAD")
        upstream.stop()
        for connection in (half, hanging, busy):
            connection.receive_all()
    assert loop.run(other_tasks()) == 0
    with pytest.raises(ConnectionRefusedError):
        RawConnection(upstream)
    outcomes = [entry.outcome for entry in upstream.ledger.entries]
    assert sorted(outcomes) == ["complete", "cut", "cut"]
    upstream.stop()


def test_down_cuts_what_is_under_way(upstream: MockUpstream, image: Image) -> None:
    upstream.on("GET", TAG).hang(after=10)
    with RawConnection(upstream) as connection:
        connection.send("GET", TAG)
        connection.receive_head()
        upstream.down()
        assert connection.receive_all().data == image.content[:10]
    assert upstream.ledger.entries[0].outcome == "cut"


def test_an_upstream_that_is_down_keeps_its_port(upstream: MockUpstream) -> None:
    upstream.down()
    port = int(upstream.address.rpartition(":")[2])
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))


def test_ipv6(make_upstream: Callable[..., MockUpstream], http: httpx.Client) -> None:
    if not socket.has_ipv6:
        pytest.skip("this Python has no IPv6")
    try:
        upstream = make_upstream(Bearer(), host="::1")
    except OSError as error:
        pytest.skip(f"no IPv6 loopback here: {error.strerror}")
    assert upstream.url.startswith("http://[::1]:")
    assert http.get(upstream.token_url).status_code == 200


# -- connections --------------------------------------------------------------------------------


def test_requests_in_a_row_are_answered_in_order(upstream: MockUpstream, image: Image) -> None:
    with RawConnection(upstream) as connection:
        connection.send("HEAD", TAG)
        connection.send("GET", "/v2/")
        connection.send("GET", TAG, "Connection: close")
        assert f"Content-Length: {image.size}" in connection.receive_head()
        connection.receive_head()
        assert connection.receive(2) == b"{}"
        assert connection.receive_all().body == image.content


def test_a_half_closed_client_gets_its_answer(upstream: MockUpstream, image: Image) -> None:
    with RawConnection(upstream) as connection:
        connection.send("GET", TAG)
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.receive_all().body == image.content


def test_a_client_that_waits_for_100_continue(upstream: MockUpstream) -> None:
    with RawConnection(upstream) as connection:
        connection.send("PUT", TAG, "Content-Length: 5", "Expect: 100-continue")
        assert connection.receive_head() == "HTTP/1.1 100 Continue\r\n\r\n"
        connection.socket.sendall(b"hello")
        assert connection.receive_head().startswith("HTTP/1.1 405 ")


def test_a_tls_handshake_is_not_a_request(upstream: MockUpstream) -> None:
    """skopeo, docker and containerd try it first, and go on in plain HTTP."""
    with RawConnection(upstream) as connection:
        connection.socket.sendall(b"\x16\x03\x01\x00\x05hello")
        assert connection.receive_all().head.startswith("HTTP/1.1 400 ")
    assert upstream.ledger.entries == ()


# -- TLS ----------------------------------------------------------------------------------------
@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = [
        "req",
        "-x509",
        "-noenc",
        "-days",
        "2",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ]
    names = ["-subj", "/CN=mock upstream", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-out", str(certificate), "-keyout", str(key)]
    subprocess.run(
        [real_part("openssl"), *command, *names, *files], check=True, capture_output=True
    )
    return certificate, key


def test_tls(
    make_upstream: Callable[..., MockUpstream], certificate: tuple[Path, Path], loop: LabLoop
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    upstream = make_upstream(ssl_context=context, loop=loop)
    image = upstream.add("team/app", an_image(), tags=("v1",))
    large = upstream.add("team/app", Blob.of_size(3_000_000))
    assert upstream.url.startswith("https://127.0.0.1:")
    trust = ssl.create_default_context(cafile=certificate[0])
    with httpx.Client(base_url=upstream.url, verify=trust) as client:
        assert client.get(TAG).content == image.content
        path = f"/v2/team/app/blobs/{large.digest}"
        assert client.get(path).content == large.content
        upstream.on("GET", path).truncate(after=1000)
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(path)
        upstream.clear_faults()
        upstream.on("GET", path).reset(after=1000)
        with pytest.raises(httpx.TransportError):  # OpenSSL tells a reset from an end or does not
            client.get(path)
    answer = ask(upstream, "GET", "/v2/")  # plain HTTP at a TLS port
    assert not answer.data.startswith(b"HTTP/")
    with RawConnection(upstream):  # a handshake that never begins
        upstream.stop()
    assert loop.run(other_tasks()) == 0
