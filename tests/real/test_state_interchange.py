"""Either registry expires what the other scheduled in ``scheduler-state.json``."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest

from harness.content import Content, Image, an_image
from harness.suite.lab import Lab
from harness.targets import RunningRegistry, Settings, Target, parse_target
from harness.upstream import MockUpstream

REPOSITORY = "team/app"
AFTER_EXPIRY = timedelta(hours=169)
"""More than the 168 hours that 2.8 gives everything, and the others by default."""


@pytest.fixture(params=["ideal", "2.8"])
def ours(request: pytest.FixtureRequest) -> Target:
    """The reference, as two of its profiles."""
    return parse_target(f"reference@{request.param}")


@pytest.fixture
def image() -> Image:
    return an_image(layers=1)


def cached(lab: Lab, target: Target, upstream: MockUpstream, image: Image) -> RunningRegistry:
    """A cache of *target* that has pulled *image* and saved its schedule; stopped."""
    upstream.add(REPOSITORY, image, tags=("v1",))
    cache = lab.launch(target, Settings(upstream_url=upstream.url, delete_enabled=True))
    assert cache.get(f"/v2/{REPOSITORY}/manifests/v1", headers={"Accept": image.media_type}).body
    for blob in image.blobs:
        assert cache.get(f"/v2/{REPOSITORY}/blobs/{blob.digest}").body == blob.content
    contents: tuple[Content, ...] = (image, *image.blobs)
    expected = {f"{REPOSITORY}@{content.digest}" for content in contents}
    cache.await_state(lambda entries: expected <= entries.keys())
    cache.stop()
    state = cache.state()
    assert state is not None
    assert state.keys() == expected
    return cache


def taken_over(
    lab: Lab, before: RunningRegistry, target: Target, upstream: MockUpstream
) -> RunningRegistry:
    """A cache of *target* on a copy of the storage of *before*."""
    shutil.copytree(before.root, lab.workdir / "registry-2" / "storage")
    after = lab.launch(target, Settings(upstream_url=upstream.url, delete_enabled=True))
    assert after.state() == before.state()
    return after


def expires(cache: RunningRegistry, image: Image) -> None:
    """Everything of *image* leaves the schedule and the disk when it expires, and not before."""
    assert cache.disk.layer_links(REPOSITORY) == {blob.digest for blob in image.blobs}
    cache.pass_time(AFTER_EXPIRY)
    assert cache.eventually(lambda: not cache.disk.layer_links(REPOSITORY))
    assert cache.eventually(lambda: not cache.disk.revisions(REPOSITORY))
    digests = [blob.digest for blob in image.blobs]
    assert cache.eventually(lambda: not any(cache.disk.has_blob(each) for each in digests))


def test_the_real_registry_expires_our_schedule(
    lab: Lab, ours: Target, docker_registry: Target, image: Image
) -> None:
    upstream = lab.upstream()
    before = cached(lab, ours, upstream, image)
    expires(taken_over(lab, before, docker_registry, upstream), image)


def test_ours_expires_the_schedule_of_the_real_registry(
    lab: Lab, ours: Target, docker_registry: Target, image: Image
) -> None:
    upstream = lab.upstream()
    before = cached(lab, docker_registry, upstream, image)
    expires(taken_over(lab, before, ours, upstream), image)
