"""The real 2.8.2 and the 2.8 profile are given the same configurations, and must end alike."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from harness.system.process import Process, clean_environment
from harness.system.real_parts import real_part
from tests.unit.server.config_cases import CASES, GOOD, ConfigCase
from tests.unit.server.test_mission import MISSION

_TIMEOUT = 30.0
_LISTENING = re.compile(r'msg="listening on (?P<address>[^"]*)"')


def _real() -> list[str | Path]:
    return [real_part("docker-registry")]


def _ours() -> list[str | Path]:
    return [sys.executable, "-m", "reference_registry", "--profile", "2.8"]


@contextmanager
def _running(
    program: list[str | Path], config: Path, environ: dict[str, str] | None = None
) -> Iterator[Process]:
    environment = clean_environment(environ)
    process = Process([*program, "serve", config], environment=environment)
    try:
        yield process
    finally:
        process.kill()


def _exit_code(program: list[str | Path], config: Path, environ: dict[str, str]) -> int:
    """What *program* ends with; 0 once it listens."""
    with _running(program, config, environ) as process:
        if process.await_output(_LISTENING, timeout=_TIMEOUT):
            return 0
        code = process.wait(_TIMEOUT)
        assert code is not None, process.output()
        return code


def _written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yml"
    path.write_text(text.replace("/data", str(tmp_path / "data")))
    return path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_configurations_end_as_with_2_8(case: ConfigCase, tmp_path: Path) -> None:
    config = _written(tmp_path, case.text)
    expected = case.exit_codes["2.8"]
    with _running(_real(), config) as process:
        if expected == 0:
            assert process.await_output(_LISTENING, timeout=_TIMEOUT), process.output()
        else:
            assert process.wait(_TIMEOUT) == expected, process.output()


_ENVIRONMENTS: dict[str, dict[str, str]] = {
    "an address": {"REGISTRY_HTTP_ADDR": "127.0.0.1:0"},
    "a wrong address": {"REGISTRY_HTTP_ADDR": "80"},
    "another driver": {"REGISTRY_STORAGE": "inmemory"},
    "two drivers": {"REGISTRY_STORAGE_INMEMORY_X": "1"},
    "a wrong type": {"REGISTRY_HTTP_RELATIVEURLS": "perhaps"},
    "a wrong level": {"REGISTRY_LOG_LEVEL": "loud"},
    "no YAML": {"REGISTRY_HTTP_PREFIX": "{"},
    "unknown": {"REGISTRY_NOTHING_AT_ALL": "{"},
    "version": {"REGISTRY_VERSION": "0.2"},
    "ttl": {"REGISTRY_PROXY_TTL": "abc"},
    "purging": {"REGISTRY_STORAGE_MAINTENANCE_READONLY": "true"},
    "a section made": {"REGISTRY_STORAGE_DELETE_ENABLED": "true"},
}


@pytest.mark.parametrize("name", _ENVIRONMENTS)
def test_variables_end_as_with_2_8(name: str, tmp_path: Path) -> None:
    config, environ = _written(tmp_path, GOOD), _ENVIRONMENTS[name]
    real = _exit_code(_real(), config, environ)
    assert _exit_code(_ours(), config, environ) == real


def test_the_mission_s_first_configuration_ends_alike() -> None:
    config = MISSION / "theory/opt/docker/registry/config.yml"
    real = _exit_code(_real(), config, {})
    assert (real, _exit_code(_ours(), config, {})) == (1, 1)


def test_the_mission_s_second_configuration_is_served_alike(tmp_path: Path) -> None:
    """Every key as it is, with only what this machine lacks replaced: upstream and directories."""
    text = (MISSION / "practice/opt/registry/config/config.yml").read_text()
    with socket.socket() as upstream:
        upstream.bind(("127.0.0.1", 0))
        upstream.listen()
        upstream.settimeout(_TIMEOUT)
        port = upstream.getsockname()[1]
        replaced = {
            "https://ccr.ccs.tencentyun.com": f"http://127.0.0.1:{port}",
            "/opt/registry": str(tmp_path),
            ":5000": "127.0.0.1:0",
            ":5001": "127.0.0.1:0",
        }
        for old, new in replaced.items():
            text = text.replace(old, new)
        config = _written(tmp_path, text)
        seen = []
        for program in (_real(), _ours()):
            with _running(program, config) as process:
                connection, _ = upstream.accept()  # asked at the start
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                listening = process.await_output(_LISTENING, timeout=_TIMEOUT)
                assert listening is not None, process.output()
                answer = httpx.get(f"http://{listening['address']}/v2/", trust_env=False)
                challenge = answer.headers["www-authenticate"]
                seen.append((answer.status_code, challenge, answer.json()))
    assert seen[0] == seen[1]
    assert seen[0][1] == 'Basic realm="basic-realm"'


def test_htpasswd_files_are_interchangeable(tmp_path: Path) -> None:
    """One is made by either, and accepted by the other; a broken one is 400 from both."""
    htpasswd = tmp_path / "auth" / "htpasswd"
    lines = f"auth:\n  htpasswd:\n    realm: r\n    path: {htpasswd}\n"
    config = _written(tmp_path, GOOD + lines)
    programs = [_real(), _ours()]
    for maker, user in (programs, reversed(programs)):
        htpasswd.unlink(missing_ok=True)
        with _running(maker, config) as process:
            provisioned = process.await_output(re.compile(r"password=(\S+)"), timeout=_TIMEOUT)
            assert provisioned is not None, process.output()
            assert process.await_output(_LISTENING, timeout=_TIMEOUT)
        credentials = ("docker", provisioned[1].strip('"'))
        with _running(user, config) as process:
            listening = process.await_output(_LISTENING, timeout=_TIMEOUT)
            assert listening is not None, process.output()
            url = f"http://{listening['address']}/v2/"
            with httpx.Client(trust_env=False) as client:
                assert client.get(url, auth=credentials).status_code == 200
                assert client.get(url, auth=("docker", "wrong")).status_code == 401
                htpasswd.write_text("broken\n")
                broken = client.get(url, auth=credentials)
                assert (broken.status_code, broken.content) == (400, b"")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("lines", ["", "  draintimeout: 2s\n"])
def test_signals_end_it_alike(number: int, lines: str, tmp_path: Path) -> None:
    config = _written(tmp_path, GOOD + lines)
    codes = []
    for program in (_real(), _ours()):
        with _running(program, config) as process:
            listening = process.await_output(_LISTENING, timeout=_TIMEOUT)
            assert listening is not None, process.output()
            # Both look out for signals once they answer, the real one not much earlier.
            with httpx.Client(trust_env=False) as client:
                assert client.get(f"http://{listening['address']}/v2/").status_code == 200
            os.kill(process.pid, number)
            codes.append(process.wait(_TIMEOUT))
    assert codes[0] == codes[1]


def test_metrics_have_the_same_names_and_labels(tmp_path: Path) -> None:
    debug = "  debug:\n    addr: 127.0.0.1:{port}\n    prometheus:\n      enabled: true\n"
    seen = []
    for program in (_real(), _ours()):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = _written(tmp_path, GOOD + debug.format(port=port))
        with _running(program, config) as process, httpx.Client(trust_env=False) as client:
            listening = process.await_output(_LISTENING, timeout=_TIMEOUT)
            assert listening is not None, process.output()
            url = f"http://{listening['address']}"
            for path in ("/v2/", "/v2/_catalog", "/v2/a/tags/list", "/v2/a/manifests/b", "/no"):
                client.get(f"{url}{path}")
            client.post(f"{url}/v2/a/blobs/uploads/")
            client.head(f"{url}/v2/a/blobs/sha256:{'a' * 64}")
            text = client.get(f"http://127.0.0.1:{port}/metrics").text
        samples = re.findall(r"^(registry_http_\w+\{[^}]*\}) ", text, re.MULTILINE)
        seen.append({_sorted_labels(sample) for sample in samples})
    assert seen[0] == seen[1]


def _sorted_labels(sample: str) -> str:
    name, _, labels = sample.rstrip("}").partition("{")
    return f"{name}{{{','.join(sorted(labels.split(',')))}}}"
