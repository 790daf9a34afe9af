"""Expiry and ``scheduler-state.json``: the parts that no scenario covers."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from harness.content import Image, an_image
from reference_registry.digest import Digest
from reference_registry.proxy.expiry.schedule import STATE_FILE
from reference_registry.storage.filesystem import FilesystemDriver
from tests.support.in_process import Proxy
from tests.support.upstream_double import UpstreamDouble
from tests.support.waiting import until
from tests.unit.proxy.conftest import RELEASES, MakeProxy

pytestmark = pytest.mark.anyio

TTL = timedelta(hours=2)
IMAGE = an_image()
ENTRIES = 1 + len(IMAGE.blobs)
LAYER = Digest(IMAGE.layers[0].digest)
MANIFEST_PATH = f"/v2/team/app/manifests/{IMAGE.digest}"
TAG_PATH = "/v2/team/app/manifests/v1"
UNSUPPORTED = f"Scheduler error returned from OnExpire(team/app@{LAYER}): operation unsupported"

every_profile = pytest.mark.parametrize("profile", ["ideal", *RELEASES])
every_release = pytest.mark.parametrize("profile", RELEASES)


@pytest.fixture
def upstream() -> UpstreamDouble:
    upstream = UpstreamDouble()
    upstream.add("team/app", IMAGE, "v1")
    upstream.add("other/app", IMAGE, "v1")
    return upstream


def blob_path(name: str = "team/app", digest: str = LAYER) -> str:
    return f"/v2/{name}/blobs/{digest}"


async def pull_all(proxy: Proxy, name: str = "team/app", image: Image = IMAGE) -> None:
    await proxy.get(f"/v2/{name}/manifests/v1", accept=image.media_type)
    for blob in image.blobs:
        await proxy.get(blob_path(name, blob.digest))
    await proxy.settled()


async def pass_time(proxy: Proxy, time: timedelta, expired: int) -> None:
    """Turn the clock, and wait until *expired* entries are gone."""
    before = len(proxy.scheduled)
    proxy.clock.advance(time)
    await until(lambda: len(proxy.scheduled) <= before - expired)


def saved(proxy: Proxy) -> dict[str, dict[str, object]]:
    """The file's content; empty where there is none, or a damaged one."""
    try:
        return json.loads(proxy.state() or b"{}") or {}
    except ValueError:
        return {}


def write_state(root: Path, content: str | bytes) -> None:
    root.mkdir(parents=True, exist_ok=True)
    content = content.encode() if isinstance(content, str) else content
    (root / "scheduler-state.json").write_bytes(content)


def state_of(*keys: str, moment: str = "2020-01-01T00:00:00Z", kind: int = 0) -> str:
    return json.dumps({key: {"Key": key, "ExpiryData": moment, "EntryType": kind} for key in keys})


# -- when ------------------------------------------------------------------------------------------


async def test_without_ttl_nothing_expires(make_proxy: MakeProxy, tmp_path: Path) -> None:
    """8.2: no state file is read or written."""
    write_state(tmp_path / "root", "garbage")
    async with make_proxy("3.1", ttl=None, delete_enabled=True).running() as proxy:
        await pull_all(proxy)
        proxy.clock.advance(timedelta(days=10_000))
        await asyncio.sleep(0)
        assert proxy.registry.expiry is None
        assert proxy.local("team/app").has_blob(LAYER)
    assert proxy.state() == b"garbage"


# -- what goes -------------------------------------------------------------------------------------


async def test_a_tag_that_has_moved_on_stays(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    moved = an_image("moved")
    async with make_proxy(ttl=TTL).running() as proxy:
        await proxy.get(TAG_PATH, accept=IMAGE.media_type)
        proxy.clock.advance(TTL / 2)
        upstream.add("team/app", moved, "v1")
        await proxy.get(TAG_PATH, accept=IMAGE.media_type)
        await pass_time(proxy, TTL / 2, expired=1)
        assert proxy.local("team/app").links.tag("v1") == moved.digest
        assert proxy.holds(f"tags/v1/index/sha256/{moved.digest[7:]}/link")
        assert not proxy.holds(IMAGE.digest[7:])  # nor does the tag remember it
        upstream.down = True
        assert (await proxy.get(TAG_PATH, accept=IMAGE.media_type)).body == moved.content


async def test_bytes_that_an_unscheduled_repository_links_stay(make_proxy: MakeProxy) -> None:
    """Content that appears while the cache runs, without an entry in the schedule."""
    async with make_proxy(ttl=TTL).running() as proxy:
        await proxy.get(blob_path(digest=IMAGE.config.digest))
        await proxy.settled()
        await pass_time(proxy, TTL, expired=1)  # Once it is here, the start is over.
        await proxy.get(blob_path())
        await proxy.settled()
        proxy.local("pushed/app").link_blob(LAYER)
        await pass_time(proxy, TTL, expired=1)
        assert not proxy.local("team/app").has_blob(LAYER)
        assert proxy.local("pushed/app").has_blob(LAYER)


async def test_a_failing_deletion_does_not_stop_the_others(
    make_proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from reference_registry.storage.repository import LocalRepository

    caplog.set_level(logging.ERROR)
    unlink = LocalRepository.unlink_blob

    def failing(self: LocalRepository, digest: Digest) -> bool:
        if digest == LAYER:
            raise OSError(5, "Input/output error")
        return unlink(self, digest)

    monkeypatch.setattr(LocalRepository, "unlink_blob", failing)
    async with make_proxy(ttl=TTL).running() as proxy:
        await pull_all(proxy)
        await pass_time(proxy, TTL, expired=ENTRIES)
        assert proxy.local("team/app").has_blob(LAYER)
        assert not proxy.local("team/app").has_blob(Digest(IMAGE.layers[1].digest))
    assert any(f"OnExpire(team/app@{LAYER})" in r.getMessage() for r in caplog.records)


# -- the file --------------------------------------------------------------------------------------
async def test_ideal_writes_the_file_at_once(make_proxy: MakeProxy) -> None:
    proxy = make_proxy(ttl=TTL)
    async with proxy.running():
        await proxy.get(blob_path())
        await until(lambda: saved(proxy))
        expiry = proxy.clock.now() + TTL
        ((key, entry),) = saved(proxy).items()
    assert key == entry["Key"] == f"team/app@{LAYER}"
    assert entry["EntryType"] == 0
    text = str(entry["ExpiryData"])
    assert text.endswith("Z")
    assert datetime.fromisoformat(text) == expiry


async def test_ideal_writes_what_changed_meanwhile_too(make_proxy: MakeProxy) -> None:
    async with make_proxy(ttl=TTL).running() as proxy:
        await pull_all(proxy)
        await until(lambda: len(saved(proxy)) == ENTRIES)
        await pass_time(proxy, TTL, expired=ENTRIES)
        await until(lambda: proxy.state() == b"{}")
    assert proxy.state() == b"{}"


@every_release
async def test_releases_write_every_five_seconds(make_proxy: MakeProxy, profile: str) -> None:
    """9.3."""
    async with make_proxy(profile).running() as proxy:
        await proxy.get(blob_path())
        await proxy.settled()
        proxy.clock.advance(timedelta(seconds=4.9))
        await asyncio.sleep(0.02)
        assert proxy.state() is None
        proxy.clock.advance(timedelta(seconds=0.1))
        await until(lambda: saved(proxy))
        path = proxy.root / "scheduler-state.json"
        first = path.stat()
        proxy.clock.advance(timedelta(seconds=5))
        await asyncio.sleep(0.02)
        assert path.stat() == first  # An idle file is not written again.


async def test_a_stop_right_after_a_pull_loses_nothing(make_proxy: MakeProxy) -> None:
    for _ in range(5):
        async with make_proxy(ttl=TTL).running() as proxy:
            await pull_all(proxy)
        assert len(saved(proxy)) == ENTRIES


async def test_a_stop_waits_for_the_write_under_way(
    make_proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the older state could be the last one written."""
    begun, go_on = threading.Event(), threading.Event()
    replace = FilesystemDriver.replace

    def slow_at_first(self: FilesystemDriver, path: str, content: bytes, aside: str) -> None:
        if path == STATE_FILE and not begun.is_set():
            begun.set()
            assert go_on.wait(60)
        replace(self, path, content, aside)

    monkeypatch.setattr(FilesystemDriver, "replace", slow_at_first)
    proxy = make_proxy(ttl=TTL)
    await proxy.app.start()
    await proxy.get(blob_path())
    await until(begun.is_set)
    await proxy.get(MANIFEST_PATH, accept=IMAGE.media_type)
    stopping = asyncio.create_task(proxy.app.stop())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not stopping.done()
    go_on.set()
    await stopping
    assert len(saved(proxy)) == 2


async def test_a_file_that_cannot_be_written_is_written_later(
    make_proxy: MakeProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    obstacle: Path | None = None
    async with make_proxy(ttl=TTL).running() as proxy:
        obstacle = proxy.root / "scheduler-state.json"
        obstacle.mkdir(parents=True)
        await proxy.get(blob_path())
        await until(lambda: caplog.records)
        obstacle.rmdir()
    assert saved(proxy)
    assert "Error writing scheduler-state.json" in caplog.text


async def test_a_damaged_file_before_anything_was_cached(
    make_proxy: MakeProxy, tmp_path: Path
) -> None:
    write_state(tmp_path / "root", "")
    async with make_proxy(ttl=TTL).running() as proxy:
        assert proxy.scheduled == {}


@every_release
async def test_releases_lose_their_schedule_to_null(
    make_proxy: MakeProxy, tmp_path: Path, profile: str
) -> None:
    """9.9: nothing can be scheduled any more; a request that tries gets no response."""
    write_state(tmp_path / "root", "null")
    async with make_proxy(profile).running() as proxy:
        for _ in range(2):
            with pytest.raises(ConnectionResetError):
                await proxy.get(MANIFEST_PATH, accept=IMAGE.media_type)
            proxy.local("team/app").unlink_manifest(Digest(IMAGE.digest))
    assert proxy.state() == b"null"


@every_release
async def test_keys_that_differ_stay_in_the_file(
    make_proxy: MakeProxy, tmp_path: Path, caplog: pytest.LogCaptureFixture, profile: str
) -> None:
    """9.12."""
    caplog.set_level(logging.ERROR)
    content = json.loads(state_of(f"team/app@{LAYER}"))
    write_state(tmp_path / "root", json.dumps({"other": content[f"team/app@{LAYER}"]}))
    async with make_proxy(profile).running() as proxy:
        await until(lambda: UNSUPPORTED in caplog.text)
        await proxy.get(TAG_PATH, accept=IMAGE.media_type)
        proxy.clock.advance(timedelta(seconds=5))
        await until(lambda: f"team/app@{IMAGE.digest}" in saved(proxy))
        assert "other" in saved(proxy)


@every_release
async def test_the_misnamed_field_expires_at_once(
    make_proxy: MakeProxy, tmp_path: Path, profile: str
) -> None:
    """9.10."""
    key = f"team/app@{LAYER}"
    entry = {"Key": key, "Expiry": "2999-01-01T00:00:00Z", "EntryType": 0}
    write_state(tmp_path / "root", json.dumps({key: entry}))
    async with make_proxy(profile).running() as proxy:
        await until(lambda: not proxy.scheduled)


@every_release
async def test_a_blob_that_is_gone_already(
    make_proxy: MakeProxy, tmp_path: Path, caplog: pytest.LogCaptureFixture, profile: str
) -> None:
    """Measured on 2.8.2."""
    caplog.set_level(logging.ERROR)
    write_state(tmp_path / "root", state_of(f"team/app@{LAYER}"))
    async with make_proxy(profile, delete_enabled=True).running() as proxy:
        await until(lambda: not proxy.scheduled)
    assert f"OnExpire(team/app@{LAYER}): unknown blob" in caplog.text


# -- start -----------------------------------------------------------------------------------------


async def test_the_start_ping_keeps_the_path_of_remoteurl(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    """13.12."""
    proxy = make_proxy("2.8", remoteurl="http://registry.example/sub")
    await proxy.app.start()
    await proxy.get("/v2/team/app/tags/list")
    await proxy.app.stop()
    assert upstream.lines == ["GET /sub/v2/", "GET /v2/", "GET /v2/team/app/tags/list"]
