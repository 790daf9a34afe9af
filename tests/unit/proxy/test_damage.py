"""``ideal``: files that vanished, were cut short or overwritten are fetched again."""

from __future__ import annotations

import asyncio
import errno
import threading
from pathlib import Path

import httpx
import pytest

from harness.content import an_image
from reference_registry.config import CacheConfig
from reference_registry.digest import Digest, digest_of
from reference_registry.proxy import integrity
from reference_registry.proxy.integrity import KnownSizes
from reference_registry.storage.blobs import BlobStore
from tests.support.in_process import Proxy
from tests.support.upstream_double import UpstreamDouble
from tests.unit.proxy.conftest import MakeProxy

pytestmark = pytest.mark.anyio

IMAGE = an_image()
LAYER = IMAGE.layers[0]
TAG = "/v2/team/app/manifests/v1"
MANIFEST = f"/v2/team/app/manifests/{IMAGE.digest}"
BLOB = f"/v2/team/app/blobs/{LAYER.digest}"
GET, HEAD = f"GET {BLOB}", f"HEAD {BLOB}"

DAMAGES = ["gone", "empty", "short", "long", "rotten", "a directory"]

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
    elif how == "a directory":
        file.unlink()
        (file / "lost+found").mkdir(parents=True)
    else:
        other = content[:-1] + bytes([content[-1] ^ 1])
        changed = {"empty": b"", "short": content[:-1], "long": content + b"!", "rotten": other}
        # A new file: within a tick of the kernel's clock nothing else would tell.
        file.with_name("other").write_bytes(changed[how])
        file.with_name("other").rename(file)


@descriptor_caches
@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("by_manifest", [True, False])
async def test_a_blob_that_was_damaged_before_the_start(
    make_proxy: MakeProxy, upstream: UpstreamDouble, cache: str, how: str, by_manifest: bool
) -> None:
    async with make_proxy(cache=CacheConfig(blobdescriptor=cache)).running() as proxy:
        await pull(proxy)
        damaged(proxy, LAYER.digest, how)
    async with make_proxy(cache=CacheConfig(blobdescriptor=cache)).running() as proxy:
        if by_manifest:
            await proxy.get(MANIFEST)
        assert (await proxy.get(BLOB)).body == LAYER.content
        await proxy.settled()
        assert file_of(proxy, LAYER.digest).read_bytes() == LAYER.content


async def test_a_large_blob_is_verified_while_it_is_served_for_the_first_time(
    make_proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that cannot believe its eyes asks again, and then has it."""
    monkeypatch.setattr(integrity, "_AT_ONCE", LAYER.size - 1)
    served, original = threading.Event(), BlobStore.verify

    def verify_later(blobs: BlobStore, digest: Digest) -> bool:
        assert served.wait(60)
        return original(blobs, digest)

    monkeypatch.setattr(BlobStore, "verify", verify_later)
    async with make_proxy().running() as proxy:
        await pull(proxy)
        damaged(proxy, LAYER.digest, "rotten")
        rotten = file_of(proxy, LAYER.digest).read_bytes()
    async with make_proxy().running() as proxy:
        assert (await proxy.get(BLOB)).body == rotten
        served.set()
        await proxy.settled()
        assert not file_of(proxy, LAYER.digest).exists()
        assert (await proxy.get(BLOB)).body == LAYER.content
        await proxy.settled()
        damaged(proxy, LAYER.digest, "rotten")  # now it is known what the file was
        assert (await proxy.get(BLOB)).body == LAYER.content


@pytest.mark.parametrize("verify", ["always", "never"])
async def test_how_often_blobs_are_verified(make_proxy: MakeProxy, verify: str) -> None:
    async with make_proxy(verify=verify).running() as proxy:
        await pull(proxy)
        damaged(proxy, LAYER.digest, "rotten")
        rotten = file_of(proxy, LAYER.digest).read_bytes()
        answer = await proxy.get(BLOB)
        assert answer.body == (LAYER.content if verify == "always" else rotten)


@pytest.mark.parametrize(("verify", "times"), [("never", 0), ("on-change", 1), ("always", 3)])
async def test_what_verifying_costs(
    make_proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, verify: str, times: int
) -> None:
    hashed: list[Digest] = []
    original = BlobStore.verify

    def verify_and_tell(blobs: BlobStore, digest: Digest) -> bool:
        hashed.append(digest)
        return original(blobs, digest)

    monkeypatch.setattr(BlobStore, "verify", verify_and_tell)
    async with make_proxy().running() as proxy:
        await pull(proxy)
        for _ in range(3):
            await proxy.get(BLOB)
        assert hashed == []  # It was hashed as it came.
    async with make_proxy(verify=verify).running() as proxy:
        for _ in range(3):
            assert (await proxy.get(BLOB)).body == LAYER.content
    assert hashed == [LAYER.digest] * times


async def test_a_disk_that_cannot_read(
    make_proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(blobs: BlobStore, digest: Digest) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    async with make_proxy().running() as proxy:
        await pull(proxy)
    async with make_proxy().running() as proxy:
        monkeypatch.setattr(BlobStore, "verify", fail)
        assert (await proxy.get(BLOB)).body == LAYER.content
        assert proxy.upstream.count()[GET] == 1


@pytest.mark.parametrize("how", DAMAGES)
async def test_another_repository_does_not_adopt_damage(
    make_proxy: MakeProxy, upstream: UpstreamDouble, how: str
) -> None:
    upstream.add("other/app", IMAGE, "v1")
    path = BLOB.replace("team/", "other/")
    async with make_proxy().running() as proxy:
        await pull(proxy)
        damaged(proxy, LAYER.digest, how)
        assert (await proxy.get(path)).body == LAYER.content
        await proxy.settled()
        assert (await proxy.get(BLOB)).body == LAYER.content


async def test_an_empty_file_needs_no_manifest_to_be_noticed(make_proxy: MakeProxy) -> None:
    async with make_proxy().running() as proxy:
        await pull(proxy)
        damaged(proxy, LAYER.digest, "empty")
    async with make_proxy().running() as proxy:
        assert (await proxy.get(BLOB)).body == LAYER.content


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
    """Costs one reading of the blob, and nothing that is right is deleted. It may be another
    upstream's manifest: this one's need not be reachable for it."""
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
        assert upstream.lines == []


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "_MOST", 3)
    sizes = KnownSizes()
    digests = [Digest(f"sha256:{number:064x}") for number in range(5)]
    for number, digest in enumerate(digests, 1):
        sizes.learn(digest, number)
    assert [sizes.get(digest) for digest in digests] == [None, None, None, 4, 5]
    assert sizes.allow(digests[0], 99)
    assert not sizes.allow(digests[4], 99)
