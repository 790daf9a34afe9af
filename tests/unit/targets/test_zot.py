"""zot is not run here: what it is told, by a program in its place that does as it is told."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.targets import NotOffered, TargetError, parse_target
from tests.unit.targets.conftest import Launch

ZOT = f"""#!{sys.executable}
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

if sys.argv[1] == "--version":
    said = dict(level="info", commit="v2.1.2-0-g0123456", message="version")
    said |= {{"distribution-spec": "1.1.0", "go version": "go1.23.4"}}
    print(json.dumps(said, separators=(",", ":")), file=sys.stderr)
    sys.exit()

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

_, verb, config = sys.argv
assert verb == "serve"
http = json.load(open(config))["http"]
HTTPServer((http["address"], int(http["port"])), Answer).serve_forever()
"""


@pytest.fixture
def zot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "zot"
    program.parent.mkdir()
    program.write_text(ZOT)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent))


def test_it_is_asked_for_its_release(zot: None) -> None:
    target = parse_target("zot")
    assert (target.name, target.version, target.release) == ("zot", "2.1", "2.1.2")


def test_without_the_program_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(TargetError, match=r"zot: is not installed; put the program zot"):
        parse_target("zot")


def test_it_is_told_to_pull_through_on_demand(zot: None, launch: Launch) -> None:
    cache = launch(
        parse_target("zot"),
        upstream_url="http://127.0.0.1:5000",
        upstream_login=("robot", "secret"),
        htpasswd={"alice": "wonderland"},
    )
    assert cache.get("/v2/").status == 200
    config: dict[str, Any] = json.loads((cache.workdir / "config.json").read_text())
    port = cache.url.rpartition(":")[2]
    assert config == {
        "distSpecVersion": "1.1.0",
        "storage": {"rootDirectory": str(cache.workdir / "zot")},
        "http": {
            "address": "127.0.0.1",
            "port": port,
            "auth": {"htpasswd": {"path": str(cache.workdir / "htpasswd")}},
        },
        "log": {"level": "info"},
        "extensions": {
            "sync": {
                "enable": True,
                "credentialsFile": str(cache.workdir / "credentials.json"),
                "registries": [
                    {"urls": ["http://127.0.0.1:5000"], "onDemand": True, "tlsVerify": False}
                ],
            }
        },
    }
    logins = json.loads((cache.workdir / "credentials.json").read_text())
    assert logins == {"127.0.0.1:5000": {"username": "robot", "password": "secret"}}


def test_a_registry_without_upstream_has_no_sync(zot: None, launch: Launch) -> None:
    registry = launch(parse_target("zot"), delete_enabled=True)
    assert "extensions" not in json.loads((registry.workdir / "config.json").read_text())


def test_what_it_cannot_be_told_is_not_offered(zot: None, launch: Launch) -> None:
    with pytest.raises(NotOffered, match="zot cannot be set up with ttl"):
        launch(parse_target("zot"), upstream_url="http://127.0.0.1:5000", ttl="1h")
