"""``ideal``: files that vanished, were cut short or overwritten are fetched again."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import httpx
import pytest

from harness.content import an_image
from reference_registry.config import CacheConfig
from reference_registry.digest import Digest, digest_of
from reference_registry.proxy import known_sizes
from reference_registry.proxy.known_sizes import KnownSizes
from tests.proxy.conftest import RELEASES, MakeProxy
from tests.proxy.in_process import Proxy
from tests.proxy.upstream_double import UpstreamDouble

pytestmark = pytest.mark.anyio

IMAGE = an_image()
LAYER = IMAGE.layers[0]
TAG = "/v2/team/app/manifests/v1"
MANIFEST = f"/v2/team/app/manifests/{IMAGE.digest}"
BLOB = f"/v2/team/app/blobs/{LAYER.digest}"
GET, HEAD = f"GET {BLOB}", f"HEAD {BLOB}"

descriptor_caches = pytest.mark.parametrize("cache", ["", "inmemory"])


@pytest.fixture
def upstream() -> UpstreamDouble:
    upstream = UpstreamDouble()
    upstream.add("team/app", IMAGE, "v1")
    return upstream


def file_of(proxy: Proxy, digest: str) -> Path:
    hex_digits = digest.partition(":")[2]
    return proxy.root / f"docker/registry/v2/blobs/sha256/{hex_digits[:2]}/{hex_digits}/data"


async def pull(proxy: Proxy) -> None:
    await proxy.get(TAG, accept=IMAGE.media_type)
    await proxy.get(BLOB)
    await proxy.settled()


def damaged(proxy: Proxy, digest: str, how: str) -> None:
    file = file_of(proxy, digest)
    content = file.read_bytes()
    if how == "gone":
        file.unlink()
    else:
        other = content[:-1] + bytes([content[-1] ^ 1])
        changed = {"empty": b"", "short": content[:-1], "long": content + b"!", "rotten": other}
        file.write_bytes(changed[how])


@descriptor_caches
@pytest.mark.parametrize("how", ["gone", "empty", "short", "long"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_blob(
    make_proxy: MakeProxy, upstream: UpstreamDouble, cache: str, how: str, method: str
) -> None:
    """#3722. HEAD does not repair it, but tells the truth."""
    async with make_proxy(cache=CacheConfig(blobdescriptor=cache)).running() as proxy:
        await pull(proxy)
        await proxy.get(BLOB)  # so that the descriptor cache knows it
        damaged(proxy, LAYER.digest, how)
        upstream.clear()
        answer = await proxy.ask(method, BLOB)
        await proxy.settled()
        assert (answer.status, answer.cut) == (200, False)
        assert answer.headers["content-length"] == str(LAYER.size)
        if method == "HEAD":
            assert upstream.lines == [HEAD]
            return
        assert answer.body == LAYER.content
        assert upstream.count()[GET] == 1
        upstream.clear()
        assert (await proxy.get(BLOB)).body == LAYER.content
        assert upstream.lines == []
        assert file_of(proxy, LAYER.digest).read_bytes() == LAYER.content


@descriptor_caches
async def test_a_blob_that_was_damaged_before_the_start(
    make_proxy: MakeProxy, upstream: UpstreamDouble, cache: str
) -> None:
    """Its manifest, which clients ask for first, tells."""
    for first in (True, False):
        async with make_proxy(cache=CacheConfig(blobdescriptor=cache)).running() as proxy:
            await pull(proxy)
            assert file_of(proxy, LAYER.digest).read_bytes() == LAYER.content
            if first:
                damaged(proxy, LAYER.digest, "short")


async def test_an_empty_file_needs_no_manifest_to_be_noticed(make_proxy: MakeProxy) -> None:
    async with make_proxy().running() as proxy:
        await pull(proxy)
        damaged(proxy, LAYER.digest, "empty")
    async with make_proxy().running() as proxy:
        assert (await proxy.get(BLOB)).body == LAYER.content


async def test_without_upstream_a_damaged_blob_is_not_served(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    async with make_proxy().running() as proxy:
        await pull(proxy)
        damaged(proxy, LAYER.digest, "short")
        upstream.down = True
        answer = await proxy.get(BLOB)
        assert (answer.status, answer.code) == (502, "UNAVAILABLE")


async def test_clients_at_once(make_proxy: MakeProxy, upstream: UpstreamDouble) -> None:
    async with make_proxy().running() as proxy:
        await pull(proxy)
        damaged(proxy, LAYER.digest, "short")
        upstream.clear()
        answers = await asyncio.gather(*(proxy.get(BLOB) for _ in range(8)))
        assert {a.body for a in answers} == {LAYER.content}
        assert upstream.count()[GET] == 1


@pytest.mark.parametrize("upstream_agrees", [True, False])
async def test_a_manifest_that_is_wrong_about_a_size(
    make_proxy: MakeProxy, upstream: UpstreamDouble, upstream_agrees: bool
) -> None:
    """Costs one question, and nothing that is right is deleted."""
    layer = b'{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"%s","size":7}'
    content = (
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":'
        + layer % LAYER.digest.encode()
        + b',"layers":[]}'
    )
    digest = digest_of(content)
    path = f"/v2/team/app/manifests/{digest}"
    upstream._content[path] = (IMAGE.media_type, content, digest)
    async with make_proxy().running() as proxy:
        await proxy.get(BLOB)
        await proxy.settled()
    if upstream_agrees:
        upstream.on(HEAD, httpx.Response(200, headers={"Content-Length": "7"}))
    async with make_proxy().running() as proxy:
        await proxy.get(path)
        upstream.clear()
        for _ in range(2):
            assert (await proxy.get(BLOB)).body == LAYER.content
        assert upstream.lines == [HEAD]


@pytest.mark.parametrize("how", ["gone", "empty", "short", "long", "rotten"])
@pytest.mark.parametrize("restarted", [True, False])
async def test_a_manifest(
    make_proxy: MakeProxy,
    upstream: UpstreamDouble,
    caplog: pytest.LogCaptureFixture,
    how: str,
    restarted: bool,
) -> None:
    caplog.set_level(logging.WARNING)
    first = make_proxy()
    async with first.running() as proxy:
        await pull(proxy)
        if not restarted:
            damaged(proxy, IMAGE.digest, how)
            assert (await proxy.get(MANIFEST)).body == IMAGE.content
    if restarted:
        damaged(first, IMAGE.digest, how)
        async with make_proxy().running() as proxy:
            assert (await proxy.get(TAG, accept=IMAGE.media_type)).body == IMAGE.content
    assert file_of(first, IMAGE.digest).read_bytes() == IMAGE.content
    assert ("is damaged" in caplog.text) is (how != "gone")


@pytest.mark.parametrize("profile", RELEASES)
async def test_releases_serve_what_is_there(make_proxy: MakeProxy, profile: str) -> None:
    async with make_proxy(profile).running() as proxy:
        await pull(proxy)
        damaged(proxy, LAYER.digest, "short")
        assert (await proxy.get(BLOB)).body == LAYER.content[:-1]


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_sizes, "_MOST", 3)
    sizes = KnownSizes()
    digests = [Digest(f"sha256:{number:064x}") for number in range(5)]
    for number, digest in enumerate(digests, 1):
        sizes.learn(digest, number)
    assert [sizes.get(digest) for digest in digests] == [None, None, None, 4, 5]
    assert sizes.allow(digests[0], 99)
    assert not sizes.allow(digests[4], 99)
