"""Options for a registry that runs already: what they mean, and each mistake in one line that does
not repeat a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.targets import TargetAccess, TargetError
from harness.targets.remote_client import scopes_of
from harness.targets.target import Identity


def test_login_from_option_file_or_environment(tmp_path: Path) -> None:
    file = tmp_path / "login"
    file.write_text("robot:of:a file\n")
    environment = {"PULLPROOF_LOGIN": "robot:environment"}
    assert TargetAccess.read(login="a:b", environment=environment).login == ("a", "b")
    assert TargetAccess.read(login=f"@{file}", environment={}).login == ("robot", "of:a file")
    assert TargetAccess.read(environment=environment).login == ("robot", "environment")
    assert TargetAccess.read(environment={}).login is None


def test_secrets_are_not_in_its_repr() -> None:
    access = TargetAccess.read(login="robot:hunter2", headers=["X-Key: abcdef"], environment={})
    assert access.headers == (("X-Key", "abcdef"),)
    assert not any(secret in repr(access) for secret in ("hunter2", "abcdef"))
    assert {"hunter2", "abcdef", "cm9ib3Q6aHVudGVyMg=="} <= set(access.secrets())


def test_known_as_takes_a_release_or_a_build() -> None:
    access = TargetAccess.read(known_as="docker-registry@2.8.2", environment={})
    assert access.known_as == Identity("distribution", "2.8", "2.8.2")
    assert access.build == "docker-registry"
    assert TargetAccess.read(known_as="distribution@3.1", environment={}).known_as == Identity(
        "distribution", "3.1", "3.1"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"login": "hunter2"}, r"^--login: takes USER:PASSWORD, or @FILE"),
        ({"login": "@/no/such/file"}, r"^--login: /no/such/file: No such file"),
        ({"headers": ["hunter2"]}, r"^--header: takes 'Name: value'"),
        ({"headers": ["X: a\r\nHunter2: b"]}, r"^--header: takes 'Name: value'"),
        ({"headers": ["Host: hunter2"]}, r"^--header: Host belongs to the request"),
        ({"upstream_at": "5001"}, r"^--upstream-at: '5001' is not an address"),
        ({"upstream_at": "127.0.0.1:0"}, r"^--upstream-at: needs the port"),
        ({"known_as": "distribution"}, r"^--known-as: 'distribution' .* distribution@2.8"),
        ({"known_as": "dstribution@2.8"}, r"^--known-as: .*deviations are listed for"),
    ],
)
def test_wrong_options_are_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TargetError, match=message) as problem:
        TargetAccess.read(**options, environment={})
    assert "\n" not in str(problem.value)
    assert "hunter2" not in str(problem.value).lower()


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_unreadable_ca_file(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(TargetError, match=r"^--ca: .*ca\.pem"):
        TargetAccess(ca=file).tls()


@pytest.mark.parametrize(
    ("method", "path", "scopes"),
    [
        ("GET", "/v2/", []),
        ("GET", "/v2/_catalog?n=3", ["registry:catalog:*"]),
        ("HEAD", "/v2/hub/team/app/manifests/v1", ["repository:hub/team/app:pull"]),
        ("GET", "/v2/team/app/tags/list?n=1", ["repository:team/app:pull"]),
        ("PUT", "/v2/team/app/manifests/v1", ["repository:team/app:pull,push"]),
        ("DELETE", "/v2/team/app/manifests/v1", ["repository:team/app:delete"]),
        (
            "POST",
            "/v2/team/app/blobs/uploads/?mount=sha256:ab&from=p%2Fother",
            ["repository:team/app:pull,push", "repository:p/other:pull"],
        ),
    ],
)
def test_token_scopes(method: str, path: str, scopes: list[str]) -> None:
    assert scopes_of(method, path) == scopes
