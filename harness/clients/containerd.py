"""A real containerd with a cache as mirror, asked by ``ctr`` and as kubelet asks it, by CRI.

It needs root. Its CRI plugin reads ``certs.d`` in its directory
(https://github.com/containerd/containerd/blob/main/docs/cri/registry.md); ``ctr`` is told of it by
``--hosts-dir``, or not at all.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from harness.clients.running import Ran
from harness.system.real_parts import missing_part, real_part

__all__ = ["Containerd"]

_TIMEOUT = 60.0
_REGISTRY = 'plugins."io.containerd.grpc.v1.cri".registry'


class Containerd:
    """``containerd`` below *directory*, which must have a short path for the socket's sake.

    *environment* is added to its own and to ``ctr``'s: the way to the internet. Skips the test, or
    fails it where real parts are demanded, if there can be none here.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        # gRPC is no dependency of scenarios that start no containerd, which import this module too.
        try:
            from harness.clients.containerd_lab import Daemon, Surroundings
        except ModuleNotFoundError as missing:
            if missing.name not in {"grpc", "google"}:
                raise
            missing_part("containerd is asked by gRPC: pip install 'pullproof[real-clients]'")
        surroundings = Surroundings(directory, real_part("containerd"), variables=environment)
        surroundings.prepare()
        self.certs_d = directory / "certs.d"
        self.certs_d.mkdir()
        self._config = self._configuration({})
        self._daemon = Daemon(surroundings, directory / "d", self._config)
        self._loaded = self._config

    def stop(self) -> None:
        """End it."""
        self._daemon.stop()

    def use_hosts(self, registry: str, hosts_toml: str) -> None:
        """Put *hosts_toml* into certs.d as that of *registry*, and remove what lies there now."""
        self._clear_certs_d()
        place = self.certs_d / registry
        place.mkdir()
        (place / "hosts.toml").write_text(hosts_toml)

    def use_logins(self, logins: Mapping[str, tuple[str, str]]) -> None:
        """Write config.toml with ``registry.configs.HOST.auth`` for each host; not read before
        :meth:`restart`."""
        self._config = self._configuration(logins)
        self._daemon.configure(self._config)

    def restart(self) -> None:
        """Stop it and start it with config.toml as it is now; images are kept."""
        self._daemon.restart()
        self._loaded = self._config

    def _configuration(self, logins: Mapping[str, tuple[str, str]]) -> str:
        auths = "".join(
            f'[{_REGISTRY}.configs."{host}".auth]\nusername = "{user}"\npassword = "{password}"\n'
            for host, (user, password) in logins.items()
        )
        return f'[{_REGISTRY}]\nconfig_path = "{self.certs_d}"\n{auths}'

    def forget(self) -> None:
        """Remove every image with its content, every hosts.toml and every login."""
        self._clear_certs_d()
        self.forget_images()
        self.use_logins({})
        if self._loaded != self._config:
            self.restart()

    def forget_images(self) -> None:
        """Remove every image with its content."""
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
        """Run ``ctr`` with *words*. ``TimeoutError`` after a minute."""
        ran = self._daemon.ctr(*words, timeout=_TIMEOUT)
        if ran is None:
            raise TimeoutError(f"ctr {' '.join(words)} does not end")
        return ran

    def cri_pull(self, image: str, login: tuple[str, str] | None = None) -> Ran:
        """``PullImage`` of the CRI, which is what ``crictl pull`` and kubelet call; exit code 0 is
        gRPC's status OK. *login* is what kubelet has read from the pod's pull secret."""
        auth = None if login is None else {"username": login[0], "password": login[1]}
        pulled = self._daemon.images.pull(image, auth, _TIMEOUT)
        return Ran(0 if pulled.code == "OK" else 1, pulled.message)
