"""From the command line's options to an explanation: reads the files, then asks the pure part."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from harness.nodes.explain.disk import read_text
from harness.nodes.explain.explanation import BadInput, Explanation, Remark
from harness.nodes.models.kubelet import InvalidSecret, KeyringEntry, read_docker_config

__all__ = ["Asked", "answer"]

_LARGEST_SECRET = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options of ``pullproof explain``."""

    image: str
    puller: str = "cri"
    certs_d: Path | None = None
    config: Path | None = None
    release: str | None = None
    ctr_options: str | None = None
    pull_secrets: tuple[Path, ...] = ()
    node_secret: Path | None = None
    auth_file: Path | None = None
    registries_conf: Path | None = None
    daemon_json: Path | None = None
    when: tuple[str, ...] = ()
    probe: Literal["anonymous", "with credentials"] | None = None


_MEANT_FOR = {
    "certs_d": ("cri", "ctr"),
    "config": ("cri", "ctr"),
    "release": ("cri", "ctr"),
    "ctr_options": ("ctr",),
    "pull_secrets": ("cri",),
    "node_secret": ("cri",),
    "auth_file": ("docker", "skopeo", "podman"),
    "registries_conf": ("skopeo", "podman"),
    "daemon_json": ("docker",),
}
_OPTION = {"release": "--containerd", "ctr_options": "--ctr", "pull_secrets": "--pull-secret"}


def answer(asked: Asked) -> Explanation:
    """The explanation. Raises :class:`BadInput`."""
    for name, pullers in _MEANT_FOR.items():
        if getattr(asked, name) and asked.puller not in pullers:
            option = _OPTION.get(name, "--" + name.replace("_", "-"))
            raise BadInput(
                f"{option} means nothing to --puller {asked.puller}",
                fix=f"it is for {', '.join(pullers)}",
            )
    if asked.puller in {"cri", "ctr"}:
        return _containerd(asked)
    if asked.puller == "docker":
        from harness.nodes.explain.docker_question import answer_docker

        return answer_docker(asked)
    from harness.nodes.explain.containers_question import answer_containers

    return answer_containers(asked)


# -- containerd ---------------------------------------------------------------------------------
def _containerd(asked: Asked) -> Explanation:
    from harness.nodes.explain.containerd_pull import ContainerdQuestion, explain_containerd
    from harness.nodes.explain.files import read_containerd_files
    from harness.nodes.models.containerd.pullers import Ctr, UnknownArgument
    from harness.nodes.models.containerd.releases import UnknownRelease, release_named

    version, note = _release(asked.release)
    try:
        release = release_named(version)
    except UnknownRelease as error:
        raise BadInput(f"--containerd: {error}") from None
    ctr = None
    if asked.puller == "ctr":
        try:
            ctr = Ctr.from_arguments("pull", shlex.split(asked.ctr_options or ""))
        except (UnknownArgument, ValueError) as error:
            raise BadInput(f"--ctr: {error}") from None
    namespace = _namespace(asked.image, ctr is not None)
    files = read_containerd_files(
        namespace, release, asked.certs_d, asked.config, ctr.hosts_dir if ctr else None
    )
    for path in (ctr.ca, ctr.certificate, ctr.key) if ctr else ():
        if path:
            files.take(path, largest=_LARGEST_SECRET)
    of_pod = _secrets(asked.pull_secrets, files.read)
    of_node = _secrets([asked.node_secret] if asked.node_secret else [], files.read)
    question = ContainerdQuestion(
        image=asked.image,
        release=release,
        config_toml=files.config_toml,
        config_file=files.config_file,
        files=files.files,
        siblings=files.siblings,
        read=tuple(files.read),
        shown=files.shown,
        unread_directory=files.unread_directory,
        ctr=ctr,
        of_pod=of_pod,
        of_node=of_node,
        when=asked.when,
        notes=(*note, *_assumed_config(asked, files.config_toml)),
    )
    if asked.probe is None:
        return explain_containerd(question)
    from harness.nodes.explain.probe import probed_containerd

    return probed_containerd(question, files, with_credentials=asked.probe == "with credentials")


def _namespace(image: str, by_ctr: bool) -> str:
    from harness.nodes.models.reference import (
        InvalidReference,
        ctr_reference,
        normalised_reference,
    )

    try:
        return (ctr_reference if by_ctr else normalised_reference)(image).namespace
    except InvalidReference as error:
        full = "; ctr wants the full name, such as docker.io/library/nginx:1.27" if by_ctr else ""
        raise BadInput(f"{image[:200]!r} names no image: {error}{full}") from None


def _assumed_config(asked: Asked, config_toml: str | None) -> Iterable[Remark]:
    if asked.puller == "ctr":
        return
    if config_toml is None:
        yield Remark(
            "no --config was given: it is taken for granted that config_path of containerd's "
            f"config.toml names {asked.certs_d}",
            is_warning=False,
        )
    elif asked.config is None and not config_toml:
        yield Remark(
            "there is no /etc/containerd/config.toml here: containerd's defaults are shown",
            is_warning=False,
        )


_VERSION = re.compile(r"\bv?(\d+\.\d+\.\d+[\w.~+-]*)")


def _release(wanted: str | None) -> tuple[str, tuple[Remark, ...]]:
    """The version to explain, and a remark where it was not given."""
    if wanted is not None:
        return wanted, ()
    try:
        said = subprocess.run(
            ["containerd", "--version"], capture_output=True, text=True, timeout=5, check=True
        ).stdout[:1000]
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        said = ""
    match = _VERSION.search(said)
    if match is not None:
        text = f"containerd {match[1]} is installed here; another: --containerd VERSION"
        return match[1].partition("~")[0].partition("+")[0], (Remark(text, is_warning=False),)
    from harness.nodes.models.containerd.releases import RELEASES

    newest = RELEASES[-1].version
    text = f"no containerd is installed here: {newest} is shown; another: --containerd VERSION"
    return newest, (Remark(text, is_warning=False),)


def _secrets(paths: Iterable[Path], read: list[str]) -> tuple[KeyringEntry, ...]:
    entries: list[KeyringEntry] = []
    for path in paths:
        text = read_text(path, largest=_LARGEST_SECRET)
        if text is None:
            raise BadInput("there is no such file", str(path))
        try:
            found = read_docker_config(text, path.name)
        except InvalidSecret as error:
            fix = "kubelet pulls nothing for a pod with such a secret"
            raise BadInput(str(error), str(path), fix=fix) from None
        read.append(str(path))
        entries += [replace(entry, secret=path.name) for entry in found]
    return tuple(entries)
