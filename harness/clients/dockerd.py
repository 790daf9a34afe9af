"""A real Docker daemon with its client, private to the test run.

It has its own directories, socket and client configuration, no bridge and no firewall rules, and
changes nothing on the machine. It needs root. Its mirrors can change while it runs: SIGHUP reloads
``registry-mirrors``
(https://docs.docker.com/reference/cli/dockerd/, "Configuration reload behavior").
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.clients.running import Ran, run_client, write_login
from harness.system.process import Process, clean_environment
from harness.system.real_parts import missing_part, real_part, start_part

HUB_LOGIN = "https://index.docker.io/v1/"
"""The key under which ``docker login`` stores the account of Docker Hub."""

_RELOADED = "Reloaded configuration"
_TIMEOUT = 30.0


class DockerDaemon:
    """``dockerd`` below *directory*, which must have a short path, for the socket.

    *environment* is added to the daemon's variables: the proxy settings. *program* replaces the one
    in ``PATH``. Skips the test, or fails it where real programs are required, if the daemon cannot
    run here.
    """

    def __init__(
        self, directory: Path, environment: Mapping[str, str], program: Path | None = None
    ) -> None:
        program = program or real_part("dockerd")
        self._client = real_part("docker")
        if os.geteuid() != 0:
            missing_part("dockerd runs as root only")
        self._directory = directory
        self._home = directory / "home"
        self._settings = directory / "daemon.json"
        self._settings.write_text("{}")
        command: list[str | Path] = [
            program,
            *("--config-file", self._settings),
            *("--bridge=none", "--iptables=false", "--ip6tables=false"),
            "--storage-driver=vfs",  # overlayfs is not possible on every file system
            f"--host=unix://{directory}/d.sock",
            f"--data-root={directory}/data",
            f"--exec-root={directory}/exec",
            f"--pidfile={directory}/pid",
        ]
        self._process = start_part(
            "dockerd",
            command,
            "API listen on",
            environment=clean_environment(environment),
            directory=directory,
        )

    def stop(self) -> None:
        """End the daemon and its containerd."""
        self._process.stop()

    def use_mirrors(self, *urls: str) -> None:
        """Use these mirrors for images of Docker Hub from now on, in this order. Raises
        ``TimeoutError`` if the daemon does not report that it has reloaded."""
        self._settings.write_text(json.dumps({"registry-mirrors": list(urls)}))
        before = self._process.output().count(_RELOADED)
        os.kill(self._process.pid, signal.SIGHUP)
        self._process.await_count(_RELOADED, before + 1, timeout=_TIMEOUT)

    def forget(self) -> None:
        """Remove all images and logins, and the daemon's records of pulled layers."""
        images = self.docker("images", "--all", "--quiet").output.split()
        if images:
            self.docker("rmi", "--force", *dict.fromkeys(images))
        shutil.rmtree(self._directory / "data/image/vfs/distribution", ignore_errors=True)
        shutil.rmtree(self._home, ignore_errors=True)

    def log_in(self, registry: str, user: str, password: str) -> None:
        """Store a login for *registry*, like ``docker login``."""
        write_login(self._home / "config.json", registry, user, password)

    def docker(self, *words: str, given: str = "") -> Ran:
        """Run ``docker`` with *words*, with *given* as standard input."""
        return run_client(self._command(words), clean_environment(), given=given)

    @contextmanager
    def begun(self, *words: str) -> Iterator[Process]:
        """``docker`` with *words* while it runs. The end of the ``with`` ends it, and the daemon
        then gives up too."""
        client = Process(self._command(words))
        try:
            yield client
        finally:
            client.stop()

    def _command(self, words: Sequence[str]) -> list[str | Path]:
        where = ("--config", str(self._home), "--host", f"unix://{self._directory}/d.sock")
        return [self._client, *where, *words]
