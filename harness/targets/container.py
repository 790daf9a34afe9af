"""``container:IMAGE``: a registry in a container: ``registry:2``, ``registry:3``, or any image with
the same commands (``IMAGE serve CONFIG``, ``IMAGE garbage-collect CONFIG``, ``IMAGE --version``).

Its files lie at the same paths inside and outside. Images are never pulled: the user chooses
what is tested, and a run without internet access fails at once.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.http.redaction import redact_text
from harness.system.needs import Need
from harness.system.ports import free_port, opens
from harness.targets.docker_daemon import Daemon, docker_errors
from harness.targets.errors import DidNotStart, NotOffered, TargetError
from harness.targets.identity import Identity, identify
from harness.targets.process import LISTENING, STARTS, TAKEN
from harness.targets.readings import GcRun
from harness.targets.registry import RunningRegistry
from harness.targets.server import Addresses, Files, Server
from harness.targets.settings import Settings
from harness.targets.target import Target

__all__ = ["ContainerTarget", "Image"]

_STOP_GRACE = 30
_POLL = 0.01
_ATTEMPTS = 3
"""How often to try another port if another process took the free one."""
_DEBIAN = "+ds"


@dataclass(frozen=True)
class Image:
    """An image of the daemon."""

    name: str
    has_entry_point: bool

    def words(self, *words: str | Path) -> list[str]:
        """The command of a container in which the registry gets *words*."""
        program = () if self.has_entry_point else ("registry",)
        return [str(word) for word in (*program, *words)]


@dataclass(frozen=True)
class ContainerTarget(Target):
    """``container:IMAGE``, on the daemon of ``DOCKER_HOST`` or the default socket."""

    image: Image
    identity: Identity
    build: str
    """Its name in ``differences.toml``."""

    @classmethod
    def find(cls, image: str) -> ContainerTarget:
        """The target of ``container:``*image*, identified by its ``--version``. ``TargetError`` if
        no daemon answers, it has no such image, or the image is not a registry."""
        where = f"container:{image}"
        daemon = Daemon.reach(where)
        found = Image(image, daemon.has_entry_point(where, image))
        code, out, err = daemon.run_once(where, image, found.words("--version"), network="none")
        said = (out + err).strip().partition("\n")[0]
        if code != 0:
            raise TargetError(f"{where}: --version exits with {code}: {said!r}; is it a registry?")
        # Debian's build differs from the release in the same way in and out of a container.
        known_as = "docker-registry" if _DEBIAN in said else image
        return cls(found, identify(where, said), known_as)

    @property
    def name(self) -> str:
        """The image's name."""
        return self.image.name

    @property
    def known_as(self) -> str:
        return self.build

    @property
    def capabilities(self) -> frozenset[Need]:
        """All but being attacked as a process; the ``x-`` keys only if it is our registry."""
        lacks = {Need.PROCESS}
        if self.implementation != "pullproof":
            lacks.add(Need.X_KEYS)
        return frozenset(Need) - lacks

    must_start = "the image must start with `serve` and a plain configuration"

    def check(self) -> None:
        """Remove containers left by killed runs, and launch it once. ``TargetError`` if it does
        not start."""
        Daemon.reach(f"container:{self.name}").remove_orphans()
        super().check()

    def registry(self, settings: Settings, workdir: Path) -> RunningRegistry:
        return RunningRegistry(settings, workdir, ServerContainer(self.image, self.identity))


class ServerContainer(Server):
    """Each start is a new container on the same files, in the network of the host."""

    def __init__(self, image: Image, identity: Identity) -> None:
        self._image = image
        self._identity = identity
        self._where = f"container:{image.name}"
        self._daemon = Daemon.reach(self._where)
        self._started: Any = None
        """A ``testcontainers.core.container.DockerContainer``; None if nothing runs."""
        self._earlier_output = ""

    def start(self, files: Files) -> Addresses:
        if Path("/proc") in files.root.parents:
            raise NotOffered(f"{self._where} cannot be given a file system of another namespace")
        for attempt in range(1, _ATTEMPTS + 1):
            # Only the log says which port it got for port 0, and only from level info on.
            logged = files.settings.log_level in {"info", "debug"}
            port, debug_port = 0 if logged else free_port(), free_port()
            self._create(files, f"127.0.0.1:{port}", f"127.0.0.1:{debug_port}")
            if logged:
                port = self._logged_port(debug_port)
            elif not opens(port, self._is_running, STARTS):
                port = 0
            if port:
                return Addresses(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{debug_port}")
            failure = self._give_up(files)
            if TAKEN not in failure.message or attempt == _ATTEMPTS:
                break
        raise failure

    def _create(self, files: Files, addr: str, debug_addr: str) -> None:
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.container import DockerContainer

        # The reaper is an image that would have to be pulled; remove_orphans does its work.
        testcontainers_config.ryuk_disabled = True
        files.write_config(addr, debug_addr, self._identity.redis_key)
        files.root.mkdir(parents=True, exist_ok=True)
        options = self._daemon.options("host", (), files.settings.environment)
        del options["volumes"]
        container = DockerContainer(self._image.name, env=options.pop("environment"))
        container.with_kwargs(working_dir=str(files.workdir), **options)
        container.with_command(self._image.words("serve", files.config))
        for path in _mounts(files):
            container.with_volume_mapping(path, str(path), "rw")
        with docker_errors(self._where):
            try:
                container.start()
            except Exception:
                container.stop()  # It may have been created.
                raise
        self._started = container

    @property
    def _container(self) -> Any:
        """A ``docker.models.containers.Container``."""
        return self._started.get_wrapped_container()

    def _logged_port(self, debug_port: int) -> int:
        """The port of the API by the log, or 0. A registry that got *debug_port* is about to end,
        because it listens there a second time."""
        deadline = time.monotonic() + STARTS
        while time.monotonic() < deadline:
            running = self._is_running()
            match = LISTENING.search(self._said())
            if match and int(match[2]) != debug_port:
                return int(match[2])
            if not running:
                break
            time.sleep(_POLL)
        return 0

    def _is_running(self) -> bool:
        self._container.reload()
        return bool(self._container.status == "running")

    def _give_up(self, files: Files) -> DidNotStart:
        said = redact_text(self._said(), files.settings.secrets())
        ended = not self._is_running()
        self.kill()
        return DidNotStart(self._where, self.exit_code if ended else None, said)

    def stop(self) -> None:
        if self._started is not None:
            self._container.stop(timeout=_STOP_GRACE)
            self._remove()

    def kill(self) -> None:
        if self._started is not None:
            with suppress(Exception):  # The daemon refuses to kill what has ended.
                self._container.kill()
            self._remove()

    def _remove(self) -> None:
        code = int(self._container.wait()["StatusCode"])
        self.exit_code = 128 - code if code > 128 else code  # as a shell reports a signal
        self._earlier_output = self.output()
        container, self._started = self._started, None
        container.stop()  # This removes it.

    def _said(self) -> str:
        said: bytes = self._container.logs()
        return said.decode(errors="replace")

    def output(self) -> str:
        return self._earlier_output + (self._said() if self._started is not None else "")

    def collect(self, files: Files, *, dry_run: bool, delete_untagged: bool, online: bool) -> GcRun:
        """In a container of its own, whether or not the registry runs."""
        flags = ["--dry-run"] * dry_run + ["--delete-untagged"] * delete_untagged
        flags += self._identity.online_collection if online else ()
        words = self._image.words("garbage-collect", *flags, files.config)
        return GcRun(
            *self._daemon.run_once(
                self._where,
                self._image.name,
                words,
                network="host",
                mounts=_mounts(files),
                environment=files.settings.environment,
            )
        )


def _mounts(files: Files) -> list[Path]:
    """Includes what a scenario has put beside the working directory."""
    beside = files.workdir.parent
    return [beside] if files.root.is_relative_to(beside) else [beside, files.root]
