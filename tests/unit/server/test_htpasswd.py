"""HTTP Basic authentication: passwords, the password file, and the cost of bcrypt."""

from __future__ import annotations

import asyncio
import base64
import os
import stat
import subprocess
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import bcrypt
import pytest

from harness.system.ports import scaled
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


# -- floods -------------------------------------------------------------------------------------
@pytest.fixture
def bcrypt_waits(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """No password is verified before it is set."""
    goes_on = threading.Event()
    real = htpasswd._matches_bcrypt

    def compare(password: bytes, entry: bytes) -> bool:
        goes_on.wait(scaled(5))
        return real(password, entry)

    monkeypatch.setattr(htpasswd, "_matches_bcrypt", compare)
    return goes_on


async def _status(authenticator: HtpasswdAuthenticator, password: str, client: str) -> int | str:
    request = replace(_request("a", password), remote_address=client)
    try:
        await authenticator.authenticate(request, [_PULL])
    except RegistryError as error:
        return f"429 after {dict(error.headers)['Retry-After']}" if error.status == 429 else 401
    return 200


def _note(done: list[str], password: str, _: object) -> None:
    done.append(password)


def _flood(
    authenticator: HtpasswdAuthenticator, count: int, client: str
) -> list[asyncio.Task[int | str]]:
    return [
        asyncio.create_task(_status(authenticator, f"wrong{n}", client.format(n % 100)))
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("client", "waiting"), [("192.0.2.1:{}", 16), ("[2001:db8::{}]:9", 16), ("192.0.2.{}:9", 128)]
)
def test_a_flood_of_wrong_passwords_keeps_no_right_one_waiting(
    client: str, waiting: int, bcrypt_waits: threading.Event, tmp_path: Path
) -> None:
    """2 passwords are being verified, and *waiting* wait. The right one comes after the first
    password of each other client at most."""

    async def attack() -> None:
        authenticator = _authenticator(_file(tmp_path, ("a", "secret")))
        done: list[str] = []
        flood = _flood(authenticator, 300, client)
        await asyncio.sleep(0)
        for number, task in enumerate(flood):
            task.add_done_callback(partial(_note, done, f"wrong{number}"))
        right = asyncio.create_task(_status(authenticator, "secret", "198.51.100.1:4711"))
        right.add_done_callback(partial(_note, done, "secret"))
        async with asyncio.timeout(scaled(5)):
            while len(done) < 300 - 2 - waiting:  # noqa: ASYNC110 - many events
                await asyncio.sleep(0.001)
        refused = set(done)
        bcrypt_waits.set()
        statuses = await asyncio.gather(*flood)
        assert statuses.count(401) >= waiting + 1
        assert {*statuses} == {401, "429 after 1"}
        assert await right == 200
        assert "secret" not in refused
        assert await _status(authenticator, "secret", "192.0.2.1:4711") == 200

    asyncio.run(attack())


def test_a_client_behind_a_flood_is_next(bcrypt_waits: threading.Event, tmp_path: Path) -> None:
    async def attack() -> None:
        authenticator = _authenticator(_file(tmp_path, ("a", "secret")))
        order: list[int | str] = []

        async def seen(password: str, client: str) -> None:
            order.append(await _status(authenticator, password, client))

        async with asyncio.TaskGroup() as group:
            for n in range(18):
                group.create_task(seen(f"wrong{n}", "192.0.2.1:1"))
            await asyncio.sleep(0.01)
            group.create_task(seen("secret", "192.0.2.2:1"))
            await asyncio.sleep(0.01)
            bcrypt_waits.set()
        assert order.index(200) <= 4  # Two are being verified, and two more may overtake.
        assert order.count(401) == 18

    asyncio.run(attack())


def test_a_remembered_password_does_not_wait(bcrypt_waits: threading.Event, tmp_path: Path) -> None:
    async def attack() -> None:
        authenticator = _authenticator(_file(tmp_path, ("a", "secret")))
        bcrypt_waits.set()
        assert await _status(authenticator, "secret", "192.0.2.1:1") == 200
        bcrypt_waits.clear()
        flood = _flood(authenticator, 100, "192.0.2.1:{}")
        await asyncio.sleep(0.01)
        assert await _status(authenticator, "secret", "192.0.2.1:1") == 200
        bcrypt_waits.set()
        await asyncio.gather(*flood)

    asyncio.run(attack())


def test_requests_with_one_password_wait_together(comparisons: list[bytes], tmp_path: Path) -> None:
    """A node starts a hundred pulls at once, and the first of them leaves."""

    async def pull() -> None:
        authenticator = _authenticator(_file(tmp_path, ("a", "secret")))
        first, *others = [
            asyncio.create_task(_status(authenticator, "secret", "192.0.2.1:1")) for _ in range(100)
        ]
        await asyncio.sleep(0)
        first.cancel()
        assert await asyncio.gather(*others) == [200] * 99

    asyncio.run(pull())
    assert len(comparisons) == 1


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
