"""Real skopeo and podman, which read the same files (containers/image).

All their files are below one directory; the user's files are not touched. Their mirrors are in a
``registries.conf`` (containers-registries.conf(5)).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.clients.running import Ran, run_client, write_login
from harness.system.process import clean_environment
from harness.system.real_parts import real_part

_ACCEPT_ANYTHING = '{"default": [{"type": "insecureAcceptAnything"}]}'
"""A containers-policy.json(5) that requires no signatures, like that of the packages."""


class _Containers:
    """The base of both. *environment* holds the proxy settings."""

    name: str
    """The program."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._program = real_part(self.name)
        self._directory = directory
        self._registries = directory / "registries.conf"
        self._registries.write_text("")
        self._policy = directory / "policy.json"
        self._policy.write_text(_ACCEPT_ANYTHING)
        self.auth_file = directory / "auth.json"
        self.auth_file.write_text("{}")
        self._environment = clean_environment() | {
            "CONTAINERS_REGISTRIES_CONF": str(self._registries),
            "REGISTRY_AUTH_FILE": str(self.auth_file),
            "HOME": str(directory),
            "XDG_RUNTIME_DIR": str(directory),
            **environment,
        }

    def use_mirrors(self, registry: str, *mirrors: str) -> None:
        """Use *mirrors* (``127.0.0.1:PORT``, over plain HTTP) for images of *registry*, in this
        order."""
        self._registries.write_text(
            f'[[registry]]\nlocation = "{registry}"\n'
            + "".join(
                f'[[registry.mirror]]\nlocation = "{mirror}"\ninsecure = true\n'
                for mirror in mirrors
            )
        )

    def log_in(self, registry: str, user: str, password: str) -> None:
        """Store a login for *registry*."""
        write_login(self.auth_file, registry, user, password)


class Skopeo(_Containers):
    """``skopeo``, which keeps no state between calls."""

    name = "skopeo"

    def __call__(self, *words: str) -> Ran:
        """Run it with *words*."""
        files = ("--policy", self._policy, "--registries-conf", self._registries)
        return run_client([self._program, *files, *words], self._environment)


class Podman(_Containers):
    """``podman`` with its own storage. It needs no daemon and runs no containers here."""

    name = "podman"

    def __call__(self, *words: str, given: str = "") -> Ran:
        """Run it with *words*, with *given* as standard input."""
        where: list[str | Path] = [
            *("--root", self._directory / "root", "--runroot", self._directory / "run"),
            *("--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"),
        ]
        return run_client([self._program, *where, *words], self._environment, given=given)

    def pull(self, image: str) -> Ran:
        """``podman pull``."""
        return self("pull", "--signature-policy", str(self._policy), image)

    def forget(self) -> None:
        """Remove all images and logins."""
        self("rmi", "--all", "--force")
        self.auth_file.write_text("{}")
