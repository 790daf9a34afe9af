"""What expires when, what goes then, and what ``scheduler-state.json`` holds meanwhile."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from harness.content import Image, an_image
from reference_registry.clock import ManualClock
from reference_registry.config.problem import CannotStart
from reference_registry.digest import Digest
from reference_registry.proxy.expiry.schedule import BLOB, parse_state
from reference_registry.proxy.expiry.state_file import STATE_FILE
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
@every_profile
async def test_an_entry_expires_after_ttl(make_proxy: MakeProxy, profile: str) -> None:
    """8.1, 8.5: 2.8 knows no ttl; hits extend nothing."""
    ttl = timedelta(hours=168) if profile == "2.8" else TTL
    async with make_proxy(profile, ttl=TTL, delete_enabled=True).running() as proxy:
        await proxy.get(blob_path())
        await proxy.settled()
        proxy.clock.advance(ttl - timedelta(seconds=1))
        await proxy.get(blob_path())
        assert proxy.local("team/app").has_blob(LAYER)
        await pass_time(proxy, timedelta(seconds=1), expired=1)
        assert not proxy.local("team/app").has_blob(LAYER)


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


@every_profile
async def test_a_new_ttl_is_for_new_entries(make_proxy: MakeProxy, profile: str) -> None:
    """8.6."""
    if profile == "2.8":
        return  # It has no ttl to change.
    clock = ManualClock()
    settings = {"clock": clock, "delete_enabled": True, "draintimeout": timedelta(seconds=1)}
    async with make_proxy(profile, ttl=timedelta(hours=10), **settings).running() as first:
        await first.get(blob_path())
        await first.settled()
        clock.advance(timedelta(seconds=5))
        await until(lambda: saved(first))
    async with make_proxy(profile, ttl=timedelta(hours=1), **settings).running() as second:
        await second.get(TAG_PATH, accept=IMAGE.media_type)
        await pass_time(second, timedelta(hours=2), expired=1)
        assert list(second.scheduled) == [f"team/app@{LAYER}"]


async def test_a_second_pull_after_expiry_is_a_new_entry(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    """10.6."""
    async with make_proxy(ttl=TTL).running() as proxy:
        await pull_all(proxy)
        await pass_time(proxy, TTL, expired=ENTRIES)
        upstream.clear()
        await pull_all(proxy)
        assert len(proxy.scheduled) == ENTRIES
        assert upstream.asked("GET", "/blobs/")


# -- what goes -------------------------------------------------------------------------------------
@pytest.mark.parametrize("delete_enabled", [True, False])
async def test_everything_goes(make_proxy: MakeProxy, delete_enabled: bool) -> None:
    """#4249: whatever clients may delete; links, tags and bytes."""
    async with make_proxy(ttl=TTL, delete_enabled=delete_enabled).running() as proxy:
        await pull_all(proxy)
        await pass_time(proxy, TTL, expired=ENTRIES)
        assert proxy.files() == []


@every_release
async def test_by_releases_nothing_goes_unless_clients_may_delete(
    make_proxy: MakeProxy, caplog: pytest.LogCaptureFixture, profile: str
) -> None:
    """10.1 (#4249): and the entry is forgotten."""
    caplog.set_level(logging.ERROR)
    async with make_proxy(profile, ttl=TTL).running() as proxy:
        await pull_all(proxy)
        before = proxy.files()
        await pass_time(proxy, timedelta(hours=168), expired=ENTRIES)
        assert proxy.files() == before
    assert UNSUPPORTED in [r.getMessage() for r in caplog.records]


@every_release
async def test_what_goes_by_releases(make_proxy: MakeProxy, profile: str) -> None:
    """10.2, 10.3: bytes of blobs at once; of a manifest its link only, and no tag."""
    async with make_proxy(profile, ttl=TTL, delete_enabled=True).running() as proxy:
        await pull_all(proxy)
        await pass_time(proxy, timedelta(hours=168), expired=ENTRIES)
        hex_digits = IMAGE.digest.partition(":")[2]
        assert proxy.files() == [
            f"blobs/sha256/{hex_digits[:2]}/{hex_digits}/data",
            "repositories/team/app/_manifests/tags/v1/current/link",
            f"repositories/team/app/_manifests/tags/v1/index/sha256/{hex_digits}/link",
        ]


async def test_the_tag_of_an_expired_manifest_goes_by_ideal(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    """10.7: 404 and not 500 when upstream is down then."""
    for profile, status in (("3.1", 500), ("ideal", 502)):
        upstream.down = False
        async with make_proxy(profile, ttl=TTL, delete_enabled=True).running() as proxy:
            await proxy.get(TAG_PATH, accept=IMAGE.media_type)
            await pass_time(proxy, TTL, expired=1)
            upstream.down = True
            assert (await proxy.get(TAG_PATH, accept=IMAGE.media_type)).status == status
            listed = await proxy.get("/v2/team/app/tags/list")
            assert (b"v1" in listed.body) is (profile == "3.1")


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
        assert proxy.local("team/app").tag_digest("v1") == moved.digest
        assert proxy.holds(f"tags/v1/index/sha256/{moved.digest[7:]}/link")
        assert not proxy.holds(IMAGE.digest[7:])  # nor does the tag remember it
        upstream.down = True
        assert (await proxy.get(TAG_PATH, accept=IMAGE.media_type)).body == moved.content


@every_profile
async def test_a_blob_that_two_repositories_share(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    """10.4 (#2367): releases take the bytes from under the other one."""
    ttl = timedelta(hours=168)
    async with make_proxy(profile, ttl=ttl, delete_enabled=True).running() as proxy:
        await proxy.get(blob_path("team/app"))
        await proxy.settled()
        proxy.clock.advance(ttl / 2)
        await proxy.get(blob_path("other/app"))
        await proxy.settled()
        await pass_time(proxy, ttl / 2, expired=1)
        upstream.clear()
        answer = await proxy.get(blob_path("other/app"))
        await proxy.settled()
        assert (answer.status, answer.body) == (200, IMAGE.layers[0].content)
        assert bool(upstream.lines) is (profile != "ideal")
        assert not proxy.holds("repositories/team/app/_layers/")
        await pass_time(proxy, ttl, expired=1)
        assert not proxy.holds("blobs/")


async def test_bytes_that_an_unscheduled_repository_links_stay(make_proxy: MakeProxy) -> None:
    """What somebody puts there while we run, who does not keep our schedule."""
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


@every_profile
async def test_overdue_entries_go_at_the_start(
    make_proxy: MakeProxy, tmp_path: Path, profile: str
) -> None:
    """9.7."""
    async with make_proxy(profile, ttl=TTL, delete_enabled=True).running() as proxy:
        await pull_all(proxy)
    write_state(tmp_path / "root", state_of(f"team/app@{LAYER}"))
    async with make_proxy(profile, ttl=TTL, delete_enabled=True).running() as proxy:
        await until(lambda: f"team/app@{LAYER}" not in proxy.scheduled)
        assert not proxy.local("team/app").has_blob(LAYER)


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


@every_profile
@pytest.mark.parametrize("draintimeout", [None, timedelta(seconds=1)])
async def test_a_stop(make_proxy: MakeProxy, profile: str, draintimeout: timedelta | None) -> None:
    """9.4, 9.5."""
    async with make_proxy(profile, draintimeout=draintimeout).running() as proxy:
        await proxy.get(blob_path())
        await proxy.settled()
    drains = draintimeout is not None and profile in {"3.0", "3.1"}
    assert bool(saved(proxy)) is (profile == "ideal" or drains)


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


DAMAGED = ["", "garbage", "[]", "null", '{"a":null}', '{"a":{"ExpiryData":"soon"}}', "{" * 9]


@pytest.mark.parametrize("content", DAMAGED)
async def test_ideal_rebuilds_a_damaged_file(
    make_proxy: MakeProxy, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    """Everything that is cached lives for another ttl, and a link without bytes no longer."""
    async with make_proxy(ttl=TTL).running() as proxy:
        await pull_all(proxy)
    proxy.local("team/app").delete_bytes(LAYER)
    write_state(tmp_path / "root", content)
    caplog.set_level(logging.WARNING)
    async with make_proxy(ttl=TTL).running() as proxy:
        blobs = {f"team/app@{b.digest}": 0 for b in IMAGE.blobs}
        assert proxy.scheduled == {**blobs, f"team/app@{IMAGE.digest}": 1}
        await until(lambda: len(saved(proxy)) == ENTRIES)
        await pass_time(proxy, TTL, expired=ENTRIES)
        assert proxy.files() == []
    assert "scheduler-state.json is damaged" in caplog.text


async def test_a_damaged_file_before_anything_was_cached(
    make_proxy: MakeProxy, tmp_path: Path
) -> None:
    write_state(tmp_path / "root", "")
    async with make_proxy(ttl=TTL).running() as proxy:
        assert proxy.scheduled == {}


@every_release
@pytest.mark.parametrize("content", [c for c in DAMAGED if c != "null"])
async def test_releases_do_not_start_with_a_damaged_file(
    make_proxy: MakeProxy, tmp_path: Path, profile: str, content: str
) -> None:
    """9.8."""
    write_state(tmp_path / "root", content)
    proxy = make_proxy(profile)
    with pytest.raises(CannotStart) as caught:
        await proxy.app.start()
    await proxy.app.stop()
    assert caught.value.released_exit_code == 2
    assert "scheduler-state.json: " in caught.value.what


@every_release
async def test_releases_lose_their_schedule_to_null(
    make_proxy: MakeProxy, tmp_path: Path, profile: str
) -> None:
    """9.9: nothing can be scheduled any more, and whoever tries gets no answer."""
    write_state(tmp_path / "root", "null")
    async with make_proxy(profile).running() as proxy:
        for _ in range(2):
            with pytest.raises(ConnectionResetError):
                await proxy.get(MANIFEST_PATH, accept=IMAGE.media_type)
            proxy.local("team/app").unlink_manifest(Digest(IMAGE.digest))
    assert proxy.state() == b"null"


async def test_ideal_drops_entries_that_mean_nothing(
    make_proxy: MakeProxy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = f"team/app@{LAYER}"
    content = json.loads(state_of(good, "team/app:v1", moment="2999-01-01T00:00:00Z"))
    write_state(tmp_path / "root", json.dumps(content))
    caplog.set_level(logging.WARNING)
    async with make_proxy(ttl=TTL).running() as proxy:
        assert list(proxy.scheduled) == [good]
        await until(lambda: list(saved(proxy)) == [good])
    assert "dropped the entry 'team/app:v1'" in caplog.text


@every_release
@pytest.mark.parametrize("kind", [7, -1])
async def test_an_unknown_entry_type(
    make_proxy: MakeProxy,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    profile: str,
    kind: int,
) -> None:
    """9.11."""
    caplog.set_level(logging.ERROR)
    write_state(tmp_path / "root", state_of(f"team/app@{LAYER}", kind=kind))
    async with make_proxy(profile).running() as proxy:
        await until(lambda: not proxy.scheduled)
    assert "scheduler entry type" in caplog.text


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


async def test_kill_between_two_writes_leaves_a_whole_file(make_proxy: MakeProxy) -> None:
    """Whoever reads at any time finds a file that can be parsed."""
    async with make_proxy(ttl=TTL).running() as proxy:
        for number in range(30):
            digest = Digest(f"sha256:{number:064x}")
            assert proxy.registry.expiry is not None
            proxy.registry.expiry.cached_blob("team/app", digest)
            await asyncio.sleep(0)
            state = proxy.state()
            if state is not None:
                schedule = parse_state(state)
                assert schedule is not None
                assert all(entry.kind == BLOB for entry in schedule)
    assert len(saved(proxy)) == 30


# -- start -----------------------------------------------------------------------------------------
@every_profile
async def test_the_start(make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str) -> None:
    """13.1: one ping without credentials, by releases."""
    proxy = make_proxy(profile, username="joe", password="s3cret")
    await proxy.app.start()
    asked = list(upstream.requests)
    await proxy.app.stop()
    if profile == "ideal":
        assert asked == []
    else:
        (ping,) = asked
        assert (ping.method, ping.url.path) == ("GET", "/v2/")
        assert "authorization" not in ping.headers


@every_profile
async def test_upstream_is_down_at_the_start(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str
) -> None:
    """13.2: releases panic."""
    upstream.down = True
    proxy = make_proxy(profile)
    if profile == "ideal":
        async with proxy.running():
            assert (await proxy.get("/v2/")).status == 200
        return
    with pytest.raises(CannotStart) as caught:
        await proxy.app.start()
    await proxy.app.stop()
    assert caught.value.released_exit_code == 2
    assert "connection refused" in caught.value.what


@every_release
@pytest.mark.parametrize("status", [401, 404, 500])
async def test_any_answer_will_do_at_the_start(
    make_proxy: MakeProxy, upstream: UpstreamDouble, profile: str, status: int
) -> None:
    """13.3."""
    upstream.on("GET /v2/", status)
    async with make_proxy(profile).running() as proxy:
        assert (await proxy.get("/v2/")).status == 200


async def test_the_start_ping_keeps_the_path_of_remoteurl(
    make_proxy: MakeProxy, upstream: UpstreamDouble
) -> None:
    """13.12."""
    proxy = make_proxy("2.8", remoteurl="http://registry.example/sub")
    await proxy.app.start()
    await proxy.get("/v2/team/app/tags/list")
    await proxy.app.stop()
    assert upstream.lines == ["GET /sub/v2/", "GET /v2/", "GET /v2/team/app/tags/list"]
