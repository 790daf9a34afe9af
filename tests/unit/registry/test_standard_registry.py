"""Upload purging by the clock."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reference_registry.clock import ManualClock
from reference_registry.config import Config, StorageConfig, UploadPurgingConfig
from reference_registry.profiles import DEFAULT_PROFILE
from reference_registry.registry import StandardRegistry


class Clock(ManualClock):
    """Tells when somebody has gone to sleep, and until when."""

    def __init__(self) -> None:
        super().__init__()
        self.naps: asyncio.Queue[timedelta] = asyncio.Queue()

    async def sleep_until(self, moment: Any) -> None:
        self.naps.put_nowait(moment - self.now())
        await super().sleep_until(moment)


def _registry(root: Path, clock: Clock, **changes: Any) -> StandardRegistry:
    storage = StorageConfig(rootdirectory=root, **changes)
    return StandardRegistry(Config(storage=storage), DEFAULT_PROFILE, clock)


def test_old_uploads_are_purged_again_and_again(run: Any, tmp_path: Path) -> None:
    async def test() -> None:
        clock = Clock()
        purging = UploadPurgingConfig(age=timedelta(hours=3), interval=timedelta(hours=2))
        registry = _registry(tmp_path, clock, uploadpurging=purging)
        uploads = registry.storage.uploads
        old = uploads.start("a")
        await registry.start()
        # The first run comes within the hour, whatever the interval.
        first = await clock.naps.get()
        assert timedelta(0) <= first < timedelta(hours=1)
        clock.advance(first)
        assert await clock.naps.get() == timedelta(hours=2)
        assert uploads.size("a", old) == 0

        clock.advance(timedelta(hours=2))
        assert await clock.naps.get() == timedelta(hours=2)
        new = uploads.start("a")
        clock.advance(timedelta(hours=2))
        await clock.naps.get()

        assert not uploads.forget("a", old)
        assert uploads.size("a", new) == 0
        await registry.stop()
        await registry.stop()

    run(test())


def test_dry_run_purges_nothing(run: Any, tmp_path: Path, caplog: Any) -> None:
    async def test() -> None:
        clock = Clock()
        purging = UploadPurgingConfig(age=timedelta(0), dryrun=True)
        registry = _registry(tmp_path, clock, uploadpurging=purging)
        upload = registry.storage.uploads.start("a")
        clock.advance(timedelta(hours=1))
        await registry.start()
        clock.advance(await clock.naps.get())
        await clock.naps.get()
        await registry.stop()
        assert registry.storage.uploads.size("a", upload) == 0

    with caplog.at_level("INFO"):
        run(test())
    assert "Purged 1 uploads (dry run)" in caplog.text


@pytest.mark.parametrize(
    "changes", [{"uploadpurging": UploadPurgingConfig(enabled=False)}, {"readonly": True}]
)
def test_no_purging(changes: dict[str, Any], run: Any, tmp_path: Path) -> None:
    async def test() -> None:
        clock = Clock()
        registry = _registry(tmp_path, clock, **changes)
        await registry.start()
        await asyncio.sleep(0)
        assert clock.naps.empty()
        await registry.stop()

    run(test())


def test_a_purge_that_fails_is_tried_again(
    run: Any, tmp_path: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> list[str]:
        raise PermissionError("not yours")

    async def test() -> None:
        clock = Clock()
        registry = _registry(tmp_path, clock)
        monkeypatch.setattr(registry.storage.uploads, "purge", broken)
        await registry.start()
        clock.advance(await clock.naps.get())
        assert await clock.naps.get() == timedelta(hours=24)
        await registry.stop()

    run(test())
    assert "Upload purge failed: not yours" in caplog.text
