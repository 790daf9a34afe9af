"""skopeo and podman."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.nodes.explain.containers_pull import ContainersQuestion, explain_containers
from harness.nodes.explain.explanation import BadInput, Explanation
from harness.nodes.models.containers.registries_conf import read_registries_conf
from harness.nodes.models.containers.sources import AuthFile, read_auth_file

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


def explained(
    image: str, tool: str = "skopeo", when: Sequence[str] = (), auth: str | None = None
) -> Explanation:
    return explain_containers(
        ContainersQuestion(
            image=image,
            tool=tool,
            config=read_registries_conf(CONF),
            auth_file=AuthFile() if auth is None else read_auth_file(auth),
            file="registries.conf",
            when=when,
        )
    )


def test_sources_with_their_lines() -> None:
    found = explained("up.example/app:v1")
    assert [(host.name, str(host.place)) for host in found.hosts] == [
        ("m1:5000", "registries.conf:4"),
        ("up.example", "registries.conf:2"),
    ]
    assert [str(remark.place) for remark in found.remarks] == ["registries.conf:6"]
    assert found.error is None


def test_blobs_come_from_the_source_of_the_manifest_or_not_at_all() -> None:
    found = explained("up.example/app:v1", when=["m1:5000=404@layer"])
    assert found.error is not None
    assert {r.host for r in found.rounds[0].requests} == {"m1:5000"}
    effects = {e.behaviour: e.then for e in found.hosts[0].effects}
    assert effects["404@layer"] == "ends the pull"
    assert effects["404"] == "next host"


def test_credentials_go_by_the_contacted_host() -> None:
    auth = '{"auths": {"up.example": {"username": "u", "password": "hush"}}}'
    when = ["m1:5000=basic", "up.example=basic"]
    found = explained("up.example/app:v1", when=when, auth=auth)
    sent = {(r.host, r.credential) for r in found.rounds[0].requests}
    assert ("m1:5000", "Basic as nobody") in sent
    assert not any(host == "m1:5000" and "Basic as u" in words for host, words in sent)
    assert "hush" not in repr(found)


def test_podman_tries_a_short_name_in_each_registry() -> None:
    found = explained("app:v1", "podman", when=["up.example=404", "m1:5000=404"])
    assert [one.title for one in found.rounds] == [
        "podman pulls up.example/app:v1",
        "podman pulls other.example/app:v1",
    ]
    assert found.error is None
    assert len(explained("app:v1").rounds) == 1


def test_no_image() -> None:
    with pytest.raises(BadInput):
        explained("UP/App")
