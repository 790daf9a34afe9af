"""One containerd with directories and sockets of its own, in a mount namespace of its own.

The mount namespace has its own /etc/hosts, so that names of registries lead to loopback addresses,
and name resolution that asks nobody else. Nothing is changed on the machine. It needs root.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.clients.containerd_lab.image_service import ImageService
from harness.clients.running import Ran
from harness.system.process import Process, clean_environment
from harness.system.real_parts import missing_part, real_part

__all__ = ["Daemon", "Names", "Surroundings", "version_of"]

_READY = re.compile(r"containerd successfully booted")
_TIMEOUT = 60.0
_ENTER = (
    'mount --make-rprivate / && mount --bind "$1" /etc/hosts && '
    'mount --bind "$2" /etc/nsswitch.conf && '
    'if [ -d /etc/containerd ]; then mount --bind "$3" /etc/containerd; fi && '
    'shift 3 && exec "$@"'
)
_CONFIG = """\
version = 2
root = "{place}/root"
state = "{place}/state"
[grpc]
  address = "{place}/c.sock"
[ttrpc]
  address = "{place}/c.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{place}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  disable_tcp_service = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{place}/cni"
    conf_dir = "{place}/cni"
"""
_AFTER_1_6 = """\
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "native"
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux"
  snapshotter = "native"
"""

Names = Mapping[str, str]
"""Addresses by host name."""


@dataclass(frozen=True)
class Surroundings:
    """What daemons and ``ctr`` see of the world. *directory* must have a short path."""

    directory: Path
    program: Path
    """containerd; ``ctr`` is looked for beside it, and then in PATH."""
    names: Names = field(default_factory=dict)
    """Without any there is no mount namespace, and names are resolved as the machine does it."""
    system_roots: Path | None = None
    """The certificates that are trusted without being told to (PEM)."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment, such as the way to the internet."""

    def prepare(self) -> None:
        """Write what the mount namespace needs. Skips, or fails, where there can be none."""
        if os.geteuid() != 0:
            missing_part("containerd runs as root only")
        if not self.names:
            return
        lines = ["127.0.0.1 localhost", *(f"{ip} {name}" for name, ip in self.names.items())]
        (self.directory / "hosts").write_text("\n".join(lines) + "\n")
        (self.directory / "nsswitch.conf").write_text("hosts: files\n")
        self.etc.mkdir()
        done = subprocess.run(
            self.entered("true"), capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
        if done.returncode != 0:
            missing_part(f"no mount namespace can be made here: {done.stderr.strip()}")

    def entered(self, *command: str | Path) -> list[str]:
        """*command* inside a mount namespace of its own, if there is to be one."""
        if not self.names:
            return [*map(str, command)]
        files = (self.directory / "hosts", self.directory / "nsswitch.conf", self.etc)
        return ["unshare", "--mount", "sh", "-c", _ENTER, "sh", *map(str, (*files, *command))]

    @property
    def etc(self) -> Path:
        """What they see as /etc/containerd, where there is such a directory."""
        return self.directory / "etc"

    @property
    def ctr(self) -> Path:
        """``ctr`` of the same release, if it lies beside containerd."""
        beside = self.program.with_name("ctr")
        return beside if beside.exists() else real_part("ctr")

    @property
    def environment(self) -> dict[str, str]:
        """For every program here."""
        roots = {} if self.system_roots is None else {"SSL_CERT_FILE": str(self.system_roots)}
        return clean_environment({**roots, **self.variables})

    def version(self) -> str:
        """The release, such as ``1.6.20``."""
        return version_of(self.program)


def version_of(program: Path) -> str:
    """The release of the containerd *program*. ``ValueError`` where it tells none."""
    done = subprocess.run(
        [program, "--version"], capture_output=True, text=True, timeout=30, check=True
    )
    found = re.search(r"\bv?(\d+\.\d+\.\d+)", done.stdout)
    if found is None:
        raise ValueError(f"{program} --version tells no version: {done.stdout.strip()}")
    return found[1]


class Daemon:
    """A running containerd below *place*, whose CRI has *registry_toml* (a config.toml of version 2
    with nothing but the registry section).

    Skips the test, or fails it where real parts are demanded, if it does not start.
    """

    def __init__(self, surroundings: Surroundings, place: Path, registry_toml: str) -> None:
        self._surroundings = surroundings
        self._place = place
        place.mkdir(parents=True)
        self.configure(registry_toml)
        self._start()

    def configure(self, registry_toml: str) -> None:
        """Write config.toml, which a running daemon does not read."""
        later = "" if self._surroundings.version().startswith("1.6.") else _AFTER_1_6
        head = _CONFIG.format(place=self._place) + later
        (self._place / "config.toml").write_text(head + registry_toml.removeprefix("version = 2\n"))

    def restart(self) -> None:
        """Stop it and start it with the configuration as it is now."""
        self.stop()
        self._start()

    def _start(self) -> None:
        surroundings = self._surroundings
        self._process = Process(
            surroundings.entered(surroundings.program, "--config", self._place / "config.toml"),
            environment=surroundings.environment,
            directory=self._place,
        )
        if self._process.await_output(_READY, timeout=_TIMEOUT) is None:
            said = self._process.output().strip().splitlines()
            self._process.stop()
            missing_part(f"containerd does not start here: {said[-1] if said else 'no output'}")
        self.images = ImageService(self._place / "c.sock")
        self.images.await_ready(_TIMEOUT)

    def ctr(self, *words: str, timeout: float) -> Ran | None:
        """Run ``ctr`` with *words*; None where it did not end within *timeout* seconds."""
        command = self._surroundings.entered(
            self._surroundings.ctr, "--address", self._place / "c.sock", *words
        )
        environment = self._surroundings.environment | {"CONTAINERD_SNAPSHOTTER": "native"}
        with subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            try:
                out, err = running.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                running.kill()
                return None
        return Ran(running.returncode, out + err)

    def stop(self) -> None:
        """End it."""
        self.images.close()
        self._process.stop()
