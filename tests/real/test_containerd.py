"""A real containerd that pulls from several registries through one cache with several upstreams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.clients.containerd import Containerd
from harness.clients.running import Ran
from harness.content import Image, an_image
from harness.suite.lab import Lab
from harness.targets import RunningRegistry, Settings, Target
from harness.upstream import MockUpstream

OTHER = "other.example"
Fetch = Callable[[str, str], Ran]


@pytest.fixture
def fetch() -> Iterator[Fetch]:
    """Fetches the content of an image, with a hosts.toml for its registry."""
    # The path of a socket must be short.
    with TemporaryDirectory(prefix="ctd-") as directory:
        containerd = Containerd(Path(directory), {})

        def run(image: str, hosts_toml: str) -> Ran:
            containerd.use_hosts(image.partition("/")[0], hosts_toml)
            where = ("--hosts-dir", str(containerd.certs_d))
            return containerd.ctr("content", "fetch", *where, image)

        try:
            yield run
        finally:
            containerd.stop()


def several(
    lab: Lab, target: Target
) -> tuple[dict[str, MockUpstream], dict[str, Image], RunningRegistry]:
    """Three registries with different images under one name, and a cache of the first two."""
    sources = {f"{name}.example": lab.upstream() for name in ("one", "other", "stranger")}
    images = {
        host: source.add("team/app", an_image(host), tags=("v1",))
        for host, source in sources.items()
    }
    settings = Settings(
        upstream_url=sources["one.example"].url,
        namespaces=["one.example"],
        upstreams={OTHER: {"remoteurl": sources[OTHER].url}},
    )
    cache = lab.launch(target, settings)
    for source in sources.values():
        source.ledger.clear()
    return sources, images, cache


def queries(source: MockUpstream) -> set[str]:
    return {entry.query for entry in source.ledger.entries if entry.kind != "base"}


def test_each_image_comes_from_its_own_registry(lab: Lab, reference: Target, fetch: Fetch) -> None:
    sources, images, cache = several(lab, reference)
    for host, source in sources.items():
        done = fetch(f"{host}/team/app:v1", f'server = "{source.url}"\n[host."{cache.url}"]\n')
        assert done.ok, done.output
    for host, kept in {"one.example": "team/app", OTHER: f"{OTHER}/team/app"}.items():
        assert cache.disk.tags(kept) == {"v1": images[host].digest}
        assert queries(sources[host]) == {""}
    assert cache.disk.repositories() == [f"{OTHER}/team/app", "team/app"]
    # The cache refuses the third registry, so containerd falls back to the registry itself.
    assert queries(sources["stranger.example"]) == {"ns=stranger.example"}


def test_a_prefix_by_override_path(lab: Lab, reference: Target, fetch: Fetch) -> None:
    sources, images, cache = several(lab, reference)
    hosts = (
        f'server = "{sources["stranger.example"].url}"\n'
        f'[host."{cache.url}/v2/{OTHER}"]\n  override_path = true\n'
    )
    done = fetch(f"{OTHER}/team/app:v1", hosts)
    assert done.ok, done.output
    tags = cache.eventually(lambda: cache.disk.tags(f"{OTHER}/team/app"))
    assert tags == {"v1": images[OTHER].digest}
    assert not queries(sources["stranger.example"])
