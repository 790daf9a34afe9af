"""The explanations of skopeo's, podman's and dockerd's pulls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.cli import main
from harness.nodes.explain.explanation import BadInput, ExplainOptions, Explanation
from harness.nodes.explain.other_clients import explain_containers, explain_docker

CONF = """\
unqualified-search-registries = ["up.example", "other.example"]
[[registry]]
location = "up.example"
[[registry.mirror]]
location = "m1:5000/cache"
[[registry.mirror]]
location = "m2"
pull-from-mirror = "digest-only"
"""


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(name: str, text: str) -> Path:
    Path(name).write_text(text)
    return Path(name)


def copied(
    image: str, tool: str = "skopeo", when: Sequence[str] = (), auth: str | None = None
) -> Explanation:
    return explain_containers(
        ExplainOptions(
            image=image,
            puller=tool,
            registries_conf=written("registries.conf", CONF),
            auth_file=None if auth is None else written("auth.json", auth),
            when=tuple(when),
        )
    )


def test_sources_with_their_lines() -> None:
    found = copied("up.example/app:v1")
    assert [(host.name, str(host.place)) for host in found.hosts] == [
        ("m1:5000", "registries.conf:4"),
        ("up.example", "registries.conf:2"),
    ]
    assert [str(remark.place) for remark in found.remarks] == ["registries.conf:6"]
    assert found.error is None


def test_blobs_come_from_the_source_of_the_manifest_only() -> None:
    found = copied("up.example/app:v1", when=["m1:5000=404@layer"])
    assert found.error is not None
    assert {r.host for r in found.rounds[0].requests} == {"m1:5000"}
    effects = {e.behaviour: e.then for e in found.hosts[0].effects}
    assert effects["404@layer"] == "pull fails"
    assert effects["404"] == "next host"


def test_credentials_depend_on_the_contacted_host() -> None:
    auth = '{"auths": {"up.example": {"username": "u", "password": "hush"}}}'
    when = ["m1:5000=basic", "up.example=basic"]
    found = copied("up.example/app:v1", when=when, auth=auth)
    sent = {(r.host, r.credential) for r in found.rounds[0].requests}
    assert ("m1:5000", "Basic as an empty user") in sent
    assert not any(host == "m1:5000" and "Basic as u" in words for host, words in sent)
    assert "hush" not in repr(found)


def test_podman_tries_a_short_name_in_each_registry() -> None:
    found = copied("app:v1", "podman", when=["up.example=404", "m1:5000=404"])
    assert [one.title for one in found.rounds] == [
        "podman pulls up.example/app:v1",
        "podman pulls other.example/app:v1",
    ]
    assert found.error is None
    assert len(copied("app:v1").rounds) == 1


def test_no_image() -> None:
    with pytest.raises(BadInput, match="not an image name"):
        copied("UP/App")


# -- dockerd ------------------------------------------------------------------------------------
DAEMON = '{\n "registry-mirrors": [\n  "https://m1:5000"\n ]\n}\n'


LOGIN = '{"auths": {"https://index.docker.io/v1/": {"username": "me", "password": "hush"}}}'


def pulled(image: str, *when: str, auth: str | None = None) -> Explanation:
    return explain_docker(
        ExplainOptions(
            image=image,
            puller="docker",
            daemon_json=written("daemon.json", DAEMON),
            auth_file=None if auth is None else written("config.json", auth),
            when=when,
        )
    )


def test_mirrors_are_for_docker_hub() -> None:
    assert [host.name for host in pulled("nginx").hosts] == ["m1:5000", "registry-1.docker.io"]
    other = pulled("up.example/app:v1")
    assert [host.name for host in other.hosts] == ["up.example"]
    assert "not used for up.example" in other.remarks[0].text


def test_one_endpoint_serves_a_whole_pull() -> None:
    found = pulled("nginx", "m1:5000=down")
    hosts = [request.host for request in found.rounds[0].requests]
    assert hosts[0] == "m1:5000"
    assert set(hosts[1:]) == {"registry-1.docker.io"}
    assert found.error is None
    assert str(found.rounds[0].requests[0].place) == "daemon.json:3"


def test_a_mirror_that_sends_a_challenge_gets_the_login_of_docker_hub() -> None:
    found = pulled("nginx", "m1:5000=basic", auth=LOGIN)
    sent = {r.credential for r in found.rounds[0].requests if r.host == "m1:5000"}
    assert "Basic as me, from config.json, key 'https://index.docker.io/v1/'" in sent
    assert "hush" not in repr(found)


def test_the_command_reads_daemon_json_and_the_login(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon, config = tmp_path / "daemon.json", tmp_path / "config.json"
    daemon.write_text(DAEMON)
    config.write_text(LOGIN)
    command = ["explain", "nginx", "--puller", "docker", "--daemon-json", str(daemon)]
    assert main([*command, "--auth-file", str(config), "--when", "m1:5000=basic"]) == 0
    said = capsys.readouterr().out
    assert f"{daemon}:3" in said
    assert "Basic as me, from config.json" in said
    daemon.write_text('{\n"registry-mirrors": [')
    assert main(command) == 2
    assert f"{daemon}:2: invalid JSON" in capsys.readouterr().err
