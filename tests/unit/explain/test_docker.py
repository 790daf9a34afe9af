"""dockerd's registry-mirrors."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import main
from harness.nodes.explain.docker_pull import DockerQuestion, explain_docker
from harness.nodes.explain.explanation import Explanation
from harness.nodes.models.attempts import ANONYMOUS, Login
from harness.nodes.models.dockerd.endpoints import read_daemon_json

DAEMON = '{\n "registry-mirrors": [\n  "https://m1:5000"\n ]\n}\n'


def explained(image: str, *when: str, login: Login = ANONYMOUS) -> Explanation:
    return explain_docker(
        DockerQuestion(
            image=image,
            config=read_daemon_json(DAEMON),
            login=login,
            file="daemon.json",
            lines={"https://m1:5000": 3},
            when=when,
        )
    )


def test_mirrors_are_for_docker_hub() -> None:
    assert [host.name for host in explained("nginx").hosts] == ["m1:5000", "registry-1.docker.io"]
    other = explained("up.example/app:v1")
    assert [host.name for host in other.hosts] == ["up.example"]
    assert "none is asked for one of up.example" in other.remarks[0].text


def test_one_endpoint_serves_a_whole_pull() -> None:
    found = explained("nginx", "m1:5000=down")
    hosts = [request.host for request in found.rounds[0].requests]
    assert hosts[0] == "m1:5000"
    assert set(hosts[1:]) == {"registry-1.docker.io"}
    assert found.error is None
    assert str(found.rounds[0].requests[0].place) == "daemon.json:3"


def test_the_mirror_that_asks_gets_the_login_of_docker_hub() -> None:
    login = Login("me", "hush", "config.json")
    found = explained("nginx", "m1:5000=basic", login=login)
    sent = {r.credential for r in found.rounds[0].requests if r.host == "m1:5000"}
    assert "Basic as me, from config.json" in sent
    assert "hush" not in repr(found)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    daemon, config = tmp_path / "daemon.json", tmp_path / "config.json"
    daemon.write_text(DAEMON)
    config.write_text(
        '{"auths": {"https://index.docker.io/v1/": {"username": "me", "password": "hush"}}}'
    )
    command = ["explain", "nginx", "--puller", "docker", "--daemon-json", str(daemon)]
    assert main([*command, "--auth-file", str(config), "--when", "m1:5000=basic"]) == 0
    said = capsys.readouterr().out
    assert f"{daemon}:3" in said
    assert "Basic as me, from config.json" in said
    daemon.write_text('{\n"registry-mirrors": [')
    assert main(command) == 2
    assert f"{daemon}:2: invalid JSON" in capsys.readouterr().err
