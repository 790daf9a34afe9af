"""``pullproof upstream`` as a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from harness.cli import main
from harness.system.process import Process
from harness.upstream import MockUpstream

COMMAND = [sys.executable, "-m", "harness", "upstream"]


@pytest.fixture
def run() -> Iterator[Callable[..., tuple[Process, str]]]:
    """Starts the command; returns the process and the URL that it printed."""
    with ExitStack() as stack:

        def start(*arguments: str) -> tuple[Process, str]:
            process = Process([*COMMAND, *arguments])
            stack.callback(process.kill)
            url = process.await_output(re.compile(r"http://\S+"), timeout=20)
            assert url is not None, process.output()
            return process, url[0]

        yield start


Run = Callable[..., tuple[Process, str]]


def test_requests_are_served_and_printed(run: Run, http: httpx.Client) -> None:
    process, url = run("--image", "team/app:v1,layers=3", "--fault", "GET blob 429 times=1")
    manifest = http.get(f"{url}/v2/team/app/manifests/v1")
    layer = manifest.json()["layers"][2]
    blob = f"/v2/team/app/blobs/{layer['digest']}"
    assert [http.get(url + blob).status_code for _ in range(2)] == [429, 200]
    line = re.compile(re.escape(f"GET {blob} -> 200, {layer['size']} bytes"))
    assert process.await_output(line, timeout=10)
    assert process.output().splitlines()[1:3] == [
        f"GET /v2/team/app/manifests/v1 -> 200, {len(manifest.content)} bytes",
        f"GET {blob} -> 429, 0 bytes [fault: status 429]",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly(run: Run, number: signal.Signals) -> None:
    process, url = run()
    os.kill(process.pid, number)
    assert process.wait(10) == 0
    assert process.output() == f"{url}\n"


def test_logins_limits_pages_and_headers(run: Run, http: httpx.Client) -> None:
    images = ["--image", "app:v1", "--image", "app:v2"]
    _, url = run(*images, "--basic", "user:secret", "--rate-limit", "1", "--page-size", "1")
    assert http.get(f"{url}/v2/").status_code == 401
    http.auth = ("user", "secret")
    path = f"{url}/v2/app/manifests/v1"
    assert [http.get(path).status_code for _ in range(2)] == [200, 429]
    assert http.get(f"{url}/v2/app/tags/list").json()["tags"] == ["v1"]


def test_verbose_shows_headers_and_no_secret(run: Run, http: httpx.Client) -> None:
    process, url = run("--bearer", "user:hunter2", "--verbose")
    token = http.get(f"{url}/token", auth=("user", "hunter2")).json()["token"]
    http.get(f"{url}/v2/", headers={"Authorization": f"Bearer {token}", "X-Marker": "here"})
    assert process.await_output(re.compile("  x-marker: here"), timeout=10)
    assert token not in process.output()
    assert "hunter2" not in process.output()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["upstream", "--image", "Team/App"], "'Team/App' is not a repository name"),
        (["upstream", "--fault", "GET blob"], "does not say what happens"),
        (["upstream", "--listen", "5555"], "is not an address"),
        (["upstream", "--basic", "user"], "user:password"),
        (["upstream", "--basic", "u:p", "--bearer", "u:p"], "not allowed with"),
        (["upstream", "--page-size", "0"], "from 1 up"),
        (["upstream", "--nonsense"], "No such option"),
        (["downstream"], "unknown command 'downstream'"),
    ],
)
def test_bad_arguments_get_one_line(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert reason in line


def test_a_port_in_use_gets_one_line(upstream: MockUpstream) -> None:
    command = [*COMMAND, "--listen", upstream.address]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"pullproof upstream: cannot listen on {upstream.address}: Address already in use "
        "(see pullproof upstream --help)\n"
    )
