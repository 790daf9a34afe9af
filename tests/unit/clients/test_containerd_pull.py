"""The requests that containerd's pull makes of one host, and what it makes of the answers."""

from __future__ import annotations

import pytest

from harness.clients.containerd_pull import containerd_pull
from harness.content import an_image
from harness.http.client import RegistryClient
from harness.upstream import MockUpstream

APP = "/v2/team/app"


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
