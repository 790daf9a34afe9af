"""Garbage that is collected by the registry itself, next to what it serves."""

from __future__ import annotations

import asyncio
import os
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.content import an_image
from reference_registry.clock import ManualClock
from reference_registry.config import Config, GarbageCollectionConfig, StorageConfig
from reference_registry.config.file import read
from reference_registry.digest import digest_of
from reference_registry.garbage import collect as garbage_periodic
from reference_registry.garbage.collect import Collection
from reference_registry.profiles import profile_named
from reference_registry.registry import StandardRegistry
from tests.unit.registry.trees import put, put_blob

_DAY = timedelta(hours=24)


def _registry(root: Path, clock: ManualClock, **changes: Any) -> StandardRegistry:
    storage = StorageConfig(
        rootdirectory=root, garbage_collection=GarbageCollectionConfig(interval=_DAY), **changes
    )
    return StandardRegistry(Config(storage=storage), profile_named("ideal"), clock)


def _with_garbage(registry: StandardRegistry, root: Path) -> None:
    """An image in use, an orphan of yesterday, and one of just now."""
    put(registry.storage, "app", an_image("app"), "v1")
    put_blob(registry.storage, "app", b"an old orphan")
    for path in (root, *root.rglob("*")):
        yesterday = path.stat().st_mtime - _DAY.total_seconds()
        os.utime(path, (yesterday, yesterday))
    put_blob(registry.storage, "app", b"just pushed")


async def _until(condition: Any, clock: ManualClock, step: timedelta) -> None:
    async with asyncio.timeout(20):
        while not condition():
            clock.advance(step)
            await asyncio.sleep(0.005)


def test_what_is_old_goes_within_an_hour(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    registry = _registry(tmp_path, clock)
    _with_garbage(registry, tmp_path)
    has = registry.storage.blobs.has

    async def test() -> None:
        await registry.start()
        began = clock.now()
        logged = "1 blobs deleted, 13 bytes freed, 1 in use"
        await _until(lambda: logged in caplog.text, clock, timedelta(minutes=10))
        assert clock.now() - began < timedelta(hours=24)
        await registry.stop()

    with caplog.at_level("INFO"):
        asyncio.run(test())

    assert not has(digest_of(b"an old orphan"))
    assert has(digest_of(b"just pushed"))
    assert all(map(has, (blob.digest for blob in an_image("app").blobs)))


@pytest.mark.parametrize("state", ["read-only", "another collects"])
def test_skipped(tmp_path: Path, state: str, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    registry = _registry(tmp_path, clock, readonly=state == "read-only")
    _with_garbage(registry, tmp_path)

    async def test() -> None:
        await registry.start()
        if state == "read-only":
            clock.advance(2 * _DAY)
            await asyncio.sleep(0)
        else:
            said = "garbage collection skipped: another garbage collection is running"
            with registry.storage.leases.collecting():
                await _until(lambda: said in caplog.text, clock, timedelta(hours=1))
        await registry.stop()

    with caplog.at_level("INFO"):
        asyncio.run(test())

    assert registry.storage.blobs.has(digest_of(b"an old orphan"))


def test_a_stop_does_not_wait_for_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops after the current step, and another collection can begin."""
    clock = ManualClock()
    registry = _registry(tmp_path, clock)
    _with_garbage(registry, tmp_path)
    stepped = threading.Event()

    class Endless(Collection):
        def _steps(self) -> Any:
            while True:
                stepped.set()
                yield "marking", 0, 1

    monkeypatch.setattr(garbage_periodic, "Collection", Endless)

    async def test() -> None:
        await registry.start()
        await _until(stepped.is_set, clock, timedelta(hours=1))
        await registry.stop()

    asyncio.run(test())
    with registry.storage.leases.collecting():
        pass


# -- configuration ----------------------------------------------------------------------------
def _read(tmp_path: Path, section: str, profile: str = "ideal", driver: str = "filesystem") -> Any:
    path = tmp_path / "config.yml"
    rest = {"filesystem": f"{{rootdirectory: {tmp_path}}}", "inmemory": "{}"}[driver]
    path.write_text(
        f"version: 0.1\nstorage:\n  {driver}: {rest}\n  maintenance:\n"
        f"    x-garbage-collection: {section}\nhttp: {{addr: ':5000'}}\n"
    )
    return read(str(path), {}, profile_named(profile))


def test_settings(tmp_path: Path) -> None:
    found = _read(tmp_path, "{interval: 24h}").config.storage.garbage_collection
    assert found == GarbageCollectionConfig(interval=_DAY, grace=timedelta(hours=1))
    found = _read(tmp_path, "{interval: 1h, grace: 30m, deleteuntagged: true}")
    assert found.config.storage.garbage_collection == GarbageCollectionConfig(
        interval=timedelta(hours=1), grace=timedelta(minutes=30), deleteuntagged=True
    )
    assert _read(tmp_path, "{interval: 24h}", "3.1").config.storage.garbage_collection is None
