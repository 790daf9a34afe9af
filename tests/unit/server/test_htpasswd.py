"""HTTP Basic authentication: passwords, the password file, and the cost of bcrypt."""

from __future__ import annotations

import asyncio
import base64
import os
import stat
import subprocess
from pathlib import Path

import bcrypt
import pytest

from harness.system.real_parts import real_part
from reference_registry.auth import htpasswd
from reference_registry.auth.htpasswd import (
    HtpasswdAuthenticator,
    HtpasswdSyntax,
    hash_password,
    parse_htpasswd,
)
from reference_registry.config import HtpasswdConfig
from reference_registry.config.problem import CannotStart
from reference_registry.http.errors import RegistryError
from reference_registry.http.hooks import Access, AuthenticationBroken
from reference_registry.http.messages import Request
from reference_registry.profiles import IDEAL, PROFILES, Profile
from tests.support.requests import a_request

_PULL = Access("repository", "team/app", "pull")


def _request(user: str | None = None, password: str = "", header: str | None = None) -> Request:
    if user is not None:
        encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
        header = f"Basic {encoded}"
    return a_request() if header is None else a_request(authorization=header)


def _file(tmp_path: Path, *users: tuple[str, str]) -> Path:
    path = tmp_path / "htpasswd"
    path.write_text("".join(f"{user}:{hash_password(p, cost=4)}\n" for user, p in users))
    return path


def _authenticator(
    path: Path, profile: Profile = IDEAL, realm: str = "basic-realm"
) -> HtpasswdAuthenticator:
    return HtpasswdAuthenticator(HtpasswdConfig(realm=realm, path=path), profile)


def _user(authenticator: HtpasswdAuthenticator, request: Request) -> str | None:
    return asyncio.run(authenticator.authenticate(request, [_PULL]))


def _refused(authenticator: HtpasswdAuthenticator, request: Request) -> RegistryError:
    with pytest.raises(RegistryError) as failure:
        _user(authenticator, request)
    assert failure.value.status == 401
    return failure.value


# -- passwords ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        _request(),
        _request("a", "wrong"),
        _request("a", ""),
        _request("", "secret"),
        _request("unknown", "secret"),
        _request(header="Basic"),
        _request(header="Basic !!!"),
        _request(header="Basic " + base64.b64encode(b"no-colon").decode()),
        _request(header="Basic ä"),
        _request(header="Bearer abc"),
    ],
    ids=range(10),
)
@pytest.mark.parametrize("profile", ["ideal", "2.8"])
def test_other_credentials_are_refused(request_: Request, profile: str, tmp_path: Path) -> None:
    authenticator = _authenticator(_file(tmp_path, ("a", "secret")), PROFILES[profile])
    _refused(authenticator, request_)


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
def test_all_names_of_bcrypt(prefix: str, tmp_path: Path) -> None:
    path = tmp_path / "htpasswd"
    made = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode().replace("$2b$", prefix)
    path.write_text(f"# people\n\n  a:{made}  \n")
    assert _user(_authenticator(path), _request("a", "secret")) == "a"


def test_passwords_longer_than_bcrypt_reads(tmp_path: Path) -> None:
    """bcrypt reads 72 bytes; as with distribution, what follows makes no difference."""
    path = _file(tmp_path, ("a", "x" * 72))
    assert _user(_authenticator(path), _request("a", "x" * 500)) == "a"


def test_files_made_by_apache(tmp_path: Path) -> None:
    tool = real_part("htpasswd")
    path = tmp_path / "htpasswd"
    subprocess.run([tool, "-cBb", path, "testuser", "testpassword"], check=True)
    subprocess.run([tool, "-bm", path, "old", "testpassword"], check=True)
    authenticator = _authenticator(path)
    assert _user(authenticator, _request("testuser", "testpassword")) == "testuser"
    _refused(authenticator, _request("old", "testpassword"))


def test_apache_accepts_files_made_here(tmp_path: Path) -> None:
    tool = real_part("htpasswd")
    path = _file(tmp_path, ("a", "secret"))
    for password, verdict in (("secret", 0), ("wrong", 3)):
        verified = subprocess.run([tool, "-vb", path, "a", password], check=False)
        assert verified.returncode == verdict


# -- cost ---------------------------------------------------------------------------------------
@pytest.fixture
def comparisons(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The hashes that were compared with, in order."""
    made: list[bytes] = []
    real = htpasswd._matches_bcrypt

    def compare(password: bytes, entry: bytes) -> bool:
        made.append(entry)
        return real(password, entry)

    monkeypatch.setattr(htpasswd, "_matches_bcrypt", compare)
    return made


def test_bcrypt_runs_once_per_password(comparisons: list[bytes], tmp_path: Path) -> None:
    authenticator = _authenticator(_file(tmp_path, ("a", "secret")))
    for _ in range(3):
        _user(authenticator, _request("a", "secret"))
    assert len(comparisons) == 1
    for _ in range(2):
        _refused(authenticator, _request("a", "wrong"))
    assert len(comparisons) == 3  # failures are not remembered


def test_remembered_passwords_are_bounded(
    comparisons: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(htpasswd, "_MOST_REMEMBERED", 2)
    authenticator = _authenticator(_file(tmp_path, ("a", "1"), ("b", "2"), ("c", "3")))
    for user, password in (("a", "1"), ("b", "2"), ("a", "1"), ("c", "3"), ("a", "1"), ("b", "2")):
        _user(authenticator, _request(user, password))
    assert len(comparisons) == 4  # b made way for c


@pytest.mark.parametrize(
    ("profile", "compared"), [("ideal", 1), ("3.1", 1), ("3.0", 0), ("2.8", 0)]
)
def test_unknown_users_take_as_long(
    profile: str, compared: int, comparisons: list[bytes], tmp_path: Path
) -> None:
    authenticator = _authenticator(_file(tmp_path, ("a", "secret")), PROFILES[profile])
    _refused(authenticator, _request("unknown", "secret"))
    assert len(comparisons) == compared
    assert all(entry.startswith(b"$2b$04$") for entry in comparisons)


# -- the file -----------------------------------------------------------------------------------


def test_the_broken_line_is_named_and_not_shown() -> None:
    with pytest.raises(HtpasswdSyntax, match=r"^line 2 is not user:hash$"):
        parse_htpasswd(b"a:b\nhunter2\n")


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: path.write_text("hunter2\n"), "line 1 is not user:hash"),
    ],
)
def test_ideal_checks_the_file_at_start(make: object, what: str, tmp_path: Path) -> None:
    path = tmp_path / "htpasswd"
    assert callable(make)
    make(path)
    with pytest.raises(CannotStart) as failure:
        asyncio.run(_authenticator(path).start())
    assert failure.value.key == "auth.htpasswd.path"
    assert what in failure.value.what
    assert failure.value.fix


def test_a_release_makes_the_missing_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "new" / "htpasswd"
    authenticator = _authenticator(path, PROFILES["2.8"])
    asyncio.run(authenticator.start())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    (record,) = caplog.records
    assert record.getMessage() == "htpasswd is missing, provisioning with default user"
    fields = record.__dict__["fields"]
    assert fields["user"] == "docker"
    assert _user(authenticator, _request("docker", fields["password"])) == "docker"
    content = path.read_bytes()
    asyncio.run(authenticator.start())
    assert path.read_bytes() == content


def test_a_release_fails_on_a_directory_with_the_first_request(tmp_path: Path) -> None:
    authenticator = _authenticator(tmp_path, PROFILES["2.8"])
    asyncio.run(authenticator.start())
    with pytest.raises(AuthenticationBroken):
        _user(authenticator, _request("a", "b"))


@pytest.mark.skipif(os.getuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = _file(tmp_path, ("a", "secret"))
    path.chmod(0)
    with pytest.raises(CannotStart, match=r"(?i)permission denied"):
        asyncio.run(_authenticator(path).start())


@pytest.mark.parametrize("password", ["x" * 73, "ü" * 37, "a\0b"])
def test_a_password_that_bcrypt_would_cut_is_refused(password: str) -> None:
    with pytest.raises(ValueError, match="at most 72 bytes"):
        hash_password(password)
