"""A real containerd with its own directories and sockets, driven with ``ctr`` and over the CRI.

:class:`Containerd` is the daemon of scenarios, with a cache as mirror; :class:`ContainerdDaemon` is
any containerd in a :class:`Sandbox`. A sandbox with host names is a mount namespace with its own
/etc/hosts, in which names of registries lead to loopback addresses. Nothing on the machine is
changed. All of it needs root.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.clients.running import Ran, run_client
from harness.system.process import clean_environment
from harness.system.real_parts import missing_part, real_part, start_part

_TIMEOUT = 60.0
_ENTER = (
    'mount --make-rprivate / && mount --bind "$1" /etc/hosts && '
    'mount --bind "$2" /etc/nsswitch.conf && '
    'if [ -d /etc/containerd ]; then mount --bind "$3" /etc/containerd; fi && '
    'shift 3 && exec "$@"'
)
_CONFIG = """\
version = 2
root = "{directory}/root"
state = "{directory}/state"
[grpc]
  address = "{directory}/c.sock"
[ttrpc]
  address = "{directory}/c.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{directory}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  disable_tcp_service = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{directory}/cni"
    conf_dir = "{directory}/cni"
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


@dataclass(frozen=True)
class Sandbox:
    """The environment of daemons and ``ctr``. *directory* must have a short path, for the
    socket."""

    directory: Path
    program: Path
    """containerd; ``ctr`` is taken from the same directory, or else from PATH."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Addresses by host name. Without any there is no mount namespace, and names are resolved as
    usual."""
    system_roots: Path | None = None
    """The system's certificates (PEM)."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Additional environment variables, such as proxies."""

    def prepare(self) -> None:
        """Write the files of the mount namespace. Skips the test, or fails it where real programs
        are required, if that is not possible here."""
        if os.geteuid() != 0:
            missing_part("containerd runs as root only")
        if not self.names:
            return
        lines = ["127.0.0.1 localhost", *(f"{ip} {name}" for name, ip in self.names.items())]
        (self.directory / "hosts").write_text("\n".join(lines) + "\n")
        (self.directory / "nsswitch.conf").write_text("hosts: files\n")
        self.etc.mkdir()
        done = run_client(self.entered("true"), clean_environment())
        if not done.ok:
            missing_part(f"no mount namespace can be made here: {done.output.strip()}")

    def entered(self, *command: str | Path) -> list[str]:
        """*command* inside the mount namespace, if there is one."""
        if not self.names:
            return [*map(str, command)]
        files = (self.directory / "hosts", self.directory / "nsswitch.conf", self.etc)
        return ["unshare", "--mount", "sh", "-c", _ENTER, "sh", *map(str, (*files, *command))]

    @property
    def etc(self) -> Path:
        """The directory mounted at /etc/containerd, if the machine has that directory."""
        return self.directory / "etc"

    @property
    def ctr(self) -> Path:
        """``ctr`` of the same release, if it is in the same directory."""
        beside = self.program.with_name("ctr")
        return beside if beside.exists() else real_part("ctr")

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of all programs."""
        roots = {} if self.system_roots is None else {"SSL_CERT_FILE": str(self.system_roots)}
        return clean_environment({**roots, **self.variables})


def version_of(program: Path) -> str:
    """The release of the containerd *program*. Raises ``ValueError`` if it prints none."""
    done = run_client([program, "--version"], clean_environment())
    found = re.search(r"\bv?(\d+\.\d+\.\d+)", done.output)
    if found is None:
        raise ValueError(f"{program} --version prints no version: {done.output.strip()}")
    return found[1]


class ContainerdDaemon:
    """A running containerd below *directory*; *registry_toml* is the registry section of its
    config.toml (version 2).

    Skips the test, or fails it where real programs are required, if it does not start.
    """

    def __init__(self, sandbox: Sandbox, directory: Path, registry_toml: str) -> None:
        self._sandbox = sandbox
        self._directory = directory
        directory.mkdir(parents=True)
        self.configure(registry_toml)
        self._start()

    def configure(self, registry_toml: str) -> None:
        """Write config.toml; takes effect after :meth:`restart`."""
        later = "" if version_of(self._sandbox.program).startswith("1.6.") else _AFTER_1_6
        head = _CONFIG.format(directory=self._directory) + later
        (self._directory / "config.toml").write_text(
            head + registry_toml.removeprefix("version = 2\n")
        )

    def restart(self) -> None:
        """Restart it with the current configuration; images are kept."""
        self.stop()
        self._start()

    def _start(self) -> None:
        try:
            from harness.clients.image_service import ImageService
        except ModuleNotFoundError:
            missing_part("containerd is driven over gRPC: pip install 'pullproof[real-clients]'")
        sandbox, config = self._sandbox, self._directory / "config.toml"
        self._process = start_part(
            "containerd",
            sandbox.entered(sandbox.program, "--config", config),
            "containerd successfully booted",
            environment=sandbox.environment,
            directory=self._directory,
        )
        self.images = ImageService(self._directory / "c.sock")
        self.images.await_ready(_TIMEOUT)

    def ctr(self, *words: str, timeout: float = _TIMEOUT) -> Ran:
        """Run ``ctr`` with *words*. Raises ``subprocess.TimeoutExpired``."""
        sandbox, socket = self._sandbox, self._directory / "c.sock"
        environment = sandbox.environment | {"CONTAINERD_SNAPSHOTTER": "native"}
        command = sandbox.entered(sandbox.ctr, "--address", socket, *words)
        return run_client(command, environment, timeout=timeout)

    def stop(self) -> None:
        """End it."""
        self.images.close()
        self._process.stop()


_REGISTRY = 'plugins."io.containerd.grpc.v1.cri".registry'


class Containerd(ContainerdDaemon):
    """``containerd`` below *directory*, which must have a short path, for the socket.

    Its CRI plugin reads ``certs.d`` in *directory*
    (https://github.com/containerd/containerd/blob/main/docs/cri/registry.md); ``ctr`` reads it with
    ``--hosts-dir`` only. *environment* is added to the variables of both. Skips the test, or fails
    it where real programs are required, if containerd cannot run here.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        sandbox = Sandbox(directory, real_part("containerd"), variables=environment)
        sandbox.prepare()
        self.certs_d = directory / "certs.d"
        self.certs_d.mkdir()
        self._loaded = self._written = self._configuration({})
        super().__init__(sandbox, directory / "d", self._loaded)

    def use_hosts(self, registry: str, hosts_toml: str) -> None:
        """Make *hosts_toml* the only file in certs.d, for *registry*."""
        self._clear_certs_d()
        place = self.certs_d / registry
        place.mkdir()
        (place / "hosts.toml").write_text(hosts_toml)

    def use_logins(self, logins: Mapping[str, tuple[str, str]]) -> None:
        """Write config.toml with ``registry.configs.HOST.auth`` for each host; takes effect after
        :meth:`restart`."""
        self._written = self._configuration(logins)
        self.configure(self._written)

    def restart(self) -> None:
        """Restart the daemon with the current config.toml; images are kept."""
        super().restart()
        self._loaded = self._written

    def _configuration(self, logins: Mapping[str, tuple[str, str]]) -> str:
        auths = "".join(
            f'[{_REGISTRY}.configs."{host}".auth]\nusername = "{user}"\npassword = "{password}"\n'
            for host, (user, password) in logins.items()
        )
        return f'[{_REGISTRY}]\nconfig_path = "{self.certs_d}"\n{auths}'

    def forget(self) -> None:
        """Remove all images with their content, all hosts.toml and all logins."""
        self._clear_certs_d()
        self.forget_images()
        self.use_logins({})
        if self._loaded != self._written:
            self.restart()

    def forget_images(self) -> None:
        """Remove all images with their content."""
        for namespace in ("default", "k8s.io"):
            where = ("-n", namespace)
            if names := self.ctr(*where, "images", "ls", "-q").output.split():
                self.ctr(*where, "images", "rm", "--sync", *names)
            # Content without an image would not be fetched again.
            if left := self.ctr(*where, "content", "ls", "-q").output.split():
                self.ctr(*where, "content", "rm", *left)

    def _clear_certs_d(self) -> None:
        for place in self.certs_d.iterdir():
            shutil.rmtree(place)

    def cri_pull(self, image: str, login: tuple[str, str] | None = None) -> Ran:
        """``PullImage`` of the CRI, as ``crictl pull`` and kubelet call it; exit code 0 is the gRPC
        status OK. *login* is user and password from the pod's pull secret."""
        auth = None if login is None else {"username": login[0], "password": login[1]}
        pulled = self.images.pull(image, auth, _TIMEOUT)
        return Ran(0 if pulled.code == "OK" else 1, pulled.message)
