"""A real containerd, private to the test run, asked by ``ctr`` and as kubelet asks it, by CRI.

It has directories and a socket of its own and needs root. Its CRI plugin reads ``certs.d`` in its
directory (https://github.com/containerd/containerd/blob/main/docs/cri/registry.md); ``ctr`` is told
of it by ``--hosts-dir``, or not at all.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from harness.clients.running import Ran, run_client
from harness.process import Process, clean_environment
from harness.real_parts import missing_part, real_part

__all__ = ["Containerd"]

_READY = re.compile(r"containerd successfully booted")
_TIMEOUT = 30.0
_CONFIG = """\
version = 2
root = "{place}/root"
state = "{place}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{place}/c.sock"
[plugins."io.containerd.grpc.v1.cri"]
  disable_tcp_service = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{place}/cni/bin"
    conf_dir = "{place}/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{place}/certs.d"
"""


class Containerd:
    """``containerd`` below *directory*, which must have a short path for the socket's sake.

    *environment* is added to its own and to ``ctr``'s: the way to the internet. Skips the test, or
    fails it where real parts are demanded, if there can be none here.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        # gRPC is no dependency of scenarios that start no containerd, which import this module too.
        from harness.clients.containerd_lab.image_service import ImageService

        program, self._ctr = real_part("containerd"), real_part("ctr")
        if os.geteuid() != 0:
            missing_part("containerd runs as root only")
        self._directory = directory
        self._environment = clean_environment() | dict(environment)
        self.certs_d = directory / "certs.d"
        self.certs_d.mkdir()
        config = directory / "config.toml"
        config.write_text(_CONFIG.format(place=directory))
        self._process = Process(
            [program, "--config", config], environment=self._environment, directory=directory
        )
        if self._process.await_output(_READY, timeout=_TIMEOUT) is None:
            said = self._process.output().strip().splitlines()
            self._process.stop()
            missing_part(f"containerd does not start here: {said[-1] if said else 'no output'}")
        self._images = ImageService(directory / "c.sock")
        self._images.await_ready(_TIMEOUT)

    def stop(self) -> None:
        """End it."""
        self._images.close()
        self._process.stop()

    def use_hosts(self, registry: str, hosts_toml: str) -> None:
        """Put *hosts_toml* into certs.d as that of *registry*, and remove what lies there now."""
        self._clear_certs_d()
        place = self.certs_d / registry
        place.mkdir()
        (place / "hosts.toml").write_text(hosts_toml)

    def forget(self) -> None:
        """Remove every image with its content, and every hosts.toml."""
        self._clear_certs_d()
        for namespace in ("default", "k8s.io"):
            where = ("-n", namespace)
            if names := self.ctr(*where, "images", "ls", "-q").output.split():
                self.ctr(*where, "images", "rm", "--sync", *names)
            # What was fetched without an image, and would not have to be fetched again.
            if left := self.ctr(*where, "content", "ls", "-q").output.split():
                self.ctr(*where, "content", "rm", *left)

    def _clear_certs_d(self) -> None:
        for place in self.certs_d.iterdir():
            shutil.rmtree(place)

    def ctr(self, *words: str) -> Ran:
        """Run ``ctr`` with *words*."""
        return run_client(
            [self._ctr, "--address", f"{self._directory}/c.sock", *words], self._environment
        )

    def cri_pull(self, image: str, login: tuple[str, str] | None = None) -> Ran:
        """``PullImage`` of the CRI, which is what ``crictl pull`` and kubelet call; exit code 0 is
        gRPC's status OK. *login* is what kubelet has read from the pod's pull secret."""
        auth = None if login is None else {"username": login[0], "password": login[1]}
        pulled = self._images.pull(image, auth, _TIMEOUT)
        return Ran(0 if pulled.code == "OK" else 1, pulled.message)
