"""The Docker daemon, as far as targets need it. The SDK is imported when it is first used."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.targets.errors import TargetError

__all__ = ["Daemon", "docker_errors"]

_OWNER = "pullproof.owner"
"""The label with the process that started a container, by which later runs find orphans."""
_TIMEOUT = 120
_DEFAULT_HOST = "unix:///var/run/docker.sock"


@dataclass(frozen=True)
class Daemon:
    """A daemon that answers."""

    client: Any
    """A ``docker.DockerClient``."""
    rootless: bool

    @classmethod
    def reach(cls, where: str) -> Daemon:
        """The daemon of ``DOCKER_HOST`` or of the default socket. ``TargetError``, beginning with
        *where*, if the SDK is not installed or no daemon answers."""
        try:
            return _reach(os.environ.get("DOCKER_HOST"))
        except ImportError as error:
            raise TargetError(
                f"{where}: needs the Docker SDK: pip install 'pullproof[container]'"
            ) from error
        except Exception as error:
            # The SDK also raises errors of requests, urllib3 and paramiko.
            host = os.environ.get("DOCKER_HOST", "the default socket")
            reason = str(error).partition("\n")[0]
            raise TargetError(
                f"{where}: no Docker daemon answers at {host}: {reason}; "
                "start it, or set DOCKER_HOST"
            ) from error

    def has_entry_point(self, where: str, image: str) -> bool:
        """Whether *image* has an entry point. ``TargetError`` if the daemon has no such image."""
        with docker_errors(where):
            import docker.errors

            try:
                found = self.client.images.get(image)
            except docker.errors.ImageNotFound:
                raise TargetError(
                    f"{where}: the daemon has no such image; docker pull {image}"
                ) from None
            return bool((found.attrs.get("Config") or {}).get("Entrypoint"))
        raise AssertionError

    def run_once(
        self,
        where: str,
        image: str,
        words: Sequence[str],
        *,
        network: str,
        mounts: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> tuple[int, str, str]:
        """Run *words* in a container until it ends. Returns exit code, output and errors."""
        with docker_errors(where):
            container = self.client.containers.create(
                image, list(words), **self.options(network, mounts, environment)
            )
            try:
                container.start()
                code = int(container.wait(timeout=_TIMEOUT)["StatusCode"])
                out = container.logs(stdout=True, stderr=False)
                err = container.logs(stdout=False, stderr=True)
            finally:
                container.remove(force=True, v=True)
            return code, out.decode(errors="replace"), err.decode(errors="replace")
        raise AssertionError

    def options(
        self, network: str, mounts: Sequence[Path], environment: Mapping[str, str] | None
    ) -> dict[str, Any]:
        """The SDK's keyword arguments for a container with our user id, so that we can read and
        remove what it writes; *mounts* have the same paths inside. It is labelled as ours."""
        return {
            "network_mode": network,
            "user": "0:0" if self.rootless else f"{os.getuid()}:{os.getgid()}",
            "volumes": [f"{path}:{path}" for path in mounts],
            "environment": {"OTEL_TRACES_EXPORTER": "none", **(environment or {})},
            "labels": {_OWNER: f"{os.getpid()}@{_started(os.getpid())}"},
        }

    def remove_orphans(self) -> None:
        """Remove the containers of runs on this machine that were killed."""
        for container in self.client.containers.list(all=True, filters={"label": _OWNER}):
            pid, _, started = container.labels[_OWNER].partition("@")
            if not pid.isdigit() or _started(int(pid)) != started:
                with suppress(Exception):  # Another run may be removing it.
                    container.remove(force=True, v=True)


@cache
def _reach(host: str | None) -> Daemon:
    """*host* is the key of the cache: the SDK reads the variable itself."""
    import docker

    _try_socket(host or _DEFAULT_HOST)
    client = docker.from_env(timeout=_TIMEOUT)
    options = client.info().get("SecurityOptions") or []
    return Daemon(client, any("rootless" in option for option in options))


def _try_socket(host: str) -> None:
    """``OSError`` if nothing listens. The SDK would leak the socket that it tried."""
    scheme, _, path = host.partition("://")
    if scheme in {"unix", "http+unix"}:
        with socket.socket(socket.AF_UNIX) as tried:
            tried.settimeout(_TIMEOUT)
            tried.connect(path)


@contextmanager
def docker_errors(where: str) -> Iterator[None]:
    """Raises the daemon's errors as ``TargetError`` with one line."""
    import docker.errors

    try:
        yield
    except docker.errors.DockerException as error:
        reason = getattr(error, "explanation", None) or str(error)
        raise TargetError(f"{where}: Docker says: {str(reason).partition(chr(10))[0]}") from error


def _started(pid: int) -> str:
    """When process *pid* started, in ticks since boot (proc(5)); empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
