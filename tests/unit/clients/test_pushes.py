"""The requests that docker's and skopeo's pushes make, and where they end."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from harness.clients.push import skopeo_push
from harness.content import Content, Image, an_image
from harness.http.client import RegistryClient
from harness.system.real_parts import real_part
from harness.targets import RunningRegistry, Settings, parse_target
from harness.upstream import MockUpstream

APP = "/v2/team/app"
UPLOADS = f"{APP}/blobs/uploads/"
SESSION = UPLOADS + "1?_state=x"


def upload(digest: str) -> list[str]:
    return [f"POST {UPLOADS}", f"PATCH {SESSION}", f"PUT {SESSION}&digest={digest}"]


def test_unexpected_status_ends_the_push(registry: MockUpstream, client: RegistryClient) -> None:
    registry.on("HEAD", kind="blob").status(401)

    pushed = skopeo_push(client, "team/app", "v1", an_image())

    assert pushed.refused_step == "question"
    assert [entry.method for entry in registry.ledger.entries] == ["GET", "HEAD"]


@pytest.mark.parametrize("there", [False, True], ids=["new", "already-there"])
def test_the_real_skopeo_sends_these_requests(tmp_path: Path, there: bool) -> None:
    skopeo, program = real_part("skopeo"), real_part("docker-registry")
    image = an_image(layers=1)  # skopeo copies several layers at once, in any order
    _write_oci_layout(tmp_path / "oci", image)
    registry = parse_target(f"binary:{program}").launch(Settings(), tmp_path / "registry")
    host = registry.url.removeprefix("http://")
    copy: list[str | Path] = [skopeo, "copy", "--dest-tls-verify=false"]
    try:
        if there:
            for repository in ("theirs", "ours"):
                skopeo_push(registry.client, repository, "first", image)
        # Lines of the log come when the answers have gone.
        registry.eventually(lambda: len(_access_log(registry)) >= len(registry.exchanges))
        before = len(_access_log(registry))
        subprocess.run(
            [*copy, f"oci:{tmp_path}/oci", f"docker://{host}/theirs:v1"],
            check=True,
            capture_output=True,
            timeout=60,
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        )
        last = "PUT /v2/theirs/manifests/v1 "
        registry.eventually(lambda: any(last in line for line in _access_log(registry)))
        theirs = _access_log(registry)[before:]
        before = len(registry.exchanges)
        skopeo_push(registry.client, "ours", "v1", image)
        ours = [f"{e.method} {_bare(e.path)} {e.status}" for e in registry.exchanges[before:]]
    finally:
        registry.stop()
    assert ours == [line.replace("/theirs/", "/ours/") for line in theirs]


def _write_oci_layout(directory: Path, image: Image) -> None:
    """OCI image-spec, image-layout.md."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    contents: tuple[Content, ...] = (image, *image.blobs)
    for content in contents:
        (blobs / content.digest.removeprefix("sha256:")).write_bytes(content.content)
    entry = {"mediaType": image.media_type, "digest": image.digest, "size": image.size}
    index = {"schemaVersion": 2, "manifests": [entry]}
    (directory / "index.json").write_text(json.dumps(index))
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


_LOGGED = re.compile(r'"(\S+) (\S+) HTTP/1\.1" (\d+) ')


def _access_log(registry: RunningRegistry) -> list[str]:
    """Method, path and status of every request that the registry has logged."""
    found = _LOGGED.finditer(registry.logs())
    return [f"{match[1]} {_bare(match[2])} {match[3]}" for match in found]


def _bare(path: str) -> str:
    """*path* without what is different each time: the upload's id and its query."""
    return re.sub(r"(/uploads/)[0-9a-f-]+", r"\1ID", path).partition("?")[0]
