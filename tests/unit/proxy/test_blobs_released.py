"""Missing blobs as releases fetch them: twice (2.8), or once per client and the cache with it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import pytest

from reference_registry.digest import digest_of
from tests.support.in_process import Proxy
from tests.support.upstream_double import Pieces, UpstreamDouble, broken
from tests.unit.proxy.conftest import RELEASES, MakeProxy

pytestmark = pytest.mark.anyio

BLOB = b"\x1f\x8b\x08" + bytes(range(256)) * 40
SMALL = b"{}"
DIGEST = digest_of(BLOB)
PATH = f"/v2/team/app/blobs/{DIGEST}"
GET, HEAD, PING = f"GET {PATH}", f"HEAD {PATH}", "GET /v2/"
HALF = len(BLOB) // 2
TEES = ("3.0.0-alpha.1", "3.0", "3.1")

every_release = pytest.mark.parametrize("profile", RELEASES)
every_tee = pytest.mark.parametrize("profile", TEES)


@pytest.fixture
def upstream() -> UpstreamDouble:
    upstream = UpstreamDouble()
    upstream.add_blob("team/app", BLOB, DIGEST)
    upstream.add_blob("team/app", SMALL, digest_of(SMALL))
    return upstream


def body_of(*pieces: bytes | asyncio.Event | Exception) -> httpx.Response:
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(len(BLOB))}
    return httpx.Response(200, headers=headers, stream=Pieces(*pieces))


def is_cached(proxy: Proxy) -> bool:
    return proxy.local("team/app").has_blob(DIGEST)


# -- what a miss costs -----------------------------------------------------------------------------
@every_release
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_miss(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str, method: str
) -> None:
    """6.1, 6.2 (#3569). 2.8 pings once more when it looks for what it has not stored yet."""
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.ask(method, PATH)
        await proxy.settled()
        assert is_cached(proxy)
        assert proxy.scheduled == {f"team/app@{DIGEST}": 0}
        counted = upstream.count()
    assert answer.status == 200
    assert answer.body == (BLOB if method == "GET" else b"")
    if profile == "2.8":
        assert counted == {PING: 3, HEAD: 1, GET: 2}
    else:
        assert upstream.lines == [PING, HEAD, PING, GET]
    assert upstream.lines[:3] == [PING, HEAD, PING]


@every_release
async def test_a_hit_costs_nothing(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    async with make_proxy(profile).running() as proxy:
        await proxy.get(PATH)
        await proxy.settled()
        upstream.clear()
        answer = await proxy.get(PATH, range="bytes=0-9")
        assert upstream.lines == []
    assert (answer.status, answer.body) == (206, BLOB[:10])


@every_release
async def test_headers_of_a_miss(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    """6.3."""
    async with make_proxy(profile).running() as proxy:
        get = await proxy.get(PATH)
        await proxy.settled()
        proxy.local("team/app").unlink_blob(DIGEST)
        head = await proxy.head(PATH)
        await proxy.settled()
    for answer in (get, head):
        assert "accept-ranges" not in answer.headers
        assert "cache-control" not in answer.headers
        promised = profile != "3.0.0-alpha.1"
        assert answer.headers.get("content-length") == (str(len(BLOB)) if promised else None)
        assert answer.headers.get("docker-content-digest") == (DIGEST if promised else None)
        assert answer.headers.get("etag") == (DIGEST if promised else None)
    if profile == "3.0.0-alpha.1":
        # Go's net/http guesses it from the bytes, for HEAD as well.
        assert get.headers["content-type"] == head.headers["content-type"] == "application/x-gzip"
    else:
        assert get.headers["content-type"] == "application/octet-stream"


async def test_a_small_blob_gets_its_length_from_go(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    async with make_proxy("3.0.0-alpha.1").running() as proxy:
        answer = await proxy.get(f"/v2/team/app/blobs/{digest_of(SMALL)}")
    assert answer.body == SMALL
    assert answer.headers["content-length"] == str(len(SMALL))
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@every_release
@pytest.mark.parametrize("header", ["range", "if_none_match"])
async def test_ranges_and_conditions_are_ignored_on_a_miss(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str, header: str
) -> None:
    """6.5, 6.6 (#4667)."""
    value = "bytes=0-9" if header == "range" else f'"{DIGEST}"'
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.get(PATH, **{header: value})
        await proxy.settled()
    assert (answer.status, answer.body) == (200, BLOB)
    assert all("range" not in r.headers for r in upstream.requests)


@every_release
async def test_the_same_blob_for_another_repository_is_fetched_again(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    """6.9."""
    upstream.add_blob("other/app", BLOB, DIGEST)
    other = f"/v2/other/app/blobs/{DIGEST}"
    async with make_proxy(profile).running() as proxy:
        await proxy.get(PATH)
        await proxy.settled()
        upstream.clear()
        assert (await proxy.get(other)).body == BLOB
        await proxy.settled()
    assert upstream.count()[f"GET {other}"] == (2 if profile == "2.8" else 1)


# -- several clients -------------------------------------------------------------------------------
@every_release
async def test_clients_at_once(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    """6.7: one fetch each, and one more for the cache by 2.8."""
    everybody = asyncio.Event()

    def wait_for_all(_: httpx.Request) -> httpx.Response:
        if upstream.count()[GET] == 6:
            everybody.set()
        return body_of(everybody, BLOB)

    upstream.on(GET, wait_for_all)
    async with make_proxy(profile).running() as proxy:
        clients = [asyncio.ensure_future(proxy.get(PATH)) for _ in range(6)]
        expected = 7 if profile == "2.8" else 6
        assert all(a.body == BLOB for a in await asyncio.gather(*clients))
        await proxy.settled()
        assert is_cached(proxy)
    assert upstream.count()[GET] == expected
    assert upstream.count()[HEAD] == 6


@every_release
async def test_a_blob_on_its_way_for_one_repository_is_not_cached_for_another(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    """6.8."""
    upstream.add_blob("other/app", BLOB, DIGEST)
    rest = asyncio.Event()
    upstream.on(GET, *[body_of(BLOB[:HALF], rest, BLOB[HALF:]) for _ in range(2)])
    async with make_proxy(profile).running() as proxy:
        first = proxy.open("GET", PATH)
        await first.start()
        answer = await proxy.get(f"/v2/other/app/blobs/{DIGEST}")
        assert answer.body == BLOB
        rest.set()
        assert await first.read() == BLOB
        await proxy.settled()
        assert is_cached(proxy)
        assert not proxy.holds("repositories/other/app/_layers")


@every_release
async def test_the_client_leaves(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    """6.10 (#4793): 2.8 goes on; alpha.1 and 3.0 leave the upload behind."""
    rest = asyncio.Event()
    upstream.on(GET, *[body_of(BLOB[:HALF], rest, BLOB[HALF:]) for _ in range(2)])
    async with make_proxy(profile).running() as proxy:
        exchange = proxy.open("GET", PATH)
        await exchange.start()
        await exchange.read(1)
        await exchange.leave()
        rest.set()
        await proxy.settled()
        assert is_cached(proxy) is (profile == "2.8")
        assert bool(proxy.uploads()) is (profile in {"3.0.0-alpha.1", "3.0"})
        assert bool(proxy.scheduled) is (profile == "2.8")


# -- upstream breaks off ---------------------------------------------------------------------------
@every_release
async def test_a_truncated_body(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    """6.11 (#4872): the error's JSON follows the bytes."""
    upstream.on(GET, *[body_of(BLOB[:HALF], broken()) for _ in range(2)])
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.get(PATH)
        await proxy.settled()
        assert not is_cached(proxy)
        assert bool(proxy.uploads()) is (profile != "3.1")
        assert bool(proxy.scheduled) is (profile == "2.8")
    assert answer.status == 200
    assert answer.body.startswith(BLOB[:HALF] + b'{"errors":[{"code":"UNKNOWN"')
    assert answer.cut is (profile != "3.0.0-alpha.1")


@every_release
async def test_a_body_truncated_so_late_that_the_error_does_not_fit(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    upstream.on(GET, *[body_of(BLOB[:-1], broken()) for _ in range(2)])
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.get(PATH)
        await proxy.settled()
    if profile == "3.0.0-alpha.1":
        assert b'{"errors"' in answer.body
    else:
        assert (answer.body, answer.cut) == (BLOB[:-1], True)


@every_release
async def test_wrong_bytes(make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str) -> None:
    """6.12: the client gets them, the cache does not, the upload stays."""
    wrong = BLOB[:-1] + b"!"
    upstream.on(GET, *[body_of(wrong) for _ in range(2)])
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.get(PATH)
        await proxy.settled()
        assert not is_cached(proxy)
        assert [f.rpartition("/")[2] for f in proxy.uploads()] == ["data", "startedat"]
        assert bool(proxy.scheduled) is (profile == "2.8")
    if profile == "3.0.0-alpha.1":
        assert answer.body.startswith(wrong + b'{"errors":[{"code":"UNKNOWN"')
    else:
        assert (answer.body, answer.cut) == (wrong, False)


@every_release
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_head_works_and_get_does_not(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str, method: str
) -> None:
    """6.13: 500 under the length of the blob."""
    upstream.on(GET, 503)
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.ask(method, PATH)
        await proxy.settled()
        assert not is_cached(proxy)
        assert bool(proxy.scheduled) is (profile == "2.8")
    assert answer.status == 500
    malformed = profile != "3.0.0-alpha.1"
    if malformed:
        assert answer.headers["content-length"] == str(len(BLOB))
        assert answer.cut is (method == "GET")
    if method == "GET":
        assert answer.code == "UNKNOWN"


@every_release
async def test_head_without_a_length(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    """6.14."""
    upstream.on(HEAD, httpx.Response(200))
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.get(PATH)
    assert (answer.status, answer.code) == (500, "UNKNOWN")
    if profile != "2.8":
        assert answer.detail.startswith("missing content-length header for request: ")
    assert GET not in upstream.lines


def dropped(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("connection reset", request=request)


@every_release
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("fault", [401, 403, 404, 418, 429, 500, 503, dropped])
async def test_failures(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str, method: str, fault: Any
) -> None:
    """12.8, 12.9: 404 for 404, and 500 for the rest."""
    upstream.on(f"* {PATH}", fault)
    async with make_proxy(profile).running() as proxy:
        answer = await proxy.ask(method, PATH)
        assert proxy.files() == []
    assert answer.status == (404 if fault == 404 else 500)
    if method == "GET":
        assert answer.code == ("BLOB_UNKNOWN" if fault == 404 else "UNKNOWN")
    assert "retry-after" not in answer.headers


@every_release
async def test_a_second_ping_that_fails(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    upstream.on(PING, httpx.Response(200), dropped)
    async with make_proxy(profile).running() as proxy:
        upstream.on(PING, httpx.Response(200), dropped)
        answer = await proxy.get(PATH)
    assert answer.status == 500
    assert upstream.lines == [PING, HEAD, PING]


# -- counting --------------------------------------------------------------------------------------
@every_release
async def test_blobs_are_counted(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    """15.14: a miss counts twice in 2.8, as it is fetched twice."""
    async with make_proxy(profile).running() as proxy:
        await proxy.get(PATH)
        await proxy.settled()
        await proxy.get(PATH)
        counted = proxy.counters.blob
    fetches = 2 if profile == "2.8" else 1
    assert (counted.requests, counted.hits, counted.misses) == (fetches + 1, 1, fetches)
    assert counted.pulled_bytes == fetches * len(BLOB)
    assert counted.pushed_bytes == (fetches + 1) * len(BLOB)


async def test_a_blob_that_could_not_be_stored_is_logged(
    make_proxy: MakeProxy, upstream: UpstreamDouble, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    upstream.on(GET, *[body_of(BLOB[:-1] + b"!") for _ in range(2)])
    async with make_proxy("2.8").running() as proxy:
        await proxy.get(PATH)
        await proxy.settled()
    assert any(r.getMessage().startswith("Error committing to storage: ") for r in caplog.records)
