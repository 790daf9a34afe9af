"""Containers: the daemon's answers as single lines, and a real registry in a real one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from harness.clients.containerd_pull import ACCEPT
from harness.content import an_image
from harness.system.real_parts import missing_part
from harness.targets import DidNotStart, TargetError, parse_target
from harness.targets.container import ContainerImage, ContainerTarget, reach_daemon, remove_orphans
from harness.upstream import MockUpstream
from scenarios.steps import push
from tests.unit.targets.conftest import Launch

IMAGE = "registry:2"


@pytest.fixture
def container() -> ContainerTarget:
    """The image that ``.ci/dockerd`` makes; or one of the same name."""
    try:
        return ContainerTarget.find(IMAGE)
    except TargetError as problem:
        missing_part(f"{problem} (.ci/dockerd start)")


@pytest.fixture
def containers(container: ContainerTarget) -> Iterator[set[str]]:
    """The ids of the containers that were there before; at the end there are no others of ours."""
    before = _ours()
    yield before
    assert _ours() <= before


def _ours() -> set[str]:
    owner = f"{os.getpid()}@"
    return {
        one.id
        for one in reach_daemon("test").containers.list(all=True)
        if one.labels.get("pullproof.owner", "").startswith(owner)
    }


def test_no_daemon(tmp_path: Path) -> None:
    program = (
        "from harness.targets import TargetError, parse_target\n"
        "try: parse_target('container:registry:2')\n"
        "except TargetError as problem: print(problem)\n"
    )
    said = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", "-c", program],
        env=os.environ | {"DOCKER_HOST": f"unix://{tmp_path}/no.sock"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "unclosed" not in said.stderr
    assert said.stdout.startswith("container:registry:2: no Docker daemon answers at unix://")
    assert said.stdout.endswith("start it, or set DOCKER_HOST\n")
    assert said.stdout.count("\n") == 1


def test_no_image(container: ContainerTarget) -> None:
    with pytest.raises(TargetError) as failure:
        parse_target("container:no/such/registry:1")
    assert str(failure.value) == (
        "container:no/such/registry:1: the daemon has no such image; docker pull no/such/registry:1"
    )


def test_it_serves_restarts_and_collects(
    container: ContainerTarget, containers: set[str], launch: Launch
) -> None:
    registry = launch(container)
    image = an_image()
    push(registry, "team/app", image, "v1")
    assert registry.health().status == 200
    assert registry.metrics().samples

    registry.restart()
    assert registry.get("/v2/team/app/manifests/v1", headers=ACCEPT).digest == image.digest
    run = registry.garbage_collect(dry_run=True)
    assert (run.exit_code, run.marked) == (0, {image.digest, *(b.digest for b in image.blobs)})
    assert registry.disk.tags("team/app") == {"v1": image.digest}
    assert registry.logs().count("listening on") == 2

    registry.stop()
    assert registry.get("/v2/").status is None
    registry.stop()


def test_time_passes(
    container: ContainerTarget, containers: set[str], launch: Launch, source: MockUpstream
) -> None:
    image = an_image()
    source.add("team/app", image, tags=("v1",))
    cache = launch(container, upstream_url=source.url)
    assert cache.get("/v2/team/app/manifests/v1", headers=ACCEPT).status == 200
    before = cache.await_state(bool)
    cache.pass_time(timedelta(hours=10))
    after = cache.state()
    assert after is not None
    (key,) = before
    assert before[key].expires - after[key].expires == timedelta(hours=10)


def test_a_registry_that_refuses_to_start(
    container: ContainerTarget, containers: set[str], launch: Launch
) -> None:
    with pytest.raises(DidNotStart, match="address nonsense: missing port") as failure:
        launch(container, extra={"http": {"addr": "nonsense"}})
    assert failure.value.exit_code == 1


def test_orphans_are_removed(container: ContainerTarget, containers: set[str]) -> None:
    """The label of a killed run's container names a process that does not exist."""
    client = reach_daemon("test")
    ours = ContainerImage.find(IMAGE).start("--version", network="none")
    orphan = client.containers.create(IMAGE, labels={"pullproof.owner": "1@0"})
    try:
        remove_orphans(client)
        left = {one.id for one in client.containers.list(all=True)}
        assert orphan.id not in left
        assert ours.id in left
    finally:
        ours.remove(force=True)
