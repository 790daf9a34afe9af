"""What every running registry promises, asked of each target."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from harness.content import Image, an_image
from harness.targets import DidNotStart, RunningRegistry, Settings, Target
from tests.unit.targets.conftest import Launch

IMAGE = an_image("targets", layers=1)


def push(registry: RunningRegistry, image: Image = IMAGE, *, tag: str | None = "v1") -> None:
    for blob in image.blobs:
        started = registry.post("/v2/team/app/blobs/uploads/")
        assert started.status == 202
        location = f"{started.headers['location']}&digest={blob.digest}"
        assert registry.put(location, content=blob.content).status == 201
    stored = registry.put(
        f"/v2/team/app/manifests/{tag or image.digest}",
        content=image.content,
        headers={"Content-Type": image.media_type},
    )
    assert stored.status == 201


@pytest.mark.parametrize("log_level", ["error", "debug"])
@pytest.mark.parametrize("log_formatter", ["text", "json"])
def test_start_with_each_log_setting(
    any_target: Target, launch: Launch, log_level: str, log_formatter: str
) -> None:
    registry = launch(any_target, log_level=log_level, log_formatter=log_formatter)
    assert registry.get("/v2/").status == 200


def test_wrong_configuration_is_reported(any_target: Target, tmp_path: Path) -> None:
    with pytest.raises(DidNotStart) as failure:
        any_target.launch(Settings(extra={"http": {"addr": 80}}), tmp_path)
    assert failure.value.exit_code not in {0, None}
    assert "addr" in failure.value.message
    assert "\n" not in str(failure.value)


def test_parallel_launches(any_target: Target, tmp_path: Path) -> None:
    def launch(number: int) -> RunningRegistry:
        return any_target.launch(Settings(), tmp_path / str(number))

    with ThreadPoolExecutor(4) as pool:
        registries = list(pool.map(launch, range(4)))
    try:
        assert len({r.url for r in registries} | {r.debug_url for r in registries}) == 8
        push(registries[0])
        assert [bool(r.disk.files()) for r in registries] == [True, False, False, False]
    finally:
        for registry in registries:
            registry.stop()


def test_time_does_not_run_backwards(any_target: Target, launch: Launch) -> None:
    registry = launch(any_target)
    with pytest.raises(ValueError, match="forward"):
        registry.pass_time(timedelta(seconds=-1))


def test_check(any_target: Target) -> None:
    any_target.check()
