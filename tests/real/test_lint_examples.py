"""What lint says of config.yml's examples is what Debian's registry, a 2.8, makes of them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from harness.system.ports import free_port
from harness.system.process import Process, clean_environment
from harness.system.real_parts import real_part
from tests.unit.lint.cases import copied

_TIMEOUT = 30.0
_LISTENING = re.compile(r'msg="listening on (?P<address>[^"]*)"')


class _Upstream(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Upstream) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@contextmanager
def _running(root: Path, upstream: str) -> Iterator[Process]:
    """The registry with the example below *root*, and only what this machine lacks replaced."""
    config = next(root.rglob("config.yml"))
    text = config.read_text().replace("https://up.example", upstream)
    for port in ("5000", "5001"):
        text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}")
    text = text.replace("/var/lib/registry", str(root))
    config.write_text(text.replace("/etc/distribution", str(root / "etc/distribution")))
    command: list[str | Path] = [real_part("docker-registry"), "serve", config]
    process = Process(command, environment=clean_environment())
    try:
        yield process
    finally:
        process.kill()


def _url(process: Process) -> str:
    found = process.await_output(_LISTENING, timeout=_TIMEOUT)
    assert found is not None, process.output()
    return f"http://{found['address']}"


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("PPC001", 1),
        ("PPC011", 1),
        ("PPC012", 1),
        ("PPC013", 2),
        ("PPC018", 2),
        ("PPC029", 2),
        ("PPC031", 1),
        ("PPC032", 1),
        ("PPC117", 1),
    ],
)
def test_the_registry_exits_with_the_bad_example_and_listens_with_the_good_one(
    rule: str, code: int, upstream: str, tmp_path: Path
) -> None:
    root = copied(rule, tmp_path)
    with _running(root / "bad", upstream) as process:
        assert process.wait(_TIMEOUT) == code, process.output()
    with _running(root / "good", upstream) as process:
        assert _url(process)


@pytest.mark.parametrize("rule", ["PPC006", "PPC007"])
def test_a_misconfigured_cache_accepts_a_push(rule: str, upstream: str, tmp_path: Path) -> None:
    answers = []
    for name in ("bad", "good"):
        with _running(copied(rule, tmp_path / name) / name, upstream) as process:
            url = f"{_url(process)}/v2/team/app/blobs/uploads/"
            answers.append(httpx.post(url, trust_env=False).status_code)
    assert answers == [202, 405]


@pytest.mark.parametrize(("rule", "answer"), [("PPC201", 400), ("PPC202", 401), ("PPC203", 400)])
def test_answers_to_a_login(rule: str, answer: int, upstream: str, tmp_path: Path) -> None:
    root = copied("PPC201", tmp_path)
    htpasswd = root / "bad/etc/distribution/htpasswd"
    if rule != "PPC201":
        htpasswd.rmdir()
        (copied(rule, tmp_path) / "bad" / "htpasswd").rename(htpasswd)
    with _running(root / "bad", upstream) as process:
        url = f"{_url(process)}/v2/"
        answered = httpx.get(url, auth=("puller", "secret"), trust_env=False)
    assert answered.status_code == answer


def test_the_registry_exits_with_a_damaged_schedule(upstream: str, tmp_path: Path) -> None:
    root = copied("PPC204", tmp_path)
    config = copied("PPC002", tmp_path) / "good" / "config.yml"
    text = config.read_text().replace("addr: :80", "addr: 127.0.0.1:5000")
    for name in ("bad", "good"):
        (root / name / "config.yml").write_text(text)
    with _running(root / "bad", upstream) as process:
        assert process.wait(_TIMEOUT) == 2, process.output()
    with _running(root / "good", upstream) as process:
        assert _url(process)
