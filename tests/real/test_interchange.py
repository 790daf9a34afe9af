"""The reference registry and the real one serve what the other wrote."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from harness.clients.containerd_pull import containerd_pull
from harness.content import an_image, an_index
from harness.suite.lab import Lab
from harness.targets import Settings, Target

INDEX = an_index(an_image("amd64"), an_image("arm64", layers=3))
REPOSITORY = "team/app"


def digests_in(directory: Path) -> set[str]:
    """The digests of everything that skopeo copied into a ``dir:`` directory, by their names."""
    return {entry.name for entry in directory.iterdir() if len(entry.name) == 64}


def everything_in() -> set[str]:
    """The hex digests of the blobs of all images of the index, manifests aside."""
    return {blob.digest.partition(":")[2] for child in INDEX.children for blob in child.blobs}


def docker(url: str, reference: str = f"{REPOSITORY}:v1") -> str:
    """An image of the registry at *url* as skopeo names it."""
    return f"docker://{url.removeprefix('http://')}/{reference}"


def test_skopeo_pulls_through_the_reference_and_the_real_registry_serves_the_cache(
    lab: Lab,
    reference: Target,
    docker_registry: Target,
    skopeo: Callable[..., str],
    tmp_path: Path,
) -> None:
    source = lab.upstream()
    source.add(REPOSITORY, INDEX, tags=("v1",))
    upstream = lab.launch(docker_registry, Settings())
    insecure = ("--src-tls-verify=false", "--dest-tls-verify=false")
    skopeo("copy", "--all", *insecure, docker(source.url), docker(upstream.url))

    cache = lab.launch(reference, Settings(upstream_url=upstream.url))
    pulled = tmp_path / "pulled"
    skopeo("copy", "--all", insecure[0], docker(cache.url), f"dir:{pulled}")
    assert (pulled / "manifest.json").read_bytes() == INDEX.content
    assert digests_in(pulled) == everything_in()

    upstream.stop()
    cache.stop()
    offline = lab.workdir / "registry-3"
    shutil.copytree(cache.root, offline / "storage")
    real = lab.launch(docker_registry, Settings())
    assert real.root == offline / "storage"
    served = tmp_path / "served"
    skopeo("copy", "--all", insecure[0], docker(real.url), f"dir:{served}")
    assert (served / "manifest.json").read_bytes() == INDEX.content
    assert digests_in(served) == everything_in()


def test_the_real_registry_serves_the_cache_of_several_upstreams(
    lab: Lab, reference: Target, docker_registry: Target
) -> None:
    """Content of a second upstream is stored below that upstream's prefix."""
    first, other = lab.upstream(), lab.upstream()
    images = {REPOSITORY: an_image("first"), f"other.example/{REPOSITORY}": an_image("other")}
    for source, image in zip((first, other), images.values(), strict=True):
        source.add(REPOSITORY, image, tags=("v1",))
    further = {"other.example": {"remoteurl": other.url}}
    cache = lab.launch(reference, Settings(upstream_url=first.url, upstreams=further))
    for name in images:
        assert containerd_pull(cache.client, name, "v1").complete
    wanted = {
        f"{name}@{digest}"
        for name, image in images.items()
        for digest in (image.digest, *(blob.digest for blob in image.blobs))
    }
    scheduled = cache.await_state(lambda state: wanted <= set(state))
    assert set(scheduled) == wanted
    cache.stop()

    shutil.copytree(cache.root, lab.workdir / "registry-2" / "storage")
    real = lab.launch(docker_registry, Settings())
    assert real.get("/v2/_catalog").json()["repositories"] == sorted(images)
    for name, image in images.items():
        pull = containerd_pull(real.client, name, "v1")
        assert (pull.complete, pull.digest) == (True, image.digest)


def test_skopeo_pushes_to_the_reference_and_the_real_registry_serves_it(
    lab: Lab, reference: Target, docker_registry: Target, skopeo: Callable[..., str]
) -> None:
    source = lab.upstream()
    source.add(REPOSITORY, INDEX, tags=("v1",))
    ours = lab.launch(reference, Settings())
    insecure = ("--src-tls-verify=false", "--dest-tls-verify=false")
    skopeo("copy", "--all", *insecure, docker(source.url), docker(ours.url))
    ours.stop()
    shutil.copytree(ours.root, lab.workdir / "registry-2" / "storage")
    real = lab.launch(docker_registry, Settings())
    listed = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", docker(real.url)))
    assert listed == json.loads(INDEX.content)
    for child in INDEX.children:
        for blob in child.blobs:
            assert real.get(f"/v2/{REPOSITORY}/blobs/{blob.digest}").body == blob.content


def test_the_reference_serves_the_tree_of_the_real_registry(
    lab: Lab, reference: Target, docker_registry: Target, skopeo: Callable[..., str]
) -> None:
    source = lab.upstream()
    source.add(REPOSITORY, INDEX, tags=("v1",))
    real = lab.launch(docker_registry, Settings())
    insecure = ("--src-tls-verify=false", "--dest-tls-verify=false")
    skopeo("copy", "--all", *insecure, docker(source.url), docker(real.url))
    real.stop()
    shutil.copytree(real.root, lab.workdir / "registry-2" / "storage")
    ours = lab.launch(reference, Settings())
    answer = ours.get(f"/v2/{REPOSITORY}/manifests/v1")
    assert (answer.digest, answer.body) == (INDEX.digest, INDEX.content)
    for child in INDEX.children:
        assert ours.get(f"/v2/{REPOSITORY}/manifests/{child.digest}").body == child.content
        for blob in child.blobs:
            assert ours.get(f"/v2/{REPOSITORY}/blobs/{blob.digest}").body == blob.content
