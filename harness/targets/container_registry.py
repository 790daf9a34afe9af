"""A registry that runs in a container, its files where they would lie without one."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.http.redaction import redact_text
from harness.targets.docker_daemon import Daemon, told
from harness.targets.errors import DidNotStart, NotOffered
from harness.targets.garbage import GcRun
from harness.targets.identity import Identity
from harness.targets.process_registry import free_port
from harness.targets.saved_schedule import SavedSchedule
from harness.targets.settings import Settings

__all__ = ["ContainerRegistry", "Image"]

_START_TIMEOUT = 30.0
_STOP_GRACE = 15
_POLL = 0.01
_LISTENING = re.compile(r"listening on ([^\s\",]+):(\d+)")
_TAKEN = "address already in use"
_ATTEMPTS = 3
"""How often to try another debug port where somebody took the one that was free a moment ago."""
_API, _DEBUG = 5000, 5001
"""The ports within a container that has a network of its own."""


@dataclass(frozen=True)
class Image:
    """An image of the daemon."""

    name: str
    has_entry_point: bool

    def words(self, *words: str | Path) -> list[str]:
        """What to run it with, so that the registry gets *words*."""
        program = () if self.has_entry_point else ("registry",)
        return [str(word) for word in (*program, *words)]


class ContainerRegistry(SavedSchedule):
    """One container after another: each start is a new one, on the same files."""

    def __init__(
        self,
        image: Image,
        identity: Identity,
        network: Literal["host", "published"],
        settings: Settings,
        workdir: Path,
    ) -> None:
        super().__init__(settings, workdir)
        self._image = image
        self._identity = identity
        self._published = network == "published"
        self._where = f"container:{image.name}"
        self._daemon = Daemon.reach(self._where)
        self._container: Any = None
        """A ``testcontainers.core.container.DockerContainer``."""
        self._earlier_output = ""

    # -- life -----------------------------------------------------------------------------------
    def _run(self) -> tuple[str, str]:
        if Path("/proc") in self.root.parents:
            raise NotOffered(f"{self._where} cannot be given a file system of another namespace")
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._run_published() if self._published else self._run_on_host()
            except DidNotStart as failure:
                if _TAKEN not in failure.message or attempt == _ATTEMPTS:
                    raise
        raise AssertionError

    def _run_on_host(self) -> tuple[str, str]:
        # Only the log tells which port it got for port 0, and only from level info on.
        told = self.settings.log_level in {"info", "debug"}
        port, debug_port = 0 if told else free_port(), free_port()
        self._create(f"127.0.0.1:{port}", f"127.0.0.1:{debug_port}")
        port = self._await_listening(debug_port) if told else self._await_open(port)
        return f"http://127.0.0.1:{port}", f"http://127.0.0.1:{debug_port}"

    def _run_published(self) -> tuple[str, str]:
        if self.settings.upstream_url is not None:
            raise NotOffered(
                f"{self._where} behind published ports does not reach an upstream on this "
                "machine's loopback; use the network host"
            )
        self._create(f":{_API}", f":{_DEBUG}")
        ports = [self._port_of(port) for port in (_API, _DEBUG)]
        self._await_open(ports[0])
        return f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"

    def _create(self, addr: str, debug_addr: str) -> None:
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.container import DockerContainer

        # The reaper is an image that would have to be pulled; remove_orphans does its work.
        testcontainers_config.ryuk_disabled = True
        self._write_config(addr, debug_addr, self._identity.redis_key)
        self.root.mkdir(parents=True, exist_ok=True)
        how = self._daemon.how(
            "bridge" if self._published else "host", (), self.settings.environment
        )
        how.pop("volumes")
        environment = how.pop("environment")
        container = DockerContainer(self._image.name, env=environment)
        container.with_kwargs(working_dir=str(self.workdir), **how)
        container.with_command(self._image.words("serve", self.config_path))
        for path in self._mounts():
            container.with_volume_mapping(path, str(path), "rw")
        if self._published:
            container.with_bind_ports(_API, None).with_bind_ports(_DEBUG, None)
        with told(self._where):
            try:
                container.start()
            except Exception:
                container.stop()  # It may have been created.
                raise
        self._container = container

    def _mounts(self) -> Sequence[Path]:
        """With what a scenario has put beside the working directory."""
        beside = self.workdir.parent
        return (beside,) if self.root.is_relative_to(beside) else (beside, self.root)

    def _port_of(self, port: int) -> int:
        with suppress(Exception):
            return int(self._container.get_exposed_port(port))
        raise self._gave_up()

    def _await_listening(self, debug_port: int) -> int:
        """The port of the API. Where chance gave it *debug_port*, the registry is about to end."""
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline:
            running = self._is_running()
            match = _LISTENING.search(self._said())
            if match and int(match[2]) != debug_port:
                return int(match[2])
            if not running:
                break
            time.sleep(_POLL)
        raise self._gave_up()

    def _await_open(self, port: int) -> int:
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline and self._is_running():
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                return port
            time.sleep(_POLL)
        raise self._gave_up()

    def _is_running(self) -> bool:
        self._wrapped.reload()
        return bool(self._wrapped.status == "running")

    def _gave_up(self) -> DidNotStart:
        said = redact_text(self._said(), self.settings.secrets())
        ended = not self._is_running()
        self._end_at_once()
        return DidNotStart(self._where, self.exit_code if ended else None, said)

    def _end(self) -> None:
        if self._container is not None:
            self._wrapped.stop(timeout=_STOP_GRACE)
            self._bury()

    def _end_at_once(self) -> None:
        if self._container is not None:
            with suppress(Exception):  # The daemon refuses to kill what has ended.
                self._wrapped.kill()
            self._bury()

    def _bury(self) -> None:
        code = int(self._wrapped.wait()["StatusCode"])
        # A shell's way of saying which signal it was.
        self.exit_code = 128 - code if code > 128 else code
        self._earlier_output = self._output()
        container, self._container = self._container, None
        container.stop()

    @property
    def _wrapped(self) -> Any:
        return self._container.get_wrapped_container()

    # -- what can be seen of it -----------------------------------------------------------------
    def _said(self) -> str:
        said: bytes = self._wrapped.logs()
        return said.decode(errors="replace")

    def _output(self) -> str:
        return self._earlier_output + (self._said() if self._container is not None else "")

    # -- garbage --------------------------------------------------------------------------------
    def garbage_collect(
        self, *, dry_run: bool = False, delete_untagged: bool = False, online: bool = False
    ) -> GcRun:
        """In a container of its own, whether or not the registry runs."""
        flags = ["--dry-run"] * dry_run + ["--delete-untagged"] * delete_untagged
        flags += self._identity.online_collection if online else ()
        words = self._image.words("garbage-collect", *flags, self.config_path)
        return GcRun(
            *self._daemon.run_once(
                self._where,
                self._image.name,
                words,
                network="none" if self._published else "host",
                mounts=self._mounts(),
                environment=self.settings.environment,
            )
        )
