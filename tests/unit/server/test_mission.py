"""The files in ``fixtures/mission``: all keys are known, and each mistake gets one line."""

from __future__ import annotations

import json
import tomllib
from base64 import b64decode
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from reference_registry.config.file import load, read
from reference_registry.profiles import IDEAL, PROFILES

MISSION = Path(__file__).parents[3] / "fixtures" / "mission"
_THEORY = MISSION / "theory/opt/docker/registry/config.yml"
_PRACTICE = MISSION / "practice/opt/registry/config/config.yml"


@pytest.mark.parametrize("profile", PROFILES)
def test_the_configuration_that_worked(profile: str) -> None:
    found = read(_PRACTICE, {}, PROFILES[profile])
    assert found.errors == ()
    config = found.config
    assert config is not None
    assert config.storage.rootdirectory == Path("/opt/registry/registry-data")
    assert config.storage.delete_enabled
    assert config.storage.cache.blobdescriptor == "inmemory"
    assert config.proxy is not None
    assert config.proxy.remoteurl == "https://ccr.ccs.tencentyun.com"
    honoured = PROFILES[profile].honours_ttl
    assert config.proxy.ttl == timedelta(hours=48 if honoured else 168)
    assert config.http.debug is not None
    assert config.http.debug.prometheus_enabled
    assert [check.kind for check in config.health.checks] == ["storagedriver"]
    assert config.auth.htpasswd is not None
    unknown = [] if honoured else ["storage.cache.blobdescriptorsize", "proxy.ttl"]
    assert [p.key for p in found.warnings] == unknown


def test_the_first_configuration_gets_one_line_for_each_mistake() -> None:
    found = read(_THEORY, {}, IDEAL)
    assert [str(problem).removeprefix(f"{_THEORY}:") for problem in found.errors] == [
        '3: version: no space after the colon; write "version: 0.1"',
        "43: http.addr: '80' is not an address, the colon is missing; write \":80\"",
        "47: http.debug.addr: '5001' is not an address, the colon is missing; write \":5001\"",
    ]


def test_with_the_commented_parts_too(tmp_path: Path) -> None:
    text = _THEORY.read_text().replace("version:0.1", "version: 0.1")
    text = text.replace("addr: 80", "addr: :80").replace("addr: 5001", "addr: :5001")
    lines = text.splitlines()
    for first in ("# redis:", "# auth:"):
        start = lines.index(first)
        while start < len(lines) and lines[start].startswith("# "):
            lines[start] = lines[start].removeprefix("# ")
            start += 1
    text = "\n".join(lines).replace("redis-ip:redis-port", "127.0.0.1:6379")
    path = tmp_path / "config.yml"
    path.write_text(text.replace("blobdescriptor: inmemory", "blobdescriptor: redis"))
    config = load(path, {}, IDEAL)
    assert config.redis is not None
    assert config.redis.pool_maxactive == 64
    assert config.auth.htpasswd is not None
    assert config.auth.htpasswd.path == Path("/opt/htpasswd")


def test_every_other_file_can_be_read() -> None:
    readers: dict[str, Callable[[str], object]] = {
        ".json": json.loads,
        ".toml": tomllib.loads,
        ".yaml": yaml.safe_load,
        ".yml": yaml.safe_load,
    }
    others = [
        p for p in MISSION.rglob("*") if p.is_file() and p.name not in {"README.md", "config.yml"}
    ]
    assert len(others) == 15
    for path in others:
        assert readers[path.suffix](path.read_text()), path


def test_every_file_is_explained() -> None:
    readme = (MISSION / "README.md").read_text()
    for path in MISSION.rglob("*"):
        if path.is_file() and path.name != "README.md":
            inner = Path(*path.relative_to(MISSION).parts[1:])
            assert f"| `{inner}` |" in readme, path


@pytest.mark.parametrize(
    ("name", "registry"),
    [
        ("config-for-the-mirror", "192.168.3.121:5000"),
        ("config-for-the-image", "ccr.ccs.tencentyun.com"),
    ],
)
def test_pull_secrets(name: str, registry: str) -> None:
    document = json.loads((MISSION / f"practice/kubernetes/{name}.json").read_text())
    assert b64decode(document["auths"][registry]["auth"]) == b"testuser:testpassword"
