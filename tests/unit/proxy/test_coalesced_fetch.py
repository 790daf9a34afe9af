"""Coalesced fetches: the parts that no scenario covers."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from reference_registry.digest import Digest, digest_of
from tests.support.in_process import Proxy
from tests.support.upstream_double import Pieces, UpstreamDouble, broken
from tests.unit.proxy.conftest import MakeProxy

pytestmark = pytest.mark.anyio

BLOB = bytes(range(256)) * 400
DIGEST = digest_of(BLOB)
PATH = f"/v2/team/app/blobs/{DIGEST}"
GET, HEAD = f"GET {PATH}", f"HEAD {PATH}"
HALF = len(BLOB) // 2


@pytest.fixture
def upstream() -> UpstreamDouble:
    upstream = UpstreamDouble()
    upstream.add_blob("team/app", BLOB, DIGEST)
    return upstream


def body_of(*pieces: bytes | asyncio.Event | Exception, size: int | None = len(BLOB)) -> Any:
    headers = {"Content-Type": "application/octet-stream"}
    if size is not None:
        headers["Content-Length"] = str(size)
    return httpx.Response(200, headers=headers, stream=Pieces(*pieces))


def is_cached(proxy: Proxy, digest: Digest = DIGEST, name: str = "team/app") -> bool:
    return proxy.local(name).has_blob(digest)


def nothing_is_left(proxy: Proxy) -> bool:
    return proxy.files() == [] and proxy.scheduled == {}


# -- one client ------------------------------------------------------------------------------------


async def test_a_condition_that_holds_does_not_download(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    async with make_proxy().running() as proxy:
        assert (await proxy.get(PATH, if_none_match=f'"{DIGEST}"')).status == 304
        assert upstream.lines == [HEAD]
        upstream.remove(PATH)
        assert (await proxy.get(PATH, if_none_match=f'"{DIGEST}"')).status == 404


async def test_sha512(make_proxy: MakeProxy, upstream: UpstreamDouble) -> None:
    digest = digest_of(BLOB, "sha512")
    upstream.add_blob("team/app", BLOB, digest)
    async with make_proxy().running() as proxy:
        answer = await proxy.get(f"/v2/team/app/blobs/{digest}")
        assert (answer.body, answer.cut) == (BLOB, False)
        assert is_cached(proxy, digest)
        assert proxy.holds(f"blobs/sha512/{digest.partition(':')[2][:2]}/")


# -- several clients -------------------------------------------------------------------------------


async def test_head_during_a_download_does_not_ask_upstream(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    rest = asyncio.Event()
    upstream.on(GET, body_of(BLOB[:HALF], rest, BLOB[HALF:]))
    async with make_proxy().running() as proxy:
        exchange = proxy.open("GET", PATH)
        await exchange.start()
        head = await proxy.head(PATH)
        assert head.headers["content-length"] == str(len(BLOB))
        assert upstream.lines == [GET]
        rest.set()
        await exchange.read()


# -- several repositories --------------------------------------------------------------------------
OTHER = f"/v2/other/app/blobs/{DIGEST}"


async def test_a_download_for_another_repository_is_not_given_away(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    rest = asyncio.Event()
    upstream.on(GET, body_of(BLOB[:HALF], rest, BLOB[HALF:]))
    async with make_proxy().running() as proxy:
        first = proxy.open("GET", PATH)
        await first.start()
        for method in ("GET", "HEAD"):
            assert (await proxy.ask(method, OTHER)).status == 404
        rest.set()
        await first.read()
        await proxy.settled()
        assert not is_cached(proxy, name="other/app")


async def test_a_refusal_is_for_the_repository_that_asked(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    asked, go, questioned = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def refuse(request: httpx.Request) -> httpx.Response:
        asked.set()
        await go.wait()
        return httpx.Response(403)

    def tell(request: httpx.Request) -> httpx.Response:
        questioned.set()
        return upstream.stored(request)

    upstream.add_blob("other/app", BLOB, DIGEST)
    upstream.on(f"GET {OTHER}", refuse)
    upstream.on(HEAD, tell)
    async with make_proxy().running() as proxy:
        refused = asyncio.create_task(proxy.ask("GET", OTHER))
        await asked.wait()
        allowed = [asyncio.create_task(proxy.ask("GET", PATH)) for _ in range(2)]
        await questioned.wait()
        go.set()
        assert (await refused).status == 403
        assert [(await each).body for each in allowed] == [BLOB, BLOB]
        await proxy.settled()
        assert is_cached(proxy)
        assert not is_cached(proxy, name="other/app")
    assert upstream.count()[GET] == 1


# -- ranges ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-99", 0, 100),
        ("bytes=100-199", 100, 200),
        ("bytes=-10", len(BLOB) - 10, len(BLOB)),
        (f"bytes={HALF}-", HALF, len(BLOB)),
    ],
)
async def test_a_cold_range(
    make_proxy: MakeProxy, upstream: UpstreamDouble, wanted: str, start: int, end: int
) -> None:
    """#4667: 206, and the whole blob is cached beside it."""
    async with make_proxy().running() as proxy:
        answer = await proxy.get(PATH, range=wanted)
        await proxy.settled()
        assert is_cached(proxy)
        warm = await proxy.get(PATH, range=wanted)
    assert (answer.status, answer.body) == (206, BLOB[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(BLOB)}"
    assert (warm.status, warm.body, warm.headers) == (206, answer.body, answer.headers)
    assert upstream.count()[HEAD] == 0


async def test_a_range_ahead_of_the_download_comes_straight_from_upstream(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    rest = asyncio.Event()
    upstream.on(GET, body_of(BLOB[:100], rest, BLOB[100:]), upstream.stored)
    async with make_proxy().running() as proxy:
        answer = await proxy.get(PATH, range="bytes=-50")
        assert (answer.status, answer.body) == (206, BLOB[-50:])
        assert not is_cached(proxy)
        asked = [r.headers.get("range") for r in upstream.requests]
        assert asked == [None, f"bytes={len(BLOB) - 50}-{len(BLOB) - 1}"]
        rest.set()
        await proxy.settled()
        assert is_cached(proxy)


async def test_a_range_within_the_download_is_read_from_it(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    rest = asyncio.Event()
    upstream.on(GET, body_of(BLOB[:HALF], rest, BLOB[HALF:]))
    async with make_proxy().running() as proxy:
        first = proxy.open("GET", PATH)
        await first.start()
        await first.read(HALF)
        answer = await proxy.get(PATH, range=f"bytes=10-{HALF - 1}")
        assert answer.body == BLOB[10:HALF]
        assert upstream.lines == [GET]
        rest.set()
        await first.read()


@pytest.mark.parametrize("refusal", [416, 500, "ignored", "other-size", "broken"])
async def test_a_range_that_upstream_does_not_serve_waits_for_the_download(
    make_proxy: MakeProxy, upstream: UpstreamDouble, refusal: int | str
) -> None:
    rest, asked = asyncio.Event(), asyncio.Event()

    def ranged(request: httpx.Request) -> httpx.Response:
        asked.set()
        if isinstance(refusal, int):
            return httpx.Response(refusal)
        if refusal == "ignored":
            return body_of(BLOB)  # type: ignore[no-any-return]
        size = len(BLOB) + (refusal == "other-size")
        content_range = {"Content-Range": f"bytes {HALF}-{HALF + 99}/{size}"}
        return httpx.Response(206, headers=content_range, stream=Pieces(b"", broken()))

    upstream.on(GET, body_of(BLOB[:100], rest, BLOB[100:]), ranged)
    async with make_proxy().running() as proxy:
        exchange = proxy.open("GET", PATH, range=f"bytes={HALF}-{HALF + 99}")
        assert (await exchange.start()).status == 206
        reading = asyncio.ensure_future(exchange.read())
        await asked.wait()
        assert not reading.done()
        rest.set()
        assert await reading == BLOB[HALF : HALF + 100]


async def test_a_range_beyond_the_end(make_proxy: MakeProxy) -> None:
    async with make_proxy().running() as proxy:
        answer = await proxy.get(PATH, range=f"bytes={len(BLOB)}-")
        await proxy.settled()
    assert answer.status == 416
    assert answer.headers["content-range"] == f"bytes */{len(BLOB)}"


# -- upstream breaks off ---------------------------------------------------------------------------


async def test_a_body_broken_before_its_first_byte(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    upstream.on(GET, body_of(broken()), upstream.stored)
    async with make_proxy().running() as proxy:
        answer = await proxy.get(PATH)
        assert (answer.body, answer.cut) == (BLOB, False)


async def test_wrong_bytes_in_one_piece(make_proxy: MakeProxy, upstream: UpstreamDouble) -> None:
    upstream.on(GET, httpx.Response(200, content=b"!" * len(BLOB)))
    async with make_proxy().running() as proxy:
        answer = await proxy.get(PATH)
        assert answer.cut
        assert nothing_is_left(proxy)


async def test_more_bytes_than_announced(make_proxy: MakeProxy, upstream: UpstreamDouble) -> None:
    upstream.on(GET, body_of(BLOB, b"more"), body_of(BLOB, b"more"))
    async with make_proxy().running() as proxy:
        answer = await proxy.get(PATH)
        await proxy.settled()
        assert answer.cut
        assert nothing_is_left(proxy)


async def test_a_disk_that_is_full_from_the_start(
    make_proxy: MakeProxy, upstream: UpstreamDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the upload can be made; what upstream then cannot give is missing, visibly."""
    from reference_registry.storage.filesystem import FilesystemDriver

    def full(self: FilesystemDriver, path: str, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    async with make_proxy().running() as proxy:
        with monkeypatch.context() as patch:
            patch.setattr(FilesystemDriver, "write", full)
            assert (await proxy.get(PATH)).body == BLOB
            part = await proxy.get(PATH, range="bytes=10-19")
            assert part.body == BLOB[10:20]
            await proxy.settled()
            assert nothing_is_left(proxy)
            upstream.on(GET, body_of(BLOB), dropped)
            assert (await proxy.get(PATH)).cut


async def test_stopping_leaves_no_half_blob(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    never = asyncio.Event()
    body = Pieces(BLOB[:HALF], never)
    headers = {"Content-Length": str(len(BLOB))}
    upstream.on(GET, httpx.Response(200, headers=headers, stream=body))
    async with make_proxy().running() as proxy:
        exchange = proxy.open("GET", PATH)
        answer = await exchange.start()
        await exchange.read(1)
        proxy_files = proxy.uploads()
        assert proxy_files
        reading = asyncio.ensure_future(exchange.read())
    await reading
    assert answer.cut
    assert nothing_is_left(proxy)
    assert body.closed


# -- upstream refuses ------------------------------------------------------------------------------
def dropped(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("connection reset", request=request)


def hung(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectTimeout("", request=request)
