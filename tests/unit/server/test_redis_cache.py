"""The descriptor cache in redis: its keys, and failures of redis."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.system.redis_server import RedisServer
from reference_registry.config import RedisConfig, RedisTlsConfig
from reference_registry.config.problem import CannotStart
from reference_registry.counters import CacheCounters
from reference_registry.digest import Digest
from reference_registry.profiles import IDEAL, PROFILES, Profile
from reference_registry.repository import Descriptor
from reference_registry.storage.redis_cache import RedisDescriptorCache
from tests.unit.server.certificates import make_authority, make_certificate

_A, _B = Digest("sha256:" + "a" * 64), Digest("sha256:" + "b" * 64)
_A512 = Digest("sha512:" + "a" * 128)
_OCTETS = "application/octet-stream"
_FOUND = Descriptor(_A, 5, _OCTETS)


class _Time:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


class _Caches:
    """Makes caches, and closes them."""

    def __init__(self) -> None:
        self.counters = CacheCounters()
        self.time = _Time()
        self._made: list[RedisDescriptorCache] = []

    def __call__(
        self, address: str, profile: Profile = IDEAL, **settings: Any
    ) -> RedisDescriptorCache:
        config = RedisConfig(
            addr=address,
            dialtimeout=timedelta(seconds=5),
            readtimeout=timedelta(milliseconds=200),
            **settings,
        )
        cache = RedisDescriptorCache(config, profile, self.counters, monotonic=self.time)
        self._made.append(cache)
        return cache

    def close(self) -> None:
        for cache in self._made:
            cache.close()


@pytest.fixture
def make() -> Iterator[_Caches]:
    caches = _Caches()
    yield caches
    caches.close()


# -- keys ---------------------------------------------------------------------------------------
def test_what_is_remembered(server: RedisServer, make: _Caches) -> None:
    cache = make(server.address)
    cache.remember("team/app", _A, _FOUND)
    assert server.keys() == {
        f"blobs::{_A}": {"digest": _A, "size": "5", "mediatype": _OCTETS},
        "repository::team/app::blobs": {_A},
        f"repository::team/app::blobs::{_A}": {"mediatype": _OCTETS},
    }
    assert cache.find("team/app", _A) == _FOUND
    assert cache.find("team/app", _B) is None
    assert cache.find("team", _A) is None
    assert make.counters.errors == 0


@pytest.mark.parametrize("profile", ["2.8", "3.0.0-alpha.1", "3.0"])
def test_releases_forget_only_the_bytes(profile: str, server: RedisServer, make: _Caches) -> None:
    cache = make(server.address, PROFILES[profile])
    cache.remember("app", _A, _FOUND)
    cache.forget("app", _A)
    assert server.keys() == {
        "repository::app::blobs": {_A},
        f"repository::app::blobs::{_A}": {"mediatype": _OCTETS},
    }
    assert cache.find("app", _A) is None


@pytest.mark.parametrize("profile", ["3.1", "ideal"])
def test_forget_removes_the_link_too(profile: str, server: RedisServer, make: _Caches) -> None:
    cache = make(server.address, PROFILES[profile])
    cache.remember("app", _A, _FOUND)
    cache.remember("app", _B, Descriptor(_B, 7, _OCTETS))
    cache.forget("app", _A)
    assert set(server.keys()) == {
        f"blobs::{_B}",
        "repository::app::blobs",
        f"repository::app::blobs::{_B}",
    }
    cache.forget("app", _B)
    assert server.keys() == {}


def test_a_media_type_of_the_repository_s_own(server: RedisServer, make: _Caches) -> None:
    """It goes before that of the bytes, which stays what it was first."""
    cache = make(server.address)
    cache.remember("app", _A, _FOUND)
    cache.remember("app", _A, Descriptor(_A, 5, "text/plain"))
    assert server.keys()[f"blobs::{_A}"] == {"digest": _A, "size": "5", "mediatype": _OCTETS}
    assert cache.find("app", _A) == Descriptor(_A, 5, "text/plain")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"digest": _A},
        {"size": "5"},
        {"digest": _A, "length": "5"},
        {"digest": _A, "size": "-5"},
        {"digest": _A, "size": "five"},
        {"digest": _A, "size": "9" * 30},
        {"digest": "sha256:short", "size": "5"},
        {"digest": "../../etc/passwd", "size": "5"},
        {"digest": b"\xff\xfe", "size": "5"},
    ],
    ids=range(10),
)
def test_invalid_entries_are_ignored(
    fields: dict[str, str | bytes], server: RedisServer, make: _Caches
) -> None:
    cache = make(server.address)
    cache.remember("app", _A, _FOUND)
    with server.client() as client:
        client.delete(f"blobs::{_A}")
        for field, value in fields.items():
            client.hset(f"blobs::{_A}", field, value)
    assert cache.find("app", _A) is None
    assert make.counters.errors == 0


def test_a_key_of_another_type(
    server: RedisServer, make: _Caches, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of this blob only: redis is still used."""
    cache = make(server.address)
    with server.client() as client:
        client.set(f"blobs::{_A}", "text")
    assert cache.find("app", _A) is None
    cache.remember("app", _B, Descriptor(_B, 7, _OCTETS))
    assert cache.find("app", _B) is not None
    assert make.counters.errors == 1
    assert f"redis at {server.address} is not used" in caplog.text
    assert "WRONGTYPE" in caplog.text


# -- failure ------------------------------------------------------------------------------------
def test_a_redis_that_comes_later(
    tmp_path: Path, make: _Caches, caplog: pytest.LogCaptureFixture
) -> None:
    """It is retried after a pause; a failure is logged once a minute."""
    server = RedisServer(tmp_path)
    cache = make(server.address)
    assert cache.find("app", _A) is None
    cache.remember("app", _A, _FOUND)
    cache.forget("app", _A)
    cache.remember_bytes(_FOUND)
    assert make.counters.errors == 4
    assert len(caplog.records) == 1
    assert f"redis at {server.address} is not used" in caplog.text

    server.start()
    try:
        assert cache.find("app", _A) is None  # not asked
        assert make.counters.errors == 5
        make.time.seconds += 1.1
        cache.remember("app", _A, _FOUND)
        assert cache.find("app", _A) == _FOUND
        assert make.counters.errors == 5
    finally:
        server.stop()


def test_a_closed_connection_is_replaced(server: RedisServer, make: _Caches) -> None:
    cache = make(server.address)
    cache.remember("app", _A, _FOUND)
    with server.client() as client:
        client.client_kill_filter(_type="normal", skipme=True)
    assert cache.find("app", _A) == _FOUND
    assert make.counters.errors == 0


def test_pauses_grow(make: _Caches) -> None:
    """A redis that never answers is tried less and less often."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.settimeout(5.0)
        cache = make(f"127.0.0.1:{silent.getsockname()[1]}")
        for pause in (1, 2, 4, 8, 16, 30, 30):
            assert cache.find("app", _A) is None
            silent.accept()[0].close()  # it was asked
            make.time.seconds += pause - 0.1
            assert cache.find("app", _A) is None
            silent.setblocking(False)
            with pytest.raises(BlockingIOError):
                silent.accept()
            silent.settimeout(5.0)
            make.time.seconds += 0.2


@pytest.mark.parametrize(("password", "errors"), [("right", 0), ("wrong", 2), (None, 2)])
def test_passwords(password: str | None, errors: int, tmp_path: Path, make: _Caches) -> None:
    server = RedisServer(tmp_path, "--requirepass", "right")
    server.start()
    try:
        cache = make(server.address, password=password)
        cache.remember("app", _A, _FOUND)
        assert (cache.find("app", _A) is None) == bool(errors)
        assert make.counters.errors == errors
    finally:
        server.stop()


# -- TLS ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("trusts", "shows", "errors"),
    [("ca", "client", 0), ("ca", None, 2), ("other", "client", 2), (None, "client", 2)],
)
def test_tls(
    trusts: str | None, shows: str | None, errors: int, tmp_path: Path, make: _Caches
) -> None:
    """A redis that requires a client certificate; the client trusts the authority *trusts*."""
    authority = make_authority(tmp_path)
    make_authority(tmp_path, "other")
    pairs = {name: make_certificate(tmp_path, name, authority) for name in ("server", "client")}
    certificate, key = pairs["server"]
    server = RedisServer(
        tmp_path,
        *("--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
        *("--tls-ca-cert-file", str(authority[0]), "--tls-auth-clients", "yes"),
        tls=True,
    )
    server.start()
    try:
        client = pairs[shows] if shows is not None else (None, None)
        roots = () if trusts is None else (tmp_path / f"{trusts}.pem",)
        tls = RedisTlsConfig(certificate=client[0], key=client[1], rootcas=roots)
        cache = make(server.address, tls=tls)
        cache.remember("app", _A, _FOUND)
        assert (cache.find("app", _A) is None) == bool(errors)
        assert make.counters.errors == errors
    finally:
        server.stop()


def test_tls_with_the_wrong_host_name(tmp_path: Path, make: _Caches) -> None:
    authority = make_authority(tmp_path)
    certificate, key = make_certificate(tmp_path, "server", authority)
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key))
    server = RedisServer(tmp_path, *files, "--tls-auth-clients", "no", tls=True)
    server.start()
    try:
        tls = RedisTlsConfig(rootcas=(authority[0],))
        make(server.address, tls=tls).remember("app", _A, _FOUND)
        assert make.counters.errors == 0
        make(f"localhost:{server.port}", tls=tls).remember("app", _A, _FOUND)
        assert make.counters.errors == 1
    finally:
        server.stop()


@pytest.mark.parametrize("content", [None, "", "no certificate", "ä"])
@pytest.mark.parametrize("key", ["certificate", "rootcas"])
def test_files_of_tls_that_cannot_be_used(
    key: str, content: str | None, tmp_path: Path, make: _Caches
) -> None:
    path = tmp_path / "file.pem"
    if content is not None:
        path.write_text(content)
    pair = RedisTlsConfig(certificate=path, key=path)
    tls = pair if key == "certificate" else RedisTlsConfig(rootcas=(path,))
    with pytest.raises(CannotStart) as failure:
        make("127.0.0.1:1", tls=tls)
    assert failure.value.key == f"redis.tls.{key}"
    assert str(path) in failure.value.what
    assert failure.value.released_exit_code == 2
