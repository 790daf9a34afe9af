"""The Docker daemon, as far as targets need it. The SDK is imported when somebody asks for one."""

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

__all__ = ["Daemon", "told", "user_of_ours"]

_OWNER = "pullproof.owner"
"""The label with the process that started a container, so that a later run can tell orphans."""
_TIMEOUT = 60
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
        *where*, where the SDK is not installed or no daemon answers."""
        try:
            return _reach(os.environ.get("DOCKER_HOST"))
        except ImportError as error:
            raise TargetError(
                f"{where}: needs the Docker SDK: pip install 'pullproof[container]'"
            ) from error
        except Exception as error:
            # The SDK raises what lies below it, too: requests', urllib3's, paramiko's errors.
            host = os.environ.get("DOCKER_HOST", "the default socket")
            reason = str(error).partition("\n")[0]
            raise TargetError(
                f"{where}: no Docker daemon answers at {host}: {reason}; "
                "start it, or set DOCKER_HOST"
            ) from error

    def has_entry_point(self, where: str, image: str) -> bool:
        """Whether *image* names a program of its own. ``TargetError`` where it is not here."""
        with told(where):
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
        """Run *words* in a container until it ends: its exit code and both outputs."""
        with told(where):
            container = self.client.containers.create(
                image, list(words), **self.how(network, mounts, environment)
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

    def how(
        self, network: str, mounts: Sequence[Path], environment: Mapping[str, str] | None
    ) -> dict[str, Any]:
        """The keyword arguments of a container: as us, with *mounts* where they are, marked."""
        return {
            "network_mode": network,
            "user": "0:0" if self.rootless else user_of_ours(),
            "volumes": [f"{path}:{path}" for path in mounts],
            "environment": {"OTEL_TRACES_EXPORTER": "none", **(environment or {})},
            "labels": {_OWNER: f"{os.getpid()}@{_started(os.getpid())}"},
        }

    def remove_orphans(self) -> None:
        """Remove the containers of runs on this machine that ended without doing so."""
        for container in self.client.containers.list(all=True, filters={"label": _OWNER}):
            pid, _, started = container.labels[_OWNER].partition("@")
            if not pid.isdigit() or _started(int(pid)) != started:
                with suppress(Exception):  # Somebody else may be at it.
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
    """``OSError`` where nobody listens. The SDK would not close the socket that it tried."""
    scheme, _, path = host.partition("://")
    if scheme in {"unix", "http+unix"}:
        with socket.socket(socket.AF_UNIX) as tried:
            tried.settimeout(_TIMEOUT)
            tried.connect(path)


@contextmanager
def told(where: str) -> Iterator[None]:
    """Errors of the daemon as one line."""
    import docker.errors

    try:
        yield
    except docker.errors.DockerException as error:
        reason = getattr(error, "explanation", None) or str(error)
        raise TargetError(f"{where}: Docker says: {str(reason).partition(chr(10))[0]}") from error


def user_of_ours() -> str:
    """``UID:GID``, so that what a container writes can be read and removed."""
    return f"{os.getuid()}:{os.getgid()}"


def _started(pid: int) -> str:
    """When process *pid* began, in ticks since boot (proc(5)); empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
