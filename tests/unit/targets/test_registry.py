"""What every running registry promises, asked of each target."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.content import Image, an_image
from harness.targets import DidNotStart, RunningRegistry, Settings, Target
from harness.upstream import MockUpstream
from tests.unit.targets.conftest import Launch

IMAGE = an_image("targets", layers=1)
MANIFEST = f"/v2/team/app/manifests/{IMAGE.digest}"
LAYER = f"/v2/team/app/blobs/{IMAGE.layers[0].digest}"


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


def pull(registry: RunningRegistry, image: Image = IMAGE) -> None:
    manifest = registry.get(
        f"/v2/team/app/manifests/{image.digest}", headers={"Accept": image.media_type}
    )
    assert (manifest.status, manifest.body) == (200, image.content)
    for blob in image.blobs:
        assert registry.get(f"/v2/team/app/blobs/{blob.digest}").body == blob.content
    cached = {blob.digest for blob in image.blobs}
    registry.eventually(lambda: registry.disk.layer_links("team/app") == cached)


def test_it_answers_on_loopback_and_records(any_target: Target, launch: Launch) -> None:
    registry = launch(any_target)
    assert registry.url.startswith("http://127.0.0.1:")
    assert registry.get("/v2/").status == 200
    assert [exchange.describe() for exchange in registry.exchanges] == ["GET /v2/ -> 200, 2 bytes"]


def test_its_debug_listener_is_apart(any_target: Target, launch: Launch) -> None:
    registry = launch(any_target)
    assert registry.debug_url != registry.url
    # The real one's debug listener may answer a little later than its API.
    assert registry.eventually(lambda: registry.health().status == 200)
    assert registry.health().json() == {}
    registry.get("/v2/")
    assert registry.metrics().total("registry_http_requests_total", handler="base") == 1
    assert len(registry.exchanges) == 1


def test_its_storage_can_be_read(any_target: Target, launch: Launch) -> None:
    registry = launch(any_target)
    push(registry)
    disk = registry.disk
    assert disk.repositories() == ["team/app"]
    assert disk.tags("team/app") == {"v1": IMAGE.digest}
    assert disk.revisions("team/app") == {IMAGE.digest}
    assert disk.layer_links("team/app") == {blob.digest for blob in IMAGE.blobs}
    assert disk.blob_bytes(IMAGE.digest) == IMAGE.content


def test_a_restart_keeps_the_storage_and_changes_the_settings(
    any_target: Target, launch: Launch
) -> None:
    registry = launch(any_target)
    push(registry)
    registry.restart(htpasswd={"user": "password"})
    assert registry.get(LAYER).status == 401
    assert registry.get(LAYER, auth=("user", "password")).body == IMAGE.layers[0].content


def test_variables_go_over_the_file(
    any_target: Target, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_STORAGE_MAINTENANCE_READONLY", "{enabled: true}")
    registry = launch(any_target)
    assert registry.post("/v2/team/app/blobs/uploads/").status == 202
    registry.restart(environment={"REGISTRY_STORAGE_MAINTENANCE_READONLY": "{enabled: true}"})
    assert registry.post("/v2/team/app/blobs/uploads/").status == 405


def test_stopped_it_refuses_and_starts_again(any_target: Target, launch: Launch) -> None:
    registry = launch(any_target)
    registry.stop()
    registry.stop()
    refused = registry.get("/v2/")
    assert refused.status is None
    assert refused.error is not None
    assert "refused" in refused.error
    registry.start()
    assert registry.get("/v2/").status == 200
    registry.kill()
    assert registry.get("/v2/").status is None


def test_passwords_are_not_in_its_log(any_target: Target, launch: Launch) -> None:
    registry = launch(any_target, htpasswd={"user": "password"})
    registry.get("/v2/?echo=password", auth=("user", "password"))
    assert registry.eventually(lambda: "echo=" in registry.logs())
    assert "echo=password" in registry.logs(redacted=False)
    assert "echo=[redacted]" in registry.logs()
    assert "password" not in repr(registry.exchanges)


@pytest.mark.parametrize("log_level", ["error", "debug"])
@pytest.mark.parametrize("log_formatter", ["text", "json"])
def test_it_starts_whatever_it_logs(
    any_target: Target, launch: Launch, log_level: str, log_formatter: str
) -> None:
    registry = launch(any_target, log_level=log_level, log_formatter=log_formatter)
    assert registry.get("/v2/").status == 200


def test_a_bad_configuration_is_told(any_target: Target, tmp_path: Path) -> None:
    with pytest.raises(DidNotStart) as failure:
        any_target.launch(Settings(extra={"http": {"addr": 80}}), tmp_path)
    assert failure.value.exit_code not in {0, None}
    assert "addr" in failure.value.message
    assert "\n" not in str(failure.value)


def test_launches_at_the_same_time_do_not_meet(any_target: Target, tmp_path: Path) -> None:
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


def test_garbage_collection_runs_on_its_storage(any_target: Target, launch: Launch) -> None:
    registry = launch(any_target)
    push(registry)
    unused = an_image("unused", layers=1)
    for blob in unused.blobs:
        location = registry.post("/v2/team/app/blobs/uploads/").headers["location"]
        registry.put(f"{location}&digest={blob.digest}", content=blob.content)
    before = registry.disk.snapshot()
    dry = registry.garbage_collect(dry_run=True)
    assert not before.diff(registry.disk.snapshot())
    real = registry.garbage_collect()
    assert (dry.exit_code, real.exit_code) == (0, 0)
    assert dry.repositories == {"team/app"}
    assert dry.marked == {IMAGE.digest} | {blob.digest for blob in IMAGE.blobs}
    assert dry.eligible_blobs == real.eligible_blobs == {blob.digest for blob in unused.blobs}
    assert dry.summary == "3 blobs marked, 2 blobs and 0 manifests eligible for deletion"
    assert registry.disk.blobs() == dry.marked


def test_untagged_manifests_are_collected_on_demand(any_target: Target, launch: Launch) -> None:
    registry = launch(any_target)
    push(registry)
    untagged = an_image("untagged", layers=1)
    push(registry, untagged, tag=None)
    assert registry.garbage_collect(dry_run=True).eligible_manifests == set()
    run = registry.garbage_collect(delete_untagged=True)
    assert run.eligible_manifests == {untagged.digest}
    assert registry.disk.revisions("team/app") == {IMAGE.digest}


def test_time_passes_for_what_is_cached(
    any_target: Target, launch: Launch, source: MockUpstream
) -> None:
    source.add("team/app", IMAGE, tags=("v1",))
    cache = launch(any_target, upstream_url=source.url, delete_enabled=True)
    begun = datetime.now(UTC)
    pull(cache)
    keys = {f"team/app@{digest}" for digest in (IMAGE.digest, *(b.digest for b in IMAGE.blobs))}
    state = cache.await_state(lambda entries: entries.keys() == keys)
    assert state.keys() == keys
    assert {entry.kind for entry in state.values()} == {"blob", "manifest"}
    for entry in state.values():
        left = entry.expires - begun
        assert timedelta(hours=167, minutes=59) < left < timedelta(hours=168, minutes=5)

    cache.pass_time(timedelta(hours=160))
    assert cache.disk.layer_links("team/app")
    for key, entry in (cache.state() or {}).items():
        gone = state[key].expires - entry.expires
        assert abs(gone - timedelta(hours=160)) < timedelta(seconds=1)
    cache.pass_time(timedelta(hours=9))
    assert cache.eventually(lambda: not cache.disk.layer_links("team/app"))
    assert cache.await_state(lambda entries: not entries) == {}

    pull(cache)
    cache.pass_time(timedelta(hours=169))
    assert cache.eventually(lambda: not cache.disk.layer_links("team/app"))


def test_time_does_not_run_backwards(any_target: Target, launch: Launch) -> None:
    registry = launch(any_target)
    with pytest.raises(ValueError, match="forward"):
        registry.pass_time(timedelta(seconds=-1))


def test_a_cache_without_its_upstream_is_told(any_target: Target, tmp_path: Path) -> None:
    if any_target.version == "ideal":
        any_target.launch(Settings(upstream_url="http://127.0.0.1:1"), tmp_path).stop()
        return
    with pytest.raises(DidNotStart) as failure:
        any_target.launch(Settings(upstream_url="http://127.0.0.1:1"), tmp_path)
    assert failure.value.exit_code == 2
    assert "refused" in str(failure.value)


def test_it_works_at_all(any_target: Target) -> None:
    any_target.check()
