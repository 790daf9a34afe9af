"""Two registries on one storage, in one process: to each other they are as processes are.

What needs real processes, above all that they are killed, is in ``test_workers``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from reference_registry.clock import ManualClock
from reference_registry.digest import Digest, digest_of
from reference_registry.proxy.blobs import fill
from reference_registry.proxy.expiry import scheduler as expiry
from reference_registry.storage.file_lock import FileLock
from tests.unit.proxy.conftest import MakeProxy
from tests.unit.proxy.in_process import Proxy
from tests.unit.proxy.upstream_double import Pieces, UpstreamDouble, broken

pytestmark = pytest.mark.anyio

TTL = timedelta(hours=2)
BLOB = bytes(range(256)) * 4000
DIGEST = digest_of(BLOB)
PATH = f"/v2/team/app/blobs/{DIGEST}"
OTHER = f"/v2/other/app/blobs/{DIGEST}"
GET = f"GET {PATH}"
HALF = len(BLOB) // 2
KEY = f"team/app@{DIGEST}"


@pytest.fixture
def upstream() -> UpstreamDouble:
    upstream = UpstreamDouble()
    upstream.add_blob("team/app", BLOB, DIGEST)
    return upstream


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits a whole second to look at what the others do."""
    monkeypatch.setattr(expiry, "_GLANCE", 0.01)


def body_of(*pieces: bytes | asyncio.Event | Exception, size: int | None = len(BLOB)) -> Any:
    headers = {} if size is None else {"Content-Length": str(size)}
    return httpx.Response(200, headers=headers, stream=Pieces(*pieces))


@asynccontextmanager
async def running(*proxies: Proxy) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for proxy in proxies:
            await stack.enter_async_context(proxy.running())
        yield


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - files set no events
            await asyncio.sleep(0.001)


def ranges(upstream: UpstreamDouble) -> list[str | None]:
    """What the requests for the blob asked for."""
    return [r.headers.get("range") for r in upstream.asked("GET", "/blobs/")]


def locks(proxy: Proxy) -> list[str]:
    """All but the one that is held while the state file is written."""
    base = proxy.root / ".pullproof"
    found = {str(p.relative_to(base)) for p in base.rglob("*") if p.is_file()}
    return sorted(found - {"state.lock"})


def moment_of(proxy: Proxy) -> str:
    """When the blob expires, as *proxy* knows it."""
    assert proxy.registry.expiry is not None
    return {entry.key: str(entry.moment) for entry in proxy.registry.expiry.entries}[KEY]


# -- a fill ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("sized", [True, False])
async def test_one_fetches_and_the_other_reads_along(
    make_proxy: MakeProxy, upstream: UpstreamDouble, sized: bool
) -> None:
    rest = asyncio.Event()
    upstream.on(GET, body_of(BLOB[:HALF], rest, BLOB[HALF:], size=len(BLOB) if sized else None))
    one, two = make_proxy(ttl=TTL), make_proxy(ttl=TTL)
    async with running(one, two):
        first, second = one.open("GET", PATH), two.open("GET", PATH)
        await first.start()
        await second.start()
        assert await second.read(HALF) == BLOB[:HALF]
        rest.set()
        assert (await first.read(), await second.read()) == (BLOB, BLOB[HALF:])
        await one.settled()
        await two.settled()
        assert upstream.lines == [GET]
        assert (one.counters.blob.pulled_bytes, two.counters.blob.pulled_bytes) == (len(BLOB), 0)
        assert set(one.scheduled) == set(two.scheduled) == {KEY}
        assert one.uploads() == []
        assert locks(one) == ["scheduler.lock"]
    assert locks(one) == []


async def test_a_blob_that_came_while_upstream_was_about_to_be_asked(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    """Between the look that found nothing and the claim."""
    one, two = make_proxy(), make_proxy()
    async with running(one, two):
        exchange = two.open("GET", PATH)
        taken = FileLock.take(one.root / ".pullproof/fills" / DIGEST.replace(":", "-"))
        assert taken is not None
        await asyncio.sleep(0)
        one.local("team/app").put_cached_blob(DIGEST, BLOB)
        taken.release(remove=True)
        await exchange.start()
        assert await exchange.read() == BLOB
        assert upstream.lines == []


async def test_a_fill_for_another_repository_is_given_to_those_who_may_have_it(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    rest = asyncio.Event()
    upstream.on(GET, body_of(BLOB[:HALF], rest, BLOB[HALF:]))
    upstream.add_blob("other/app", BLOB, DIGEST)
    one, two = make_proxy(ttl=TTL), make_proxy(ttl=TTL)
    async with running(one, two):
        first = one.open("GET", PATH)
        await first.start()
        assert (await two.get(f"/v2/third/app/blobs/{DIGEST}")).status == 404
        second = two.open("GET", OTHER)
        await second.start()
        rest.set()
        assert await second.read() == await first.read() == BLOB
        await two.settled()
        assert upstream.count()[GET] == 1
        assert upstream.count()[f"HEAD {OTHER}"] == 1
        assert upstream.count()[f"GET {OTHER}"] == 0
        assert two.local("other/app").has_blob(DIGEST)
        assert not two.local("third/app").has_blob(DIGEST)
        assert set(two.scheduled) >= {f"other/app@{DIGEST}"}


async def test_a_refusal_is_everybodys_own(make_proxy: MakeProxy, upstream: UpstreamDouble) -> None:
    upstream.on(GET, 403)
    one, two = make_proxy(), make_proxy()
    async with running(one, two):
        answers = await asyncio.gather(*(p.get(PATH) for p in (one, two, one, two)))
        assert {(a.status, a.code) for a in answers} == {(403, "DENIED")}
        assert upstream.lines == [GET, GET]
        assert locks(one) == ["scheduler.lock"]


@pytest.mark.parametrize("sized", [True, False])
async def test_the_other_finishes_what_a_stop_interrupts(
    make_proxy: MakeProxy, upstream: UpstreamDouble, sized: bool
) -> None:
    """As when processes are restarted one after the other."""
    never = asyncio.Event()
    upstream.on(
        GET, body_of(BLOB[:HALF], never, size=len(BLOB) if sized else None), upstream._stored
    )
    one, two = make_proxy(ttl=TTL), make_proxy(ttl=TTL)
    async with two.running():
        await one.app.start()
        first = one.open("GET", PATH)
        await first.start()
        second = two.open("GET", PATH)
        answer = await second.start()
        assert await second.read(HALF) == BLOB[:HALF]
        await one.app.stop()
        assert await second.read() == BLOB[HALF:]
        await two.settled()
        assert not answer.cut
        assert ranges(upstream) == [None, f"bytes={HALF}-" if sized else None]
        assert two.local("team/app").has_blob(DIGEST)
        assert two.uploads() == []


async def test_one_of_several_finishes_and_the_rest_read_along_there(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    never, rest = asyncio.Event(), asyncio.Event()
    upstream.on(
        GET,
        body_of(BLOB[:HALF], never),
        httpx.Response(
            206,
            headers={"Content-Range": f"bytes {HALF}-{len(BLOB) - 1}/{len(BLOB)}"},
            stream=Pieces(BLOB[HALF : HALF + 100_000], rest, BLOB[HALF + 100_000 :]),
        ),
    )
    one, *others = (make_proxy() for _ in range(4))
    async with running(*others):
        await one.app.start()
        exchanges = [proxy.open("GET", PATH) for proxy in (one, *others)]
        for exchange in exchanges:
            await exchange.start()
            assert await exchange.read(HALF) == BLOB[:HALF]
        await one.app.stop()
        for exchange in exchanges[1:]:
            assert await exchange.read(100_000) == BLOB[HALF : HALF + 100_000]
        rest.set()
        for exchange in exchanges[1:]:
            assert await exchange.read() == BLOB[HALF + 100_000 :]
        await exchanges[0].leave()
        assert ranges(upstream) == [None, f"bytes={HALF}-"]


@pytest.mark.parametrize("same", [True, False])
async def test_who_begins_anew_is_followed_if_it_has_the_same(
    make_proxy: MakeProxy, upstream: UpstreamDouble, same: bool
) -> None:
    """Else a reader would get the beginning of one file and the end of another."""
    proxy = make_proxy()
    uploads = proxy.registry.local.storage.uploads

    def announce(claim: FileLock, content: bytes) -> Path:
        upload = uploads.start("team/app")
        (data,) = proxy.root.rglob(f"_uploads/{upload}/data")
        data.write_bytes(content)
        told = {"repository": "team/app", "upload": upload, "media_type": "", "size": len(BLOB)}
        claim.write(json.dumps(told).encode())
        return data

    async with proxy.running():
        claim = FileLock.take(proxy.root / ".pullproof/fills" / DIGEST.replace(":", "-"))
        assert claim is not None
        first = announce(claim, BLOB[:HALF])
        exchange = proxy.open("GET", PATH)
        answer = await exchange.start()
        assert await exchange.read(HALF) == BLOB[:HALF]
        first.unlink()
        second = announce(claim, BLOB[:100] if same else b"!" + BLOB[1:100])
        await asyncio.sleep(0.02)
        with second.open("ab") as file:
            file.write(BLOB[100:])
        await exchange.read(len(BLOB) - HALF - 1 if same else None)
        assert answer.cut is not same
        if same:
            proxy.local("team/app").put_cached_blob(DIGEST, BLOB)
            claim.release(remove=True)
            await exchange.read()
            assert answer.body == BLOB
        else:
            claim.release(remove=True)
        assert upstream.lines == []


async def test_a_reader_that_has_not_begun_survives_it_too(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    never = asyncio.Event()
    upstream.on(GET, body_of(BLOB[:HALF], never), upstream._stored)
    one, two = make_proxy(ttl=TTL), make_proxy(ttl=TTL)
    async with two.running():
        await one.app.start()
        first = one.open("GET", PATH)
        await first.start()
        second = two.open("GET", PATH)
        await second.start()
        await one.app.stop()
        assert await second.read() == BLOB
        await first.leave()


async def test_the_other_tries_what_failed(make_proxy: MakeProxy, upstream: UpstreamDouble) -> None:
    go_on = asyncio.Event()
    upstream.on(GET, body_of(BLOB[:HALF], go_on, broken()), 503, upstream._stored)
    one, two = make_proxy(), make_proxy()
    async with running(one, two):
        first = one.open("GET", PATH)
        answer = await first.start()
        second = two.open("GET", PATH)
        await second.start()
        go_on.set()
        await first.read()
        assert answer.cut
        assert await second.read() == BLOB
        assert ranges(upstream) == [None, f"bytes={HALF}-", f"bytes={HALF}-"]


async def test_wrong_bytes_arrive_whole_nowhere(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    rest = asyncio.Event()
    upstream.on(GET, body_of(b"!", BLOB[1:HALF], rest, BLOB[HALF:]), upstream._stored)
    one, two = make_proxy(), make_proxy()
    async with running(one, two):
        exchanges = [one.open("GET", PATH), two.open("GET", PATH)]
        answers = [await exchange.start() for exchange in exchanges]
        for exchange in exchanges:  # Both have begun with what is wrong.
            await exchange.read(1)
        rest.set()
        for exchange, answer in zip(exchanges, answers, strict=True):
            await exchange.read()
            assert answer.cut
            assert len(answer.body) < len(BLOB)
        await two.settled()
        assert one.files() == []
        assert (await two.get(PATH)).body == BLOB


async def test_wrong_bytes_are_not_continued_with_right_ones(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    """Somebody else has stored the blob before the one who read along gets to it."""
    rest = asyncio.Event()
    upstream.on(GET, body_of(b"!", BLOB[1:HALF], rest, BLOB[HALF:-1]), 404)
    one, two = make_proxy(), make_proxy()
    async with running(one, two):
        first = one.open("GET", PATH)
        await first.start()
        second = two.open("GET", PATH)
        answer = await second.start()
        assert (await second.read(HALF))[:1] == b"!"
        one.local("team/app").put_cached_blob(DIGEST, BLOB)
        rest.set()
        await second.read()
        assert answer.cut
        await first.read()


async def test_who_stands_still_is_not_waited_for(
    make_proxy: MakeProxy, upstream: UpstreamDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Be it before or after upstream has answered; and the late one does no harm."""
    monkeypatch.setattr(fill, "_PATIENCE", 0.05)
    go_on = asyncio.Event()
    upstream.on(GET, body_of(BLOB[:HALF], go_on, BLOB[HALF:]), upstream._stored)
    one, two = make_proxy(), make_proxy()
    async with running(one, two):
        first = one.open("GET", PATH)
        await first.start()
        assert await first.read(HALF) == BLOB[:HALF]
        assert (await two.get(PATH)).body == BLOB
        await two.settled()
        assert ranges(upstream) == [None, f"bytes={HALF}-"]
        go_on.set()
        assert await first.read() == BLOB[HALF:]
        await one.settled()
        assert one.uploads() == []
        assert locks(one) == ["scheduler.lock"]


async def test_what_the_late_one_writes_then_is_not_read(
    make_proxy: MakeProxy, upstream: UpstreamDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be wrong, and is verified by nobody but itself."""
    monkeypatch.setattr(fill, "_PATIENCE", 0.05)
    go_on, rest = asyncio.Event(), asyncio.Event()
    upstream.on(
        GET,
        body_of(BLOB[:HALF], go_on, b"!" * HALF),
        httpx.Response(
            206,
            headers={"Content-Range": f"bytes {HALF}-{len(BLOB) - 1}/{len(BLOB)}"},
            stream=Pieces(rest, BLOB[HALF:]),
        ),
    )
    one, two = make_proxy(), make_proxy()
    async with running(one, two):
        first, second = one.open("GET", PATH), two.open("GET", PATH)
        await first.start()
        await second.start()
        assert await second.read(HALF) == BLOB[:HALF]
        await until(lambda: len(ranges(upstream)) == 2)
        go_on.set()
        await one.settled()
        rest.set()
        assert await second.read() == BLOB[HALF:]
        await first.leave()


async def test_an_upstream_that_does_not_answer_one_may_answer_the_other(
    make_proxy: MakeProxy, upstream: UpstreamDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill, "_PATIENCE", 0.05)
    never = asyncio.Event()

    async def hangs(request: httpx.Request) -> httpx.Response:
        await never.wait()
        raise AssertionError

    upstream.on(GET, hangs, upstream._stored)
    one, two = make_proxy(), make_proxy()
    async with running(one, two):
        first = one.open("GET", PATH)
        await until(lambda: upstream.requests)
        assert (await two.get(PATH)).body == BLOB
        first.task.cancel()


async def test_without_locks_each_fetches_for_itself(
    make_proxy: MakeProxy,
    upstream: UpstreamDouble,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refused(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refused)
    one, two = make_proxy(ttl=TTL), make_proxy(ttl=TTL)
    async with running(one, two):
        for proxy in (one, two):
            assert (await proxy.get(PATH)).body == BLOB
            await proxy.settled()
        one.clock.advance(TTL)
        await until(lambda: one.files() == [])
    assert "no locks between processes" in caplog.text


async def test_what_is_left_of_a_fill_goes_at_the_start(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    """But not what is being written, nor what is no fill's."""
    proxy = make_proxy()
    uploads = proxy.registry.local.storage.uploads
    fills = proxy.root / ".pullproof/fills"
    ids = {name: uploads.start("team/app") for name in ("left", "live", "pushed")}
    told = {"repository": "team/app", "size": 3, "media_type": "text/plain"}
    (fills).mkdir(parents=True)
    (fills / "sha256-left").write_text(json.dumps({**told, "upload": ids["left"]}))
    live = FileLock.take(fills / "sha256-live")
    assert live is not None
    live.write(json.dumps({**told, "upload": ids["live"]}).encode())
    for number, nonsense in enumerate(
        ["", "{", "[]", '{"repository":"../..","upload":"x","size":0,"media_type":""}']
    ):
        (fills / f"sha256-{number}").write_text(nonsense)
    async with proxy.running():
        kept = {file.split("/")[-2] for file in proxy.uploads()}
        assert kept == {ids["live"], ids["pushed"]}
        assert locks(proxy) == ["fills/sha256-live", "scheduler.lock"]
    live.release(remove=True)


# -- the schedule ----------------------------------------------------------------------------------
def key_of(number: int) -> str:
    return f"team/app@sha256:{number:064x}"


def cache(proxy: Proxy, number: int) -> None:
    assert proxy.registry.expiry is not None
    proxy.registry.expiry.cached_blob("team/app", Digest(f"sha256:{number:064x}"))


def saved(proxy: Proxy) -> set[str]:
    return set(json.loads(proxy.state() or b"{}"))


async def test_entries_of_all_reach_the_file(make_proxy: MakeProxy) -> None:
    proxies = [make_proxy(ttl=TTL) for _ in range(3)]
    async with running(*proxies):
        for number in range(60):
            cache(proxies[number % 3], number)
            await asyncio.sleep(0.001)
            json.loads(proxies[0].state() or b"{}")  # whole at any time
        wanted = {key_of(number) for number in range(60)}
        await until(lambda: saved(proxies[0]) == wanted)
        for proxy in proxies:
            await until(lambda proxy=proxy: set(proxy.scheduled) == wanted)  # type: ignore[misc]
    assert saved(proxies[0]) == wanted


async def test_a_stop_overwrites_nothing(make_proxy: MakeProxy) -> None:
    one, two = make_proxy(ttl=TTL), make_proxy(ttl=TTL)
    async with one.running():
        async with two.running():
            cache(one, 1)
            cache(two, 2)
        assert saved(one) >= {key_of(2)}
    assert saved(one) == {key_of(1), key_of(2)}


async def test_one_deletes_and_another_goes_on(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    clock = ManualClock()
    one, two = make_proxy(ttl=TTL, clock=clock), make_proxy(ttl=TTL, clock=clock)
    await one.app.start()
    async with two.running():
        assert (await two.get(PATH)).body == BLOB
        await two.settled()
        await one.app.stop()
        clock.advance(TTL)
        await until(lambda: not two.local("team/app").has_blob(DIGEST))
        await until(lambda: two.state() == b"{}")
        assert two.files() == []


async def test_who_does_not_lead_deletes_nothing(make_proxy: MakeProxy) -> None:
    leader, follower = make_proxy(ttl=TTL), make_proxy(ttl=TTL)
    async with running(leader, follower):
        await follower.get(PATH)
        await follower.settled()
        await until(lambda: set(leader.scheduled) == {KEY})
        follower.clock.advance(2 * TTL)
        await asyncio.sleep(0.05)
        assert follower.local("team/app").has_blob(DIGEST)
        leader.clock.advance(2 * TTL)
        await until(lambda: not follower.local("team/app").has_blob(DIGEST))
        await until(lambda: follower.scheduled == {})


async def test_what_another_has_just_cached_anew_stays(
    make_proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the leader has not looked at the file since."""
    clock = ManualClock()
    leader, other = make_proxy(ttl=TTL, clock=clock), make_proxy(ttl=TTL, clock=clock)
    async with running(leader, other):
        await leader.get(PATH)
        await leader.settled()
        await until(lambda: set(other.scheduled) == {KEY})
        clock.advance(TTL / 2)
        monkeypatch.setattr(expiry, "_GLANCE", 3600)
        await asyncio.sleep(0.05)
        other.local("team/app").delete_bytes(DIGEST)
        await other.get(PATH)
        await other.settled()
        anew = moment_of(other)
        await until(lambda: anew in (other.state() or b"").decode())
        assert moment_of(leader) != anew
        clock.advance(TTL / 2)
        await until(lambda: moment_of(leader) == anew)
        await asyncio.sleep(0.02)
        assert leader.local("team/app").has_blob(DIGEST)


async def test_the_file_is_healed_from_memory(make_proxy: MakeProxy) -> None:
    one, two = make_proxy(ttl=TTL), make_proxy(ttl=TTL)
    async with running(one, two):
        cache(one, 1)
        await until(lambda: set(two.scheduled) == {key_of(1)})
        (one.root / "scheduler-state.json").write_text("garbage")
        cache(two, 2)
        await until(lambda: (two.state() or b"").endswith(b"}"))
        await until(lambda: saved(two) == {key_of(1), key_of(2)})


async def test_a_file_that_was_being_written_by_a_killed_process(make_proxy: MakeProxy) -> None:
    proxy = make_proxy(ttl=TTL)
    proxy.root.mkdir(parents=True)
    part = proxy.root / "scheduler-state.json.0123456789abcdef.part"
    part.write_text("{")
    async with proxy.running():
        assert not part.exists()


async def test_bytes_that_another_is_fetching_are_not_deleted(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    clock = ManualClock()
    leader = make_proxy(ttl=TTL, clock=clock)
    async with leader.running():
        await leader.get(PATH)
        await leader.settled()
        fetching = FileLock.take(leader.root / ".pullproof/fills" / DIGEST.replace(":", "-"))
        assert fetching is not None
        clock.advance(TTL)
        await until(lambda: leader.scheduled == {})
        assert not leader.local("team/app").has_blob(DIGEST)
        assert leader.holds("blobs/")
        fetching.release(remove=True)


async def test_a_lock_that_is_not_let_go(
    make_proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It holds up the file, for a bounded time, and nothing else."""
    monkeypatch.setattr("reference_registry.proxy.expiry.state_file._PATIENCE", 0.02)
    monkeypatch.setattr(expiry, "_SPACING_AFTER_FAILURE", 0.01)
    proxy = make_proxy(ttl=TTL)
    async with proxy.running():
        stuck = FileLock.take(proxy.root / ".pullproof/state.lock")
        assert stuck is not None
        cache(proxy, 1)
        await until(lambda: "another process does not let go" in caplog.text)
        assert (await proxy.get(PATH)).body == BLOB
        stuck.release()
        await until(lambda: saved(proxy) == {key_of(1), KEY})
