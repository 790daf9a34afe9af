"""``auth.json``: credentials by the contacted host, or by a repository path below it.

Format: https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.nodes.models.containers.sources import PullSource
from harness.nodes.models.kubelet import InvalidSecret, read_docker_config
from harness.nodes.models.login import ANONYMOUS, Login

__all__ = ["AuthFile", "InvalidAuthFile", "read_auth_file"]


class InvalidAuthFile(ValueError):
    """The file cannot be read; nothing is pulled."""


@dataclass(frozen=True)
class AuthFile:
    """The logins of one file, by key."""

    logins: tuple[tuple[str, Login], ...] = ()

    def login_for(self, source: PullSource) -> Login:
        """The login of the longest key that the source's name begins with, part by part.

        The image's own registry has no say: credentials for it never go to a mirror.
        """
        logins = {_normalised(key): login for key, login in reversed(self.logins)}
        parts = f"{source.reference.namespace}/{source.reference.repository}".split("/")
        for count in range(len(parts), 0, -1):
            login = logins.get("/".join(parts[:count]))
            if login is not None:
                return login
        return ANONYMOUS


def read_auth_file(text: str) -> AuthFile:
    """The logins in *text*. Raises :class:`InvalidAuthFile`."""
    try:
        entries = read_docker_config(text)
    except InvalidSecret as error:
        raise InvalidAuthFile(str(error)) from None
    return AuthFile(
        tuple(
            (entry.key, Login(entry.username, entry.password, f"auth.json, {entry.key}"))
            for entry in entries
        )
    )


def _normalised(key: str) -> str:
    """Docker's keys may carry a scheme and an API version; its Hub has a name of its own."""
    for scheme in ("https://", "http://"):
        if key.startswith(scheme):
            key = key.removeprefix(scheme).partition("/")[0]
    return "docker.io" if key in {"index.docker.io", "registry-1.docker.io"} else key
