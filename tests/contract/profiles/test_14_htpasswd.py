"""Section 14: users in an htpasswd file."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import time
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from harness.targets import DidNotStart, RunningRegistry
from harness.targets.settings import REALM, htpasswd_text
from reference_registry.digest import digest_of
from tests.contract.profiles.bench import Bench, detail, failure, starts
from tests.contract.profiles.table import row

_LOGIN = ("ann", "sesame")
_USERS = dict([_LOGIN])


def _by_file(path: Path, **changes: object) -> dict[str, Any]:
    """The settings for users in the file *path*."""
    return {"extra": {"auth": {"htpasswd": {"realm": REALM, "path": str(path), **changes}}}}


def _login(registry: RunningRegistry, *login: str) -> int | None:
    user, password = login or _LOGIN
    return registry.get("/v2/", auth=(user, password)).status


# -- hashes ---------------------------------------------------------------------------------------
def _bcrypt(prefix: str) -> str:
    hashed = bcrypt.hashpw(_LOGIN[1].encode(), bcrypt.gensalt(rounds=4)).decode()
    return prefix + hashed.removeprefix("$2b$")


_SHA1 = base64.b64encode(hashlib.sha1(_LOGIN[1].encode()).digest()).decode()
_HASHES = {
    "$2a$": _bcrypt("$2a$"),
    "$2y$": _bcrypt("$2y$"),
    "md5": "$apr1$Xv0hJ3uN$JZ2OyUDmJi4CDiGyvLXNa/",
    "sha1": f"{{SHA}}{_SHA1}",
    "plain": _LOGIN[1],
}


@row("14.1", {"$2a$": 200, "$2y$": 200, "md5": 401, "sha1": 401, "plain": 401})
def test_hashes(bench: Bench) -> object:
    path = bench.workdir / "users"
    path.write_text("".join(f"{name}:{hashed}\n" for name, hashed in _HASHES.items()))
    registry = bench.standard(**_by_file(path))
    return {name: _login(registry, name, _LOGIN[1]) for name in _HASHES}


# -- refusals -------------------------------------------------------------------------------------
def _needs(*actions: str, name: str = "team/app", kind: str = "repository") -> list[dict[str, str]]:
    return [{"Type": kind, "Class": "", "Name": name, "Action": action} for action in actions]


_REQUESTS = {
    "GET /v2/": None,
    "GET /v2/team/app/manifests/v1": _needs("pull"),
    "HEAD /v2/team/app/blobs/DIGEST": None,
    "POST /v2/team/app/blobs/uploads/": _needs("pull", "push"),
    "POST /v2/team/app/blobs/uploads/?mount=DIGEST&from=other/app": [
        *_needs("pull", "push"),
        *_needs("pull", name="other/app"),
    ],
    "PUT /v2/team/app/manifests/v1": _needs("pull", "push"),
    "DELETE /v2/team/app/manifests/DIGEST": _needs("delete"),
    "GET /v2/_catalog": _needs("*", name="catalog", kind="registry"),
}


@row("14.2", (f'Basic realm="{REALM}"', "authentication required", _REQUESTS))
def test_refusals(bench: Bench) -> object:
    """The challenge, the message, and the detail of each."""
    registry = bench.standard(htpasswd=_USERS)
    answers = {}
    for line in _REQUESTS:
        method, _, path = line.replace("DIGEST", digest_of(b"")).partition(" ")
        answers[line] = registry.request(method, path)
    refused = [failure(answer) for line, answer in answers.items() if not line.startswith("HEAD")]
    assert set(refused) == {(401, "UNAUTHORIZED")}
    first = answers["GET /v2/"]
    return (
        first.headers["WWW-Authenticate"],
        first.json()["errors"][0]["message"],
        {line: detail(answer) for line, answer in answers.items()},
    )


@row("14.5", {"/": 200, "/nothing": 404, "/debug/health": 200})
def test_what_is_not_protected(bench: Bench) -> object:
    registry = bench.standard(htpasswd=_USERS)
    statuses = {path: registry.get(path).status for path in ("/", "/nothing")}
    healthy = registry.eventually(lambda: registry.health().status)  # it may listen a little later
    return {**statuses, "/debug/health": healthy}


# -- the file -------------------------------------------------------------------------------------
@row("14.3", (0o600, True, 200))
def test_missing_file(bench: Bench) -> object:
    """The mode of the new file, whether the password was said once, and that it is right."""
    path = bench.workdir / "deep" / "users"
    registry = bench.standard(**_by_file(path))
    warning = "htpasswd is missing, provisioning with default user"
    said = [line for line in registry.logs(redacted=False).splitlines() if warning in line]
    password = re.search(r'password="?([^\s"]+)', said[0])
    assert password
    assert "user=docker" in said[0]
    return path.stat().st_mode & 0o777, len(said) == 1, _login(registry, "docker", password[1])


_NEVER = iter(range(1, 1000))


def _write(path: Path, text: str) -> None:
    """Write *text*, by another time than every one before."""
    path.write_text(text)
    moment = time.time_ns() + next(_NEVER) * 10**9
    os.utime(path, ns=(moment, moment))


@row("14.4", [(200, 401), (401, 200)])
def test_file_changes(bench: Bench) -> object:
    """Which of two users may get in, before and after."""
    path = bench.workdir / "users"
    _write(path, htpasswd_text(_USERS))
    registry, seen = bench.standard(**_by_file(path)), []
    for user in ("ann", "bob"):
        _write(path, htpasswd_text({user: _LOGIN[1]}))
        seen.append((_login(registry), _login(registry, "bob", _LOGIN[1])))
    return seen


@row("14.4", [(200, b"{}"), (400, b""), (400, b"")])
def test_file_breaks(bench: Bench) -> object:
    """With a good file, a damaged one, and none."""
    path = bench.workdir / "users"
    _write(path, htpasswd_text(_USERS))
    registry = bench.standard(**_by_file(path))
    answers = [registry.get("/v2/", auth=_LOGIN)]
    _write(path, "no colon\n")
    answers.append(registry.get("/v2/", auth=_LOGIN))
    path.unlink()
    answers.append(registry.get("/v2/", auth=_LOGIN))
    return [(answer.status, answer.body) for answer in answers]


# -- the configuration ----------------------------------------------------------------------------
_BOTH = {"htpasswd": {"realm": "r", "path": "/p"}, "token": {"realm": "r"}}


@row(
    "14.6",
    {"no path": 2, "no realm": 2, "unknown": 2, "two": 1, "none": "starts"},
)
def test_configurations(bench: Bench) -> object:
    sections: dict[str, object] = {
        "no path": {"htpasswd": {"realm": "r"}},
        "no realm": {"htpasswd": {"path": str(bench.workdir / "users")}},
        "unknown": {"ldap": {"realm": "r"}},
        "two": _BOTH,
        "none": "none",
    }
    return {name: starts(bench, extra={"auth": auth}) for name, auth in sections.items()}


@row("14.6", True)
def test_two_types(bench: Bench) -> object:
    """Whether both are named."""
    with pytest.raises(DidNotStart) as refused:
        bench.standard(extra={"auth": _BOTH})
    return {"htpasswd", "token"} <= set(re.findall(r"\w+", refused.value.message))
