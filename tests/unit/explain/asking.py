"""Questions for the pure part, with files as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.nodes.explain.files import ContainerdFiles, ContainerdQuestion
from harness.nodes.models.containerd.releases import release_named
from harness.nodes.models.kubelet import read_docker_config

ROOT = "/etc/containerd/certs.d"


def question(
    image: str,
    tree: Mapping[str, str] | None = None,
    *,
    config_toml: str | None = None,
    release: str = "1.7.24",
    secrets: Mapping[str, str] | None = None,
    when: Sequence[str] = (),
) -> ContainerdQuestion:
    """The question about *image* with *tree* in /etc/containerd/certs.d."""
    files = {f"{ROOT}/{path}": text for path, text in (tree or {}).items()}
    return ContainerdQuestion(
        image=image,
        release=release_named(release),
        files=ContainerdFiles(config_toml=config_toml, files=files, read=list(files)),
        of_pod=[
            entry
            for name, text in (secrets or {}).items()
            for entry in read_docker_config(text, name)
        ],
        when=when,
    )
