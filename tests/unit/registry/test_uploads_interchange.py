"""An upload that one registry began is finished by the other, on the same tree and secret."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from harness.system.real_parts import real_part
from harness.targets import Settings
from harness.targets.binary import BinaryTarget
from reference_registry.digest import digest_of
from tests.unit.registry.in_process import InProcess

_CONTENT = bytes(range(256)) * 300
_OCTETS = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def target() -> BinaryTarget:
    return BinaryTarget.find(str(real_part("docker-registry")))


@pytest.mark.parametrize("profile", ["2.8", "ideal"])
@pytest.mark.parametrize("cut", [0, 1, 40_000])
def test_begun_here_finished_there(
    profile: str, cut: int, target: BinaryTarget, tmp_path: Path
) -> None:
    """Without the saved hash states, the real registry reads the data again."""
    real = target.launch(Settings(secret="s3cret"), tmp_path)
    try:
        with InProcess(real.root, profile) as ours:
            location = ours.start_upload("team/app")
            if cut:
                location = ours.patch(location, _CONTENT[:cut]).headers["location"]
        with httpx.Client() as client:
            url = location.replace("http://registry.test", real.url)
            assert client.get(url).headers["range"] == f"0-{max(cut - 1, 0)}"
            url = client.patch(url, content=_CONTENT[cut:], headers=_OCTETS).headers["location"]
            finished = client.put(f"{url}&digest={digest_of(_CONTENT)}", headers=_OCTETS)
            assert finished.status_code == 201, finished.text
            assert client.get(finished.headers["location"]).content == _CONTENT
    finally:
        real.stop()


@pytest.mark.parametrize("profile", ["2.8", "ideal"])
def test_begun_there_finished_here(profile: str, target: BinaryTarget, tmp_path: Path) -> None:
    real = target.launch(Settings(secret="s3cret"), tmp_path)
    try:
        with httpx.Client(base_url=real.url) as client:
            location = client.post("/v2/team/app/blobs/uploads/").headers["location"]
            answer = client.patch(location, content=_CONTENT[:40_000], headers=_OCTETS)
            location = answer.headers["location"].replace(real.url, "http://registry.test")
        with InProcess(real.root, profile) as ours:
            finished = ours.put(f"{location}&digest={digest_of(_CONTENT)}", _CONTENT[40_000:])
            assert finished.status_code == 201, finished.text
            assert not list((real.root / "docker/registry/v2").rglob("hashstates"))
        assert real.get(f"/v2/team/app/blobs/{digest_of(_CONTENT)}").body == _CONTENT
    finally:
        real.stop()
