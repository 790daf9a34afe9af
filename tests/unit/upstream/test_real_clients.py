"""Real clients find nothing to object to: skopeo, and Debian's docker-registry as a proxy."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import yaml

from harness.content import (
    OCI_INDEX,
    OCI_MANIFEST,
    Image,
    Index,
    Manifest,
    an_artifact,
    an_image,
    an_index,
)
from harness.system.process import Process, clean_environment
from harness.system.real_parts import real_part
from harness.upstream import Anonymous, Auth, Basic, Bearer, MockUpstream

Make = Callable[..., MockUpstream]
AUTHENTICATIONS = [
    pytest.param(Anonymous(), id="anonymous"),
    pytest.param(Basic("user", "secret"), id="basic"),
    pytest.param(Bearer("user", "secret"), id="bearer"),
    pytest.param(Bearer("user", "secret", own_port=True), id="bearer, own port"),
]


def skopeo(*arguments: str) -> str:
    """Run skopeo without anybody's configuration; its output."""
    ended = subprocess.run(
        [real_part("skopeo"), "--insecure-policy", *arguments],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("auth", AUTHENTICATIONS)
@pytest.mark.parametrize("oci", [True, False], ids=["oci", "docker"])
def test_skopeo_copies_an_image(make_upstream: Make, tmp_path: Path, auth: Auth, oci: bool) -> None:
    upstream = make_upstream(auth)
    image = upstream.add("team/app", an_image(oci=oci), tags=("v1",))
    source = f"docker://{upstream.address}/team/app:v1"
    login = [] if isinstance(auth, Anonymous) else ["--creds", "user:secret"]
    inspected = json.loads(skopeo("inspect", "--tls-verify=false", *login, source))
    assert inspected["Digest"] == image.digest
    assert inspected["Layers"] == [layer.digest for layer in image.layers]
    assert inspected["RepoTags"] == ["v1"]
    login = [f"--src-creds={login[1]}"] if login else []
    copied = tmp_path / "image"
    skopeo("copy", "--src-tls-verify=false", *login, source, f"dir:{copied}")
    assert_copied(copied, image)
    upstream.assert_no_unexpected()


@pytest.mark.parametrize("oci", [True, False], ids=["oci", "docker"])
def test_skopeo_copies_an_index(upstream: MockUpstream, tmp_path: Path, oci: bool) -> None:
    index = upstream.add("team/app", an_index(oci=oci), tags=("v1",))
    source = f"docker://{upstream.address}/team/app:v1"
    skopeo("copy", "--all", "--src-tls-verify=false", source, f"dir:{tmp_path / 'index'}")
    assert (tmp_path / "index" / "manifest.json").read_bytes() == index.content
    for child in index.manifests:
        assert (tmp_path / "index" / f"{child.digest[7:]}.manifest.json").exists()
        for blob in child.blobs:
            assert (tmp_path / "index" / blob.digest[7:]).read_bytes() == blob.content
    one = f"docker://{upstream.address}/team/app@{index.manifests[0].digest}"
    skopeo("copy", "--src-tls-verify=false", one, f"dir:{tmp_path / 'one'}")
    assert_copied(tmp_path / "one", index.manifests[0])


def test_skopeo_can_unpack_the_layers(upstream: MockUpstream, tmp_path: Path) -> None:
    """Decompression checks gzip's sums; the digests then are those of the configuration."""
    image = upstream.add("team/app", an_image(layer_size=100_000), tags=("v1",))
    source = f"docker://{upstream.address}/team/app:v1"
    copied = tmp_path / "image"
    skopeo("copy", "--src-tls-verify=false", "--dest-decompress", source, f"dir:{copied}")
    for diff_id in json.loads(image.config.content)["rootfs"]["diff_ids"]:
        unpacked = (copied / diff_id.removeprefix("sha256:")).read_bytes()
        assert f"sha256:{hashlib.sha256(unpacked).hexdigest()}" == diff_id


def test_skopeo_lists_tags_over_pages(make_upstream: Make) -> None:
    upstream = make_upstream(page_size=3)
    tags = [f"v{number}" for number in range(10)]
    upstream.add("team/app", an_image(), tags=tags)
    listed = skopeo("list-tags", "--tls-verify=false", f"docker://{upstream.address}/team/app")
    assert json.loads(listed)["Tags"] == tags
    assert upstream.ledger.count(kind="tags") == 4


def assert_copied(folder: Path, image: Manifest) -> None:
    assert (folder / "manifest.json").read_bytes() == image.content
    for blob in image.blobs:
        assert (folder / blob.digest.removeprefix("sha256:")).read_bytes() == blob.content


# -- docker-registry as a proxy -----------------------------------------------------------------
@pytest.fixture
def make_proxy(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts docker-registry as a proxy of an upstream; returns its URL."""
    with ExitStack() as stack:

        def start(upstream: MockUpstream, **login: str) -> str:
            configuration = {
                "version": 0.1,
                "log": {"accesslog": {"disabled": True}},
                "storage": {"filesystem": {"rootdirectory": str(tmp_path / "storage")}},
                "http": {"addr": "127.0.0.1:0"},
                "proxy": {"remoteurl": upstream.url, **login},
            }
            path = tmp_path / "config.yml"
            path.write_text(yaml.safe_dump(configuration))
            process = Process([real_part("docker-registry"), "serve", path])
            stack.callback(process.stop)
            found = process.await_output(re.compile(r"listening on (127[^\s\"]+)"), timeout=20)
            assert found is not None, process.output()
            return f"http://{found[1]}"

        yield start


MANIFEST_TYPES = f"{OCI_INDEX}, {OCI_MANIFEST}"


def pull(http: httpx.Client, url: str, manifest: Manifest) -> None:
    """Pull *manifest*, its blobs and its children through the proxy at *url*."""
    base = f"{url}/v2/team/app"
    path = f"{base}/manifests/{manifest.digest}"
    assert http.get(path, headers={"Accept": MANIFEST_TYPES}).content == manifest.content
    for blob in manifest.blobs:
        assert http.get(f"{base}/blobs/{blob.digest}").content == blob.content
    for child in manifest.children:
        pull(http, url, child)


@pytest.mark.parametrize(
    ("auth", "login"),
    [
        pytest.param(Anonymous(), {}, id="anonymous"),
        pytest.param(Bearer(), {}, id="anonymous tokens"),
        pytest.param(
            Bearer("user", "secret", own_port=True),
            {"username": "user", "password": "secret"},
            id="bearer",
        ),
    ],
)
def test_docker_registry_pulls_through(
    make_upstream: Make,
    make_proxy: Callable[..., str],
    http: httpx.Client,
    auth: Auth,
    login: dict[str, str],
) -> None:
    upstream = make_upstream(auth)
    contents: list[Image | Index] = [an_image(), an_index()]
    for content in contents:
        upstream.add("team/app", content, tags=(type(content).__name__,))
    url = make_proxy(upstream, **login)
    for content in contents:
        tagged = http.get(
            f"{url}/v2/team/app/manifests/{type(content).__name__}",
            headers={"Accept": MANIFEST_TYPES},
        )
        assert tagged.content == content.content
        pull(http, url, content)
    assert http.get(f"{url}/v2/team/app/tags/list").json()["tags"] == ["Image", "Index"]
    credentials = {entry.credential for entry in upstream.ledger.select(kind="blob")}
    assert credentials == ({"none"} if isinstance(auth, Anonymous) else {"bearer"})
    upstream.assert_no_unexpected()


def test_docker_registry_meets_the_faults(
    upstream: MockUpstream, make_proxy: Callable[..., str], http: httpx.Client
) -> None:
    image = upstream.add("team/app", an_image(), tags=("v1",))
    url = make_proxy(upstream)
    upstream.on("*", image, times=2).status(503)
    assert http.get(f"{url}/v2/team/app/manifests/{image.digest}").status_code == 500
    upstream.clear_faults()
    upstream.on("*", image.layers[0]).redirect("http://127.0.0.1:1/nowhere")
    assert http.get(f"{url}/v2/team/app/blobs/{image.layers[0].digest}").status_code == 500
    upstream.down()
    assert http.get(f"{url}/v2/team/app/manifests/v1").status_code == 404
    upstream.up()
    upstream.clear_faults()
    pull(http, url, image)


def test_docker_registry_passes_an_artifact(
    upstream: MockUpstream, make_proxy: Callable[..., str], http: httpx.Client
) -> None:
    artifact = upstream.add("team/app", an_artifact(subject=an_image()))
    pull(http, make_proxy(upstream), artifact)
