"""Binaries, the bad ones first: each mistake is one line with the path and the fix."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.system.ports import hold_port
from harness.targets import DidNotStart, Settings, TargetError, parse_target
from harness.targets import process as process_module
from harness.targets.target import release_series

Script = Callable[..., Path]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """A shell script that claims to be a registry; ``serve`` runs the given commands."""

    def write(serve: str, version: str = "registry github.com/distribution/distribution") -> Path:
        path = tmp_path / "registry"
        asked = f'[ "$1" = --version ] && {{ echo "{version}"; exit; }}'
        path.write_text(f"#!/bin/sh\n{asked}\n{serve}\n")
        path.chmod(0o755)
        return path

    return write


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unknown target ''; known targets: reference, reference@PROFILE, binary:PATH"),
        ("registry", "did you mean binary:docker-registry?"),
        ("docker-registry", "did you mean binary:docker-registry?"),
        ("registry:2", "unknown target 'registry:2'; did you mean container:registry:2?"),
        ("ghcr.io/team/cache:v1", "did you mean container:ghcr.io/team/cache:v1?"),
        ("127.0.0.1:5000", "did you mean url:http://127.0.0.1:5000?"),
        ("localhost:5000/v2/", "did you mean url:http://localhost:5000/v2/?"),
        ("https://mirror.example", "did you mean url:https://mirror.example?"),
        ("2.8", "did you mean reference@2.8?"),
        ("reference:2.8", "did you mean reference@2.8?"),
        ("drayge", "did you mean drayage?"),
        ("./registry", "did you mean binary:./registry?"),
        ("reference@9", "unknown profile '9'; known are ideal, 2.8"),
        ("reference@", "unknown profile ''"),
        ("binary:", "binary: needs a path, such as binary:/usr/bin/docker-registry"),
        ("binary:no-such-registry", "no such program on PATH; install it"),
        ("binary:/no/such/registry", "no such file; give the path of a registry binary"),
        ("binary:/", "is a directory; give the path of the program inside"),
    ],
)
def test_no_target(text: str, message: str) -> None:
    with pytest.raises(TargetError) as failure:
        parse_target(text)
    assert message in str(failure.value)
    assert "\n" not in str(failure.value)


def test_file_is_not_executable(tmp_path: Path) -> None:
    path = tmp_path / "registry"
    path.write_text("")
    with pytest.raises(TargetError, match=re.escape(f"binary:{path}: is not executable; chmod +x")):
        parse_target(f"binary:{path}")


def test_file_is_not_a_program(tmp_path: Path) -> None:
    path = tmp_path / "registry"
    path.write_bytes(b"\x7fELF for another machine")
    path.chmod(0o755)
    with pytest.raises(TargetError, match="Exec format error; give a binary built for this"):
        parse_target(f"binary:{path}")


def test_program_is_not_a_registry() -> None:
    with pytest.raises(TargetError, match="is not a registry; give the path of"):
        parse_target("binary:ls")
    with pytest.raises(TargetError, match="--version exits with 1"):
        parse_target("binary:false")


def test_registry_does_not_start(script: Script) -> None:
    path = script('echo "libfoo.so: cannot open shared object" >&2; exit 127')
    target = parse_target(f"binary:{path}")
    with pytest.raises(TargetError) as failure:
        target.check()
    assert str(failure.value) == (
        f"binary:{path}: did not start, exit code 127: libfoo.so: cannot open shared object; "
        f"`{path} serve CONFIG` must start with a plain configuration"
    )


def test_registry_never_listens(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "STARTS", 0.1)
    target = parse_target(f"binary:{script('echo thinking; exec sleep 300')}")
    with pytest.raises(TargetError, match="did not listen in time: thinking"):
        target.check()


def test_debug_port_in_use_is_retried(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The port was free when we looked, but another process was faster."""
    ports = iter([1111, 2222])

    def hold() -> tuple[SimpleNamespace, int]:
        return SimpleNamespace(close=lambda: None), next(ports)

    monkeypatch.setattr(process_module, "hold_port", hold)
    path = script(
        "if grep -q 127.0.0.1:1111 $2; then echo 'listen tcp 127.0.0.1:1111: bind: address already"
        " in use'; exit 1; fi; echo listening on 127.0.0.1:3333; exec sleep 300"
    )
    registry = parse_target(f"binary:{path}").launch(Settings(), tmp_path / "work")
    registry.stop()
    assert (registry.url, registry.debug_url) == ("http://127.0.0.1:3333", "http://127.0.0.1:2222")


def test_debug_port_is_reserved() -> None:
    """3.x does that a moment after it has said that it listens."""
    holder, port = hold_port()
    with holder, socket.socket() as registry:
        place = ("127.0.0.1", port)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(place)
        registry.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        registry.bind(place)
        registry.listen()
        socket.create_connection(place).close()


def test_a_taken_api_port_is_not(script: Script, tmp_path: Path) -> None:
    path = script("echo 'bind: address already in use' >> starts; exit 1")
    with pytest.raises(DidNotStart):
        parse_target(f"binary:{path}").launch(Settings(), tmp_path / "work")
    assert (tmp_path / "work/starts").read_text().count("\n") == 1


def test_passwords_are_not_in_the_error(script: Script, tmp_path: Path) -> None:
    path = script("echo 'panic: cannot log in as user:hunter22'; exit 2")
    with pytest.raises(DidNotStart) as failure:
        parse_target(f"binary:{path}").launch(
            Settings(upstream_url="http://u", upstream_login=("user", "hunter22")), tmp_path / "w"
        )
    assert "hunter22" not in str(failure.value) + failure.value.message


@pytest.mark.parametrize(
    ("said", "series"),
    [
        ("docker-registry github.com/docker/distribution 2.8.2+ds1", "2.8"),
        ("registry github.com/docker/distribution v2.8.3", "2.8"),
        ("registry github.com/distribution/distribution/v3 v3.0.0-alpha.1", "3.0.0-alpha.1"),
        ("registry github.com/distribution/distribution/v3 3.0.0", "3.0"),
        ("./registry github.com/distribution/distribution/v3 3.1.1", "3.1"),
        ("registry github.com/distribution/distribution/v3 (devel)", "unknown"),
    ],
)
def test_the_series_is_read_from_the_version(said: str, series: str) -> None:
    assert release_series(said) == series
