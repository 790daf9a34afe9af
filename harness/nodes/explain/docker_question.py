"""dockerd: reads daemon.json and the user's config.json, and asks the pure part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.nodes.explain.disk import read_text
from harness.nodes.explain.docker_pull import DockerQuestion, explain_docker
from harness.nodes.explain.explanation import BadInput, Explanation, Remark
from harness.nodes.models.attempts import ANONYMOUS, Login
from harness.nodes.models.dockerd.endpoints import DaemonConfig, InvalidDaemonJson, read_daemon_json
from harness.nodes.models.kubelet import InvalidSecret, read_docker_config
from harness.nodes.models.reference import InvalidReference, normalised_reference

if TYPE_CHECKING:
    from harness.nodes.explain.questions import Asked

__all__ = ["answer_docker"]

_ETC = Path("/etc/docker/daemon.json")
_HUB_KEY = "https://index.docker.io/v1/"
"""Under which `docker login` keeps the login of Docker Hub."""
_LARGEST_AUTH = 1 << 20


def answer_docker(asked: Asked) -> Explanation:
    """The explanation. Raises :class:`BadInput`."""
    if asked.probe is not None:
        raise BadInput("--probe asks the hosts of containerd's files only", fix="leave it out")
    path = asked.daemon_json or _ETC
    text = read_text(path)
    if text is None and asked.daemon_json is not None:
        raise BadInput("there is no such file", str(path))
    read = [] if text is None else [str(path)]
    config = _config(path, text or "")
    login = _login(asked, read)
    notes = () if text is not None else (Remark(f"there is no {path} here", is_warning=False),)
    return explain_docker(
        DockerQuestion(
            image=asked.image,
            config=config,
            login=login,
            file=str(path),
            lines=_lines(config, text or ""),
            read=tuple(read),
            when=asked.when,
            notes=notes,
        )
    )


def _config(path: Path, text: str) -> DaemonConfig:
    try:
        return read_daemon_json(text)
    except InvalidDaemonJson as error:
        fix = "dockerd does not start with such a file"
        raise BadInput(error.reason, str(path), error.line, fix) from None


def _lines(config: DaemonConfig, text: str) -> dict[str, int]:
    """The first line that holds each mirror's URL as a string."""
    found: dict[str, int] = {}
    for mirror in config.mirrors:
        url = f"{mirror.scheme}://{mirror.host}"
        position = text.find(f'"{url}')
        if position >= 0:
            found.setdefault(url, text.count("\n", 0, position) + 1)
    return found


def _login(asked: Asked, read: list[str]) -> Login:
    """What `docker login` keeps for the image's registry."""
    path = asked.auth_file
    if path is None:
        return ANONYMOUS
    text = read_text(path, largest=_LARGEST_AUTH)
    if text is None:
        raise BadInput("there is no such file", str(path))
    read.append(str(path))
    try:
        entries = read_docker_config(text)
        namespace = normalised_reference(asked.image).namespace
    except InvalidSecret as error:
        raise BadInput(str(error), str(path)) from None
    except InvalidReference as error:
        raise BadInput(f"{asked.image[:200]!r} names no image: {error}") from None
    wanted = _HUB_KEY if namespace == "docker.io" else namespace
    for entry in entries:
        if entry.key == wanted:
            return Login(entry.username, entry.password, f"{path.name}, key {entry.key!r}")
    return ANONYMOUS
