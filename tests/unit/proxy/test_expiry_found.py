"""Content without an entry in the schedule, and entries for two kinds of content: all expires."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from pathlib import Path

import pytest

from harness.content import an_image
from reference_registry.proxy.expiry.schedule import BLOB, MANIFEST
from tests.support.in_process import Proxy
from tests.support.upstream_double import UpstreamDouble
from tests.support.waiting import until
from tests.unit.proxy.conftest import RELEASES, MakeProxy

pytestmark = pytest.mark.anyio

TTL = timedelta(hours=2)
IMAGE = an_image()
LAYER = IMAGE.layers[0]
BY_TAG = "/v2/team/app/manifests/v1"


@pytest.fixture(autouse=True)
def _content(upstream: UpstreamDouble) -> None:
    upstream.add("team/app", IMAGE, "v1")
    upstream.add_blob("team/app", IMAGE.content, IMAGE.digest)


def blob_path(digest: str = LAYER.digest) -> str:
    return f"/v2/team/app/blobs/{digest}"


def key(content: str) -> str:
    return f"team/app@{content}"


# -- found at the start ----------------------------------------------------------------------------
@pytest.mark.parametrize("state", [None, "{}"], ids=["no file", "no entry"])
async def test_what_is_in_no_schedule_gets_one_ttl_from_the_start_on(
    make_proxy: MakeProxy, tmp_path: Path, caplog: pytest.LogCaptureFixture, state: str | None
) -> None:
    async with make_proxy(ttl=None).running() as proxy:
        await proxy.get(BY_TAG)
        await proxy.get(blob_path())
        await proxy.settled()
    assert proxy.state() is None
    if state is not None:
        (tmp_path / "root" / "scheduler-state.json").write_text(state)
    with caplog.at_level(logging.WARNING):
        async with make_proxy(ttl=TTL).running() as proxy:
            wanted = {key(IMAGE.digest): MANIFEST, key(LAYER.digest): BLOB}
            await until(lambda: proxy.scheduled == wanted)
            await until(lambda: set(json.loads(proxy.state() or b"{}")) == set(wanted))
            assert "2 cached objects were in no schedule" in caplog.text
            proxy.clock.advance(TTL)
            await until(lambda: not proxy.scheduled)
            assert proxy.files() == []


async def test_what_is_scheduled_keeps_its_moment(make_proxy: MakeProxy) -> None:
    async with make_proxy(ttl=TTL).running() as proxy:
        await proxy.get(blob_path())
        await proxy.settled()
        clock = proxy.clock
    clock.advance(TTL / 2)
    async with make_proxy(ttl=TTL, clock=clock).running() as proxy:
        proxy.local("team/app").put_cached_blob(IMAGE.config.digest, IMAGE.config.content)
        clock.advance(TTL / 2)
        await until(lambda: key(LAYER.digest) not in proxy.scheduled)


async def test_nothing_is_said_where_nothing_was_found(
    make_proxy: MakeProxy, caplog: pytest.LogCaptureFixture
) -> None:
    async with make_proxy(ttl=TTL).running() as proxy:
        await proxy.get(blob_path())
        await proxy.settled()
    with caplog.at_level(logging.WARNING):
        async with make_proxy(ttl=TTL, clock=proxy.clock).running() as proxy:
            proxy.clock.advance(TTL)
            await until(lambda: not proxy.scheduled)
    assert caplog.text == ""


async def test_links_without_bytes_go_too(make_proxy: MakeProxy) -> None:
    """As a crash in the midst of an eviction, or a release, leaves them."""
    async with make_proxy(ttl=None).running() as proxy:
        await proxy.get(BY_TAG)
        await proxy.get(blob_path())
        await proxy.settled()
    for content in (IMAGE.digest, LAYER.digest):
        proxy.registry.local.storage.blobs.delete(content)
    async with make_proxy(ttl=TTL, clock=proxy.clock).running() as proxy:
        await until(lambda: len(proxy.scheduled) == 2)
        proxy.clock.advance(TTL)
        await until(lambda: not proxy.scheduled)
        assert proxy.files() == []


@pytest.mark.parametrize("profile", RELEASES)
async def test_a_release_never_looks(make_proxy: MakeProxy, profile: str) -> None:
    async with make_proxy("ideal", ttl=None).running() as proxy:
        await proxy.get(blob_path())
        await proxy.settled()
    async with make_proxy(profile, ttl=TTL, delete_enabled=True).running() as proxy:
        proxy.clock.advance(timedelta(days=30))
        await proxy.settled()
        assert proxy.scheduled == {}
        assert proxy.local("team/app").has_blob(LAYER.digest)


# -- one entry for two kinds -----------------------------------------------------------------------
async def pull_as_both(proxy: Proxy, *, manifest_last: bool) -> None:
    paths = [blob_path(IMAGE.digest), BY_TAG]
    for path in paths if manifest_last else reversed(paths):
        assert (await proxy.get(path, accept=IMAGE.media_type)).status == 200
        await proxy.settled()


@pytest.mark.parametrize("manifest_last", [True, False])
async def test_what_is_a_manifest_and_a_blob_goes_as_both(
    make_proxy: MakeProxy, manifest_last: bool
) -> None:
    async with make_proxy(ttl=TTL).running() as proxy:
        await pull_as_both(proxy, manifest_last=manifest_last)
        assert proxy.scheduled == {key(IMAGE.digest): MANIFEST if manifest_last else BLOB}
        proxy.clock.advance(TTL)
        await until(lambda: not proxy.scheduled)
        assert proxy.files() == []


@pytest.mark.parametrize("manifest_last", [True, False])
async def test_of_a_release_the_first_kind_stays(
    make_proxy: MakeProxy, manifest_last: bool
) -> None:
    async with make_proxy("3.1", ttl=TTL, delete_enabled=True).running() as proxy:
        await pull_as_both(proxy, manifest_last=manifest_last)
        proxy.clock.advance(TTL)
        await until(lambda: not proxy.scheduled)
        links = proxy.local("team/app").links
        kept = links.has_layer(IMAGE.digest), links.revision(IMAGE.digest) is not None
        assert kept == (manifest_last, not manifest_last)
