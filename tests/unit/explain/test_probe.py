"""``--probe`` against real sockets: requests, credentials, hosts that stall."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.cli import main
from harness.clients.authority import Authority
from harness.content import an_image
from harness.nodes.explain import probe
from harness.upstream import MockUpstream
from harness.upstream.auth import Basic, Bearer


def address(upstream: MockUpstream) -> str:
    return upstream.url.removeprefix("http://")


@contextmanager
def raw_server(answer: bytes | None) -> Iterator[str]:
    """Accepts connections and sends *answer* byte by byte without end, or nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()
    taken: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            taken.append(connection)
            if answer is not None:
                threading.Thread(target=drip, args=(connection,), daemon=True).start()

    def drip(connection: socket.socket) -> None:
        try:
            connection.sendall(answer or b"")
            while not over.wait(0.05):
                connection.sendall(b"x")
        except OSError:
            return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    host, port = listener.getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in taken:
            connection.close()
        thread.join()


def asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], hosts: list[str], *more: str
) -> tuple[int, str]:
    """Exit code and output for hosts of which the last is the server."""
    directory = tmp_path / "up.example"
    directory.mkdir(exist_ok=True)
    *mirrors, server = hosts
    text = f'server = "http://{server}"\n' + "".join(f'[host."http://{m}"]\n' for m in mirrors)
    (directory / "hosts.toml").write_text(text or "")
    command = ["explain", "up.example/team/app:v1", "--certs-d", str(tmp_path)]
    code = main([*command, "--containerd", "1.7.32", *more])
    return code, capsys.readouterr().out


@pytest.fixture
def basic() -> Iterator[MockUpstream]:
    with MockUpstream(Basic("user", "p4ssword")) as upstream:
        upstream.add("team/app", an_image(layers=1), tags=("v1",))
        yield upstream


@pytest.fixture
def secret(tmp_path: Path) -> str:
    path = tmp_path / "secret.json"
    path.write_text('{"auths": {"up.example": {"username": "user", "password": "p4ssword"}}}')
    return str(path)


def test_head_only_and_no_credentials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], basic: MockUpstream, secret: str
) -> None:
    code, text = asked(tmp_path, capsys, [address(basic)], "--pull-secret", secret, "--probe")
    assert code == 0
    assert "HEAD /v2/ 401, HEAD manifest 401, requires basic" in text
    assert "credentials not tried" in text
    seen = [(entry.method, entry.path) for entry in basic.ledger.entries]
    assert seen == [("HEAD", "/v2/"), ("HEAD", "/v2/team/app/manifests/v1")]
    assert {entry.query for entry in basic.ledger.entries} == {"", "ns=up.example"}
    assert {entry.credential for entry in basic.ledger.entries} == {"none"}


def test_credentials_are_sent_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], basic: MockUpstream, secret: str
) -> None:
    options = ("--pull-secret", secret, "--probe", "--probe-with-credentials")
    code, text = asked(tmp_path, capsys, [address(basic)], *options)
    assert code == 0
    assert "HEAD manifest 200 with the login" in text
    assert "p4ssword" not in text
    sent = [entry.credential for entry in basic.ledger.entries]
    assert sent[:2] == ["none", "none"]
    assert sent[2] != "none"
    assert len(sent) == 3


def test_no_token_is_requested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], secret: str
) -> None:
    with MockUpstream(Bearer("user", "p4ssword")) as upstream:
        upstream.add("team/app", an_image(layers=1), tags=("v1",))
        options = ("--pull-secret", secret, "--probe", "--probe-with-credentials")
        _, text = asked(tmp_path, capsys, [address(upstream)], *options)
        assert "requires bearer realm=" in text
        assert {entry.path for entry in upstream.ledger.entries} == {
            "/v2/",
            "/v2/team/app/manifests/v1",
        }


def test_the_probe_decides_the_pull(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with MockUpstream() as empty, MockUpstream() as full:
        full.add("team/app", an_image(layers=1), tags=("v1",))
        code, text = asked(tmp_path, capsys, [address(empty), address(full)], "--probe")
        assert code == 0
        lines = [line for line in text.splitlines() if "resolve  HEAD" in line]
        assert ["404 Not Found" in lines[0], "200 OK" in lines[1]] == [True, True]
        code, _ = asked(tmp_path, capsys, [address(empty)], "--probe")
        assert code == 1


HEADERS = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [None, b"HTTP/1.1 200 OK\r\nX-Slow: ", HEADERS],
    ids=["silent", "slow headers", "endless body"],
)
def test_a_host_that_stalls_times_out(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes | None,
) -> None:
    monkeypatch.setattr(probe, "SECONDS_PER_HOST", 0.5)
    with raw_server(answer) as host:
        started = time.monotonic()
        asked(tmp_path, capsys, [host, host], "--probe")
        assert time.monotonic() - started < 10


def test_hostile_headers_reach_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "SECONDS_PER_HOST", 2.0)
    answer = (
        b"HTTP/1.1 401 No\r\nContent-Length: 0\r\nWWW-Authenticate: Bearer "
        b'realm="javascript:\xe2\x80\xae\x9b2J' + b"y" * 5000 + b'"\r\n\r\n'
    )
    with raw_server(answer) as host:
        _, text = asked(tmp_path, capsys, [host], "--probe")
    assert "\x9b" not in text
    assert "\u202e" not in text
    assert "y" * 400 not in text


@pytest.mark.parametrize(
    ("settings", "reached"),
    [("", False), ('ca = "ca.pem"\n', True), ("skip_verify = true\n", True)],
)
def test_tls_settings_of_the_files_apply(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: str, reached: bool
) -> None:
    authority = Authority(tmp_path, ["localhost"])
    with MockUpstream(ssl_context=authority.server_context) as upstream:
        upstream.add("team/app", an_image(layers=1), tags=("v1",))
        port = upstream.url.rpartition(":")[2]
        directory = tmp_path / "up.example"
        directory.mkdir()
        (directory / "ca.pem").write_bytes(authority.certificate.read_bytes())
        text = f'server = "https://localhost:{port}"\n{settings}[host]\n'
        (directory / "hosts.toml").write_text(text)
        command = ["explain", "up.example/team/app:v1", "--certs-d", str(tmp_path), "--probe"]
        code = main([*command, "--containerd", "1.7.24"])
        said = capsys.readouterr().out
    assert code == (0 if reached else 1)
    assert ("HEAD manifest 200" in said) == reached
    assert ("certificate signed by an unknown authority" in said) != reached
