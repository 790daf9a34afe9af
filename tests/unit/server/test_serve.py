"""``serve`` as a process: ready quickly, alone on its port, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx
import pytest

from harness.system.process import Process, clean_environment
from tests.unit.server.config_cases import GOOD

_TIMEOUT = 30.0
_LISTENING = re.compile(r'listening on (127\.0\.0\.1:\d+)"')


@dataclass(frozen=True)
class Served:
    process: Process
    address: str

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def log(self, pattern: str) -> re.Match[str]:
        """A line of output, awaited."""
        match = self.process.await_output(re.compile(pattern), timeout=_TIMEOUT)
        assert match is not None, self.process.output()
        return match


class Serve(Protocol):
    def __call__(self, lines: str = "", *arguments: str) -> Served: ...


def _config(tmp_path: Path, lines: str = "") -> Path:
    path = tmp_path / "config.yml"
    path.write_text(GOOD.replace("/data", str(tmp_path / "data")) + lines)
    return path


def _command(*arguments: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", "reference_registry", "serve", *arguments]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serves a good configuration with *lines* added; returns when it listens."""
    processes: list[Process] = []

    def start(lines: str = "", *arguments: str) -> Served:
        process = Process(_command(_config(tmp_path, lines), *arguments))
        processes.append(process)
        listening = process.await_output(_LISTENING, timeout=_TIMEOUT)
        assert listening is not None, process.output()
        return Served(process, listening[1])

    yield start
    for process in processes:
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ideal_ends_with_0(number: int, serve: Serve) -> None:
    served = serve()
    assert httpx.get(f"{served.url}/v2/", trust_env=False).json() == {}
    served.signal(number)
    assert served.process.wait(_TIMEOUT) == 0
    served.log("stopping server gracefully. Draining connections for 10s")


@pytest.mark.parametrize(
    ("profile", "lines", "number", "code"),
    [
        ("2.8", "", signal.SIGTERM, -signal.SIGTERM),
        ("2.8", "", signal.SIGINT, -signal.SIGINT),
        ("2.8", "  draintimeout: 5s\n", signal.SIGTERM, 0),
        ("2.8", "  draintimeout: 5s\n", signal.SIGINT, -signal.SIGINT),
        ("3.1", "", signal.SIGTERM, -signal.SIGTERM),
        ("3.1", "  draintimeout: 5s\n", signal.SIGINT, 0),
        ("3.1", "  draintimeout: 0s\n", signal.SIGTERM, -signal.SIGTERM),
        ("ideal", "  draintimeout: 0s\n", signal.SIGTERM, 0),
    ],
)
def test_how_signals_end_a_release(
    profile: str, lines: str, number: int, code: int, serve: Serve
) -> None:
    served = serve(lines, "--profile", profile)
    served.signal(number)
    assert served.process.wait(_TIMEOUT) == code


def test_3_0_panics_when_it_drains_without_a_ttl(serve: Serve, tmp_path: Path) -> None:
    with socket.socket() as upstream:
        upstream.bind(("127.0.0.1", 0))
        upstream.listen()
        upstream.settimeout(_TIMEOUT)
        port = upstream.getsockname()[1]
        lines = f"  draintimeout: 1s\nproxy:\n  remoteurl: http://127.0.0.1:{port}\n  ttl: 0\n"
        process = Process([*_command(_config(tmp_path, lines)), "--profile", "3.0"])
        try:
            connection, _ = upstream.accept()  # it is asked at the start
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            assert process.await_output(_LISTENING, timeout=_TIMEOUT) is not None
            os.kill(process.pid, signal.SIGTERM)
            assert process.wait(_TIMEOUT) == 2
        finally:
            process.kill()


def test_an_upload_in_flight_is_finished(serve: Serve) -> None:
    served = serve()
    started = httpx.post(f"{served.url}/v2/team/app/blobs/uploads/", trust_env=False)
    target = started.headers["location"].removeprefix(served.url)
    host, _, port = served.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=_TIMEOUT) as client:
        head = f"PATCH {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"
        client.sendall(head.encode() + b"first")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)  # it waits for the rest
        served.signal(signal.SIGTERM)
        served.log("stopping server gracefully")
        client.settimeout(_TIMEOUT)
        client.sendall(b"other")
        assert client.recv(4096).startswith(b"HTTP/1.1 202 ")
    assert served.process.wait(_TIMEOUT) == 0


def test_a_signal_while_upstream_is_asked(tmp_path: Path) -> None:
    """A release waits for its upstream without end; SIGTERM stops it all the same."""
    with socket.socket() as upstream:
        upstream.bind(("127.0.0.1", 0))
        upstream.listen()
        upstream.settimeout(_TIMEOUT)
        port = upstream.getsockname()[1]
        lines = f"  draintimeout: 5s\nproxy:\n  remoteurl: http://127.0.0.1:{port}\n"
        process = Process([*_command(_config(tmp_path, lines)), "--profile", "3.1"])
        try:
            connection, _ = upstream.accept()
            with connection:
                os.kill(process.pid, signal.SIGTERM)
                assert process.wait(_TIMEOUT) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(("profile", "code"), [("ideal", 2), ("2.8", 1)])
def test_a_port_in_use(profile: str, code: int, serve: Serve, tmp_path: Path) -> None:
    first = serve()
    path = tmp_path / "second.yml"
    config = _config(tmp_path).read_text().replace("127.0.0.1:0", first.address)
    path.write_text(config.replace(f"{tmp_path}/data", f"{tmp_path}/other"))
    second = subprocess.run(
        [*_command(path), "--profile", profile],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    assert second.returncode == code
    assert second.stderr.splitlines()[-1] == (
        f"pullproof-registry: {path}:6: http.addr: cannot listen on {first.address}: "
        "address already in use; stop the other process or choose another address"
    )
    assert "Traceback" not in second.stderr
    assert httpx.get(f"{first.url}/v2/", trust_env=False).json() == {}


def test_the_access_log_is_on_standard_output(serve: Serve) -> None:
    served = serve()
    agent = {"User-Agent": "a test"}
    httpx.get(f"{served.url}/v2/_catalog?n=2&token=hunter2", headers=agent, trust_env=False)
    served.log(
        r'^127\.0\.0\.1 - - \[.* \+0000\] "GET /v2/_catalog\?n=2&token=\[redacted\] HTTP/1\.1" '
        r'200 20 "" "a test"$'
    )


def test_the_access_log_can_be_turned_off(serve: Serve) -> None:
    served = serve("log:\n  accesslog:\n    disabled: true\n")
    httpx.get(f"{served.url}/v2/", trust_env=False)
    served.signal(signal.SIGTERM)
    assert served.process.wait(_TIMEOUT) == 0
    assert "GET /v2/" not in served.process.output()


def test_log_lines_of_a_request_have_its_id(serve: Serve) -> None:
    served = serve("log:\n  level: debug\n  formatter: json\n")
    with httpx.Client(trust_env=False) as client:
        for path in ("/v2/", "/v2/a/manifests/none"):
            client.get(f"{served.url}{path}")
    good = served.log(r'"http\.request\.id": "([0-9a-f-]+)".*"msg": "response completed"')
    bad = served.log(
        r'"http\.request\.id": "([0-9a-f-]+)".*"http\.response\.status": 404.*"level": "info".*'
        r'"msg": "response completed with error"'
    )
    assert good[1] != bad[1]


def test_warnings_are_in_the_log(serve: Serve) -> None:
    served = serve("loglevel: debug\n")
    served.log(r"level=warning msg=.*config\.yml:7: loglevel: an old name")


def test_credentials_without_client_authentication_are_in_the_log(serve: Serve) -> None:
    """At every start: private images are open to everyone."""
    served = serve("proxy: {remoteurl: 'https://h', username: u, password: hunter2hunter2}\n")
    served.log(
        r"level=warning msg=.*config\.yml:7: proxy\.username: everyone who reaches this cache can "
        r"pull every image that this user may pull"
    )
    assert "hunter2" not in served.process.output()


def test_what_a_standard_registry_need_not_import() -> None:
    """Each of these takes longer than the rest of the start."""
    slow = ("bcrypt", "difflib", "httpx", "jwt", "prometheus_client", "redis", "rich")
    code = f"""
import sys
import reference_registry.__main__
import reference_registry.server.server
print([name for name in {slow} if name in sys.modules])
"""
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=_TIMEOUT, check=True
    )
    assert finished.stdout == "[]\n"
