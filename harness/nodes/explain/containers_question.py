"""skopeo and podman: reads registries.conf, its drop-ins and auth.json, and asks the pure part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.nodes.explain.containers_pull import ContainersQuestion, explain_containers
from harness.nodes.explain.disk import is_directory, listed, read_text, stays_below
from harness.nodes.explain.explanation import BadInput, Explanation, Remark
from harness.nodes.models.containers.registries_conf import (
    InvalidRegistriesConf,
    RegistriesConf,
    read_registries_conf,
)
from harness.nodes.models.containers.sources import AuthFile, InvalidAuthFile, read_auth_file

if TYPE_CHECKING:
    from harness.nodes.explain.questions import Asked

__all__ = ["answer_containers"]

_ETC = Path("/etc/containers/registries.conf")
_LARGEST_AUTH = 1 << 20


def answer_containers(asked: Asked) -> Explanation:
    """The explanation. Raises :class:`BadInput`."""
    if asked.probe is not None:
        raise BadInput("--probe asks the hosts of containerd's files only", fix="leave it out")
    read: list[str] = []
    path = asked.registries_conf or _ETC
    config = _config(path, asked.registries_conf is not None, read)
    notes = () if read else (Remark(f"there is no {path} here", is_warning=False),)
    question = ContainersQuestion(
        image=asked.image,
        tool="podman" if asked.puller == "podman" else "skopeo",
        config=config,
        auth_file=_auth_file(asked.auth_file, read),
        file=str(path),
        read=tuple(read),
        when=asked.when,
        notes=notes,
    )
    return explain_containers(question)


def _config(path: Path, is_given: bool, read: list[str]) -> RegistriesConf:
    text = read_text(path)
    if text is None and is_given:
        raise BadInput("there is no such file", str(path))
    if text is not None:
        read.append(str(path))
    directory = path.with_name(f"{path.name}.d")
    drop_ins: dict[str, str] = {}
    if is_directory(directory):
        for entry in listed(directory):
            if entry.name.endswith(".conf"):
                stays_below(directory / entry.name, directory)
                drop_ins[entry.name] = read_text(directory / entry.name) or ""
                read.append(str(directory / entry.name))
    try:
        return read_registries_conf(text or "", drop_ins)
    except InvalidRegistriesConf as error:
        name = str(path)
        if error.file is not None and "/" in error.file:
            name = str(directory / error.file.partition("/")[2])
        fix = "nothing at all is pulled with such a file"
        raise BadInput(error.reason, name, error.line, fix) from None


def _auth_file(path: Path | None, read: list[str]) -> AuthFile:
    if path is None:
        return AuthFile()
    text = read_text(path, largest=_LARGEST_AUTH)
    if text is None:
        raise BadInput("there is no such file", str(path))
    read.append(str(path))
    try:
        return read_auth_file(text)
    except InvalidAuthFile as error:
        raise BadInput(str(error), str(path)) from None
