"""A real containerd whose every registry is mirrored by one cache of several upstreams."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.content import Image, an_image
from harness.suite.lab import Lab
from harness.system.process import Process, clean_environment
from harness.system.real_parts import missing_part, real_part
from harness.targets import RunningRegistry, Settings, Target
from harness.upstream import MockUpstream
from harness.upstream.ledger import Entry

OTHER = "other.example"

_SERVING = re.compile(r"serving\.\.\.")

Fetch = Callable[[str, str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def fetch() -> Iterator[Fetch]:
    """Pulls the content of an image, with a hosts.toml for its registry."""
    program, ctr = real_part("containerd"), real_part("ctr")
    if os.geteuid() != 0:
        missing_part("containerd runs as root only")
    # The path of a socket must be short.
    with TemporaryDirectory(prefix="ctd-") as name:
        directory = Path(name)
        config = directory / "config.toml"
        config.write_text(
            f'version = 2\nroot = "{directory}/root"\nstate = "{directory}/state"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\n  address = "{directory}/c.sock"\n'
        )
        daemon = Process(
            [program, "--config", config], environment=clean_environment({}), directory=directory
        )

        def run(image: str, hosts_toml: str) -> subprocess.CompletedProcess[str]:
            registry = directory / "hosts" / image.partition("/")[0]
            registry.mkdir(parents=True, exist_ok=True)
            (registry / "hosts.toml").write_text(hosts_toml)
            where = ("--address", f"{directory}/c.sock")
            return subprocess.run(
                [ctr, *where, "content", "fetch", "--hosts-dir", registry.parent, image],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )

        try:
            assert daemon.await_output(_SERVING, timeout=20.0), daemon.output()
            yield run
        finally:
            daemon.stop(grace=10.0)


def several(lab: Lab) -> tuple[dict[str, MockUpstream], dict[str, Image]]:
    """Three registries with different images under one name."""
    sources = {f"{name}.example": lab.upstream() for name in ("one", "other", "stranger")}
    images = {
        host: source.add("team/app", an_image(host), tags=("v1",))
        for host, source in sources.items()
    }
    return sources, images


def cache_of(lab: Lab, target: Target, sources: dict[str, MockUpstream]) -> RunningRegistry:
    """A cache of the first two of *sources*."""
    cache = lab.launch(
        target,
        Settings(
            upstream_url=sources["one.example"].url,
            namespaces=["one.example"],
            upstreams={"other.example": {"remoteurl": sources["other.example"].url}},
        ),
    )
    for source in sources.values():
        source.ledger.clear()
    return cache


def test_each_image_comes_from_its_own_registry(lab: Lab, reference: Target, fetch: Fetch) -> None:
    sources, images = several(lab)
    cache = cache_of(lab, reference, sources)
    for host, source in sources.items():
        done = fetch(f"{host}/team/app:v1", f'server = "{source.url}"\n[host."{cache.url}"]\n')
        assert done.returncode == 0, done.stderr
    for host, kept in {"one.example": "team/app", OTHER: f"{OTHER}/team/app"}.items():
        assert cache.disk.tags(kept) == {"v1": images[host].digest}
        assert {entry.query for entry in _asked(sources[host])} == {""}
    assert cache.disk.repositories() == [f"{OTHER}/team/app", "team/app"]
    # What the cache does not know, containerd itself asks of the source.
    assert {entry.query for entry in _asked(sources["stranger.example"])} == {"ns=stranger.example"}


def test_a_prefix_by_override_path(lab: Lab, reference: Target, fetch: Fetch) -> None:
    sources, images = several(lab)
    cache = cache_of(lab, reference, sources)
    hosts = (
        f'server = "{sources["stranger.example"].url}"\n'
        f'[host."{cache.url}/v2/other.example"]\n  override_path = true\n'
    )
    done = fetch("other.example/team/app:v1", hosts)
    assert done.returncode == 0, done.stderr
    tags = cache.eventually(lambda: cache.disk.tags("other.example/team/app"))
    assert tags == {"v1": images["other.example"].digest}
    assert not _asked(sources["stranger.example"])


def test_a_mirror_that_is_offline_is_passed_over(lab: Lab, reference: Target, fetch: Fetch) -> None:
    sources, _ = several(lab)
    cache = cache_of(lab, reference, sources)
    cache.restart(offline=True)
    source = sources["other.example"]
    done = fetch("other.example/team/app:v1", f'server = "{source.url}"\n[host."{cache.url}"]\n')
    assert done.returncode == 0, done.stderr
    assert " 504 " in cache.logs()
    assert {entry.query for entry in _asked(source)} == {"ns=other.example"}


def _asked(source: MockUpstream) -> list[Entry]:
    return [entry for entry in source.ledger.entries if entry.kind != "base"]
