"""Manifests that are served from memory: only as long as the files they came from are the same,
whichever process changes them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from harness.content import an_image
from reference_registry.storage import file_memory
from reference_registry.storage.file_memory import FileMemory
from tests.support.in_process import Proxy
from tests.support.upstream_double import UpstreamDouble
from tests.unit.proxy.conftest import RELEASES, MakeProxy

pytestmark = pytest.mark.anyio

IMAGE, OTHER = an_image(), an_image("other")
TAG = "/v2/team/app/manifests/v1"
MANIFEST = f"/v2/team/app/manifests/{IMAGE.digest}"
ACCEPT = IMAGE.media_type

every_profile = pytest.mark.parametrize("profile", ["ideal", *RELEASES])


@pytest.fixture
def upstream() -> UpstreamDouble:
    upstream = UpstreamDouble()
    upstream.add("team/app", IMAGE, "v1")
    return upstream


@pytest.fixture(autouse=True)
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was read. All are remembered at once, however young."""
    read, files = FileMemory._read, Counter[str]()

    def counted(memory: FileMemory, path: str) -> bytes:
        files[path] += 1
        return read(memory, path)

    monkeypatch.setattr(FileMemory, "_read", counted)
    for tick in ("_TICK", "_COARSE_TICK"):
        monkeypatch.setattr(file_memory, tick, -(10**18))
    return files


def data_of(proxy: Proxy, digest: str) -> Path:
    hex_digits = digest.partition(":")[2]
    return proxy.root / f"docker/registry/v2/blobs/sha256/{hex_digits[:2]}/{hex_digits}/data"


def manifests_of(proxy: Proxy) -> Path:
    return proxy.root / "docker/registry/v2/repositories/team/app/_manifests"


def link_of(proxy: Proxy, digest: str) -> Path:
    return manifests_of(proxy) / f"revisions/sha256/{digest.partition(':')[2]}/link"


def replaced(path: Path, content: bytes) -> None:
    """As another process replaces a file."""
    other = path.with_name("other")
    other.write_bytes(content)
    other.replace(path)


async def warmed_up(proxy: Proxy) -> None:
    for _ in range(2):
        assert (await proxy.get(TAG, accept=ACCEPT)).status == 200
        assert (await proxy.get(MANIFEST, accept=ACCEPT)).status == 200
    proxy.upstream.clear()


@every_profile
async def test_hits_read_nothing_and_count_as_before(
    make_proxy: MakeProxy, reads: Counter[str], profile: str
) -> None:
    async with make_proxy(profile).running() as proxy:
        await warmed_up(proxy)
        reads.clear()
        hits = proxy.counters.manifest.hits
        pushed = proxy.counters.manifest.pushed_bytes
        for _ in range(3):
            answer = await proxy.get(MANIFEST, accept=ACCEPT)
            assert answer.body == IMAGE.content
        assert not reads
        assert proxy.counters.manifest.hits == hits + 3
        assert proxy.counters.manifest.pushed_bytes == pushed + 3 * len(IMAGE.content)


@every_profile
@pytest.mark.parametrize("which", ["link", "data"])
async def test_what_another_process_deletes_is_fetched_again(
    make_proxy: MakeProxy, profile: str, which: str
) -> None:
    async with make_proxy(profile).running() as proxy:
        await warmed_up(proxy)
        {"link": link_of, "data": data_of}[which](proxy, IMAGE.digest).unlink()
        assert (await proxy.get(MANIFEST, accept=ACCEPT)).body == IMAGE.content
        assert f"GET {MANIFEST}" in proxy.upstream.lines


async def test_damage_of_the_same_length_is_noticed(make_proxy: MakeProxy) -> None:
    async with make_proxy().running() as proxy:
        await warmed_up(proxy)
        replaced(data_of(proxy, IMAGE.digest), b"x" * len(IMAGE.content))
        assert (await proxy.get(MANIFEST, accept=ACCEPT)).body == IMAGE.content
        assert f"GET {MANIFEST}" in proxy.upstream.lines


@pytest.mark.parametrize("profile", RELEASES)
async def test_a_release_serves_what_lies_there(make_proxy: MakeProxy, profile: str) -> None:
    changed = IMAGE.content.replace(b"gzip", b"GZIP")
    assert changed != IMAGE.content
    async with make_proxy(profile).running() as proxy:
        await warmed_up(proxy)
        replaced(data_of(proxy, IMAGE.digest), changed)
        assert (await proxy.get(MANIFEST, accept=ACCEPT)).body == changed


@every_profile
async def test_a_tag_that_moved_upstream(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    async with make_proxy(profile).running() as proxy:
        await warmed_up(proxy)
        upstream.add("team/app", OTHER, "v1")
        assert (await proxy.get(TAG, accept=ACCEPT)).body == OTHER.content
        assert (await proxy.get(MANIFEST, accept=ACCEPT)).body == IMAGE.content


@every_profile
async def test_a_tag_that_another_process_moved_while_upstream_is_away(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    async with make_proxy(profile).running() as proxy:
        await warmed_up(proxy)
        upstream.add("team/app", OTHER, "other")
        assert (await proxy.get("/v2/team/app/manifests/other", accept=ACCEPT)).status == 200
        upstream.down = True
        assert (await proxy.get(TAG, accept=ACCEPT)).body == IMAGE.content
        replaced(manifests_of(proxy) / "tags/v1/current/link", OTHER.digest.encode())
        assert (await proxy.get(TAG, accept=ACCEPT)).body == OTHER.content
