"""``container:IMAGE``: a registry in a container: ``registry:2``, ``registry:3``, or any image with
the same commands (``IMAGE serve CONFIG``, ``IMAGE garbage-collect CONFIG``, ``IMAGE --version``).

Its files have the same paths inside and outside. Images are never pulled: the user chooses what is
tested, and a run without internet access fails at once. The Docker SDK and
testcontainers are imported on first use.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.http.redaction import redact_text
from harness.system.needs import Need
from harness.system.ports import free_port, opens
from harness.targets.errors import DidNotStart, NotOffered, TargetError
from harness.targets.process import LISTENING, STARTS, STOP_GRACE, OutsideServer
from harness.targets.readings import GcRun
from harness.targets.registry import Addresses, RunningRegistry
from harness.targets.settings import Files, Settings
from harness.targets.target import Identity, Target, identify

_POLL = 0.01
_DEBIAN = "+ds"
_OWNER = "pullproof.owner"
"""The label with the process that started a container, by which later runs find orphans."""
_TIMEOUT = 120
_DEFAULT_HOST = "unix:///var/run/docker.sock"


def reach_daemon(where: str) -> Any:
    """A ``docker.DockerClient`` for ``DOCKER_HOST`` or the default socket. ``TargetError``,
    beginning with *where*, if the SDK is not installed or no daemon answers."""
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
            f"{where}: no Docker daemon answers at {host}: {reason}; start it, or set DOCKER_HOST"
        ) from error


@cache
def _reach(host: str | None) -> Any:
    """*host* is the key of the cache: the SDK reads the variable itself."""
    import docker

    scheme, _, path = (host or _DEFAULT_HOST).partition("://")
    if scheme in {"unix", "http+unix"}:
        # The SDK would leak the socket if nothing listens.
        with socket.socket(socket.AF_UNIX) as tried:
            tried.settimeout(_TIMEOUT)
            tried.connect(path)
    client = docker.from_env(timeout=_TIMEOUT)
    client.ping()
    return client


@contextmanager
def _docker_errors(where: str) -> Iterator[None]:
    """Raises the daemon's errors as ``TargetError`` with one line."""
    import docker.errors

    try:
        yield
    except docker.errors.DockerException as error:
        reason = str(getattr(error, "explanation", None) or error).partition("\n")[0]
        raise TargetError(f"{where}: Docker says: {reason}") from error


def remove_orphans(client: Any) -> None:
    """Remove the containers of runs on this machine that were killed."""
    for container in client.containers.list(all=True, filters={"label": _OWNER}):
        pid, _, started = container.labels[_OWNER].partition("@")
        if not pid.isdigit() or _started(int(pid)) != started:
            with suppress(Exception):  # Another run may be removing it.
                container.remove(force=True, v=True)


def _started(pid: int) -> str:
    """When process *pid* started, in ticks since boot (proc(5)); empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


@dataclass(frozen=True)
class ContainerImage:
    """An image of the daemon."""

    name: str
    client: Any
    """The ``docker.DockerClient``."""
    has_entry_point: bool
    user: str

    @classmethod
    def find(cls, name: str) -> ContainerImage:
        """The image *name*. ``TargetError`` if no daemon answers or it has no such image."""
        where = f"container:{name}"
        client = reach_daemon(where)
        with _docker_errors(where):
            import docker.errors

            try:
                config = client.images.get(name).attrs.get("Config") or {}
            except docker.errors.ImageNotFound:
                raise TargetError(
                    f"{where}: the daemon has no such image; docker pull {name}"
                ) from None
            rootless = "name=rootless" in (client.info().get("SecurityOptions") or ())
        # With our user id, so that we can read and remove what it writes.
        user = "0:0" if rootless else f"{os.getuid()}:{os.getgid()}"
        return cls(name, client, bool(config.get("Entrypoint")), user)

    def start(
        self,
        *words: str | Path,
        network: str,
        files: Files | None = None,
    ) -> Any:
        """Start a container in which the registry gets *words*, with the environment and the paths
        of *files*. Returns a ``docker.models.containers.Container``, labelled as ours."""
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.container import DockerContainer

        # The reaper is an image that would have to be pulled; remove_orphans does its work.
        testcontainers_config.ryuk_disabled = True
        program = () if self.has_entry_point else ("registry",)
        environment = {} if files is None else files.settings.environment
        with _docker_errors(f"container:{self.name}"):
            container = DockerContainer(
                self.name,
                env={"OTEL_TRACES_EXPORTER": "none", **environment},
                volumes=[(str(path), str(path), "rw") for path in _mounts(files)],
                network_mode=network,
                user=self.user,
                working_dir=str(files.workdir) if files else None,
                labels={_OWNER: f"{os.getpid()}@{_started(os.getpid())}"},
            ).with_command([str(word) for word in (*program, *words)])
            try:
                return container.start().get_wrapped_container()
            except Exception:
                container.stop()  # It may have been created.
                raise

    def run(
        self, *words: str | Path, network: str, files: Files | None = None
    ) -> tuple[int, str, str]:
        """:meth:`start` a container and wait for its end. Returns exit code, output and errors."""
        container = self.start(*words, network=network, files=files)
        with _docker_errors(f"container:{self.name}"):
            try:
                code = int(container.wait(timeout=_TIMEOUT)["StatusCode"])
                out = container.logs(stdout=True, stderr=False).decode(errors="replace")
                err = container.logs(stdout=False, stderr=True).decode(errors="replace")
            finally:
                container.remove(force=True, v=True)
        return code, out, err


def _mounts(files: Files | None) -> list[Path]:
    """Includes what a scenario has put beside the working directory."""
    if files is None:
        return []
    beside = files.workdir.parent
    return [beside] if files.root.is_relative_to(beside) else [beside, files.root]


@dataclass(frozen=True)
class ContainerTarget(Target):
    """``container:IMAGE``, on the daemon of ``DOCKER_HOST`` or the default socket."""

    image: ContainerImage
    identity: Identity
    build: str
    """Its name in ``differences.toml``."""

    must_start = "the image must start with `serve` and a plain configuration"

    @classmethod
    def find(cls, image: str) -> ContainerTarget:
        """The target of ``container:``*image*, identified by its ``--version``. ``TargetError`` if
        no daemon answers, it has no such image, or the image is not a registry."""
        where = f"container:{image}"
        found = ContainerImage.find(image)
        code, out, err = found.run("--version", network="none")
        said = (out + err).strip().partition("\n")[0]
        if code != 0:
            raise TargetError(f"{where}: --version exits with {code}: {said!r}; is it a registry?")
        # Debian's build differs from the release in the same way in and out of a container.
        known_as = "docker-registry" if _DEBIAN in said else image
        return cls(found, identify(where, said), known_as)

    @property
    def name(self) -> str:
        return self.image.name

    @property
    def known_as(self) -> str:
        return self.build

    @property
    def capabilities(self) -> frozenset[Need]:
        return super().capabilities - {Need.PROCESS}

    def check(self) -> None:
        """Remove containers left by killed runs, and launch it once. ``TargetError`` if it does
        not start."""
        remove_orphans(self.image.client)
        super().check()

    def registry(self, settings: Settings, workdir: Path) -> RunningRegistry:
        return RunningRegistry(settings, workdir, ServerContainer(self.image, self.identity))


class ServerContainer(OutsideServer):
    """Each start is a new container on the same files, in the network of the host."""

    def __init__(self, image: ContainerImage, identity: Identity) -> None:
        super().__init__(f"container:{image.name}")
        self._image = image
        self._identity = identity
        self._container: Any = None
        """A ``docker.models.containers.Container``; None if nothing runs."""

    def launch(self, files: Files) -> Addresses | None:
        if Path("/proc") in files.root.parents:
            raise NotOffered(f"{self.label} cannot be given a file system of another namespace")
        port, debug_port = self.port_for(files.settings), free_port()
        addresses = f"127.0.0.1:{port}", f"127.0.0.1:{debug_port}"
        files.write_config(*addresses, self._identity.redis_key)
        files.root.mkdir(parents=True, exist_ok=True)
        self._container = self._image.start("serve", files.config, network="host", files=files)
        if port == 0:
            port = self._logged_port(debug_port)
        elif not opens(port, self._is_running, STARTS):
            port = 0
        return Addresses(f"http://127.0.0.1:{port}", f"http://{addresses[1]}") if port else None

    def _logged_port(self, debug_port: int) -> int:
        """The port of the API by the log, or 0. A registry that got *debug_port* is about to end,
        because it listens there a second time."""
        deadline = time.monotonic() + STARTS
        while time.monotonic() < deadline:
            running = self._is_running()
            match = LISTENING.search(self.said())
            if match and int(match[2]) != debug_port:
                return int(match[2])
            if not running:
                break
            time.sleep(_POLL)
        return 0

    def _is_running(self) -> bool:
        self._container.reload()
        return bool(self._container.status == "running")

    def give_up(self, files: Files) -> DidNotStart:
        said = redact_text(self.said(), files.settings.secrets())
        ended = not self._is_running()
        self.kill()
        return DidNotStart(self.label, self.exit_code if ended else None, said)

    def stop(self) -> None:
        if self._container is not None:
            self._container.stop(timeout=int(STOP_GRACE))
            self._remove()

    def kill(self) -> None:
        if self._container is not None:
            with suppress(Exception):  # The daemon refuses to kill what has ended.
                self._container.kill()
            self._remove()

    def _remove(self) -> None:
        code = int(self._container.wait()["StatusCode"])
        self.earlier_output = self.output()
        container, self._container = self._container, None
        container.remove(force=True, v=True)
        self.exit_code = 128 - code if code > 128 else code  # as a shell reports a signal

    def said(self) -> str:
        if self._container is None:
            return ""
        said: bytes = self._container.logs()
        return said.decode(errors="replace")

    def collect(self, files: Files, *, dry_run: bool, delete_untagged: bool, online: bool) -> GcRun:
        """In a container of its own, whether or not the registry runs."""
        flags = self._identity.collection_flags(dry_run, delete_untagged, online)
        command: list[str | Path] = ["garbage-collect", *flags, files.config]
        return GcRun(*self._image.run(*command, network="host", files=files))
