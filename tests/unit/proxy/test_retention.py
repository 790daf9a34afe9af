"""Tag freshness, negative cache, refresh on hit and size limit of a running cache."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.content import Blob, an_image
from reference_registry.config import CachePolicy
from reference_registry.proxy.policy import size_limit
from tests.support.in_process import Proxy
from tests.support.upstream_double import Pieces, UpstreamDouble
from tests.support.waiting import until
from tests.unit.proxy.conftest import MakeProxy

pytestmark = pytest.mark.anyio

TTL = timedelta(hours=100)
IMAGE = an_image("retention")
LAYER = IMAGE.layers[0]
MANIFESTS = "/v2/team/app/manifests/"
SIZE = 1000
BOUND = 3500
IDLE = timedelta(seconds=3)
INTERVAL = timedelta(seconds=10)
"""How often uses are reported."""


@pytest.fixture(autouse=True)
def _content(upstream: UpstreamDouble) -> None:
    upstream.add("team/app", IMAGE, "v1")


def policy(**settings: Any) -> CachePolicy:
    return CachePolicy(**settings)


def layer(number: int, size: int = SIZE) -> Blob:
    return Blob.of_size(size, f"layer {number}")


def blob_path(blob: Blob, name: str = "team/app") -> str:
    return f"/v2/{name}/blobs/{blob.digest}"


async def pull(proxy: Proxy, *blobs: Blob, name: str = "team/app") -> None:
    """One after the other, with time in between in which nothing is in use."""
    for blob in blobs:
        proxy.upstream.add_blob(name, blob.content, blob.digest)
        answer = await proxy.get(blob_path(blob, name))
        assert (answer.status, answer.body) == (200, blob.content)
        await proxy.settled()
        proxy.clock.advance(IDLE)


def stored(proxy: Proxy, *blobs: Blob) -> list[bool]:
    return [proxy.registry.local.storage.blobs.has(blob.digest) for blob in blobs]


# -- freshness -----------------------------------------------------------------------------------


async def test_a_fresh_tag_whose_manifest_is_gone_is_fetched_by_its_digest(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    async with make_proxy(policy=policy(tag_freshness=timedelta(minutes=15))).running() as proxy:
        await proxy.get(MANIFESTS + "v1")
        proxy.registry.local.storage.blobs.delete(IMAGE.digest)
        proxy.local("team/app").links.unlink_tag("v1")
        upstream.clear()
        answer = await proxy.get(MANIFESTS + "v1")
        assert answer.body == IMAGE.content
        assert upstream.lines == [f"GET {MANIFESTS}{IMAGE.digest}"]
        assert proxy.local("team/app").links.tag("v1") == IMAGE.digest


async def test_a_fresh_tag_that_leads_nowhere_is_asked_about_again(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    """It was moved, and what it pointed at deleted, while the cache had lost its copy."""
    newer = an_image("newer")
    async with make_proxy(policy=policy(tag_freshness=timedelta(minutes=15))).running() as proxy:
        await proxy.get(MANIFESTS + "v1")
        proxy.registry.local.storage.blobs.delete(IMAGE.digest)
        upstream.remove(f"{MANIFESTS}{IMAGE.digest}")
        upstream.add("team/app", newer, "v1")
        statuses = [(await proxy.get(MANIFESTS + "v1")).status for _ in range(2)]
        assert statuses == [404, 200]


async def test_what_upstream_could_not_confirm_is_asked_again(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    """A stale answer is not fresh."""
    async with make_proxy(policy=policy(tag_freshness=timedelta(minutes=15))).running() as proxy:
        await proxy.get(MANIFESTS + "v1")
        proxy.clock.advance(timedelta(minutes=15))
        upstream.on(f"HEAD {MANIFESTS}v1", 503)
        for _ in range(2):
            answer = await proxy.get(MANIFESTS + "v1")
            assert "110" in answer.headers["warning"]
        assert len(upstream.asked("HEAD", "manifests/v1")) >= 3


@pytest.mark.parametrize(
    ("header", "asks"),
    [
        ("no-cache", True),
        ("No-Cache, foo", True),
        ("max-age=0", True),
        ("max-age=60", False),
        ("no-store", False),
        ("no-cached", False),
        ("", False),
    ],
)
async def test_what_a_client_may_insist_with(
    make_proxy: MakeProxy, upstream: UpstreamDouble, header: str, asks: bool
) -> None:
    async with make_proxy(policy=policy(tag_freshness=timedelta(minutes=15))).running() as proxy:
        await proxy.get(MANIFESTS + "v1")
        upstream.clear()
        await proxy.get(MANIFESTS + "v1", cache_control=header)
        assert bool(upstream.lines) is asks


# -- absences ------------------------------------------------------------------------------------
async def test_the_absence_of_one_repository_is_not_that_of_another(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    async with make_proxy(policy=policy(negative_ttl=timedelta(hours=1))).running() as proxy:
        assert (await proxy.get(blob_path(LAYER, "team/other"))).status == 404
        assert (await proxy.get(blob_path(LAYER))).status == 200
        await proxy.settled()
        upstream.clear()
        assert (await proxy.get(blob_path(LAYER, "team/other"))).status == 404
        assert (await proxy.head(blob_path(LAYER, "team/other"))).status == 404
        assert upstream.lines == []


# -- refresh on hit ------------------------------------------------------------------------------
async def reported() -> None:
    """The uses of the last interval have been reported: their task has run."""
    for _ in range(10):
        await asyncio.sleep(0)


def left(proxy: Proxy) -> dict[str, timedelta]:
    """How long each entry has to live."""
    assert proxy.registry.expiry is not None
    now = proxy.clock.now()
    return {
        entry.key.partition("@")[2]: entry.moment.as_datetime() - now
        for entry in proxy.registry.expiry.entries
    }


async def test_hits_are_gathered_and_extend_expiry_at_once(
    make_proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    replace = os.replace

    def recording(source: str, target: str) -> None:
        written.append(str(target))
        replace(source, target)

    async with make_proxy(ttl=TTL, policy=policy(refresh_on_hit=True)).running() as proxy:
        await proxy.get(MANIFESTS + "v1")
        await proxy.get(blob_path(LAYER))
        await proxy.settled()
        proxy.clock.advance(TTL / 2)
        await reported()
        await until(lambda: json.loads(proxy.state() or b"{}").keys() == proxy.scheduled.keys())
        monkeypatch.setattr(os, "replace", recording)
        for _ in range(50):
            await proxy.get(MANIFESTS + str(IMAGE.digest))
            await proxy.get(blob_path(LAYER))
        assert written == []
        assert set(left(proxy).values()) == {TTL / 2}
        proxy.clock.advance(INTERVAL)
        await until(lambda: set(left(proxy).values()) == {TTL - INTERVAL})
        await until(lambda: written)
        assert {Path(path).name for path in written} == {"scheduler-state.json"}


async def test_small_extensions_are_not_written(make_proxy: MakeProxy) -> None:
    async with make_proxy(ttl=TTL, policy=policy(refresh_on_hit=True)).running() as proxy:
        await proxy.get(blob_path(LAYER))
        await proxy.settled()
        proxy.clock.advance(TTL / 200)
        await proxy.get(blob_path(LAYER))
        proxy.clock.advance(INTERVAL)
        await reported()
        assert set(left(proxy).values()) == {TTL - TTL / 200 - INTERVAL}


async def test_a_use_that_is_not_reported_yet_counts(
    make_proxy: MakeProxy,
) -> None:
    ttl = timedelta(seconds=5)
    async with make_proxy(ttl=ttl, policy=policy(refresh_on_hit=True)).running() as proxy:
        await proxy.get(blob_path(LAYER))
        await proxy.settled()
        proxy.clock.advance(ttl * 0.9)
        await proxy.get(blob_path(LAYER))
        proxy.clock.advance(ttl * 0.2)
        await until(lambda: set(left(proxy).values()) == {ttl * 0.8})
        assert proxy.local("team/app").has_blob(LAYER.digest)
        proxy.clock.advance(ttl)
        await until(lambda: not left(proxy))
        assert not proxy.local("team/app").has_blob(LAYER.digest)


async def test_a_lower_ttl_does_not_shorten_older_entries(make_proxy: MakeProxy) -> None:
    async with make_proxy(ttl=TTL).running() as proxy:
        await proxy.get(blob_path(LAYER))
        await proxy.settled()
    clock = proxy.clock
    short = make_proxy(ttl=TTL / 10, policy=policy(refresh_on_hit=True), clock=clock)
    async with short.running() as proxy:
        await proxy.get(blob_path(LAYER))
        clock.advance(INTERVAL)
        await reported()
        assert set(left(proxy).values()) == {TTL - INTERVAL}


# -- size ----------------------------------------------------------------------------------------


async def test_what_was_used_a_moment_ago_goes_when_it_is_not_in_use(
    make_proxy: MakeProxy,
) -> None:
    layers = [layer(n) for n in range(4)]
    async with make_proxy(policy=policy(max_size=BOUND)).running() as proxy:
        for each in layers:
            proxy.upstream.add_blob("team/app", each.content, each.digest)
        await asyncio.gather(*(proxy.get(blob_path(each)) for each in layers))
        await proxy.settled()
        assert all(stored(proxy, *layers))
        proxy.clock.advance(IDLE)
        await until(lambda: sum(stored(proxy, *layers)) == 3)


async def test_what_is_being_downloaded_stays(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    """A download of what is stored already, for a repository that may not adopt the bytes."""
    layers = [layer(n) for n in range(4)]
    go_on = asyncio.Event()
    async with make_proxy(policy=policy(max_size=BOUND)).running() as proxy:
        headers = {"Content-Length": str(SIZE)}
        content = layers[0].content
        body = Pieces(content[:10], go_on, content[10:])
        upstream.on(
            f"GET {blob_path(layers[0])}", httpx.Response(200, headers=headers, stream=body)
        )
        exchange = proxy.open("GET", blob_path(layers[0]))
        await exchange.start()
        proxy.registry.local.storage.blobs.put(layers[0].digest, content)
        proxy.clock.advance(IDLE)
        for each in layers[1:]:
            upstream.add_blob("team/app", each.content, each.digest)
            await proxy.get(blob_path(each))
            proxy.clock.advance(IDLE)
        await until(lambda: stored(proxy, *layers).count(True) == 3)
        assert stored(proxy, *layers) == [True, False, True, True]
        go_on.set()
        await exchange.read()
        await proxy.settled()


async def test_a_slow_fill_that_is_larger_than_the_bound_is_served_whole(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    huge, small = layer(9, 10 * SIZE), layer(1)
    go_on = asyncio.Event()
    upstream.on(
        f"GET {blob_path(huge)}",
        httpx.Response(
            200,
            headers={"Content-Length": str(huge.size)},
            stream=Pieces(huge.content[:6000], go_on, huge.content[6000:]),
        ),
    )
    async with make_proxy(policy=policy(max_size=BOUND)).running() as proxy:
        exchange = proxy.open("GET", blob_path(huge))
        await exchange.start()
        await exchange.read(5000)
        proxy.upstream.add_blob("team/app", small.content, small.digest)
        await proxy.get(blob_path(small))
        go_on.set()
        await exchange.read()
        assert exchange.answer is not None
        assert exchange.answer.body == huge.content
        await proxy.settled()
        proxy.clock.advance(IDLE)
        await until(lambda: stored(proxy, huge) == [False])
        assert stored(proxy, small) == [True]
        assert proxy.uploads() == []


async def test_a_bound_that_was_lowered_is_kept_from_the_start_on(make_proxy: MakeProxy) -> None:
    layers = [layer(n) for n in range(6)]
    async with make_proxy(ttl=None).running() as proxy:
        await pull(proxy, *layers)
    for number, each in enumerate(layers):
        directory = proxy.registry.local.storage.blobs.local_path(each.digest)
        assert directory is not None
        moment = proxy.clock.now().timestamp() - 100 + number
        os.utime(directory.parent, (moment, moment))
    async with make_proxy(ttl=None, policy=policy(max_size=BOUND)).running() as proxy:
        await until(lambda: sum(stored(proxy, *layers)) == 3)
        assert stored(proxy, *layers) == [False] * 3 + [True] * 3


async def test_bytes_without_a_link_count_and_go(make_proxy: MakeProxy) -> None:
    """Left behind by a killed process, or by a release."""
    layers = [layer(n) for n in range(4)]
    async with make_proxy(policy=policy(max_size=BOUND)).running() as proxy:
        proxy.registry.local.storage.blobs.put(layers[0].digest, layers[0].content)
        proxy.clock.advance(IDLE)
        await pull(proxy, *layers[1:])
        await until(lambda: stored(proxy, *layers) == [False, True, True, True])


async def test_a_hit_writes_nothing(make_proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    async with make_proxy(
        policy=policy(max_size=BOUND, tag_freshness=timedelta(minutes=15))
    ).running() as proxy:
        await proxy.get(MANIFESTS + "v1")
        noted: list[object] = []
        monkeypatch.setattr(size_limit, "note_use", lambda _, moments: noted.append(moments))
        for _ in range(50):
            await proxy.get(MANIFESTS + "v1")
        assert noted == []
        proxy.clock.advance(INTERVAL)
        await until(lambda: noted)
        assert len(noted) == 1
