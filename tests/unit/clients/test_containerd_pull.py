"""The requests that containerd's pull makes of one host, and what it makes of the answers."""

from __future__ import annotations

import pytest

from harness.clients.containerd_pull import containerd_pull
from harness.content import Content, an_image, an_index
from harness.http.client import RegistryClient
from harness.upstream import MockUpstream

APP = "/v2/team/app"


def test_resolves_by_head_and_fetches_by_digest(
    registry: MockUpstream, client: RegistryClient
) -> None:
    image = registry.add("team/app", an_image(layers=1), tags=("v1",))

    pull = containerd_pull(client, "team/app", "v1")

    assert pull.complete
    assert pull.digest == image.digest
    everything: tuple[Content, ...] = (image, *image.blobs)
    assert pull.contents == {content.digest: content.content for content in everything}
    assert registry.ledger.lines() == [
        f"HEAD {APP}/manifests/v1",
        f"GET {APP}/manifests/{image.digest}",
        f"GET {APP}/blobs/{image.config.digest}",
        f"GET {APP}/blobs/{image.layers[0].digest}",
    ]


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_pulls_the_platform_of_an_index(
    registry: MockUpstream, client: RegistryClient, platform: str
) -> None:
    amd64, arm64 = an_image("amd64"), an_image("arm64", platform="linux/arm64")
    wanted = {"linux/amd64": amd64, "linux/arm64": arm64}[platform]
    index = registry.add("team/app", an_index(amd64, arm64), tags=("v1",))

    pull = containerd_pull(client, "team/app", "v1", platform=platform)

    assert pull.digest == index.digest
    assert set(pull.contents) == {index.digest, wanted.digest, *(b.digest for b in wanted.blobs)}


@pytest.mark.parametrize("reference", ["tag", "digest"])
@pytest.mark.parametrize("fault", ["head-405", "no-digest"])
def test_falls_back_to_get_if_head_has_no_digest(
    registry: MockUpstream, client: RegistryClient, fault: str, reference: str
) -> None:
    image = registry.add("team/app", an_image(), tags=("v1",))
    head = registry.on("HEAD", kind="manifest")
    head.status(405) if fault == "head-405" else head.headers({"Docker-Content-Digest": None})

    wanted = "v1" if reference == "tag" else image.digest
    pull = containerd_pull(client, "team/app", wanted)

    assert pull.complete
    assert pull.digest == image.digest
    assert registry.ledger.lines()[1] == f"GET {APP}/manifests/{wanted}"


@pytest.mark.parametrize("kind", ["manifest", "blob"])
def test_ends_with_the_first_failure(
    registry: MockUpstream, client: RegistryClient, kind: str
) -> None:
    registry.add("team/app", an_image(), tags=("v1",))
    registry.on("GET", kind=kind).status(503)  # type: ignore[arg-type]

    pull = containerd_pull(client, "team/app", "v1")

    assert not pull.complete
    assert pull.failure is not None
    assert pull.failure.status == 503
    assert registry.ledger.count(kind="blob") == (kind == "blob")
